import { encode } from 'fast-png';
import { CAP_HEIGHT, textStrokes, textUnits, type Point } from './stroke-font';

/** Red, green, blue, 0 to 255. */
export type Rgb = readonly [number, number, number];

export interface TextStyle {
  readonly colour: Rgb;
  /** Height of a capital in pixels. */
  readonly height: number;
  readonly align?: 'left' | 'centre' | 'right';
  /** A dark rim keeps letters readable over an image. */
  readonly rim?: boolean;
}

/** An RGB picture in memory. Pixel (x, y) covers x to x + 1, y to y + 1, y down; its centre is at + 0.5. */
export class Picture {
  readonly data: Uint8Array;

  constructor(
    readonly width: number,
    readonly height: number,
    background: Rgb,
  ) {
    this.data = new Uint8Array(width * height * 3);
    for (let at = 0; at < this.data.length; at++) this.data[at] = background[at % 3];
  }

  /** Lays a colour over a pixel; `share` 0 (nothing) to 1 (all). Outside of the picture nothing happens. */
  blend(x: number, y: number, [r, g, b]: Rgb, share: number): void {
    if (x < 0 || y < 0 || x >= this.width || y >= this.height || share <= 0) return;
    const at = 3 * (y * this.width + x);
    const keep = 1 - share;
    this.data[at] = Math.round(keep * this.data[at] + share * r);
    this.data[at + 1] = Math.round(keep * this.data[at + 1] + share * g);
    this.data[at + 2] = Math.round(keep * this.data[at + 2] + share * b);
  }

  pixel(x: number, y: number): Rgb {
    const at = 3 * (y * this.width + x);
    return [this.data[at], this.data[at + 1], this.data[at + 2]];
  }

  fill(x: number, y: number, width: number, height: number, colour: Rgb): void {
    for (let row = y; row < y + height; row++)
      for (let column = x; column < x + width; column++) this.blend(column, row, colour, 1);
  }

  /** A line with round ends; every point of the polyline in pixels. */
  line(points: readonly Point[], thickness: number, colour: Rgb, share = 1): void {
    const reach = thickness / 2 + 1;
    const xs = points.map(([x]) => x);
    const ys = points.map(([, y]) => y);
    const right = Math.ceil(Math.max(...xs) + reach);
    const bottom = Math.ceil(Math.max(...ys) + reach);
    for (let y = Math.floor(Math.min(...ys) - reach); y < bottom; y++)
      for (let x = Math.floor(Math.min(...xs) - reach); x < right; x++)
        this.blend(x, y, colour, share * coverage(distanceToLine(x + 0.5, y + 0.5, points), thickness));
  }

  /** A line of text; (x, y) is the top of the capitals at the start, middle or end of the line. */
  text(text: string, x: number, y: number, { colour, height, align = 'left', rim = false }: TextStyle): void {
    const unit = height / CAP_HEIGHT;
    const shift = { left: 0, centre: 0.5, right: 1 }[align] * textWidth(text, height);
    const strokes = textStrokes(text).map((stroke) =>
      stroke.map(([px, py]): Point => [x - shift + px * unit, y + py * unit]),
    );
    const thickness = Math.max(1.2, height / 7.5);
    if (rim) for (const stroke of strokes) this.line(stroke, thickness + 3, [0, 0, 0], 0.45);
    for (const stroke of strokes) this.line(stroke, thickness, colour);
  }

  /** PNG bytes, the same for the same pixels. */
  png(): Uint8Array {
    return encode({ width: this.width, height: this.height, data: this.data, channels: 3, depth: 8 });
  }
}

/** Width in pixels of a line of text whose capitals are `height` pixels high. */
export function textWidth(text: string, height: number): number {
  return (textUnits(text) * height) / CAP_HEIGHT;
}

/** Share of a pixel that a line covers whose middle runs at `distance` pixels from the pixel's centre. */
export function coverage(distance: number, thickness: number): number {
  return Math.min(1, Math.max(0, thickness / 2 + 0.5 - distance));
}

function distanceToLine(x: number, y: number, points: readonly Point[]): number {
  let nearest = Infinity;
  for (let n = 0; n < Math.max(1, points.length - 1); n++) {
    const [ax, ay] = points[n];
    const [bx, by] = points[Math.min(n + 1, points.length - 1)];
    const length = (bx - ax) ** 2 + (by - ay) ** 2;
    const along =
      length === 0 ? 0 : Math.min(1, Math.max(0, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length));
    nearest = Math.min(nearest, Math.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay)));
  }
  return nearest;
}
