import * as tf from '@tensorflow/tfjs-core';
import { KERNELS } from './kernels';
import { hasKernel, runKernel, runKernelMany } from './run-kernel';

/** Mean and variance by which batch normalisation goes in evaluation, [C] each. */
export interface Running {
  readonly mean: tf.Tensor1D;
  readonly variance: tf.Tensor1D;
}

/**
 * Normalisation by running statistics as one multiplication and one addition per channel:
 * scale = gamma / sqrt(variance + epsilon), shift = beta - mean * scale. The caller owns both.
 */
export function foldNorm(
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  { mean, variance }: Running,
  epsilon: number,
): [scale: tf.Tensor1D, shift: tf.Tensor1D] {
  if (hasKernel(KERNELS.foldNorm)) {
    const [scale, shift] = runKernelMany(KERNELS.foldNorm, { gamma, beta, mean, variance }, { epsilon });
    return [scale as tf.Tensor1D, shift as tf.Tensor1D];
  }
  return tf.tidy(() => {
    const scale = tf.div(gamma, tf.sqrt(tf.add(variance, epsilon))) as tf.Tensor1D;
    return [scale, tf.sub(beta, tf.mul(mean, scale)) as tf.Tensor1D];
  });
}

/** Gradient of gamma behind {@link foldNorm}: (dscale - mean * dshift) / sqrt(variance + epsilon). */
export function foldNormGradient(
  dscale: tf.Tensor1D,
  dshift: tf.Tensor1D,
  { mean, variance }: Running,
  epsilon: number,
): tf.Tensor1D {
  if (hasKernel(KERNELS.foldNormGradient))
    return runKernel(KERNELS.foldNormGradient, { dscale, dshift, mean, variance }, { epsilon });
  return tf.tidy(
    () => tf.div(tf.sub(dscale, tf.mul(mean, dshift)), tf.sqrt(tf.add(variance, epsilon))) as tf.Tensor1D,
  );
}

/**
 * running + momentum * (batch * factor - running): in place where the engine can, else the former tensor is disposed
 * and a new one returned. Use the returned tensor.
 */
export function moveRunning(
  running: tf.Tensor1D,
  batch: tf.Tensor1D,
  momentum: number,
  factor: number,
): tf.Tensor1D {
  if (hasKernel(KERNELS.moveRunning)) {
    runKernelMany(KERNELS.moveRunning, { running, batch }, { momentum, factor });
    return running;
  }
  const moved = tf.tidy(() => {
    const target = factor === 1 ? batch : tf.mul(batch, factor);
    return tf.keep(tf.add(running, tf.mul(tf.sub(target, running), momentum))) as tf.Tensor1D;
  });
  running.dispose();
  return moved;
}
