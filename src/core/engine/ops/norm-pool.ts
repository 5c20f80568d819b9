import * as tf from '@tensorflow/tfjs-core';
import { KERNELS, type Shape5 } from './kernels';
import {
  batchNormTrain,
  batchNormTrainGradient,
  scaleShift,
  type NormGradient,
  type NormTrainResult,
  type Overwriting,
} from './norm';
import { maxPool3d, maxPool3dGradient, type PoolAttrs } from './pool';
import { hasKernel, runKernel, runKernelMany } from './run-kernel';

/** The fused kernels work on vectors of eight channels. */
const CHANNELS = 8;

const fits = (x: tf.Tensor5D) => x.shape[4] % CHANNELS === 0;

export interface NormPoolResult extends NormTrainResult {
  /** Positions of the maxima, as in {@link maxPool3d}; an engine may say -1 where y is 0. For the gradient alone. */
  readonly indices: tf.Tensor5D;
}

/**
 * A network's stem behind its convolution: batch normalisation with this batch's statistics, ReLU and max pooling,
 * without the large grid in between being written down. The same bits as one after the other.
 * @param x [N, D, H, W, C]
 */
export function normPool(
  x: tf.Tensor5D,
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  epsilon: number,
  window: PoolAttrs,
): NormPoolResult {
  if (hasKernel(KERNELS.normPool) && fits(x)) {
    const [y, indices, mean, variance] = runKernelMany(
      KERNELS.normPool,
      { x, gamma, beta },
      { epsilon, ...window },
    );
    return {
      y: y as tf.Tensor5D,
      indices: indices as tf.Tensor5D,
      mean: mean as tf.Tensor1D,
      variance: variance as tf.Tensor1D,
    };
  }
  const { y: normal, mean, variance } = batchNormTrain(x, gamma, beta, undefined, { epsilon, relu: true });
  const { y, indices } = maxPool3d(normal, window);
  normal.dispose();
  return { y, indices, mean, variance };
}

/** Gradient of {@link normPool}. */
export function normPoolGradient(
  dy: tf.Tensor5D,
  x: tf.Tensor5D,
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  { indices, mean, variance }: Omit<NormPoolResult, 'y'>,
  options: PoolAttrs & Overwriting & { readonly epsilon: number },
): NormGradient {
  if (hasKernel(KERNELS.normPoolGradient) && fits(x)) {
    const inputs = { dy, x, indices, gamma, mean, variance };
    const [dx, dgamma, dbeta] = runKernelMany(KERNELS.normPoolGradient, inputs, options);
    return { dx: dx as tf.Tensor5D, dgamma: dgamma as tf.Tensor1D, dbeta: dbeta as tf.Tensor1D };
  }
  const { epsilon, ...window } = options;
  const norm = { epsilon, relu: true };
  const again = batchNormTrain(x, gamma, beta, undefined, norm);
  const spread = maxPool3dGradient(dy, indices, x.shape as Shape5, window);
  const gradient = batchNormTrainGradient(
    spread,
    x,
    again.y,
    gamma,
    beta,
    { mean, variance },
    { ...norm, residual: false },
  );
  tf.dispose([again.y, again.mean, again.variance, spread]);
  return gradient;
}

/** {@link normPool} with running statistics folded into scale and shift, for evaluation. */
export function scaleShiftPool(
  x: tf.Tensor5D,
  scale: tf.Tensor1D,
  shift: tf.Tensor1D,
  window: PoolAttrs,
): tf.Tensor5D {
  if (hasKernel(KERNELS.scaleShiftPool) && fits(x))
    return runKernel(KERNELS.scaleShiftPool, { x, scale, shift }, window);
  const normal = scaleShift(x, scale, shift, undefined, true);
  const { y, indices } = maxPool3d(normal, window);
  tf.dispose([normal, indices]);
  return y;
}
