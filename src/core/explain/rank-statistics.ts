/** How well values tell positives from negatives, ranks only: unchanged by any strictly increasing scaling. */
export interface RankStatistics {
  /** Probability that a positive has a larger value than a negative, ties counted half (Mann-Whitney U / n+ n-). */
  readonly auroc: number;
  /** Sum over distinct values, from the largest down, of precision x gain in recall (no interpolation). */
  readonly averagePrecision: number;
  /**
   * Dice overlap of the positives with as many top-valued voxels. Where the cut falls among equal values, they count
   * by their share: the expected overlap of a random choice among them.
   */
  readonly topDice: number;
}

/**
 * Exact rank statistics of non-negative finite float32 values, for millions of voxels: a radix sort, as the bits of
 * non-negative floats order like the floats. One label bit travels with each.
 *
 * @param values one per voxel, >= 0 (no -0).
 * @param positive 1 or 0 per voxel; at least one of each.
 */
export function rankStatistics(values: Float32Array, positive: Uint8Array): RankStatistics {
  const sorted = sortedWithLabels(values, positive);
  let positives = 0;
  for (let i = 0; i < positive.length; i++) positives += positive[i];
  const negatives = values.length - positives;

  let positivesAbove = 0;
  let above = 0;
  let pairs = 0;
  let precisions = 0;
  let overlap = 0;
  for (let end = sorted.length; end > 0;) {
    const bits = sorted[end - 1] >>> 1;
    let start = end;
    let tiedPositives = 0;
    while (start > 0 && sorted[start - 1] >>> 1 === bits) tiedPositives += sorted[--start] & 1;
    const tied = end - start;
    const negativesBelow = negatives - (above - positivesAbove) - (tied - tiedPositives);
    pairs += tiedPositives * (negativesBelow + (tied - tiedPositives) / 2);
    if (above < positives) overlap += (tiedPositives * Math.min(tied, positives - above)) / tied;
    above += tied;
    positivesAbove += tiedPositives;
    precisions += tiedPositives * (positivesAbove / above);
    end = start;
  }
  return {
    auroc: pairs / positives / negatives,
    averagePrecision: precisions / positives,
    topDice: overlap / positives,
  };
}

/** Ascending `bits of the value << 1 | label`. The sign bit of the values is 0, so nothing is lost. */
function sortedWithLabels(values: Float32Array, positive: Uint8Array): Uint32Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let from = new Uint32Array(values.length);
  for (let i = 0; i < from.length; i++) from[i] = (bits[i] << 1) | positive[i];
  let to = new Uint32Array(values.length);
  for (const [shift, width] of [
    [1, 11],
    [12, 10],
    [22, 10],
  ]) {
    const digits = (1 << width) - 1;
    const next = new Uint32Array(digits + 2);
    for (let i = 0; i < from.length; i++) next[((from[i] >>> shift) & digits) + 1]++;
    for (let d = 0; d < digits; d++) next[d + 1] += next[d];
    for (let i = 0; i < from.length; i++) to[next[(from[i] >>> shift) & digits]++] = from[i];
    [from, to] = [to, from];
  }
  return from;
}
