import { InputError } from '../errors';
import type { Mask, Volume, VoxelArray } from './volume';

export interface MeanAndSd {
  readonly mean: number;
  /** Of the population: divided by n. */
  readonly sd: number;
  readonly n: number;
}

/** Mean and standard deviation of the values, or of those where `mask` is not 0. NaN where there is none. */
export function meanAndSd(data: VoxelArray, mask?: ArrayLike<number>): MeanAndSd {
  let n = 0;
  let sum = 0;
  for (let at = 0; at < data.length; at++)
    if (!mask || mask[at] !== 0) {
      n++;
      sum += data[at];
    }
  const mean = sum / n;
  let squares = 0;
  for (let at = 0; at < data.length; at++)
    if (!mask || mask[at] !== 0) {
      const d = data[at] - mean;
      squares += d * d;
    }
  return { mean, sd: Math.sqrt(squares / n), n };
}

/**
 * Percentiles (each from 0 to 100) of the values, or of those where `mask` is not 0, interpolated linearly between
 * the two nearest ranks: numpy's default rule, position (n - 1) p / 100. NaN where there are no values.
 */
export function percentiles(data: VoxelArray, at: readonly number[], mask?: ArrayLike<number>): number[] {
  const sorted = mask ? data.filter((_value: number, index: number) => mask[index] !== 0) : data.slice();
  sorted.sort();
  return at.map((percent) => {
    if (!(percent >= 0 && percent <= 100))
      throw new InputError(`${percent} is no percentile: give a number from 0 to 100.`);
    const position = ((sorted.length - 1) * percent) / 100;
    const low = Math.floor(position);
    const below = sorted[low];
    return low === position ? below : below + (position - low) * (sorted[low + 1] - below);
  });
}

/**
 * (value - mean) / sd, with mean and sd taken inside the mask, which lies on the same grid. What lies outside the mask
 * keeps the value that the same line gives it, or becomes 0. Throws an InputError for an empty mask and for one
 * without any contrast.
 */
export function zScore(volume: Volume<VoxelArray>, mask: Mask, outside: 'keep' | 'zero' = 'keep'): Volume {
  const { mean, sd } = zScoreLine(volume, mask);
  const data = new Float32Array(volume.data.length);
  for (let at = 0; at < data.length; at++)
    if (outside === 'keep' || mask.data[at] !== 0) data[at] = (volume.data[at] - mean) / sd;
  return { shape: volume.shape, affine: volume.affine, data };
}

/** Mean and sd that a z-score over the mask divides by; InputErrors as {@link zScore}. */
export function zScoreLine(volume: Volume<VoxelArray>, mask: Mask): MeanAndSd {
  if (mask.data.length !== volume.data.length)
    throw new InputError(
      `The mask has ${mask.shape.join(' x ')} voxels, the image ${volume.shape.join(' x ')}: bring the mask onto the image's grid first.`,
    );
  const line = meanAndSd(volume.data, mask.data);
  if (line.n === 0)
    throw new InputError(
      'The mask is empty, so there is nothing to take mean and sd from. Give another mask.',
    );
  if (!(line.sd > 1e-7 * Math.abs(line.mean)))
    throw new InputError(
      `All ${line.n} voxels inside the mask have one value (${line.mean}), so they cannot be z-scored. Check the image and the mask.`,
    );
  return line;
}
