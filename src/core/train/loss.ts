import { crossEntropyGradientOf, softmax, type WeightedLabels } from '../engine/ops/cross-entropy';

export { softmax };

/** Loss of a batch and its gradient with respect to the logits. */
export interface LossResult {
  /** Weighted mean over the batch. */
  readonly loss: number;
  /** Row-major [N, classes]. */
  readonly gradient: Float32Array;
}

/**
 * Class-weighted cross-entropy with PyTorch's reduction: sum(w_y * -log p_y) / sum(w_y). Where a batch is computed in
 * parts, `totalWeight` is the sum of w_y over the whole batch, so that the parts' losses and gradients add up.
 * @param logits row-major [N, classes]
 */
export function crossEntropy(
  logits: ArrayLike<number>,
  labels: readonly number[],
  classWeights: readonly number[],
  totalWeight = weightOf(labels, classWeights),
): LossResult {
  const classes = classWeights.length;
  const targets = weightedLabels(labels, classWeights, totalWeight);
  let loss = 0;
  labels.forEach((label, n) => {
    const row = Array.from({ length: classes }, (_, c) => logits[n * classes + c]);
    const highest = Math.max(...row);
    const logSum = highest + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - highest), 0));
    loss += targets.weights[n] * (logSum - row[label]);
  });
  return { loss, gradient: crossEntropyGradientOf(logits, classes, targets) };
}

/** What each sample counts in {@link crossEntropy}. */
export function weightedLabels(
  labels: readonly number[],
  classWeights: readonly number[],
  totalWeight: number,
): WeightedLabels {
  return { labels, weights: labels.map((label) => classWeights[label] / totalWeight) };
}

/** Sum of the class weights of a batch. */
export function weightOf(labels: readonly number[], classWeights: readonly number[]): number {
  return labels.reduce((sum, label) => sum + classWeights[label], 0);
}

/** Weights inversely proportional to class frequency, mean 1 over the samples; all 1 where a class is absent. */
export function balancedWeights(labels: readonly number[], classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]++;
  if (counts.includes(0)) return counts.map(() => 1);
  return counts.map((count) => labels.length / (classes * count));
}
