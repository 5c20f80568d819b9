import * as tf from '@tensorflow/tfjs-core';
import { KERNELS } from './kernels';
import { asRows } from './merged-axes';
import { scaleShift, type Overwriting } from './norm';
import { hasKernel, runKernel } from './run-kernel';

/** x + bias, channel by channel. x [N, D, H, W, C], bias [C]; with `relu` rectified in the same pass. */
export function addBias(
  x: tf.Tensor5D,
  bias: tf.Tensor1D,
  { relu = false, overwrite }: Overwriting & { readonly relu?: boolean } = {},
): tf.Tensor5D {
  const ones = tf.ones(bias.shape) as tf.Tensor1D;
  const y = scaleShift(x, ones, bias, undefined, relu, { overwrite });
  ones.dispose();
  return y;
}

/** Gradient of {@link addBias} with respect to the bias: dy [N, D, H, W, C] summed over batch and positions. */
export function biasGradient(dy: tf.Tensor5D): tf.Tensor1D {
  if (hasKernel(KERNELS.channelSum)) return runKernel(KERNELS.channelSum, { x: dy });
  return tf.tidy(() => tf.sum(asRows(dy), 0) as tf.Tensor1D);
}
