/**
 * Line (1-based) on which the value at `path` begins in a text that JSON.parse takes; of the deepest part of the path
 * that exists. So that a fault in a JSON file can be pointed at as one in a table is.
 */
export function lineOfJson(text: string, path: readonly (string | number)[]): number {
  const scan = new Scan(text);
  return text.slice(0, scan.find(path)).split('\n').length;
}

class Scan {
  private at = 0;

  constructor(private readonly text: string) {}

  /** Where the value at `path` begins, seen from the value that begins here. */
  find(path: readonly (string | number)[]): number {
    this.space();
    const begin = this.at;
    if (path.length === 0 || (this.text[begin] !== '{' && this.text[begin] !== '[')) return begin;
    const [wanted, ...rest] = path;
    for (const key of this.members()) if (String(key) === String(wanted)) return this.find(rest);
    return begin;
  }

  /** The keys or indices of the object or array that begins here; at each, the scan stands at its value. */
  private *members(): Generator<string | number, void> {
    const isObject = this.text[this.at] === '{';
    this.at++;
    for (let index = 0; ; index++) {
      this.space();
      if (this.text[this.at] === (isObject ? '}' : ']')) break;
      if (this.text[this.at] === ',') {
        this.at++;
        this.space();
      }
      let key: string | number = index;
      if (isObject) {
        key = JSON.parse(this.string()) as string;
        this.space();
        this.at++; // the colon
        this.space();
      }
      const value = this.at;
      yield key;
      this.at = value;
      this.skip();
    }
    this.at++;
  }

  private skip(): void {
    const first = this.text[this.at];
    if (first === '"') this.string();
    else if (first === '{' || first === '[') {
      const members = this.members();
      while (!members.next().done);
    } else while (this.at < this.text.length && !/[\s,\]}]/.test(this.text[this.at])) this.at++;
  }

  private string(): string {
    const begin = this.at;
    for (this.at++; this.text[this.at] !== '"'; this.at++) if (this.text[this.at] === '\\') this.at++;
    this.at++;
    return this.text.slice(begin, this.at);
  }

  private space(): void {
    while (/\s/.test(this.text[this.at] ?? '')) this.at++;
  }
}
