import { heatColour } from '../../../protocol/heat-colours';
import { Picture, textWidth, type Rgb } from './picture';

export interface ColourBar {
  /** What the colours mean: from nothing drawn to the hottest colour. */
  readonly range: readonly [number, number];
  /** Name and unit of the quantity. */
  readonly label: string;
}

const TEXT: Rgb = [225, 228, 232];
const BACKGROUND: Rgb = [0, 0, 0];

/** The grey behind the bar: heat is transparent where low, and this is what it looks like over grey matter. */
const BEHIND: Rgb = [96, 96, 96];

/** A picture of the colour bar alone, as PNG bytes. */
export function colourBar(bar: ColourBar, width = 420, height = 40): Uint8Array {
  const picture = new Picture(width, height, BACKGROUND);
  drawColourBar(picture, bar, 8, Math.round(height / 2 - 7), width - 16, 14);
  return picture.png();
}

/** Draws label, lower end, bar and upper end from left to right into a box. */
export function drawColourBar(
  picture: Picture,
  { range, label }: ColourBar,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  const capital = Math.round(height * 0.72);
  const top = y + (height - capital) / 2;
  const style = { colour: TEXT, height: capital };
  const [low, high] = range.map(shortNumber);
  const left = Math.ceil(x + textWidth(`${label}  ${low}`, capital) + capital);
  const right = Math.floor(x + width - textWidth(high, capital) - capital);
  picture.text(`${label}  ${low}`, left - capital, top, { ...style, align: 'right' });
  picture.text(high, right + capital, top, style);
  picture.fill(left, y, right - left, height, BEHIND);
  for (let column = left; column < right; column++) {
    const { colour, share } = heatColour((column + 0.5 - left) / (right - left));
    for (let row = y; row < y + height; row++) picture.blend(column, row, colour, share);
  }
}

/** Three significant digits, without an exponent where that is readable. */
export function shortNumber(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(1).replace('e+', 'E').replace('e', 'E');
  return String(Number(value.toPrecision(3)));
}
