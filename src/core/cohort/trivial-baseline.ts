import { InputError } from '../errors';
import type { Fold } from './cohort';

/** Like scipy.ndimage, the kernel ends four standard deviations from its centre. */
const TRUNCATE = 4;

/**
 * Score of the trivial baseline: the maximum inside the mask of the image after Gaussian smoothing. `data` holds z-scores
 * within the brain (`data[i + shape[0] (j + shape[1] k)]`); everything outside the mask counts as 0, the brain's mean, so
 * that bright fat beside the brain does not leak in. `sigmaVoxels` is one number for all axes, 0 for no smoothing.
 */
export function smoothedMaximum(
  data: Float32Array,
  shape: readonly [number, number, number],
  mask: Uint8Array,
  sigmaVoxels: number,
): number {
  const [ni, nj, nk] = shape;
  if (data.length !== ni * nj * nk || mask.length !== data.length)
    throw new InputError(
      `An image of ${shape.join(' x ')} voxels needs as many values and mask voxels, not ${data.length} and ${mask.length}.`,
    );
  if (!(sigmaVoxels >= 0 && Number.isFinite(sigmaVoxels)))
    throw new InputError(
      `The width of the smoothing is a number of voxels of at least 0, not ${sigmaVoxels}.`,
    );
  let smooth: Float32Array = new Float32Array(data.length);
  for (let v = 0; v < data.length; v++) if (mask[v] !== 0) smooth[v] = data[v];
  if (sigmaVoxels > 0) {
    const kernel = halfKernel(sigmaVoxels);
    let other: Float32Array = new Float32Array(data.length);
    // Along an axis the image is [outer][length][inner]; a voxel's neighbour lies `inner` values further.
    for (const [length, inner] of [
      [ni, 1],
      [nj, ni],
      [nk, ni * nj],
    ]) {
      smoothAlong(smooth, other, length, inner, kernel);
      [smooth, other] = [other, smooth];
    }
  }
  let maximum = -Infinity;
  for (let v = 0; v < data.length; v++) if (mask[v] !== 0 && !(smooth[v] <= maximum)) maximum = smooth[v];
  if (maximum === -Infinity)
    throw new InputError('The brain mask is empty; the baseline has nowhere to look.');
  if (Number.isNaN(maximum))
    throw new InputError('The image holds values inside the brain that are not numbers.');
  return maximum;
}

/** Weights of the offsets 0, 1, ..., radius; the whole symmetric kernel sums to 1. */
function halfKernel(sigma: number): Float64Array {
  const radius = Math.floor(TRUNCATE * sigma + 0.5);
  const weights = Float64Array.from({ length: radius + 1 }, (_, offset) =>
    Math.exp(-0.5 * (offset / sigma) ** 2),
  );
  const sum = weights.reduce((total, weight, offset) => total + (offset === 0 ? weight : 2 * weight), 0);
  return weights.map((weight) => weight / sum);
}

function smoothAlong(
  from: Float32Array,
  to: Float32Array,
  length: number,
  inner: number,
  kernel: Float64Array,
): void {
  const line = new Float64Array(inner);
  for (let start = 0; start < from.length; start += length * inner)
    for (let position = 0; position < length; position++) {
      line.fill(0);
      for (let offset = 1 - kernel.length; offset < kernel.length; offset++) {
        const neighbour = position + offset;
        if (neighbour < 0 || neighbour >= length) continue;
        const weight = kernel[Math.abs(offset)];
        const row = start + neighbour * inner;
        for (let v = 0; v < inner; v++) line[v] += weight * from[row + v];
      }
      to.set(line, start + position * inner);
    }
}

/** One case with its score; a higher score speaks for class 1. */
export interface ScoredCase {
  readonly participantId: string;
  readonly source: string;
  readonly yTrue: 0 | 1;
  readonly score: number;
}

/** Out-of-fold prediction of the baseline, in the shape that the classification metrics take. */
export interface BaselinePrediction extends ScoredCase {
  readonly fold: number;
  /** The score above which the training part of the fold calls a case fcd. */
  readonly threshold: number;
  /** (0, score - threshold): the second is the larger one exactly where the score exceeds the threshold. */
  readonly logits: readonly [number, number];
}

/**
 * Cross-validates the score without a network: in each fold the threshold with the best balanced accuracy on the training
 * cases is applied to the test cases. Predictions are in the order of the folds and of their test ids. Throws where a
 * fold names a case without a score or a training part lacks a class.
 */
export function trivialBaseline(scored: readonly ScoredCase[], folds: readonly Fold[]): BaselinePrediction[] {
  const byId = new Map(scored.map((one) => [one.participantId, one]));
  const scoreOf = (id: string): ScoredCase => {
    const one = byId.get(id);
    if (one === undefined) throw new InputError(`The folds name ${id}, for whom there is no baseline score.`);
    return one;
  };
  return folds.flatMap(({ index, train, test }) => {
    const threshold = bestThreshold(train.map(scoreOf));
    return test.map((id) => {
      const one = scoreOf(id);
      return { ...one, fold: index, threshold, logits: [0, one.score - threshold] as const };
    });
  });
}

/**
 * The threshold t for which "score > t means class 1" has the best balanced accuracy, halfway between the two scores it
 * parts; the lowest of several equally good ones. With scores that tell nothing it is just below the lowest score.
 */
export function bestThreshold(cases: readonly Pick<ScoredCase, 'yTrue' | 'score'>[]): number {
  const ascending = [...cases].sort((a, b) => a.score - b.score);
  const positives = ascending.filter(({ yTrue }) => yTrue === 1).length;
  const negatives = ascending.length - positives;
  if (positives === 0 || negatives === 0)
    throw new InputError('A threshold can only be chosen on training cases of both groups.');
  if (ascending.some(({ score }) => !Number.isFinite(score)))
    throw new InputError('A threshold can only be chosen among scores that are finite numbers.');
  let best = ascending[0].score - 1;
  let bestGain = 0;
  let missed = 0;
  let rejected = 0;
  for (let i = 0; i + 1 < ascending.length; i++) {
    if (ascending[i].yTrue === 1) missed++;
    else rejected++;
    if (ascending[i].score === ascending[i + 1].score) continue;
    // Balanced accuracy is (1 + gain) / 2.
    const gain = rejected / negatives - missed / positives;
    if (gain > bestGain) {
      bestGain = gain;
      best = (ascending[i].score + ascending[i + 1].score) / 2;
    }
  }
  return best;
}
