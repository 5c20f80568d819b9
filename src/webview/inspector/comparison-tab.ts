import type { ChangeMessage } from '../../protocol/inspection';
import type { Comparison } from '../../protocol/inspector';
import { button, element } from '../volume/elements';
import { countText, numberText, shapeText, shareText, wholeText } from './text';
import { VirtualRows } from './virtual-rows';

const ROW_HEIGHT = 22;

export interface ComparisonOptions {
  readonly name: string;
  readonly compare: () => void;
  readonly end: () => void;
  readonly onSelect: (tensor: string) => void;
}

/** How far each tensor moved from this file to another one, furthest first. */
export class ComparisonTab {
  readonly element = element('div', { class: 'comparison' });
  private readonly summary = element('p', { class: 'total' });
  private readonly progress = element('p', { class: 'note' });
  private rows: ChangeMessage[] = [];
  private furthest = 1;
  private readonly byName = new Map<string, ChangeMessage>();
  private list: VirtualRows | undefined;
  private drawing = 0;
  private active = -1;

  constructor(
    private comparison: Comparison | null,
    private readonly options: ComparisonOptions,
  ) {
    this.set(comparison);
  }

  changeOf(name: string): ChangeMessage | undefined {
    return this.byName.get(name);
  }

  set(comparison: Comparison | null): void {
    this.comparison = comparison;
    this.byName.clear();
    this.active = -1;
    this.list?.dispose();
    this.list = undefined;
    if (!comparison) {
      this.element.replaceChildren(this.empty());
      return;
    }
    for (const change of comparison.changes) this.byName.set(change.name, change);
    this.list = new VirtualRows(
      { role: 'grid', 'aria-label': 'Tensors, those that moved furthest first' },
      head(),
      ROW_HEIGHT,
      (index) => this.row(index),
    );
    const { scroller } = this.list;
    scroller.addEventListener('mousedown', (event) => this.press(event));
    scroller.addEventListener('keydown', (event) => this.key(event));
    this.element.replaceChildren(
      element(
        'div',
        { class: 'top' },
        element(
          'div',
          {},
          element('p', { class: 'from-to' }, ...this.fromTo(comparison)),
          this.summary,
          this.progress,
          ...unmatched(comparison),
        ),
        element(
          'div',
          { class: 'choices' },
          button('Compare with…', 'Compare with another file', this.options.compare),
          button('End comparison', 'Show no comparison', this.options.end),
        ),
      ),
      scroller,
    );
    this.update();
  }

