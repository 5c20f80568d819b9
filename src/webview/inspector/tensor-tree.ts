import { element } from '../volume/elements';
import { sparkline } from './histogram';
import { findingsOf, hasFindings, type ShownTensor } from './model';
import { bytesText, countText, numberText, shapeText, wholeText } from './text';
import { pathTo, rowsOf, treeOf, type Group, type Leaf, type Row, type Tree } from './tree';
import { VirtualRows } from './virtual-rows';

const ROW_HEIGHT = 22;
/** Groups of so many levels are open at first, but for those of vectors only: normalisations. */
const OPEN_DEPTH = 2;

function startsOpen({ items }: Group<ShownTensor>, level: number): boolean {
  return level <= OPEN_DEPTH && items.some(({ info }) => info.shape.length > 1);
}

export interface TreeOptions {
  readonly opened: Readonly<Record<string, boolean>>;
  readonly onOpened: (opened: Record<string, boolean>) => void;
  readonly onSelect: (tensor: ShownTensor) => void;
}

/** The tensors of a file as a tree with a line of numbers each: a treegrid for mouse, keyboard and screen reader. */
export class TensorTree {
  readonly element: HTMLElement;
  private readonly list: VirtualRows;
  private readonly tree: Tree<ShownTensor>;
  private readonly opened: Map<string, boolean>;
  private rows: Row<ShownTensor>[] = [];
  private shows: ((tensor: ShownTensor) => boolean) | undefined;
  private selected: string | undefined;
  private active = 0;
  private drawing = 0;

  constructor(
    private readonly tensors: readonly ShownTensor[],
    private readonly options: TreeOptions,
  ) {
    this.tree = treeOf(tensors);
    this.opened = new Map(Object.entries(options.opened));
    this.list = new VirtualRows(
      { role: 'treegrid', 'aria-label': 'Tensors by module' },
      this.head(),
      ROW_HEIGHT,
      (index) => this.drawRow(index),
    );
    this.element = this.list.scroller;
    this.element.addEventListener('keydown', (event) => this.key(event));
    this.element.addEventListener('mousedown', (event) => this.press(event));
    this.refresh();
  }

  /** Lines in all, drawn or not. */
  get rowCount(): number {
    return this.rows.length;
  }

  /** Shows only some tensors, or all. */
  filter(shows: ((tensor: ShownTensor) => boolean) | undefined): void {
    this.shows = shows;
    this.refresh();
    this.element.scrollTop = 0;
    this.list.draw();
  }

