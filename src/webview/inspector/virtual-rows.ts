import { element } from '../volume/elements';

/** Rows drawn above and below those that are seen. */
const BESIDE = 8;

/**
 * A list of rows of one height of which only those in view exist. The scroller keeps the focus; the active row is told to
 * assistive technology by `aria-activedescendant`.
 */
export class VirtualRows {
  readonly scroller: HTMLElement;
  private readonly spacer = element('div', { class: 'spacer' });
  private readonly window = element('div', { class: 'window', attributes: { role: 'rowgroup' } });
  private count = 0;
  private readonly observer = new ResizeObserver(() => this.draw());

  /**
   * @param head the row of column titles, which stays in view
   * @param row makes the row of an index
   */
  constructor(
    attributes: Readonly<Record<string, string>>,
    private readonly head: HTMLElement,
    private readonly rowHeight: number,
    private readonly row: (index: number) => HTMLElement,
  ) {
    this.spacer.append(this.window);
    this.scroller = element(
      'div',
      { class: 'scroller', attributes: { tabindex: '0', ...attributes } },
      head,
      this.spacer,
    );
    this.scroller.addEventListener('scroll', () => this.draw(), { passive: true });
    this.observer.observe(this.scroller);
  }

  setCount(count: number): void {
    this.count = count;
    this.spacer.style.height = `${count * this.rowHeight}px`;
    this.scroller.setAttribute('aria-rowcount', String(count + 1));
    this.draw();
  }

  /** Rows that fit into the view. */
  get page(): number {
    return Math.max(
      1,
      Math.floor((this.scroller.clientHeight - this.head.offsetHeight) / this.rowHeight) - 1,
    );
  }

  draw(): void {
    const { scrollTop, clientHeight } = this.scroller;
    const first = Math.max(0, Math.floor(scrollTop / this.rowHeight) - BESIDE);
    const last = Math.min(this.count, Math.ceil((scrollTop + clientHeight) / this.rowHeight) + BESIDE);
    this.window.style.transform = `translateY(${first * this.rowHeight}px)`;
    const rows: HTMLElement[] = [];
    for (let index = first; index < last; index++) {
      const row = this.row(index);
      row.setAttribute('aria-rowindex', String(index + 2));
      rows.push(row);
    }
    this.window.replaceChildren(...rows);
  }

  reveal(index: number): void {
    const top = index * this.rowHeight;
    const seen = this.scroller.clientHeight - this.head.offsetHeight;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + this.rowHeight > this.scroller.scrollTop + seen)
      this.scroller.scrollTop = top + this.rowHeight - seen;
  }

  dispose(): void {
    this.observer.disconnect();
  }
}
