import { element } from './elements';
import { shortNumber } from './numbers';

/** What a bar stands for: its colours from 0 to `max`, and from where on they are drawn. */
export interface BarOfColours {
  readonly max: number;
  readonly threshold: number;
  readonly table: Uint8Array;
  readonly label: string;
}

const STEPS = 256;

/** A grey like grey matter's behind the colours: low heat is transparent, and this is what it looks like. */
const BEHIND = 96;

/** The colours as they lie over grey matter, with the range in numbers at both ends; what is not drawn is hatched. */
export function colourBar({ max, threshold, table, label }: BarOfColours): HTMLElement {
  const canvas = element('canvas', {
    attributes: {
      width: String(STEPS),
      height: '1',
      role: 'img',
      'aria-label': `${label}: from 0 to ${shortNumber(max)}, drawn above ${shortNumber(threshold)}`,
    },
  });
  const context = canvas.getContext('2d');
  const pixels = context?.createImageData(STEPS, 1);
  if (context && pixels) {
    for (let step = 0; step < STEPS; step++) {
      const drawn = (step / (STEPS - 1)) * max > threshold;
      const cover = drawn ? table[4 * step + 3] / 255 : 0;
      for (let channel = 0; channel < 3; channel++)
        pixels.data[4 * step + channel] = BEHIND * (1 - cover) + table[4 * step + channel] * cover;
      pixels.data[4 * step + 3] = drawn ? 255 : 90;
    }
    context.putImageData(pixels, 0, 0);
  }
  return element(
    'figure',
    { class: 'bar' },
    canvas,
    element(
      'figcaption',
      {},
      element('span', { text: '0' }),
      element('span', { class: 'label', text: label }),
      element('span', { text: shortNumber(max) }),
    ),
  );
}