  /** Draws again what has new numbers, at most once a frame. */
  redraw(): void {
    if (this.drawing !== 0) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      // A filter by findings shows more as they are found.
      if (this.shows) this.refresh();
      else this.list.draw();
    });
  }

  openAll(open: boolean): void {
    const walk = (nodes: Tree<ShownTensor>['children']): void => {
      for (const node of nodes)
        if (node.kind === 'group') {
          this.opened.set(node.path, open);
          walk(node.children);
        }
    };
    walk(this.tree.children);
    this.keepOpened();
    this.refresh();
  }

  /** Goes to a tensor by its name, opening what it lies in. */
  select(name: string): boolean {
    const tensor = this.tensors.find((one) => one.name === name);
    if (!tensor) return false;
    for (const path of pathTo(this.tree, name)) this.opened.set(path, true);
    if (this.shows && !this.shows(tensor)) this.shows = undefined;
    this.selected = name;
    this.refresh();
    const index = this.rows.findIndex(({ node }) => node.kind === 'tensor' && node.name === name);
    this.activate(Math.max(0, index));
    this.options.onSelect(tensor);
    return true;
  }

  /** The lines that are drawn, as text. */
  get drawn(): string[] {
    return Array.from(this.element.querySelectorAll<HTMLElement>('.window > .row'), (row) =>
      Array.from(row.children, (cell) => cell.textContent ?? '')
        .filter((text) => text !== '')
        .join(' | '),
    );
  }

  focus(): void {
    this.element.focus();
  }

  dispose(): void {
    cancelAnimationFrame(this.drawing);
    this.list.dispose();
  }

  private head(): HTMLElement {
    const { prefix } = this.tree;
    const titles: readonly (readonly [name: string, text: string, title?: string])[] = [
      [
        'name',
        prefix === '' ? 'Tensor' : `Tensor · ${prefix}`,
        prefix === '' ? undefined : `All names begin with ${prefix}`,
      ],
      ['dtype', 'Type'],
      ['shape', 'Shape'],
      ['bytes', 'Size'],
      ['mean', 'Mean'],
      ['sd', 'SD', 'Standard deviation of the values'],
      ['min', 'Min'],
      ['max', 'Max'],
      ['histogram', 'Histogram', 'From the smallest to the largest value'],
      ['findings', 'Findings'],
    ];
    return element(
      'div',
      { class: 'row head', attributes: { role: 'row' } },
      ...titles.map(([name, text, title]) =>
        element('div', { class: `cell ${name}`, text, title, attributes: { role: 'columnheader' } }),
      ),
    );
  }

  private refresh(): void {
    const activeKey = this.rows[this.active] && keyOf(this.rows[this.active]);
    this.rows = rowsOf(this.tree, { opened: this.opened, startsOpen, shows: this.shows });
    const index = this.rows.findIndex((row) => keyOf(row) === activeKey);
    this.active = index >= 0 ? index : Math.min(this.active, Math.max(0, this.rows.length - 1));
    this.list.setCount(this.rows.length);
    this.tellActive();
  }

  private drawRow(index: number): HTMLElement {
    const row = this.rows[index];
    const { node, level, expanded } = row;
    const made = element('div', {
      class: `row ${node.kind}`,
      attributes: {
        role: 'row',
        id: `row-${index}`,
        'aria-level': String(level),
        'data-index': String(index),
      },
    });
    made.classList.toggle('active', index === this.active);
    if (node.kind === 'group') {
      made.setAttribute('aria-expanded', String(expanded));
      made.append(...this.groupCells(node, level, expanded));
    } else {
      const selected = node.name === this.selected;
      made.setAttribute('aria-selected', String(selected));
      made.classList.toggle('selected', selected);
      made.append(...this.tensorCells(node, level));
    }
    return made;
  }

  private groupCells(node: Group<ShownTensor>, level: number, expanded: boolean): HTMLElement[] {
    const bytes = node.items.reduce((sum, { info }) => sum + info.bytes, 0);
    const sums = node.items
      .map(findingsOf)
      .reduce((sum, one) => ({ nan: sum.nan + one.nan, inf: sum.inf + one.inf, dead: sum.dead + one.dead }), {
        nan: 0,
        inf: 0,
        dead: 0,
      });
    return [
      nameCell(node.label, node.path, level, expanded ? 'open' : 'closed'),
      cell('dtype', ''),
      cell('shape', countText(node.items.length, 'tensor')),
      cell('bytes', bytesText(bytes)),
      ...['mean', 'sd', 'min', 'max', 'histogram'].map((name) => cell(name, '')),
      element('div', { class: 'cell findings', attributes: { role: 'gridcell' } }, ...badges(sums)),
    ];
  }

  private tensorCells({ label, item }: Leaf<ShownTensor>, level: number): HTMLElement[] {
    const { info, statistics } = item;
    const number = (name: 'mean' | 'sd' | 'min' | 'max') =>
      cell(name, statistics ? numberText(statistics[name]) : '', statistics ? undefined : 'pending');
    const histogram = element('div', { class: 'cell histogram', attributes: { role: 'gridcell' } });
    if (statistics?.histogram && statistics.histogram.counts.length > 1)
      histogram.append(sparkline(statistics.histogram));
    return [
      nameCell(label, item.name, level, 'leaf'),
      cell('dtype', info.dtype),
      cell('shape', shapeText(info.shape)),
      cell('bytes', bytesText(info.bytes)),
      number('mean'),
      number('sd'),
      number('min'),
      number('max'),
      histogram,
      element(
        'div',
        { class: 'cell findings', attributes: { role: 'gridcell' } },
        ...badges(findingsOf(item)),
      ),
    ];
  }

  private press(event: MouseEvent): void {
    const row = (event.target as HTMLElement).closest<HTMLElement>('.row[data-index]');
    if (!row || event.button !== 0) return;
    const index = Number(row.dataset.index);
    const { node } = this.rows[index];
    this.activate(index);
    if (node.kind === 'group') this.toggle(node, index);
    else this.choose(node);
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = this.rows[this.active];
    if (!row) return;
    const { node, expanded } = row;
    const last = this.rows.length - 1;
    const moves: Readonly<Record<string, number>> = {
      ArrowDown: Math.min(last, this.active + 1),
      ArrowUp: Math.max(0, this.active - 1),
      PageDown: Math.min(last, this.active + this.list.page),
      PageUp: Math.max(0, this.active - this.list.page),
      Home: 0,
      End: last,
    };
    if (event.key in moves) this.moveTo(moves[event.key]);
    else if (event.key === 'ArrowRight') {
      if (node.kind === 'group' && !expanded) this.toggle(node, this.active);
      else if (node.kind === 'group') this.moveTo(Math.min(last, this.active + 1));
    } else if (event.key === 'ArrowLeft') {
      if (node.kind === 'group' && expanded) this.toggle(node, this.active);
      else this.moveTo(this.parentOf(this.active));
    } else if (event.key === 'Enter' || event.key === ' ') {
      if (node.kind === 'group') this.toggle(node, this.active);
      else this.choose(node);
    } else return;
    event.preventDefault();
  }

  /** What the arrows arrive at is shown at once. */
  private moveTo(index: number): void {
    this.activate(index);
    const { node } = this.rows[index];
    if (node.kind === 'tensor') this.choose(node);
  }

  private parentOf(index: number): number {
    const { level } = this.rows[index];
    for (let above = index - 1; above >= 0; above--) if (this.rows[above].level < level) return above;
    return index;
  }

  private choose(node: Leaf<ShownTensor>): void {
    this.selected = node.name;
    this.list.draw();
    this.options.onSelect(node.item);
  }

  private toggle({ path }: Group<ShownTensor>, index: number): void {
    if (this.shows) return; // everything that a filter finds is open
    this.opened.set(path, !this.rows[index].expanded);
    this.keepOpened();
    this.refresh();
  }

  private keepOpened(): void {
    this.options.onOpened(Object.fromEntries(this.opened));
  }

  private activate(index: number): void {
    this.active = index;
    this.list.reveal(index);
    this.list.draw();
    this.tellActive();
  }

  private tellActive(): void {
    if (this.rows.length > 0) this.element.setAttribute('aria-activedescendant', `row-${this.active}`);
    else this.element.removeAttribute('aria-activedescendant');
  }
}

