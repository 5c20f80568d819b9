import type { FiltersMessage, TensorInfoMessage, TensorStatisticsMessage } from '../../protocol/inspection';
import { button, checkbox, element } from '../volume/elements';
import { divergingColour, NOT_FINITE, type MapName } from './diverging';
import { numberText } from './text';

/** Output filters shown at once. */
const OUTPUTS = 32;
/** Rows and columns of the matrix of filters that have one cell. */
const MATRIX = 64;

export interface FilterSource {
  filters(name: string, outputs: Range, inputs: Range): Promise<FiltersMessage>;
}
interface Range {
  readonly from: number;
  readonly count: number;
}

export interface FilterOptions {
  readonly ownScale: boolean;
  readonly onOwnScale: (own: boolean) => void;
}

/**
 * The filters of a convolution: for one input channel a middle slice of each output filter, below it all slices of the
 * chosen one. Filters of one cell (1x1x1, linear) are a matrix of outputs by inputs.
 */
export class FilterView {
  readonly element = element('section', { class: 'filters' });
  private readonly outputs: number;
  private readonly inputs: number;
  private readonly single: boolean;
  private page = 0;
  private input = 0;
  private chosen = 0;
  private ownScale: boolean;
  private block?: FiltersMessage;
  private asked = 0;
  private disposed = false;

  constructor(
    private readonly tensor: TensorInfoMessage,
    private readonly statistics: TensorStatisticsMessage | undefined,
    private readonly source: FilterSource,
    private readonly options: FilterOptions,
  ) {
    const [outputs, inputs, ...kernel] = tensor.shape;
    this.outputs = outputs;
    this.inputs = inputs;
    this.single = kernel.every((length) => length === 1);
    this.ownScale = options.ownScale;
    this.element.append(
      element('h3', { text: 'Filters' }),
      element('p', { class: 'note', text: 'Reading…' }),
    );
    void this.load();
  }

  /** Whether a tensor has filters that can be shown. */
  static shows({ shape, dtype }: TensorInfoMessage): boolean {
    return shape.length >= 2 && shape.length <= 5 && !shape.includes(0) && /^B?F\d/.test(dtype);
  }

  /** Goes to an output filter. */
  show(output: number): void {
    const step = this.single ? MATRIX : OUTPUTS;
    this.chosen = output;
    this.page = Math.floor(output / step);
    void this.load();
  }

  dispose(): void {
    this.disposed = true;
  }

  private async load(): Promise<void> {
    const asked = ++this.asked;
    try {
      const block = await this.source.filters(
        this.tensor.name,
        { from: this.page * this.step, count: this.step },
        this.single ? { from: this.input * MATRIX, count: MATRIX } : { from: this.input, count: 1 },
      );
      if (this.disposed || asked !== this.asked) return;
      this.block = block;
      this.draw();
    } catch (error) {
      if (this.disposed || asked !== this.asked) return;
      this.element.replaceChildren(
        element('h3', { text: 'Filters' }),
        element('p', { class: 'remark', text: error instanceof Error ? error.message : String(error) }),
      );
    }
  }

  private get step(): number {
    return this.single ? MATRIX : OUTPUTS;
  }

  private draw(): void {
    const { block } = this;
    if (!block) return;
    const focused = this.element.contains(document.activeElement)
      ? (document.activeElement as HTMLElement).dataset.keep
      : undefined;
    this.element.replaceChildren(
      element('h3', { text: 'Filters' }),
      this.controls(block),
      ...(this.single ? [this.matrix(block)] : [this.gallery(block), this.slices(block)]),
      this.bar(block),
    );
    if (focused !== undefined) this.element.querySelector<HTMLElement>(`[data-keep="${focused}"]`)?.focus();
  }

  private controls(block: FiltersMessage): HTMLElement {
    const { outputs, inputs } = block;
    const row = element('div', { class: 'controls' });
    if (this.outputs > this.step || this.single)
      row.append(
        ...this.pager('Output', 'outputs', outputs, this.outputs, this.page, (page) => {
          this.page = page;
          this.chosen = page * this.step;
          void this.load();
        }),
      );
    if (this.single)
      row.append(
        ...this.pager('Input', 'inputs', inputs, this.inputs, this.input, (page) => {
          this.input = page;
          void this.load();
        }),
      );
    else if (this.inputs > 1) {
      const field = element('input', {
        attributes: {
          type: 'number',
          min: '0',
          max: String(this.inputs - 1),
          step: '1',
          'aria-label': 'Input channel',
          'data-keep': 'input',
        },
      });
      field.value = String(this.input);
      field.addEventListener('change', () => {
        this.input = Math.max(0, Math.min(this.inputs - 1, Math.trunc(field.valueAsNumber) || 0));
        void this.load();
      });
      row.append(
        element(
          'label',
          {},
          element('span', { text: 'Input channel' }),
          field,
          element('span', { class: 'note', text: `of 0–${this.inputs - 1}` }),
        ),
      );
    }
    if (!this.single)
      row.append(
        checkbox(
          'Own scale',
          'Each filter by its own largest weight, instead of all by the layer’s',
          this.ownScale,
          (own) => {
            this.ownScale = own;
            this.options.onOwnScale(own);
            this.draw();
          },
        ),
      );
    return row;
  }

