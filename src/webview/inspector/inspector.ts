import type { Identity, Listing } from '../../protocol/inspection';
import type { HOST } from '../../protocol/inspector';
import {
  TABS,
  type Comparison,
  type InspectorSnapshot,
  type Opening,
  type PAGE,
  type PassState,
  type Tab,
} from '../../protocol/inspector';
import type { ParamsOf, RpcEndpoint } from '../../protocol/rpc';
import { button, checkbox, element } from '../volume/elements';
import { ComparisonTab } from './comparison-tab';
import { fileCard, TensorDetails } from './details';
import { findingsOf, hasFindings, type ShownTensor } from './model';
import { NetworkTab, type GeometryName } from './network-tab';
import type { InspectorState } from './state';
import { TensorTree } from './tensor-tree';
import { amountText, bytesText, countText, wholeText } from './text';

type Host = RpcEndpoint<typeof PAGE, typeof HOST>;
export type OpenedCheckpoint = Extract<Opening, { kind: 'checkpoint' }>;

/** Reading a block of a large tensor from a slow disk, hashing a large file. */
const LONG_MS = 1_800_000;

/** Of layer tables, where a file does not say what its network was trained on. */
const USUAL_GRID = '96';

const TAB_TITLES: Readonly<Record<Tab, string>> = {
  tensors: 'Tensors',
  network: 'Network',
  comparison: 'Comparison',
};

/** The page of one checkpoint. */
export class Inspector {
  private readonly tensors: ShownTensor[];
  private readonly byName: Map<string, ShownTensor>;
  private readonly tree: TensorTree;
  private readonly network: NetworkTab | undefined;
  private readonly comparison: ComparisonTab;
  private readonly panels: Readonly<Record<Tab, HTMLElement>>;
  private readonly tabs = new Map<Tab, HTMLButtonElement>();
  private readonly details = element('aside', { class: 'details', attributes: { 'aria-label': 'Details' } });
  private readonly findings = element('p', { class: 'found' });
  private readonly progress = element('div', {
    class: 'progress',
    attributes: { role: 'progressbar', 'aria-label': 'Reading values' },
  });
  private readonly trouble = element('p', { class: 'remark' });
  private readonly matches = element('span', {
    class: 'note matches',
    attributes: { 'aria-live': 'polite' },
  });
  private readonly filterField: HTMLInputElement;
  private shownDetails: TensorDetails | undefined;
  private identity: Identity | null;

  constructor(
    private readonly root: HTMLElement,
    private readonly opening: OpenedCheckpoint,
    private readonly host: Host,
    private state: InspectorState,
    private readonly keep: (state: InspectorState) => void,
  ) {
    const { listing } = opening;
    this.identity = opening.identity;
    const statistics = new Map(opening.statistics.map((row) => [row.name, row]));
    this.tensors = listing.tensors.map((info) => ({
      name: info.name,
      info,
      statistics: statistics.get(info.name),
    }));
    this.byName = new Map(this.tensors.map((tensor) => [tensor.name, tensor]));
    this.tree = new TensorTree(this.tensors, {
      opened: state.opened,
      onOpened: (opened) => this.change({ opened }),
      onSelect: (tensor) => this.showTensor(tensor),
    });
    this.network = listing.network
      ? new NetworkTab(listing.network, {
          grid: state.grid ?? listing.grid ?? USUAL_GRID,
          geometry: geometryIn(listing, state.geometry),
          layers: (grid, geometry) => this.host.call('layers', { grid, geometry }),
          onChange: (grid, geometry) => this.change({ grid, geometry }),
        })
      : undefined;
    this.comparison = new ComparisonTab(opening.comparison, {
      name: opening.name,
      compare: () => this.ask('compare'),
      end: () => this.ask('endComparison'),
      onSelect: (tensor) => this.showTensor(this.byName.get(tensor)),
    });
    this.tree.element.classList.toggle('restricted', opening.restricted !== null);
    this.filterField = this.filterInput();
    this.panels = {
      tensors: element('div', { class: 'panel tensors' }, this.toolbar(), this.tree.element),
      network: element('div', { class: 'panel' }, this.network?.element ?? this.noNetwork()),
      comparison: element('div', { class: 'panel' }, this.comparison.element),
    };
    root.replaceChildren(
      this.header(),
      element(
        'div',
        { class: 'body' },
        element('div', { class: 'panels' }, ...TABS.map((tab) => this.panel(tab))),
        this.details,
      ),
    );
    this.applyFilter();
    this.showPass(opening.pass);
    if (opening.tab !== null) this.change({ tab: opening.tab });
    this.showTab(this.state.tab, false);
    if (state.selected === null || !this.tree.select(state.selected)) this.showFile();
  }