function keyOf({ node }: Row<ShownTensor>): string {
  return node.kind === 'group' ? `group ${node.path}` : node.name;
}

function cell(name: string, text: string, more?: string): HTMLElement {
  return element('div', {
    class: more === undefined ? `cell ${name}` : `cell ${name} ${more}`,
    text,
    attributes: { role: 'gridcell' },
  });
}

function nameCell(
  label: string,
  title: string,
  level: number,
  state: 'open' | 'closed' | 'leaf',
): HTMLElement {
  const made = element(
    'div',
    { class: `cell name ${state}`, title, attributes: { role: 'gridcell' } },
    element('span', { class: 'twistie', attributes: { 'aria-hidden': 'true' } }),
    element('span', { class: 'label', text: label }),
  );
  made.style.paddingLeft = `${4 + (level - 1) * 14}px`;
  return made;
}

/** What somebody should look at, a word each. */
export function badges({ nan, inf, dead }: ReturnType<typeof findingsOf>): HTMLElement[] {
  const made: HTMLElement[] = [];
  if (nan > 0)
    made.push(
      element('span', {
        class: 'badge error',
        text: 'NaN',
        title: countText(nan, 'value is not a number', 'values are not a number'),
      }),
    );
  if (inf > 0)
    made.push(
      element('span', {
        class: 'badge error',
        text: 'Inf',
        title: countText(inf, 'value is infinite', 'values are infinite'),
      }),
    );
  if (dead > 0)
    made.push(
      element('span', {
        class: 'badge warning',
        text: `${wholeText(dead)} dead`,
        title: countText(dead, 'dead filter'),
      }),
    );
  return made;
}

export { hasFindings };
