import { apply, type Matrix, type Point } from './affine';
import type { Colouring } from './drawable';
import type { Plane } from './mask-field';

/** Values on a grid, the first index fastest. */
export interface Field {
  readonly values: Float32Array;
  readonly shape: readonly number[];
  readonly mmToVoxel: Matrix;
}

export interface PaintedOverlay extends Field {
  readonly colouring: Colouring;
  readonly opacity: number;
}

/** Device pixels, whole ones, from the drawing's upper left corner. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/**
 * Paints a slice: grey by the window, trilinear between voxel middles; over it the overlays' colours. What is not a
 * number is black.
 *
 * @returns RGBA, row by row.
 */
export function paintSlice(
  plane: Plane,
  { left, top, width, height }: Rectangle,
  scan: Field,
  [low, high]: readonly [number, number],
  overlays: readonly PaintedOverlay[],
): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(4 * width * height);
  const grey = walk(scan, plane, left, top);
  const scale = high > low ? 255 / (high - low) : 0;
  for (let y = 0, to = 0; y < height; y++)
    for (let x = 0; x < width; x++, to += 4) {
      const value = (grey(x, y) - low) * scale;
      pixels[to] = pixels[to + 1] = pixels[to + 2] = value; // clamped, and 0 where it is not a number
      pixels[to + 3] = 255;
    }
  for (const overlay of overlays) {
    if (overlay.opacity <= 0) continue;
    const { threshold, max, table } = overlay.colouring;
    const at = walk(overlay, plane, left, top, 0);
    const step = max > 0 ? 255 / max : 0;
    for (let y = 0, to = 0; y < height; y++)
      for (let x = 0; x < width; x++, to += 4) {
        const value = at(x, y);
        if (!(value > threshold && value > 0)) continue;
        const colour = 4 * Math.min(255, Math.round(value * step));
        const share = (overlay.opacity * table[colour + 3]) / 255;
        for (let channel = 0; channel < 3; channel++)
          pixels[to + channel] += share * (table[colour + channel] - pixels[to + channel]);
      }
  }
  return pixels;
}

/**
 * The values at the middles of a plane's pixels. Beyond the grid's outermost voxel middles: the outermost value, or what
 * is given for `outside` beyond the grid's edge.
 */
function walk(
  { values, shape, mmToVoxel }: Field,
  { origin, right, down }: Plane,
  left: number,
  top: number,
  outside?: number,
): (x: number, y: number) => number {
  const [ni, nj, nk] = shape;
  const turn = (step: Point): Point => {
    const [at, zero] = [apply(mmToVoxel, step), apply(mmToVoxel, [0, 0, 0])];
    return [at[0] - zero[0], at[1] - zero[1], at[2] - zero[2]];
  };
  const first = apply(mmToVoxel, origin);
  const [dx, dy] = [turn(right), turn(down)];
  const [x0, y0] = [left + 0.5, top + 0.5];
  const plane = ni * nj;
  return (x, y) => {
    const px = x + x0;
    const py = y + y0;
    const i = first[0] + px * dx[0] + py * dy[0];
    const j = first[1] + px * dx[1] + py * dy[1];
    const k = first[2] + px * dx[2] + py * dy[2];
    if (
      outside !== undefined &&
      (i < -0.5 || j < -0.5 || k < -0.5 || i > ni - 0.5 || j > nj - 0.5 || k > nk - 0.5)
    )
      return outside;
    const ic = i < 0 ? 0 : i > ni - 1 ? ni - 1 : i;
    const jc = j < 0 ? 0 : j > nj - 1 ? nj - 1 : j;
    const kc = k < 0 ? 0 : k > nk - 1 ? nk - 1 : k;
    const i0 = Math.floor(ic);
    const j0 = Math.floor(jc);
    const k0 = Math.floor(kc);
    const fi = ic - i0;
    const fj = jc - j0;
    const fk = kc - k0;
    const di = i0 + 1 < ni ? 1 : 0;
    const dj = j0 + 1 < nj ? ni : 0;
    const dk = k0 + 1 < nk ? plane : 0;
    const n = i0 + ni * j0 + plane * k0;
    const near =
      (values[n] * (1 - fi) + values[n + di] * fi) * (1 - fj) +
      (values[n + dj] * (1 - fi) + values[n + dj + di] * fi) * fj;
    const m = n + dk;
    const far =
      (values[m] * (1 - fi) + values[m + di] * fi) * (1 - fj) +
      (values[m + dj] * (1 - fi) + values[m + dj + di] * fi) * fj;
    return near * (1 - fk) + far * fk;
  };
}
