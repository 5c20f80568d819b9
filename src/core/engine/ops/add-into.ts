import * as tf from '@tensorflow/tfjs-core';
import { KERNELS } from './kernels';
import { hasKernel, runKernelMany } from './run-kernel';

/** sum + term, both given away: in sum's memory where the engine can, else new. Use the returned tensor. */
export function addInto<T extends tf.Tensor>(sum: T, term: T): T {
  if (hasKernel(KERNELS.addInto)) {
    runKernelMany(KERNELS.addInto, { sum, term });
    term.dispose();
    return sum;
  }
  const result = tf.add(sum, term) as T;
  tf.dispose([sum, term]);
  return result;
}
