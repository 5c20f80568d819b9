import * as tf from '@tensorflow/tfjs-core';
import { HALF_KERNELS } from './kernels';
import { runKernelMany } from './run-kernel';

/**
 * Takes the scale of a loss off its gradients, in their memory. Half precision loses what is below 6e-8 and what is above
 * 65504: a loss scaled up brings gradients into that range. For engines with half precision alone.
 * @returns int32 [1], the caller's: 1 where any value had left the range (infinite or not a number), else 0
 */
export function unscale(gradients: Iterable<tf.Tensor>, scale: number): tf.Tensor1D {
  const found = tf.tensor1d([0], 'int32');
  for (const gradient of gradients)
    runKernelMany(HALF_KERNELS.unscale, { gradient, found }, { factor: 1 / scale });
  return found;
}