  private pager(
    name: string,
    key: string,
    { from, count }: Range,
    total: number,
    page: number,
    go: (page: number) => void,
  ): HTMLElement[] {
    const pages = Math.ceil(total / this.step);
    const turn = (by: number, text: string, title: string) => {
      const made = button(text, title, () => go(page + by));
      made.disabled = page + by < 0 || page + by >= pages;
      made.dataset.keep = `${key}${by}`;
      made.setAttribute('aria-label', title);
      return made;
    };
    const range = `${name} ${from}–${from + count - 1} of ${total}`;
    if (pages <= 1) return [element('span', { text: range })];
    return [
      element(
        'span',
        { class: 'pager' },
        turn(-1, '‹', `Previous ${key}`),
        element('span', { text: range }),
        turn(1, '›', `Next ${key}`),
      ),
    ];
  }

  /** The largest |weight| that the colours reach to, of the layer or of one filter. */
  private reach(values?: readonly (number | null)[]): number {
    if (values && this.ownScale)
      return Math.max(Number.MIN_VALUE, ...values.map((one) => Math.abs(one ?? 0)));
    const { min, max } = this.statistics ?? {};
    if (typeof min === 'number' && typeof max === 'number')
      return Math.max(Number.MIN_VALUE, Math.abs(min), Math.abs(max));
    return Math.max(Number.MIN_VALUE, ...(this.block?.values ?? []).map((one) => Math.abs(one ?? 0)));
  }

  private filterValues({ kernel, values }: FiltersMessage, index: number): readonly (number | null)[] {
    const cells = kernel[0] * kernel[1] * kernel[2];
    return values.slice(index * cells, (index + 1) * cells);
  }

  private gallery(block: FiltersMessage): HTMLElement {
    const { kernel, outputs } = block;
    const [depth, height, width] = kernel;
    const middle = Math.floor(depth / 2);
    const grid = element('div', {
      class: 'gallery',
      attributes: { role: 'group', 'aria-label': 'Output filters, middle slice' },
    });
    const dead = new Set(this.statistics?.filters?.dead ?? []);
    for (let index = 0; index < outputs.count; index++) {
      const output = outputs.from + index;
      const values = this.filterValues(block, index);
      const picture = paint(
        width,
        height,
        values.slice(middle * width * height, (middle + 1) * width * height),
        this.reach(values),
      );
      const tile = element(
        'button',
        {
          class: 'tile',
          title: `Filter ${output}${dead.has(output) ? ' (dead)' : ''}`,
          attributes: {
            type: 'button',
            'aria-pressed': String(output === this.chosen),
            'aria-label': `Filter ${output}${dead.has(output) ? ', dead' : ''}`,
            'data-keep': `f${output}`,
          },
          on: {
            click: () => {
              this.chosen = output;
              this.draw();
            },
          },
        },
        picture,
      );
      tile.classList.toggle('dead', dead.has(output));
      grid.append(tile);
    }
    return grid;
  }

  private slices(block: FiltersMessage): HTMLElement {
    const { kernel, outputs } = block;
    const [depth, height, width] = kernel;
    const index = Math.min(Math.max(0, this.chosen - outputs.from), outputs.count - 1);
    const values = this.filterValues(block, index);
    const reach = this.reach(values);
    const row = element('div', { class: 'slices' });
    for (let d = 0; d < depth; d++)
      row.append(
        element(
          'figure',
          {},
          paint(width, height, values.slice(d * width * height, (d + 1) * width * height), reach),
          element('figcaption', { text: depth > 1 ? `D ${d}` : '' }),
        ),
      );
    const finite = values.filter((one): one is number => one !== null);
    const range =
      finite.length === 0
        ? 'no finite weight'
        : `${numberText(Math.min(...finite))} to ${numberText(Math.max(...finite))}`;
    return element(
      'div',
      {},
      element('p', {
        class: 'caption',
        text: `Filter ${outputs.from + index}, input ${this.input}: ${kernel.join('×')} (D×H×W), ${range}`,
      }),
      row,
    );
  }

  private matrix(block: FiltersMessage): HTMLElement {
    const picture = paint(block.inputs.count, block.outputs.count, block.values, this.reach());
    picture.classList.add('matrix');
    return element(
      'figure',
      { class: 'whole' },
      picture,
      element('figcaption', { text: 'a row for each output, a column for each input' }),
    );
  }

  private bar(block: FiltersMessage): HTMLElement {
    const shown = this.single
      ? undefined
      : this.filterValues(
          block,
          Math.min(Math.max(0, this.chosen - block.outputs.from), block.outputs.count - 1),
        );
    const reach = this.reach(shown);
    const steps = 129;
    const ramp = Array.from({ length: steps }, (_, i) => (2 * i) / (steps - 1) - 1);
    const picture = paint(steps, 1, ramp, 1);
    return element(
      'figure',
      { class: 'bar' },
      picture,
      element(
        'figcaption',
        {},
        element('span', { text: numberText(-reach) }),
        element('span', { text: '0' }),
        element('span', { text: numberText(reach) }),
      ),
    );
  }
}

/** Values as cells of colour, W to the right and H down; a pixel each, enlarged by the style sheet. */
function paint(
  width: number,
  height: number,
  values: readonly (number | null)[],
  reach: number,
): HTMLCanvasElement {
  const canvas = element('canvas', { attributes: { width: String(width), height: String(height) } });
  const context = canvas.getContext('2d');
  if (!context) return canvas;
  const map = mapOfTheme();
  const pixels = context.createImageData(width, height);
  values.forEach((value, at) => {
    const [red, green, blue] = value === null ? NOT_FINITE : divergingColour(value / reach, map);
    pixels.data.set([red, green, blue, 255], at * 4);
  });
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** The map that fits the theme of the window. */
function mapOfTheme(): MapName {
  const { classList } = document.body;
  const light = classList.contains('vscode-light') || classList.contains('vscode-high-contrast-light');
  return light ? 'light' : 'dark';
}
