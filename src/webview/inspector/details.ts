import { DEAD_RULE, type ChangeMessage, type Identity, type Listing } from '../../protocol/inspection';
import { button, checkbox, element, facts } from '../volume/elements';
import { FilterView, type FilterOptions, type FilterSource } from './filter-view';
import { histogramPlot } from './histogram';
import type { ShownTensor } from './model';
import { bytesText, countText, exactText, kindText, numberText, shareText, wholeText } from './text';

/** Dead filters that are named one by one. */
const MOST_NAMED = 40;

export interface DetailsOptions extends FilterOptions {
  readonly logarithmic: boolean;
  readonly onLogarithmic: (on: boolean) => void;
}

/** Everything about one tensor. */
export class TensorDetails {
  readonly element = element('div', { class: 'details-of-tensor' });
  private filterView?: FilterView;
  private logarithmic: boolean;
  private ownScale: boolean;
  private shownWith: unknown;

  constructor(
    readonly tensor: ShownTensor,
    private readonly restricted: boolean,
    private readonly source: FilterSource,
    private readonly options: DetailsOptions,
    private readonly changeOf: (name: string) => ChangeMessage | undefined,
  ) {
    this.logarithmic = options.logarithmic;
    this.ownScale = options.ownScale;
    this.draw();
  }

  /** Draws again where the tensor has its numbers only now. */
  refresh(): void {
    if (this.shownWith !== this.tensor.statistics) this.draw();
  }

  dispose(): void {
    this.filterView?.dispose();
  }

  private draw(): void {
    const { info, statistics } = this.tensor;
    this.shownWith = statistics;
    const values = info.shape.reduce((product, length) => product * length, 1);
    const rows: (readonly [string, string] | undefined)[] = [
      ['Values', wholeText(values)],
      ['Size', bytesText(info.bytes)],
    ];
    if (statistics) {
      const { mean, sd, min, max, zeros, nan, inf } = statistics;
      rows.push(
        ['Mean', exactText(mean)],
        ['Standard deviation', exactText(sd)],
        ['Smallest', exactText(min)],
        ['Largest', exactText(max)],
        ['Zeros', zeros === 0 ? 'none' : `${wholeText(zeros)} (${shareText(zeros / Math.max(1, values))})`],
        nan > 0 ? ['NaN', wholeText(nan)] : undefined,
        inf > 0 ? ['Infinite', wholeText(inf)] : undefined,
      );
    }
    this.element.replaceChildren(
      element('h2', { text: this.tensor.name, title: this.tensor.name }),
      element('p', { class: 'note', text: `${kindText(info.shape)}, ${info.dtype}` }),
      facts(rows),
      ...this.notFinite(),
      ...this.change(),
      ...this.histogram(),
      ...this.dead(),
      ...this.filters(),
    );
    if (!statistics && !this.restricted)
      this.element.append(element('p', { class: 'note', text: 'Its values are not read yet…' }));
  }

  private notFinite(): HTMLElement[] {
    const { nan = 0, inf = 0 } = this.tensor.statistics ?? {};
    if (nan + inf === 0) return [];
    return [
      element('p', {
        class: 'remark error',
        text: `${countText(nan + inf, 'value is', 'values are')} not finite: a network with it computes nothing useful. The other numbers leave ${nan + inf === 1 ? 'it' : 'them'} out.`,
      }),
    ];
  }

  private change(): HTMLElement[] {
    const change = this.changeOf(this.tensor.name);
    if (!change) return [];
    const moved =
      change.changed === 0
        ? 'It is the same in the other file.'
        : `${change.relative === null ? 'Here it is 0, in the other file it is not' : `The other file’s differs by ${shareText(change.relative)} of its norm`}${change.cosine === null ? '' : `; cosine ${numberText(change.cosine)}`}.`;
    return [element('p', { class: 'note', text: moved })];
  }

  private histogram(): HTMLElement[] {
    const histogram = this.tensor.statistics?.histogram;
    if (!histogram || histogram.counts.length < 2) return [];
    const place = element('div', {}, histogramPlot(histogram, this.logarithmic));
    return [
      element(
        'section',
        { class: 'histogram' },
        element(
          'h3',
          { text: 'Histogram' },
          checkbox(
            'Log',
            'Heights by the logarithm of counts, so that rare values are seen',
            this.logarithmic,
            (on) => {
              this.logarithmic = on;
              this.options.onLogarithmic(on);
              place.replaceChildren(histogramPlot(histogram, on));
            },
          ),
        ),
        place,
      ),
    ];
  }

