import type { Triple, Volume, VoxelArray } from './volume';

/** Kernels end at four standard deviations, as scipy.ndimage's do. */
const TRUNCATE = 4;

/**
 * Smoothed by a Gaussian whose standard deviations are given per axis in voxels; an axis with 0 is left alone. Beyond
 * the border the outermost voxel goes on (scipy.ndimage's mode 'nearest'), so a head that leaves the grid is not
 * darkened there.
 */
export function gaussianSmooth(volume: Volume<VoxelArray>, sigma: Triple): Volume {
  const [ni, nj, nk] = volume.shape;
  let data = Float32Array.from(volume.data);
  let spare: Float32Array<ArrayBuffer> | undefined;
  const steps = [1, ni, ni * nj];
  const sizes = [ni, nj, nk];
  for (let axis = 0; axis < 3; axis++) {
    if (!(sigma[axis] > 0)) continue;
    spare ??= new Float32Array(data.length);
    smoothAxis(data, spare, sizes[axis], steps[axis], gaussianKernel(sigma[axis]));
    [data, spare] = [spare, data];
  }
  return { shape: volume.shape, affine: volume.affine, data };
}

/** Weights at 0, 1, 2, ... voxels from the middle; both sides together sum to 1. */
function gaussianKernel(sigma: number): Float64Array {
  const half = new Float64Array(Math.floor(TRUNCATE * sigma + 0.5) + 1);
  let sum = 0;
  for (let at = 0; at < half.length; at++) {
    half[at] = Math.exp((-0.5 * at * at) / (sigma * sigma));
    sum += at === 0 ? half[at] : 2 * half[at];
  }
  return half.map((weight) => weight / sum);
}

/** One axis of `size` voxels, `step` apart. Sums whole runs of `step` neighbouring voxels so that memory is read in order. */
function smoothAxis(
  data: Float32Array,
  out: Float32Array,
  size: number,
  step: number,
  kernel: Float64Array,
): void {
  if (step === 1) return smoothRows(data, out, size, kernel);
  const sums = new Float64Array(step);
  const block = size * step;
  for (let start = 0; start < data.length; start += block)
    for (let at = 0; at < size; at++) {
      const middle = start + at * step;
      for (let n = 0; n < step; n++) sums[n] = kernel[0] * data[middle + n];
      for (let offset = 1; offset < kernel.length; offset++) {
        const before = start + Math.max(0, at - offset) * step;
        const after = start + Math.min(size - 1, at + offset) * step;
        const weight = kernel[offset];
        for (let n = 0; n < step; n++) sums[n] += weight * (data[before + n] + data[after + n]);
      }
      for (let n = 0; n < step; n++) out[middle + n] = sums[n];
    }
}

/** The same along i: each row is copied between continued ends, so that the sums need no look at the border. */
function smoothRows(data: Float32Array, out: Float32Array, size: number, kernel: Float64Array): void {
  const radius = kernel.length - 1;
  const row = new Float64Array(size + 2 * radius);
  for (let start = 0; start < data.length; start += size) {
    row.fill(data[start], 0, radius);
    for (let at = 0; at < size; at++) row[radius + at] = data[start + at];
    row.fill(data[start + size - 1], radius + size);
    for (let at = 0; at < size; at++) {
      const middle = radius + at;
      let sum = kernel[0] * row[middle];
      for (let offset = 1; offset <= radius; offset++)
        sum += kernel[offset] * (row[middle - offset] + row[middle + offset]);
      out[start + at] = sum;
    }
  }
}
