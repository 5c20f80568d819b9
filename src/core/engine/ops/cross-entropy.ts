import * as tf from '@tensorflow/tfjs-core';
import { KERNELS } from './kernels';
import { hasKernel, runKernel } from './run-kernel';

/** The label of each row and what its error counts. */
export interface WeightedLabels {
  readonly labels: readonly number[];
  readonly weights: readonly number[];
}

/**
 * Gradient of sum_n weights_n * -log softmax(logits)[n, labels_n] with respect to the logits [N, classes]:
 * weights_n * (p - [c = labels_n]).
 */
export function crossEntropyGradient(logits: tf.Tensor2D, targets: WeightedLabels): tf.Tensor2D {
  if (hasKernel(KERNELS.crossEntropyGradient))
    return runKernel(KERNELS.crossEntropyGradient, { logits }, targets);
  const { labels, weights } = targets;
  const classes = logits.shape[1];
  return tf.tidy(() => {
    const places = labels.flatMap((label) => Array.from({ length: classes }, (_, c) => Number(c === label)));
    const p = tf.softmax(logits);
    return tf.mul(
      tf.sub(p, tf.tensor2d(places, [labels.length, classes])),
      tf.tensor2d([...weights], [labels.length, 1]),
    ) as tf.Tensor2D;
  });
}

/** The same from numbers in double precision. @param logits row-major [N, classes] */
export function crossEntropyGradientOf(
  logits: ArrayLike<number>,
  classes: number,
  { labels, weights }: WeightedLabels,
): Float32Array {
  const gradient = new Float32Array(labels.length * classes);
  labels.forEach((label, n) => {
    const p = softmax(Array.from({ length: classes }, (_, c) => logits[n * classes + c]));
    for (let c = 0; c < classes; c++) gradient[n * classes + c] = weights[n] * (p[c] - (c === label ? 1 : 0));
  });
  return gradient;
}

export function softmax(logits: readonly number[]): number[] {
  const highest = Math.max(...logits);
  const exps = logits.map((logit) => Math.exp(logit - highest));
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((e) => e / sum);
}
