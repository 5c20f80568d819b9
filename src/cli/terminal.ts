import cliProgress from 'cli-progress';

/** Standard output of a command: JSON or the lines that were asked for. */
export function print(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : text + '\n');
}

/** Standard error: what a person should know beside the result. */
export function tell(text: string): void {
  process.stderr.write(text.endsWith('\n') ? text : text + '\n');
}

/** JSON on standard output, alone. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

const SECONDS_BETWEEN_LINES = 10;
const SECONDS_BETWEEN_DRAWINGS = 0.1;
const BAR_CELLS = 24;

/** What is behind standard error draws like a terminal although it is a pipe: an editor says so. */
const DRAWN_ELSEWHERE = process.env.FCD_PROGRESS === 'live';

/** Progress on standard error: a bar on a terminal, a line every ten seconds elsewhere (logs, CI). */
export class Progress {
  private bar?: cliProgress.SingleBar;
  private title = '';
  private lastLine = 0;

  constructor(private readonly quiet = false) {}

  update(
    title: string,
    done: number,
    total: number,
    detail: string,
    secondsLeft: number | null = null,
  ): void {
    if (this.quiet) return;
    const left = secondsLeft === null ? '' : `, ${duration(secondsLeft)} left`;
    if (DRAWN_ELSEWHERE) this.overwrite(title, done, total, `${detail}${left}`);
    else if (process.stderr.isTTY) this.draw(title, done, total, `${detail}${left}`);
    else this.line(title, done, total, `${detail}${left}`);
  }

  /** Ends the bar, so that other lines can follow. */
  end(): void {
    this.bar?.stop();
    this.bar = undefined;
    if (DRAWN_ELSEWHERE && this.title !== '') process.stderr.write('\n');
    this.title = '';
  }

  /** One line that is written over: back to its start, erased, without wrapping whatever the terminal's width. */
  private overwrite(title: string, done: number, total: number, detail: string): void {
    const now = performance.now() / 1000;
    const begins = title !== this.title;
    if (!begins && done < total && now - this.lastLine < SECONDS_BETWEEN_DRAWINGS) return;
    if (begins) this.end();
    this.title = title;
    this.lastLine = now;
    const share = Math.min(1, done / Math.max(1, total));
    const filled = Math.round(share * BAR_CELLS);
    const bar = '█'.repeat(filled) + '░'.repeat(BAR_CELLS - filled);
    const percent = `${Math.floor(share * 100)} %`.padStart(5);
    process.stderr.write(`\r\x1b[2K\x1b[?7l${title.padEnd(22)} ${bar} ${percent}  ${detail}\x1b[?7h`);
  }

  private draw(title: string, done: number, total: number, detail: string): void {
    if (title !== this.title) this.end();
    this.title = title;
    if (!this.bar) {
      this.bar = new cliProgress.SingleBar(
        {
          format: '{title} {bar} {percentage} %  {detail}',
          clearOnComplete: false,
          hideCursor: true,
          stream: process.stderr,
        },
        cliProgress.Presets.shades_classic,
      );
      this.bar.start(total, done, { title: title.padEnd(24), detail });
    }
    this.bar.setTotal(total);
    this.bar.update(done, { title: title.padEnd(24), detail });
  }

  private line(title: string, done: number, total: number, detail: string): void {
    const now = performance.now() / 1000;
    const begins = title !== this.title;
    if (!begins && done < total && now - this.lastLine < SECONDS_BETWEEN_LINES) return;
    this.title = title;
    this.lastLine = now;
    tell(`${title}: ${Math.round((100 * done) / Math.max(1, total))} %, ${detail}`);
  }
}

/** `48 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Columns padded to their widest cell; numbers to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((name, c) => Math.max(name.length, ...rows.map((row) => row[c].length)));
  const numeric = header.map((_, c) => rows.length > 0 && rows.every((row) => /^[-+\d.,%e ]*$/.test(row[c])));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, c) => (numeric[c] ? cell.padStart(widths[c]) : cell.padEnd(widths[c])))
      .join('  ')
      .trimEnd();
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

/** A Ctrl-C can arrive twice, from the terminal and from the process that started this one: within this time it is one. */
const SAME_PRESS_MS = 500;

/**
 * A signal that aborts on Ctrl-C, SIGTERM or when the terminal is closed: work stops at its next safe point. A second
 * Ctrl-C ends at once; other signals do not, for whoever ends a session sends several.
 */
export function stopOnInterrupt(): AbortSignal {
  const controller = new AbortController();
  let interrupts = 0;
  let pressed = -Infinity;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(name, () => {
      if (name === 'SIGINT') {
        const now = performance.now();
        if (now - pressed > SAME_PRESS_MS) interrupts++;
        pressed = now;
        if (interrupts > 1) process.exit(130);
      }
      if (controller.signal.aborted) return;
      tell('\nStopping at the next safe point (once more to end at once) ...');
      controller.abort();
    });
  return controller.signal;
}
