import { invert, multiply } from './affine';
import { gaussianSmooth } from './smoothing';
import type { Affine, Grid, Shape3, Triple, Volume, VoxelArray } from './volume';
import { voxelCount } from './volume';
import { zerosLike } from './voxel-array';

/** From this ratio of new to old voxel size on an image is smoothed before it is made coarser. */
export const ANTIALIAS_RATIO = 1.5;

export interface ResampleOptions {
  /**
   * Smooth first along each axis that becomes coarser by more than {@link ANTIALIAS_RATIO}, so that what the new grid
   * cannot show does not fold into it: a Gaussian of sqrt(ratio^2 - 1) / 2.355 old voxels, which widens the old voxel's
   * point spread to the new one's (Cardoso et al. 2015). Default: off. Only for 'trilinear'.
   */
  readonly antialias?: boolean;
}

/**
 * The image on another grid, whatever the two affines: the value at each new voxel's place in mm. Outside of the old
 * grid all is 0, and that is taken for neighbouring voxels too: between the outermost voxel's centre and one voxel
 * further out the value falls linearly to 0 (scipy.ndimage.map_coordinates mode 'grid-constant', torch's grid_sample with
 * zero padding). 'nearest' keeps values and voxel type (for masks and labels), with halves going up. Throws an
 * InputError for a singular affine.
 */
export function resample(
  volume: Volume<VoxelArray>,
  grid: Grid,
  interpolation: 'trilinear',
  options?: ResampleOptions,
): Volume;
export function resample<T extends VoxelArray>(
  volume: Volume<T>,
  grid: Grid,
  interpolation: 'nearest',
): Volume<T>;
export function resample<T extends VoxelArray>(
  volume: Volume<T>,
  grid: Grid,
  interpolation: 'trilinear' | 'nearest',
  { antialias = false }: ResampleOptions = {},
): Volume | Volume<T> {
  const toSource = voxelToVoxel(grid, volume);
  const { shape, affine } = grid;
  if (interpolation === 'nearest') {
    const data = zerosLike(volume.data, voxelCount(shape));
    nearest(volume.data, volume.shape, data, shape, toSource);
    return { shape, affine, data };
  }
  const sigma = antialias ? antialiasSigma(toSource) : NO_SMOOTHING;
  const source = sigma.some((s) => s > 0) ? gaussianSmooth(volume, sigma).data : volume.data;
  const data = new Float32Array(voxelCount(shape));
  trilinear(source, volume.shape, data, shape, toSource);
  return { shape, affine, data };
}

const NO_SMOOTHING: Triple = [0, 0, 0];

/** Standard deviations in source voxels; `toSource` maps new voxels to old ones, a row's length is that axis's ratio. */
function antialiasSigma(toSource: Affine): Triple {
  const sigma = (row: number) => {
    const ratio = Math.hypot(toSource[4 * row], toSource[4 * row + 1], toSource[4 * row + 2]);
    return ratio > ANTIALIAS_RATIO ? Math.sqrt(ratio * ratio - 1) / (2 * Math.sqrt(2 * Math.LN2)) : 0;
  };
  return [sigma(0), sigma(1), sigma(2)];
}

/**
 * Maps voxels of one grid to voxels of another. Whole numbers that two inversions have blurred are restored (steps to
 * 1e-9, offsets to 1e-6 voxels), so that grids that share a lattice give back exact values.
 */
function voxelToVoxel(from: Grid, to: Grid): Affine {
  return multiply(invert(to.affine), from.affine).map((value, at) => {
    const whole = Math.round(value);
    return Math.abs(value - whole) < (at % 4 === 3 ? 1e-6 : 1e-9) ? whole : value;
  });
}

/**
 * The positions n in [from, to) for which low <= start + n step < high on all three axes; empty as from >= to.
 * Along a row of the new grid these are the voxels whose neighbours all lie inside the old one.
 */
function insideRange(
  count: number,
  start: readonly number[],
  step: readonly number[],
  low: number,
  high: readonly number[],
): [number, number] {
  let from = 0;
  let to = count;
  for (let axis = 0; axis < 3; axis++) {
    const x = start[axis];
    const s = step[axis];
    if (s === 0) {
      if (!(x >= low && x < high[axis])) return [0, 0];
      continue;
    }
    let first = Math.ceil(((s > 0 ? low : high[axis]) - x) / s);
    let last = Math.floor(((s > 0 ? high[axis] : low) - x) / s);
    // Rounding may be off by one at both ends, and one end is open: settled with the sum that the loop uses.
    first = Math.max(0, Math.min(count, first - 1));
    last = Math.max(-1, Math.min(count - 1, last + 1));
    while (first <= last && !(x + first * s >= low && x + first * s < high[axis])) first++;
    while (last >= first && !(x + last * s >= low && x + last * s < high[axis])) last--;
    from = Math.max(from, first);
    to = Math.min(to, last + 1);
  }
  return [from, to];
}