  add(changes: readonly ChangeMessage[], pass: Comparison['pass']): void {
    if (!this.comparison) return;
    this.comparison = { ...this.comparison, pass, changes: [...this.comparison.changes, ...changes] };
    for (const change of changes) this.byName.set(change.name, change);
    if (this.drawing !== 0) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.update();
    });
  }

  /** Draws again: a hidden list has no height. */
  show(): void {
    this.list?.draw();
  }

  dispose(): void {
    cancelAnimationFrame(this.drawing);
    this.list?.dispose();
  }

  private empty(): HTMLElement {
    return element(
      'div',
      { class: 'sentence' },
      element('p', {
        text: `See how far each tensor moved from ${this.options.name} to another checkpoint: what fine-tuning changed, what stayed frozen, whether two files are the same.`,
      }),
      element(
        'div',
        { class: 'choices' },
        button('Compare with…', 'Choose the other file', this.options.compare),
      ),
    );
  }

  private fromTo({ thisName, otherName, otherPath }: Comparison): Node[] {
    return [
      document.createTextNode('From '),
      element('strong', { text: thisName }),
      document.createTextNode(' to '),
      element('strong', { text: otherName, title: otherPath }),
    ];
  }

  private update(): void {
    const { comparison } = this;
    if (!comparison) return;
    const { changes, pass, match } = comparison;
    this.rows = [...changes].sort(
      (a, b) =>
        (b.relative ?? Infinity) - (a.relative ?? Infinity) || b.l2 - a.l2 || (a.name < b.name ? -1 : 1),
    );
    this.furthest = Math.max(1e-12, ...this.rows.map(({ relative }) => relative ?? 0));
    const moved = changes.filter(({ changed }) => changed > 0).length;
    this.summary.textContent =
      changes.length === match.pairs.length && moved === 0
        ? `Nothing moved: all ${countText(changes.length, 'tensor')} that both have ${changes.length === 1 ? 'is' : 'are'} the same.`
        : `${wholeText(moved)} of ${countText(changes.length, 'tensor')} moved.`;
    this.progress.textContent =
      pass.failed ??
      (pass.done < pass.total ? `Comparing: ${Math.floor((100 * pass.done) / pass.total)} %` : '');
    this.progress.className = pass.failed === null ? 'note' : 'remark';
    this.list?.setCount(this.rows.length);
  }

  private row(index: number): HTMLElement {
    const { name, shape, relative, l2, cosine, max, changed, compared, notFinite } = this.rows[index];
    const bar = element('div', { class: 'share' });
    bar.style.width = `${(100 * Math.min(this.furthest, relative ?? Infinity)) / this.furthest}%`;
    const share = element(
      'div',
      { class: 'cell relative', attributes: { role: 'gridcell' } },
      element('div', { class: 'track' }, bar),
      element('span', { text: relative === null ? 'from 0' : shareText(relative) }),
    );
    const made = element(
      'div',
      { class: 'row', attributes: { role: 'row', id: `change-${index}`, 'data-index': String(index) } },
      cell('name', name, name),
      cell('shape', shapeText(shape)),
      share,
      cell('l2', numberText(l2)),
      cell('cosine', cosine === null ? '–' : cosineText(cosine)),
      cell('max', numberText(max)),
      cell(
        'changed',
        compared === 0 ? '–' : shareText(changed / compared),
        notFinite > 0
          ? `${countText(notFinite, 'value')} not finite in one of the files, left out`
          : undefined,
      ),
    );
    made.classList.toggle('still', changed === 0);
    made.classList.toggle('active', index === this.active);
    return made;
  }

  private press(event: MouseEvent): void {
    const row = (event.target as HTMLElement).closest<HTMLElement>('.row[data-index]');
    if (!row || event.button !== 0) return;
    this.go(Number(row.dataset.index));
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.list) return;
    const last = this.rows.length - 1;
    const moves: Readonly<Record<string, number>> = {
      ArrowDown: this.active + 1,
      ArrowUp: this.active - 1,
      PageDown: this.active + this.list.page,
      PageUp: this.active - this.list.page,
      Home: 0,
      End: last,
    };
    if (!(event.key in moves) || last < 0) return;
    this.go(Math.max(0, Math.min(last, moves[event.key])));
    event.preventDefault();
  }

  private go(index: number): void {
    this.active = index;
    this.list?.reveal(index);
    this.list?.draw();
    this.list?.scroller.setAttribute('aria-activedescendant', `change-${index}`);
    this.options.onSelect(this.rows[index].name);
  }
}

function cosineText(cosine: number): string {
  // Close to 1 the distance from it tells more.
  return cosine > 0.9999
    ? cosine === 1
      ? '1'
      : `1 − ${(1 - cosine).toExponential(0).replace('e-', 'e−')}`
    : cosine.toFixed(4).replace('-', '−');
}

function cell(name: string, text: string, title?: string): HTMLElement {
  return element('div', { class: `cell ${name}`, text, title, attributes: { role: 'gridcell' } });
}

function head(): HTMLElement {
  const titles: readonly (readonly [string, string, string?])[] = [
    ['name', 'Tensor'],
    ['shape', 'Shape'],
    [
      'relative',
      'Relative change',
      'Length of the difference, as a share of the tensor’s length in this file',
    ],
    ['l2', 'L2 distance', 'Euclidean length of the difference'],
    ['cosine', 'Cosine', 'Of the angle between both: 1 is the same direction'],
    ['max', 'Largest step', 'Largest absolute difference of a value'],
    ['changed', 'Changed', 'Values that differ at all'],
  ];
  return element(
    'div',
    { class: 'row head', attributes: { role: 'row' } },
    ...titles.map(([name, text, title]) =>
      element('div', { class: `cell ${name}`, text, title, attributes: { role: 'columnheader' } }),
    ),
  );
}

/** What stands in one of the files only, folded up. */
function unmatched({ match, otherName }: Comparison): HTMLElement[] {
  const lists: readonly (readonly [string, readonly string[]])[] = [
    ['only in this file', match.missing],
    [`only in ${otherName}`, match.unexpected],
    [
      'of another shape',
      match.mismatched.map(
        ({ name, here, there }) => `${name}: ${shapeText(here)} here, ${shapeText(there)} there`,
      ),
    ],
  ];
  return lists
    .filter(([, names]) => names.length > 0)
    .map(([what, names]) =>
      element(
        'details',
        {},
        element('summary', { text: `${countText(names.length, 'tensor')} ${what}` }),
        element('p', { class: 'names', text: names.join('\n') }),
      ),
    );
}
