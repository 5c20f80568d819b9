import { smoothedMaximum } from '../../../src/core/cohort/trivial-baseline';
import type { Mask, Volume } from '../../../src/core/volume/volume';

/** Maximum of the smoothed z-scored image: what finds a lesion by brightness alone. */
export function brightestSpot(image: Volume, brain: Mask): number {
  const inside = image.data.filter((_, v) => brain.data[v] === 1);
  const mean = inside.reduce((sum, value) => sum + value, 0) / inside.length;
  const sd = Math.sqrt(inside.reduce((sum, value) => sum + (value - mean) ** 2, 0) / inside.length);
  const scores = image.data.map((value) => (value - mean) / sd);
  return smoothedMaximum(scores, image.shape, brain.data, 1);
}

/** How often a number of the first list exceeds one of the second (area under the ROC curve). */
export function separation(high: readonly number[], low: readonly number[]): number {
  let wins = 0;
  for (const a of high) for (const b of low) wins += a > b ? 1 : a === b ? 0.5 : 0;
  return wins / (high.length * low.length);
}

export function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
