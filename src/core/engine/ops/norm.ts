import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import { KERNELS } from './kernels';
import { asRows } from './merged-axes';
import { hasKernel, runKernel, runKernelMany } from './run-kernel';

/** What an operation may do with its inputs. */
export interface Overwriting {
  /** x (and dy) are not read any more: their memory may be used for the results. */
  readonly overwrite?: boolean;
}

export interface NormOptions {
  readonly epsilon: number;
  /** Rectify the result (after the residual is added). */
  readonly relu: boolean;
}

export interface NormTrainResult {
  readonly y: tf.Tensor5D;
  /** Over batch and positions, [C]; the variance is the biased one that normalises. */
  readonly mean: tf.Tensor1D;
  readonly variance: tf.Tensor1D;
}

/**
 * Batch normalisation with the statistics of this batch, a residual addition and ReLU in one pass:
 * y = act(gamma * (x - mean) / sqrt(variance + epsilon) + beta + residual).
 * @param x [N, D, H, W, C]; `residual` likewise; gamma, beta [C]
 */
export function batchNormTrain(
  x: tf.Tensor5D,
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  residual: tf.Tensor5D | undefined,
  options: NormOptions & Overwriting,
): NormTrainResult {
  if (hasKernel(KERNELS.batchNormTrain)) {
    const [y, mean, variance] = runKernelMany(KERNELS.batchNormTrain, { x, gamma, beta, residual }, options);
    return { y: y as tf.Tensor5D, mean: mean as tf.Tensor1D, variance: variance as tf.Tensor1D };
  }
  return tf.tidy(() => {
    const { mean, variance } = tf.moments(asRows(x), 0);
    const y = composedNormTrain(x, gamma, beta, residual, options);
    return { y, mean: mean as tf.Tensor1D, variance: variance as tf.Tensor1D };
  });
}

export interface NormGradient {
  readonly dx: tf.Tensor5D;
  readonly dgamma: tf.Tensor1D;
  readonly dbeta: tf.Tensor1D;
  readonly dresidual?: tf.Tensor5D;
}

/** Gradient of {@link batchNormTrain}; `y` is its result, needed where `relu` masks. */
export function batchNormTrainGradient(
  dy: tf.Tensor5D,
  x: tf.Tensor5D,
  y: tf.Tensor5D,
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  { mean, variance }: { readonly mean: tf.Tensor1D; readonly variance: tf.Tensor1D },
  options: NormOptions & Overwriting & { readonly residual: boolean },
): NormGradient {
  if (hasKernel(KERNELS.batchNormTrainGradient))
    return unpack(
      runKernelMany(KERNELS.batchNormTrainGradient, { dy, x, y, gamma, beta, mean, variance }, options),
      options.residual,
    );
  const outputs = tf.tidy(() => {
    const masked = options.relu ? maskByPositive(dy, y) : dy;
    const linear = { epsilon: options.epsilon, relu: false };
    const pull = tf.grads((a: tf.Tensor, g: tf.Tensor) =>
      composedNormTrain(
        a as tf.Tensor5D,
        g as tf.Tensor1D,
        tf.zerosLike(g) as tf.Tensor1D,
        undefined,
        linear,
      ),
    );
    const [dx, dgamma] = pull([x, gamma], masked);
    return [dx, dgamma, tf.sum(asRows(masked), 0), ...(options.residual ? [tf.clone(masked)] : [])];
  });
  return unpack(outputs, options.residual);
}

/** y = act(x * scale + shift + residual), channel-wise: batch normalisation with running statistics. */
export function scaleShift(
  x: tf.Tensor5D,
  scale: tf.Tensor1D,
  shift: tf.Tensor1D,
  residual: tf.Tensor5D | undefined,
  relu: boolean,
  { overwrite }: Overwriting = {},
): tf.Tensor5D {
  if (hasKernel(KERNELS.scaleShift))
    return runKernel(KERNELS.scaleShift, { x, scale, shift, residual }, { relu, overwrite });
  return tf.tidy(() => {
    const linear = tf.reshape(tf.add(tf.mul(asRows(x), scale), shift), x.shape);
    const sum = residual ? tf.add(linear, residual) : linear;
    return (relu ? tf.relu(sum) : sum) as tf.Tensor5D;
  });
}

export interface ScaleShiftGradient {
  readonly dx: tf.Tensor5D;
  readonly dscale: tf.Tensor1D;
  readonly dshift: tf.Tensor1D;
  readonly dresidual?: tf.Tensor5D;
}

/** Gradient of {@link scaleShift}. */
export function scaleShiftGradient(
  dy: tf.Tensor5D,
  x: tf.Tensor5D,
  y: tf.Tensor5D,
  scale: tf.Tensor1D,
  options: { readonly relu: boolean; readonly residual: boolean },
): ScaleShiftGradient {
  const outputs = hasKernel(KERNELS.scaleShiftGradient)
    ? runKernelMany(KERNELS.scaleShiftGradient, { dy, x, y, scale }, options)
    : tf.tidy(() => {
        const masked = options.relu ? maskByPositive(dy, y) : dy;
        return [
          tf.reshape(tf.mul(asRows(masked), scale), x.shape),
          tf.sum(asRows(tf.mul(masked, x)), 0),
          tf.sum(asRows(masked), 0),
          ...(options.residual ? [tf.clone(masked)] : []),
        ];
      });
  const { dx, dgamma: dscale, dbeta: dshift, dresidual } = unpack(outputs, options.residual);
  return { dx, dscale, dshift, dresidual };
}

function composedNormTrain(
  x: tf.Tensor5D,
  gamma: tf.Tensor1D,
  beta: tf.Tensor1D,
  residual: tf.Tensor5D | undefined,
  options: NormOptions,
): tf.Tensor5D {
  return tf.tidy(() => {
    const rows = asRows(x);
    const { mean, variance } = tf.moments(rows, 0);
    const normal = tf.mul(tf.sub(rows, mean), tf.rsqrt(tf.add(variance, options.epsilon)));
    const linear = tf.reshape(tf.add(tf.mul(normal, gamma), beta), x.shape);
    const sum = residual ? tf.add(linear, residual) : linear;
    return (options.relu ? tf.relu(sum) : sum) as tf.Tensor5D;
  });
}

function maskByPositive(dy: tf.Tensor5D, y: tf.Tensor5D): tf.Tensor5D {
  return tf.reshape(tf.mul(asRows(dy), tf.cast(tf.greater(asRows(y), 0), 'float32')), dy.shape);
}

function unpack(outputs: readonly tf.Tensor[], residual: boolean): NormGradient {
  const [dx, dgamma, dbeta, dresidual] = outputs;
  return {
    dx: dx as tf.Tensor5D,
    dgamma: dgamma as tf.Tensor1D,
    dbeta: dbeta as tf.Tensor1D,
    dresidual: residual ? (dresidual as tf.Tensor5D) : undefined,
  };
}