  private dead(): HTMLElement[] {
    const filters = this.tensor.statistics?.filters;
    if (!filters || filters.deadCount === 0) return [];
    const { dead, deadCount, filters: total } = filters;
    const named = dead.slice(0, MOST_NAMED).map((output) =>
      element('button', {
        class: 'link',
        text: String(output),
        title: `Show filter ${output}`,
        attributes: { type: 'button' },
        on: { click: () => this.filterView?.show(output) },
      }),
    );
    const more = deadCount - named.length;
    return [
      element(
        'section',
        {},
        element('h3', { text: 'Dead filters' }),
        element('p', {
          class: 'remark',
          text: `${wholeText(deadCount)} of ${countText(total, 'filter')}: ${DEAD_RULE}.`,
        }),
        element(
          'p',
          { class: 'numbers' },
          ...named,
          more > 0 ? element('span', { text: `and ${wholeText(more)} more` }) : undefined,
        ),
      ),
    ];
  }

  private filters(): HTMLElement[] {
    if (this.restricted || !FilterView.shows(this.tensor.info)) return [];
    this.filterView?.dispose();
    this.filterView = new FilterView(this.tensor.info, this.tensor.statistics, this.source, {
      ownScale: this.ownScale,
      onOwnScale: (own) => {
        this.ownScale = own;
        this.options.onOwnScale(own);
      },
    });
    return [this.filterView.element];
  }
}

/** What the file says of itself: shown while no tensor is chosen. */
export function fileCard(
  listing: Listing,
  identity: Identity | null,
  restricted: boolean,
  actions: { readonly identify: () => Promise<Identity> },
): HTMLElement {
  const { network, reason } = listing;
  const card = element('div', { class: 'file-card' }, element('h2', { text: 'This file' }));
  if (network)
    card.append(
      facts([
        ['Network', `${network.depth}, shortcut ${network.shortcut}`],
        ['Width', network.width === 1 ? 'full' : `1/${1 / network.width}`],
        ['Input channels', String(network.inChannels)],
        ['Classes', network.classes === null ? 'no classifier in it' : String(network.classes)],
        ['Geometry', geometryText(network)],
        ['Depth axis', network.axes === 'ijk' ? 'i, left to right' : 'k, bottom to top'],
        network.segmentationHead ? ['Segmentation head', 'conv_seg, not used'] : undefined,
      ]),
    );
  if (network?.geometryFrom === 'assumed' || network?.geometryFrom === 'name')
    card.append(
      element('p', {
        class: 'note',
        text: `Strides and dilations leave no trace in tensors: ${network.geometries.join(', ')} all fit. ${network.geometryFrom === 'name' ? 'This one goes by the file’s name.' : 'This one is assumed.'}`,
      }),
    );
  if (reason !== null) card.append(element('p', { class: 'note', text: reason }));
  if (listing.facts.length > 0)
    card.append(
      element('h3', { text: 'What it says of itself' }),
      element(
        'dl',
        { class: 'wide' },
        ...listing.facts.flatMap(({ name, value }) => [
          element('dt', { text: name }),
          element('dd', { text: value, title: value }),
        ]),
      ),
    );
  for (const warning of listing.warnings)
    card.append(
      element('p', { class: warning.startsWith('The tensors are those') ? 'note' : 'remark', text: warning }),
    );
  if (!restricted) card.append(identityPart(identity, actions.identify));
  card.append(element('p', { class: 'note hint', text: 'Choose a tensor for its histogram and filters.' }));
  return card;
}

function geometryText({ geometry, geometryFrom }: NonNullable<Listing['network']>): string {
  return geometryFrom === 'assumed'
    ? `${geometry} (assumed)`
    : geometryFrom === 'name'
      ? `${geometry} (by its name)`
      : geometry;
}

function identityPart(identity: Identity | null, identify: () => Promise<Identity>): HTMLElement {
  const part = element('section', {}, element('h3', { text: 'Whose weights' }));
  const say = ({ sentence, sha256, match }: Identity) => {
    part.replaceChildren(
      element('h3', { text: 'Whose weights' }),
      element('p', { class: match ? 'known' : '', text: sentence }),
      element('p', { class: 'hash', text: `sha256 ${sha256}` }),
    );
  };
  if (identity) say(identity);
  else {
    const check = button(
      'Check sha256',
      'Hash the whole file and look it up among the published weights',
      () => {
        check.disabled = true;
        check.textContent = 'Hashing…';
        identify().then(say, (error: unknown) => {
          check.disabled = false;
          check.textContent = 'Check sha256';
          part.append(
            element('p', { class: 'remark', text: error instanceof Error ? error.message : String(error) }),
          );
        });
      },
    );
    part.append(element('p', {}, check));
  }
  return part;
}
