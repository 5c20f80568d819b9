import * as tf from '@tensorflow/tfjs-core';

/** y = x weight^T + bias. x [N, I], weight [O, I] (PyTorch's layout), bias [O] -> [N, O]. */
export function linear(x: tf.Tensor2D, weight: tf.Tensor2D, bias: tf.Tensor1D): tf.Tensor2D {
  return tf.tidy(() => tf.add(tf.matMul(x, weight, false, true), bias) as tf.Tensor2D);
}

/** Gradients of {@link linear} for dy [N, O]. */
export function linearGradient(
  dy: tf.Tensor2D,
  x: tf.Tensor2D,
  weight: tf.Tensor2D,
): { dx: tf.Tensor2D; dweight: tf.Tensor2D; dbias: tf.Tensor1D } {
  return tf.tidy(() => ({
    dx: tf.matMul(dy, weight) as tf.Tensor2D,
    dweight: tf.matMul(dy, x, true, false) as tf.Tensor2D,
    dbias: tf.sum(dy, 0) as tf.Tensor1D,
  }));
}
