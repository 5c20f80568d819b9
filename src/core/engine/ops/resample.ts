import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../../errors';
import { KERNELS, outputSize, type Shape5, type Triple } from './kernels';
import type { PoolAttrs } from './pool';
import { hasKernel, runKernel } from './run-kernel';
import { averageTaps, denseMatrix, linearTaps, transposed, type AxisTaps, type Taps3 } from './taps';

/**
 * Trilinear resizing between cell centres, as PyTorch's `interpolate(mode="trilinear", align_corners=False)`.
 * @param x [N, D, H, W, C] -> [N, ...size, C]
 */
export function resizeTrilinear(x: tf.Tensor5D, size: Triple): tf.Tensor5D {
  if (Math.min(...size) < 1)
    throw new InputError(`A grid cannot be resized to ${size.join(' x ')}: every side must be 1 or more.`);
  return resample(x, resizeTaps(x.shape, size));
}

/** Gradient of {@link resizeTrilinear}: dy [N, ...size, C] -> [N, D, H, W, C] of `inputShape`. */
export function resizeTrilinearGradient(dy: tf.Tensor5D, inputShape: Shape5): tf.Tensor5D {
  const size: Triple = [dy.shape[1], dy.shape[2], dy.shape[3]];
  return resample(dy, backwards(resizeTaps(inputShape, size)));
}

/** Average pooling; padding counts as zeros, as PyTorch's default has it. x [N, D, H, W, C]. */
export function averagePool3d(x: tf.Tensor5D, attrs: PoolAttrs): tf.Tensor5D {
  return resample(x, poolTaps(x.shape, attrs));
}

/** Gradient of {@link averagePool3d}. */
export function averagePool3dGradient(dy: tf.Tensor5D, attrs: PoolAttrs, inputShape: Shape5): tf.Tensor5D {
  return resample(dy, backwards(poolTaps(inputShape, attrs)));
}

function resizeTaps(shape: readonly number[], size: Triple): Taps3 {
  const taps = (a: number) => linearTaps(shape[a + 1], size[a]);
  return [taps(0), taps(1), taps(2)];
}

function poolTaps(shape: readonly number[], { size, stride, padding }: PoolAttrs): Taps3 {
  const taps = (a: number) => {
    const outputs = outputSize(shape[a + 1], size[a], stride[a], padding[a]);
    if (outputs < 1)
      throw new InputError(
        `A grid of ${shape.slice(1, 4).join(' x ')} is too small for pooling over ${size.join(' x ')}.`,
      );
    return averageTaps(shape[a + 1], outputs, size[a], stride[a], padding[a]);
  };
  return [taps(0), taps(1), taps(2)];
}

function backwards([d, h, w]: Taps3): Taps3 {
  return [transposed(d), transposed(h), transposed(w)];
}

/** A sparse linear map along each of the three axes. */
function resample(x: tf.Tensor5D, taps: Taps3): tf.Tensor5D {
  if (hasKernel(KERNELS.resample)) return runKernel(KERNELS.resample, { x }, { taps });
  return tf.tidy(() =>
    taps.reduce<tf.Tensor5D>((y, axis, a) => (isIdentity(axis) ? y : alongAxis(y, axis, a + 1)), tf.clone(x)),
  );
}

function isIdentity({ inputs, outputs, from, weights }: AxisTaps): boolean {
  return (
    inputs === outputs &&
    from.length === outputs &&
    from.every((f, o) => f === o) &&
    weights.every((w) => w === 1)
  );
}

/** The map as a product with its dense matrix, the axis moved to the end and back. */
function alongAxis(x: tf.Tensor5D, taps: AxisTaps, axis: number): tf.Tensor5D {
  const matrix = tf.tensor2d(denseMatrix(taps), [taps.outputs, taps.inputs]);
  const others = [0, 1, 2, 3, 4].filter((a) => a !== axis);
  const flat = tf.reshape(tf.transpose(x, [...others, axis]), [-1, taps.inputs]);
  const mapped = tf.matMul(flat as tf.Tensor2D, matrix, false, true);
  const shaped = tf.reshape(mapped, [...others.map((a) => x.shape[a]), taps.outputs]);
  const back = [0, 1, 2, 3, 4].map((a) => (a === axis ? 4 : others.indexOf(a)));
  return tf.transpose(shaped, back) as tf.Tensor5D;
}
