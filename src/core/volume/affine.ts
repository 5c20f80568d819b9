import { InputError } from '../errors';
import type { Affine, Grid, Triple } from './volume';

/** Voxel (i, j, k) lies at (i, j, k) mm. */
export const IDENTITY: Affine = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];

/** An axis-aligned RAS affine: voxel sizes in mm and where voxel (0, 0, 0) lies. */
export function affineFromSpacing(spacing: Triple, origin: Triple = [0, 0, 0]): Affine {
  const [x, y, z] = spacing;
  return [x, 0, 0, origin[0], 0, y, 0, origin[1], 0, 0, z, origin[2], 0, 0, 0, 1];
}

/** `a` after `b`: applies b first. */
export function multiply(a: Affine, b: Affine): Affine {
  const out = new Array<number>(16);
  for (let row = 0; row < 4; row++)
    for (let column = 0; column < 4; column++) {
      let sum = 0;
      for (let n = 0; n < 4; n++) sum += a[4 * row + n] * b[4 * n + column];
      out[4 * row + column] = sum;
    }
  return out;
}

/** Determinant of the 3x3 part: the signed volume of a voxel in mm^3, negative for a left-handed grid. */
export function determinant(affine: Affine): number {
  const [a, b, c, , d, e, f, , g, h, i] = affine;
  return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
}

/** Length of a step along i, j, k in mm. */
export function voxelSizes(affine: Affine): Triple {
  return [
    Math.hypot(affine[0], affine[4], affine[8]),
    Math.hypot(affine[1], affine[5], affine[9]),
    Math.hypot(affine[2], affine[6], affine[10]),
  ];
}

/** Whether the three axes do not span space (or are no numbers): the voxel's volume is below a millionth of its box's. */
export function isSingular(affine: Affine): boolean {
  const [x, y, z] = voxelSizes(affine);
  const volume = Math.abs(determinant(affine));
  return !(affine.every(Number.isFinite) && volume > 1e-6 * (x * y * z) && volume < Infinity);
}

/** The inverse: from mm to voxels. Throws an InputError for a singular affine. */
export function invert(affine: Affine): Affine {
  if (isSingular(affine))
    throw new InputError(
      `The affine [${affine.slice(0, 12).join(', ')}] is singular: its axes do not span space, so no place can be told from it. Correct the image's header.`,
    );
  const [a, b, c, x, d, e, f, y, g, h, i, z] = affine;
  const s = 1 / determinant(affine);
  const m = [
    (e * i - f * h) * s,
    (c * h - b * i) * s,
    (b * f - c * e) * s,
    (f * g - d * i) * s,
    (a * i - c * g) * s,
    (c * d - a * f) * s,
    (d * h - e * g) * s,
    (b * g - a * h) * s,
    (a * e - b * d) * s,
  ];
  return [
    m[0],
    m[1],
    m[2],
    -(m[0] * x + m[1] * y + m[2] * z),
    m[3],
    m[4],
    m[5],
    -(m[3] * x + m[4] * y + m[5] * z),
    m[6],
    m[7],
    m[8],
    -(m[6] * x + m[7] * y + m[8] * z),
    0,
    0,
    0,
    1,
  ];
}

/** Where a point goes: voxel to mm by an image's affine, mm to voxel by its inverse. */
export function transformPoint(affine: Affine, [x, y, z]: Triple): Triple {
  return [
    affine[0] * x + affine[1] * y + affine[2] * z + affine[3],
    affine[4] * x + affine[5] * y + affine[6] * z + affine[7],
    affine[8] * x + affine[9] * y + affine[10] * z + affine[11],
  ];
}

/** The affine of the same axes with voxel (0, 0, 0) moved to where `voxel` lies now. */
export function shiftedTo(affine: Affine, voxel: Triple): Affine {
  const [x, y, z] = transformPoint(affine, voxel);
  const out = [...affine];
  out[3] = x;
  out[7] = y;
  out[11] = z;
  return out;
}

/** Whether two grids have one shape and no corner of them lies further apart than `tolerance` mm. */
export function sameGrid(a: Grid, b: Grid, tolerance = 1e-3): boolean {
  if (!a.shape.every((n, axis) => n === b.shape[axis])) return false;
  for (let corner = 0; corner < 8; corner++) {
    const voxel: Triple = [
      corner & 1 ? a.shape[0] - 1 : 0,
      corner & 2 ? a.shape[1] - 1 : 0,
      corner & 4 ? a.shape[2] - 1 : 0,
    ];
    const p = transformPoint(a.affine, voxel);
    const q = transformPoint(b.affine, voxel);
    if (!(Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]) <= tolerance)) return false;
  }
  return true;
}

/** For each voxel axis the scanner axis (0 = x, 1 = y, 2 = z) it runs along most, and its sense (+1: towards R, A, S). */
export interface AxisDirection {
  readonly axis: 0 | 1 | 2;
  readonly sign: 1 | -1;
}

/**
 * The nearest right-angled orientation of a grid. Shears are removed first (polar decomposition, Newton's iteration of
 * Higham 1986), then axes are matched, largest direction cosine first. Throws an InputError for a singular affine.
 */
export function axisDirections(affine: Affine): readonly [AxisDirection, AxisDirection, AxisDirection] {
  const rotation = nearestRotation(affine);
  const directions: AxisDirection[] = [];
  const taken = new Set<number>();
  for (let round = 0; round < 3; round++) {
    let best = { column: -1, row: -1, size: -1 };
    for (let column = 0; column < 3; column++) {
      if (directions[column]) continue;
      for (let row = 0; row < 3; row++) {
        const size = Math.abs(rotation[4 * row + column]);
        if (!taken.has(row) && size > best.size) best = { column, row, size };
      }
    }
    taken.add(best.row);
    directions[best.column] = {
      axis: best.row as 0 | 1 | 2,
      sign: rotation[4 * best.row + best.column] < 0 ? -1 : 1,
    };
  }
  return directions as unknown as readonly [AxisDirection, AxisDirection, AxisDirection];
}

/** Where each voxel axis runs to, one letter per axis: 'RAS', 'LPS', 'PSR', ... */
export function axisCodes(affine: Affine): string {
  return axisDirections(affine)
    .map(({ axis, sign }) => (sign > 0 ? 'RAS' : 'LPI')[axis])
    .join('');
}

/** The orthogonal matrix (determinant +1 or -1) nearest to the affine's axes once each has length 1. */
function nearestRotation(affine: Affine): Affine {
  const sizes = voxelSizes(affine);
  let x: number[] = [...IDENTITY];
  for (let row = 0; row < 3; row++)
    for (let column = 0; column < 3; column++) x[4 * row + column] = affine[4 * row + column] / sizes[column];
  for (let round = 0; round < 30; round++) {
    const inverse = invert(x);
    const next = [...x];
    let change = 0;
    for (let row = 0; row < 3; row++)
      for (let column = 0; column < 3; column++) {
        const at = 4 * row + column;
        next[at] = (x[at] + inverse[4 * column + row]) / 2;
        change = Math.max(change, Math.abs(next[at] - x[at]));
      }
    x = next;
    if (change < 1e-12) break;
  }
  return x;
}
