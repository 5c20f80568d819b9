import { GEOMETRY_NAMES, type FoundNetwork, type LayersMessage } from '../../protocol/inspection';
import { element } from '../volume/elements';
import { amountText, wholeText } from './text';

export type GeometryName = (typeof GEOMETRY_NAMES)[number];

export interface NetworkOptions {
  readonly grid: string;
  readonly geometry: GeometryName | null;
  readonly layers: (grid: string, geometry: GeometryName | null) => Promise<LayersMessage>;
  readonly onChange: (grid: string, geometry: GeometryName | null) => void;
}

/** The layers of the network on a grid that can be chosen. */
export class NetworkTab {
  readonly element = element('div', { class: 'network' });
  private readonly result = element('div', { class: 'result', attributes: { 'aria-live': 'polite' } });
  private readonly grid: HTMLInputElement;
  private readonly geometry: HTMLSelectElement;
  private asked = 0;
  private loaded = false;

  constructor(
    network: FoundNetwork,
    private readonly options: NetworkOptions,
  ) {
    this.grid = element('input', {
      attributes: {
        type: 'text',
        'aria-label': 'Grid of the scan in voxels, i x j x k',
        spellcheck: 'false',
        size: '14',
      },
    });
    this.grid.value = options.grid;
    this.geometry = element('select', { attributes: { 'aria-label': 'Geometry' } });
    for (const name of network.geometries)
      this.geometry.append(element('option', { text: name, attributes: { value: name } }));
    this.geometry.value = options.geometry ?? network.geometry;
    this.grid.addEventListener('change', () => this.changed());
    this.geometry.addEventListener('change', () => this.changed());
    const certain = network.geometries.length === 1;
    this.element.append(
      element(
        'div',
        { class: 'controls' },
        element('label', {}, element('span', { text: 'Grid' }), this.grid),
        element('label', {}, element('span', { text: 'Geometry' }), this.geometry),
        element('span', {
          class: 'note',
          text: certain
            ? 'Voxels i×j×k: one side (96) or three (160x256x256).'
            : 'Voxels i×j×k: one side (96) or three (160x256x256). Strides and dilations leave no trace in tensors, so the geometry is yours to choose.',
        }),
      ),
      this.result,
    );
  }

  /** Asks for the layers when they are first looked at. */
  show(): void {
    if (this.loaded) return;
    this.loaded = true;
    void this.load();
  }

  setGrid(grid: string): void {
    this.grid.value = grid;
    this.loaded = true;
    this.changed();
  }

  private get chosen(): GeometryName | null {
    return GEOMETRY_NAMES.find((name) => name === this.geometry.value) ?? null;
  }

  private changed(): void {
    this.options.onChange(this.grid.value, this.chosen);
    void this.load();
  }

  private async load(): Promise<void> {
    const asked = ++this.asked;
    try {
      const table = await this.options.layers(this.grid.value, this.chosen);
      if (asked === this.asked) this.result.replaceChildren(...shown(table));
    } catch (error) {
      if (asked !== this.asked) return;
      this.result.replaceChildren(
        element('p', { class: 'remark', text: error instanceof Error ? error.message : String(error) }),
      );
    }
  }
}

function shown({ title, input, layers, parameters, flops }: LayersMessage): HTMLElement[] {
  const most = Math.max(1, ...layers.map((layer) => layer.flops));
  const head = element(
    'tr',
    {},
    ...(
      [
        ['Layer', ''],
        ['What it does', 'what'],
        ['Output', ''],
        ['Parameters', 'number'],
        ['FLOPs', 'number'],
      ] as const
    ).map(([text, name]) => element('th', { text, class: name, attributes: { scope: 'col' } })),
  );
  const rows = layers.map((layer) => {
    const bar = element('div', { class: 'share' });
    bar.style.width = `${(100 * layer.flops) / most}%`;
    const what = layer.what.replace(/(\d)x(?=\d)/g, '$1×');
    return element(
      'tr',
      { title: what },
      element('th', { text: layer.name, attributes: { scope: 'row' } }),
      element('td', { class: 'what', text: what }),
      element('td', { text: `${layer.channels}${layer.grid ? ` × ${layer.grid.join('×')}` : ''}` }),
      element('td', { class: 'number', text: layer.parameters === 0 ? '' : wholeText(layer.parameters) }),
      element(
        'td',
        { class: 'number cost' },
        element('span', { text: layer.flops === 0 ? '' : amountText(layer.flops) }),
        element('div', { class: 'track' }, bar),
      ),
    );
  });
  return [
    element('p', {
      class: 'total',
      text: `${wholeText(parameters)} parameters, ${amountText(flops)}FLOP a forward pass of ${input.channels} × ${input.grid.join('×')}`,
    }),
    element('p', {
      class: 'note',
      text: `${title}. Operations of the convolutions; a multiply-add counts as two. Outputs: channels × i×j×k.`,
    }),
    element('table', {}, element('thead', {}, head), element('tbody', {}, ...rows)),
  ];
}
