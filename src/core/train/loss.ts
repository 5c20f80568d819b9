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
  const gradient = new Float32Array(labels.length * classes);
  let loss = 0;
  labels.forEach((label, n) => {
    const row = Array.from({ length: classes }, (_, c) => logits[n * classes + c]);
    const p = softmax(row);
    const weight = classWeights[label] / totalWeight;
    const highest = Math.max(...row);
    const logSum = highest + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - highest), 0));
    loss += weight * (logSum - row[label]);
    for (let c = 0; c < classes; c++) gradient[n * classes + c] = weight * (p[c] - (c === label ? 1 : 0));
  });
  return { loss, gradient };
}

/** Sum of the class weights of a batch. */
export function weightOf(labels: readonly number[], classWeights: readonly number[]): number {
  return labels.reduce((sum, label) => sum + classWeights[label], 0);
}

export function softmax(logits: readonly number[]): number[] {
  const highest = Math.max(...logits);
  const exps = logits.map((logit) => Math.exp(logit - highest));
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((e) => e / sum);
}

/** Weights inversely proportional to class frequency, mean 1 over the samples; all 1 where a class is absent. */
export function balancedWeights(labels: readonly number[], classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]++;
  if (counts.includes(0)) return counts.map(() => 1);
  return counts.map((count) => labels.length / (classes * count));
}