  addStatistics(rows: ParamsOf<typeof PAGE, 'statistics'>['rows'], pass: PassState): void {
    for (const row of rows) {
      const tensor = this.byName.get(row.name);
      if (tensor) tensor.statistics = row;
    }
    this.tree.redraw();
    this.shownDetails?.refresh();
    this.showPass(pass);
    if (this.state.onlyFindings) this.countMatches();
  }

  setComparison(comparison: Comparison | null): void {
    this.comparison.set(comparison);
    if (comparison) this.showTab('comparison');
    this.titleTabs();
  }

  addChanges(...[rows, pass]: Parameters<ComparisonTab['add']>): void {
    this.comparison.add(rows, pass);
  }

  go({ tab, tensor, filter, grid }: ParamsOf<typeof PAGE, 'go'>): void {
    if (filter !== undefined) {
      this.filterField.value = filter;
      this.change({ filter });
      this.applyFilter();
    }
    if (tab !== undefined) this.showTab(tab);
    if (grid !== undefined) this.network?.setGrid(grid);
    if (tensor !== undefined && !this.tree.select(tensor))
      throw new Error(`There is no tensor ${tensor} in this file.`);
  }

  snapshot(): InspectorSnapshot {
    const canvases = [...this.details.querySelectorAll('canvas')];
    return {
      tab: this.state.tab,
      rows: this.tree.drawn,
      rowCount: this.tree.rowCount,
      selected: this.state.selected,
      text: this.root.innerText,
      filters: canvases.map((canvas) => ({
        width: canvas.width,
        height: canvas.height,
        colours: coloursIn(canvas),
      })),
    };
  }

  focusFilter(): void {
    this.showTab('tensors');
    this.filterField.select();
    this.filterField.focus();
  }

  /** Draws again what is painted in colours of the theme. */
  changeTheme(): void {
    if (this.shownDetails) this.showTensor(this.shownDetails.tensor);
  }

  dispose(): void {
    this.tree.dispose();
    this.comparison.dispose();
    this.shownDetails?.dispose();
  }

  private header(): HTMLElement {
    const { name, listing, restricted } = this.opening;
    const actions = element('div', { class: 'actions' });
    if (restricted === null)
      actions.append(
        button('Compare with…', 'How far each tensor moved from this file to another', () =>
          this.ask('compare'),
        ),
        button('Import…', 'Make a checkpoint of FCD Lens of these weights', () => this.ask('importWeights')),
      );
    else
      actions.append(button('Manage Workspace Trust', 'Trust this workspace', () => this.ask('manageTrust')));
    const tablist = element('div', { class: 'tabs', attributes: { role: 'tablist' } });
    for (const tab of TABS) {
      const made = element('button', {
        class: 'tab',
        attributes: { type: 'button', role: 'tab', id: `tab-${tab}`, 'aria-controls': `panel-${tab}` },
        on: { click: () => this.showTab(tab) },
      });
      this.tabs.set(tab, made);
      tablist.append(made);
    }
    tablist.addEventListener('keydown', (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (by === undefined) return;
      const next = TABS[(TABS.indexOf(this.state.tab) + by + TABS.length) % TABS.length];
      this.showTab(next);
      this.tabs.get(next)?.focus();
      event.preventDefault();
    });
    this.titleTabs();
    return element(
      'header',
      {},
      element(
        'div',
        { class: 'top' },
        element(
          'div',
          { class: 'titles' },
          element('h1', { text: name, title: listing.path }),
          element('p', { class: 'summary', text: summaryOf(listing) }),
          this.findings,
          ...said(listing),
          restricted === null ? undefined : element('p', { class: 'remark', text: restricted }),
          this.trouble,
        ),
        actions,
      ),
      tablist,
      this.progress,
    );
  }

