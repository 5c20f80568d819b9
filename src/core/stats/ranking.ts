import { InputError } from '../errors';

/**
 * Area under the ROC curve as the probability that a positive scores above a negative, ties counted half (Mann & Whitney
 * 1947). `labels[i]` is 1 for positives and 0 for negatives. Null where one of both is missing. O(n log n), made for
 * voxels as well as for cases.
 */
export function rocAuc(scores: ArrayLike<number>, labels: ArrayLike<number>): number | null {
  const { positive, negative } = sortedByLabel(scores, labels);
  if (positive.length === 0 || negative.length === 0) return null;
  let below = 0;
  let upTo = 0;
  let wins = 0;
  for (const score of positive) {
    while (below < negative.length && negative[below] < score) below++;
    while (upTo < negative.length && negative[upTo] <= score) upTo++;
    wins += (below + upTo) / 2;
  }
  return wins / positive.length / negative.length;
}

/**
 * Average precision: the sum over thresholds of precision times gain in recall, equal scores being one threshold (no
 * interpolation; the definition of scikit-learn). Null without positives. A chance ranking scores the share of positives.
 */
export function averagePrecision(scores: ArrayLike<number>, labels: ArrayLike<number>): number | null {
  const { positive, negative } = sortedByLabel(scores, labels);
  if (positive.length === 0) return null;
  let p = positive.length;
  let n = negative.length;
  let sum = 0;
  while (p > 0) {
    const threshold = positive[p - 1];
    const before = p;
    while (p > 0 && positive[p - 1] === threshold) p--;
    while (n > 0 && negative[n - 1] >= threshold) n--;
    const hits = positive.length - p;
    sum += (before - p) * (hits / (hits + negative.length - n));
  }
  return sum / positive.length;
}

/** Scores of positives and of negatives, each ascending. Two sorts of plain numbers are much faster than one of pairs. */
function sortedByLabel(
  scores: ArrayLike<number>,
  labels: ArrayLike<number>,
): { positive: Float64Array; negative: Float64Array } {
  if (scores.length !== labels.length)
    throw new InputError(
      `There are ${scores.length} scores but ${labels.length} labels; each score needs one.`,
    );
  const positive = new Float64Array(scores.length);
  const negative = new Float64Array(scores.length);
  let p = 0;
  let n = 0;
  for (let i = 0; i < scores.length; i++) {
    if (Number.isNaN(scores[i])) throw new InputError(`Score ${i} is not a number; it cannot be ranked.`);
    if (labels[i] === 1) positive[p++] = scores[i];
    else if (labels[i] === 0) negative[n++] = scores[i];
    else throw new InputError(`Label ${i} is ${labels[i]}; labels are 0 or 1.`);
  }
  return { positive: positive.subarray(0, p).sort(), negative: negative.subarray(0, n).sort() };
}
