import { InputError } from '../errors';
import { fillHoles, largestComponent, maskAbove } from './mask';
import type { Mask, Volume, VoxelArray } from './volume';

const BINS = 256;

/**
 * The threshold that best parts the values into two classes (Otsu 1979: greatest variance between the classes), from a
 * histogram of 256 equal bins between the smallest and the largest value; the upper edge of the lower class's last
 * bin. Throws an InputError where all values are equal.
 */
export function otsuThreshold(data: VoxelArray): number {
  let low = Infinity;
  let high = -Infinity;
  for (let at = 0; at < data.length; at++) {
    const value = data[at];
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (!(high > low))
    throw new InputError(
      `All voxels have one value (${low}), so no head can be told from the air. Check the image, or use --mask none.`,
    );
  const counts = new Float64Array(BINS);
  const scale = BINS / (high - low);
  for (let at = 0; at < data.length; at++) counts[Math.min(BINS - 1, Math.floor((data[at] - low) * scale))]++;

  let total = 0;
  for (let bin = 0; bin < BINS; bin++) total += bin * counts[bin];
  let best = { bin: 0, between: -1 };
  let below = 0;
  let sumBelow = 0;
  for (let bin = 0; bin < BINS - 1; bin++) {
    below += counts[bin];
    sumBelow += bin * counts[bin];
    const above = data.length - below;
    if (below === 0 || above === 0) continue;
    const difference = sumBelow / below - (total - sumBelow) / above;
    const between = below * above * difference * difference;
    if (between > best.between) best = { bin, between };
  }
  return low + (best.bin + 1) / scale;
}

/**
 * The head (or the brain, where the skull was stripped): raw intensities above Otsu's threshold, the largest part that
 * hangs together, holes filled. Throws an InputError for an image of one value.
 */
export function headMask(volume: Volume<VoxelArray>): Mask {
  return fillHoles(largestComponent(maskAbove(volume, otsuThreshold(volume.data))));
}