  private panel(tab: Tab): HTMLElement {
    const panel = this.panels[tab];
    panel.id = `panel-${tab}`;
    panel.setAttribute('role', 'tabpanel');
    panel.setAttribute('aria-labelledby', `tab-${tab}`);
    return panel;
  }

  private toolbar(): HTMLElement {
    return element(
      'div',
      { class: 'toolbar' },
      this.filterField,
      checkbox(
        'Only findings',
        'Only tensors with NaN, infinities or dead filters',
        this.state.onlyFindings,
        (onlyFindings) => {
          this.change({ onlyFindings });
          this.applyFilter();
        },
      ),
      this.matches,
      element(
        'span',
        { class: 'folding' },
        button('Expand all', 'Open all modules', () => this.tree.openAll(true)),
        button('Collapse all', 'Close all modules', () => this.tree.openAll(false)),
      ),
    );
  }

  private filterInput(): HTMLInputElement {
    const field = element('input', {
      class: 'filter',
      attributes: {
        type: 'search',
        placeholder: 'Filter by name, shape or type',
        'aria-label': 'Filter tensors by name, shape or type',
        spellcheck: 'false',
      },
    });
    field.value = this.state.filter;
    field.addEventListener('input', () => {
      this.change({ filter: field.value });
      this.applyFilter();
    });
    field.addEventListener('keydown', (event) => {
      if (event.key === 'ArrowDown') {
        this.tree.focus();
        event.preventDefault();
      } else if (event.key === 'Escape' && field.value !== '') {
        field.value = '';
        this.change({ filter: '' });
        this.applyFilter();
        event.preventDefault();
      }
    });
    return field;
  }

  private applyFilter(): void {
    this.tree.filter(this.filterTest());
    this.countMatches();
  }

  /** Every word must be found, in any order; undefined where all are shown. */
  private filterTest(): ((tensor: ShownTensor) => boolean) | undefined {
    const { filter, onlyFindings } = this.state;
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length === 0 && !onlyFindings) return undefined;
    return (tensor) => {
      if (onlyFindings && !hasFindings(tensor)) return false;
      const { name, info } = tensor;
      const text = `${name} ${info.shape.join('x')} ${info.shape.join('×')} ${info.dtype}`.toLowerCase();
      return words.every((word) => text.includes(word));
    };
  }

  private countMatches(): void {
    const test = this.filterTest();
    const count = test ? this.tensors.filter(test).length : undefined;
    this.matches.textContent =
      count === undefined
        ? ''
        : count === 0
          ? 'No tensor matches.'
          : `${wholeText(count)} of ${wholeText(this.tensors.length)}`;
  }

  private noNetwork(): HTMLElement {
    const { reason } = this.opening.listing;
    return element(
      'div',
      { class: 'sentence' },
      element('p', { text: reason ?? 'Which network this is, is told once the workspace is trusted.' }),
    );
  }

  private showTab(tab: Tab, keep = true): void {
    if (keep) this.change({ tab });
    for (const [name, made] of this.tabs) {
      made.setAttribute('aria-selected', String(name === tab));
      made.tabIndex = name === tab ? 0 : -1;
      this.panels[name].hidden = name !== tab;
    }
    // The layers are no tensors of the file: nothing to choose there, and they need the room.
    this.details.hidden = tab === 'network';
    if (tab === 'network') this.network?.show();
    if (tab === 'comparison') this.comparison.show();
  }

  private titleTabs(): void {
    for (const [name, made] of this.tabs)
      made.textContent =
        name === 'tensors' ? `${TAB_TITLES[name]} (${wholeText(this.tensors.length)})` : TAB_TITLES[name];
  }

  private showTensor(tensor: ShownTensor | undefined): void {
    if (!tensor) return;
    this.change({ selected: tensor.name });
    this.shownDetails?.dispose();
    this.shownDetails = new TensorDetails(
      tensor,
      this.opening.restricted !== null,
      { filters: (name, outputs, inputs) => this.host.call('filters', { name, outputs, inputs }, LONG_MS) },
      {
        logarithmic: this.state.logarithmic,
        onLogarithmic: (logarithmic) => this.change({ logarithmic }),
        ownScale: this.state.ownScale,
        onOwnScale: (ownScale) => this.change({ ownScale }),
      },
      (name) => this.comparison.changeOf(name),
    );
    const close = button('×', 'Back to the file', () => this.showFile());
    close.className = 'close';
    close.setAttribute('aria-label', 'Back to the file');
    this.details.replaceChildren(close, this.shownDetails.element);
  }

  private showFile(): void {
    this.change({ selected: null });
    this.shownDetails?.dispose();
    this.shownDetails = undefined;
    const { listing, restricted } = this.opening;
    this.details.replaceChildren(
      fileCard(listing, this.identity, restricted !== null, {
        identify: async () => {
          this.identity = await this.host.call('identify', {}, LONG_MS);
          return this.identity;
        },
      }),
    );
  }

  private showPass({ done, total, failed }: PassState): void {
    const share = total === 0 ? 1 : done / total;
    const reading = failed === null && share < 1 && this.opening.restricted === null;
    this.progress.hidden = !reading;
    this.progress.style.setProperty('--share', `${(100 * share).toFixed(1)}%`);
    this.progress.setAttribute('aria-valuenow', String(Math.floor(100 * share)));
    this.trouble.textContent = failed ?? '';
    this.trouble.hidden = failed === null;
    const incomplete = this.opening.restricted !== null || failed !== null;
    this.findings.textContent = reading
      ? `Reading values: ${Math.floor(100 * share)} %`
      : incomplete
        ? ''
        : findingsText(this.tensors);
    this.findings.classList.toggle('bad', !reading && this.tensors.some(hasFindings));
  }

  private ask(method: 'compare' | 'endComparison' | 'importWeights' | 'manageTrust'): void {
    this.host.call(method, {}, LONG_MS).catch((error: unknown) => {
      this.trouble.textContent = error instanceof Error ? error.message : String(error);
      this.trouble.hidden = false;
    });
  }

  private change(part: Partial<InspectorState>): void {
    this.state = { ...this.state, ...part };
    this.keep(this.state);
  }
}

