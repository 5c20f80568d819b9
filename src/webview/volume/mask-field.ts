import { apply, type Matrix, type Point } from './affine';

/** A mask as 0 and 1 with its bounding box, to be sampled anywhere. */
export interface MaskField {
  readonly inside: Uint8Array;
  readonly shape: readonly number[];
  readonly mmToVoxel: Matrix;
  /** First and last voxel that is inside, per axis; undefined where none is. */
  readonly box: { readonly low: Point; readonly high: Point } | undefined;
}

export function maskField(
  values: Float32Array,
  shape: readonly number[],
  mmToVoxel: Matrix,
  threshold: number,
): MaskField {
  const inside = new Uint8Array(values.length);
  const low: [number, number, number] = [Infinity, Infinity, Infinity];
  const high: [number, number, number] = [-1, -1, -1];
  const [ni, nj] = shape;
  for (let n = 0; n < values.length; n++) {
    if (!(values[n] > threshold)) continue;
    inside[n] = 1;
    const voxel = [n % ni, Math.floor(n / ni) % nj, Math.floor(n / (ni * nj))];
    for (let axis = 0; axis < 3; axis++) {
      if (voxel[axis] < low[axis]) low[axis] = voxel[axis];
      if (voxel[axis] > high[axis]) high[axis] = voxel[axis];
    }
  }
  return { inside, shape, mmToVoxel, box: high[0] < 0 ? undefined : { low, high } };
}

/** Trilinear between voxel middles, 0 outside of the grid: its level 0.5 is the mask's rim. */
export function sampleMask(field: MaskField, mm: Point): number {
  const [x, y, z] = apply(field.mmToVoxel, mm);
  const [ni, nj, nk] = field.shape;
  const i = Math.floor(x);
  const j = Math.floor(y);
  const k = Math.floor(z);
  let sum = 0;
  for (let dk = 0; dk < 2; dk++) {
    if (k + dk < 0 || k + dk >= nk) continue;
    for (let dj = 0; dj < 2; dj++) {
      if (j + dj < 0 || j + dj >= nj) continue;
      for (let di = 0; di < 2; di++) {
        if (i + di < 0 || i + di >= ni) continue;
        if (field.inside[i + di + ni * (j + dj + nj * (k + dk))] === 0) continue;
        sum += (1 - Math.abs(x - i - di)) * (1 - Math.abs(y - j - dj)) * (1 - Math.abs(z - k - dk));
      }
    }
  }
  return sum;
}

/** How a slice lies on the screen: mm = origin + x * right + y * down, x and y in pixels. */
export interface Plane {
  readonly origin: Point;
  readonly right: Point;
  readonly down: Point;
}

export function pointOn({ origin, right, down }: Plane, x: number, y: number): [number, number, number] {
  return [0, 1, 2].map((n) => origin[n] + x * right[n] + y * down[n]) as [number, number, number];
}

/** The pixel of a slice that is nearest to a place (perpendicular to the slice). */
export function pixelOn({ origin, right, down }: Plane, mm: Point): [number, number] {
  const d = mm.map((n, axis) => n - origin[axis]);
  const dot = (a: readonly number[], b: readonly number[]) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const [rr, rd, dd, dr, ddn] = [
    dot(right, right),
    dot(right, down),
    dot(down, down),
    dot(d, right),
    dot(d, down),
  ];
  const det = rr * dd - rd * rd;
  return [(dr * dd - ddn * rd) / det, (ddn * rr - dr * rd) / det];
}