function trilinear(
  source: VoxelArray,
  sourceShape: Shape3,
  out: Float32Array,
  shape: Shape3,
  m: Affine,
): void {
  const [ni, nj, nk] = sourceShape;
  const plane = ni * nj;
  const step = [m[0], m[4], m[8]];
  const [sx, sy, sz] = step;
  const start = [0, 0, 0];
  const interior = [ni - 1, nj - 1, nk - 1];

  const valueAt = (i: number, j: number, k: number): number =>
    i >= 0 && i < ni && j >= 0 && j < nj && k >= 0 && k < nk ? source[i + ni * j + plane * k] : 0;
  const nearBorder = (x: number, y: number, z: number): number => {
    if (!(x > -1 && x < ni && y > -1 && y < nj && z > -1 && z < nk)) return 0;
    const i = Math.floor(x);
    const j = Math.floor(y);
    const k = Math.floor(z);
    const u = x - i;
    const v = y - j;
    const w = z - k;
    const y0 = valueAt(i, j, k) * (1 - u) + valueAt(i + 1, j, k) * u;
    const y1 = valueAt(i, j + 1, k) * (1 - u) + valueAt(i + 1, j + 1, k) * u;
    const y2 = valueAt(i, j, k + 1) * (1 - u) + valueAt(i + 1, j, k + 1) * u;
    const y3 = valueAt(i, j + 1, k + 1) * (1 - u) + valueAt(i + 1, j + 1, k + 1) * u;
    return (y0 * (1 - v) + y1 * v) * (1 - w) + (y2 * (1 - v) + y3 * v) * w;
  };

  for (let k = 0, row = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++, row += shape[0]) {
      const x0 = (start[0] = m[1] * j + m[2] * k + m[3]);
      const y0 = (start[1] = m[5] * j + m[6] * k + m[7]);
      const z0 = (start[2] = m[9] * j + m[10] * k + m[11]);
      const [from, to] = insideRange(shape[0], start, step, 0, interior);
      for (let n = 0; n < shape[0]; n++) {
        if (n === from && from < to) n = to;
        if (n < shape[0]) out[row + n] = nearBorder(x0 + n * sx, y0 + n * sy, z0 + n * sz);
      }
      for (let n = from; n < to; n++) {
        const x = x0 + n * sx;
        const y = y0 + n * sy;
        const z = z0 + n * sz;
        // Inside the range no coordinate is negative, so cutting off the fraction is the floor.
        const i = x | 0;
        const jj = y | 0;
        const kk = z | 0;
        const u = x - i;
        const v = y - jj;
        const w = z - kk;
        const at = i + ni * jj + plane * kk;
        const a = source[at] + (source[at + 1] - source[at]) * u;
        const b = source[at + ni] + (source[at + ni + 1] - source[at + ni]) * u;
        const c = source[at + plane] + (source[at + plane + 1] - source[at + plane]) * u;
        const up = at + plane + ni;
        const d = source[up] + (source[up + 1] - source[up]) * u;
        const near = a + (b - a) * v;
        out[row + n] = near + (c + (d - c) * v - near) * w;
      }
    }
}

function nearest(source: VoxelArray, sourceShape: Shape3, out: VoxelArray, shape: Shape3, m: Affine): void {
  const [ni, nj, nk] = sourceShape;
  const plane = ni * nj;
  const step = [m[0], m[4], m[8]];
  const [sx, sy, sz] = step;
  const start = [0, 0, 0];
  const interior = [ni - 0.5, nj - 0.5, nk - 0.5];
  for (let k = 0, row = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++, row += shape[0]) {
      const x0 = (start[0] = m[1] * j + m[2] * k + m[3]);
      const y0 = (start[1] = m[5] * j + m[6] * k + m[7]);
      const z0 = (start[2] = m[9] * j + m[10] * k + m[11]);
      const [from, to] = insideRange(shape[0], start, step, -0.5, interior);
      for (let n = from; n < to; n++) {
        const i = (x0 + n * sx + 0.5) | 0;
        const jj = (y0 + n * sy + 0.5) | 0;
        const kk = (z0 + n * sz + 0.5) | 0;
        out[row + n] = source[i + ni * jj + plane * kk];
      }
    }
}