/** `ResNet-18, shortcut A, geometry paper (assumed), 33.0 M parameters, 102 tensors, 126 MB, PyTorch`. */
function summaryOf({ network, learnable, tensors, fileBytes, format }: Listing): string {
  const geometry =
    network &&
    (network.geometryFrom === 'assumed'
      ? `geometry ${network.geometry} (assumed)`
      : `geometry ${network.geometry}`);
  return [
    ...(network
      ? [
          network.depth,
          network.width === 1 ? '' : `width 1/${1 / network.width}`,
          `shortcut ${network.shortcut}`,
          geometry ?? '',
        ]
      : []),
    learnable > 0 ? `${amountText(learnable)} parameters` : '',
    countText(tensors.length, 'tensor'),
    bytesText(fileBytes),
    format,
  ]
    .filter(Boolean)
    .join(' · ');
}

/** What the file says of how it came to be, in its first lines. */
function said({ facts }: Listing): HTMLElement[] {
  return facts
    .filter(({ name }) => name === 'Pre-trained on' || name === 'Imported from')
    .map(({ name, value }) => element('p', { class: 'note', text: `${name} ${value}` }));
}

function findingsText(tensors: readonly ShownTensor[]): string {
  const found = tensors.map(findingsOf);
  const bad = found.filter(({ nan, inf }) => nan + inf > 0).length;
  const dead = found.reduce((sum, one) => sum + one.dead, 0);
  const parts = [
    bad > 0 ? `${countText(bad, 'tensor')} with NaN or infinities` : '',
    dead > 0
      ? `${countText(dead, 'dead filter')} in ${countText(found.filter((one) => one.dead > 0).length, 'layer')}`
      : '',
  ].filter(Boolean);
  return parts.length > 0 ? parts.join(' · ') : 'All values are finite, no filter is dead.';
}

function geometryIn({ network }: Listing, kept: string | null): GeometryName | null {
  return network && kept !== null && network.geometries.includes(kept) ? (kept as GeometryName) : null;
}

/** How many colours a canvas holds: a blank one has one. */
function coloursIn(canvas: HTMLCanvasElement): number {
  const context = canvas.getContext('2d');
  if (!context || canvas.width * canvas.height === 0) return 0;
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const colours = new Set<number>();
  for (let at = 0; at < data.length; at += 4)
    colours.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
  return colours.size;
}
