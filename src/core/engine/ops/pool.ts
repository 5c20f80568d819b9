import * as tf from '@tensorflow/tfjs-core';
import { KERNELS, outputSize, type Shape5, type Triple } from './kernels';
import { everyNth, padGrid } from './merged-axes';
import { hasKernel, runKernel, runKernelMany } from './run-kernel';

export interface PoolAttrs {
  readonly size: Triple;
  readonly stride: Triple;
  readonly padding: Triple;
}

/** Stands for -infinity in padding: finite, so that no gradient turns into NaN. */
const LOWEST = -3.4e38;

/**
 * Max pooling with PyTorch's padding (-infinity) and tie rule (the first maximum in d, h, w order).
 * @param x [N, D, H, W, C]
 * @returns y and, for the gradient, the flat spatial position of each maximum, int32, shaped like y
 */
export function maxPool3d(x: tf.Tensor5D, attrs: PoolAttrs): { y: tf.Tensor5D; indices: tf.Tensor5D } {
  if (hasKernel(KERNELS.maxPool3d)) {
    const [y, indices] = runKernelMany(KERNELS.maxPool3d, { x }, attrs);
    return { y: y as tf.Tensor5D, indices: indices as tf.Tensor5D };
  }
  return tf.tidy(() => composedMaxPool(x, attrs));
}

/** Gradient of {@link maxPool3d}: each dy goes to the voxel that was the maximum of its window. */
export function maxPool3dGradient(
  dy: tf.Tensor5D,
  indices: tf.Tensor5D,
  inputShape: Shape5,
  attrs: PoolAttrs,
): tf.Tensor5D {
  if (hasKernel(KERNELS.maxPool3dGradient))
    return runKernel(KERNELS.maxPool3dGradient, { dy, indices }, { ...attrs, inputShape });
  return tf.tidy(() => {
    const [n, d, h, w, c] = inputShape;
    const from = dy.size / (n * c);
    // Scatter over flat [n, position, c] addresses; overlapping windows add up.
    // In whole numbers throughout: single precision counts to 2^24 only, and a stem has more voxels.
    const volume = tf.scalar(d * h * w * c, 'int32');
    const sample = tf.reshape(tf.mul(tf.range(0, n, 1, 'int32'), volume), [n, 1, 1]);
    const channel = tf.reshape(tf.range(0, c, 1, 'int32'), [1, 1, c]);
    const position = tf.mul(tf.reshape(indices, [n, from, c]), tf.scalar(c, 'int32'));
    const address = tf.reshape(tf.cast(tf.add(position, tf.add(sample, channel)), 'int32'), [-1, 1]);
    const spread = tf.scatterND(address as tf.Tensor2D, tf.reshape(dy, [-1]), [n * d * h * w * c]);
    return tf.reshape(spread, [n, d, h, w, c]);
  });
}

/** Mean over positions, [N, D, H, W, C] -> [N, C] (adaptive average pooling to 1 x 1 x 1). */
export function globalAveragePool(x: tf.Tensor5D): tf.Tensor2D {
  if (hasKernel(KERNELS.globalAveragePool)) return runKernel(KERNELS.globalAveragePool, { x });
  const [n, d, h, w, c] = x.shape;
  return tf.tidy(() => tf.mean(tf.reshape(x, [n, d * h * w, c]), 1) as tf.Tensor2D);
}

/** Gradient of {@link globalAveragePool}: dy [N, C] spread evenly over the positions. */
export function globalAveragePoolGradient(dy: tf.Tensor2D, inputShape: Shape5): tf.Tensor5D {
  if (hasKernel(KERNELS.globalAveragePoolGradient))
    return runKernel(KERNELS.globalAveragePoolGradient, { dy }, { inputShape });
  return tf.tidy(() => {
    const [n, d, h, w, c] = inputShape;
    const rows = tf.tile(tf.reshape(tf.div(dy, d * h * w), [n, 1, c]), [1, d * h * w, 1]);
    return tf.reshape(rows, [n, d, h, w, c]);
  });
}

/** One window offset at a time: a strictly greater value takes over, so the first maximum stays (PyTorch's rule). */
function composedMaxPool(x: tf.Tensor5D, attrs: PoolAttrs): { y: tf.Tensor5D; indices: tf.Tensor5D } {
  const [n, d, h, w, c] = x.shape;
  const size = [d, h, w];
  const out = size.map((s, a) => outputSize(s, attrs.size[a], attrs.stride[a], attrs.padding[a]));
  const ends = size.map((s, a) =>
    Math.max(0, (out[a] - 1) * attrs.stride[a] + attrs.size[a] - attrs.padding[a] - s),
  );
  const pads = attrs.padding.map((p, a) => [p, ends[a]] as const);
  const padded = padGrid(x, pads, LOWEST);
  const everywhere = tf.tile(tf.reshape(tf.range(0, d * h * w, 1, 'int32'), [1, d * h * w, 1]), [n, 1, c]);
  const positions = padGrid(tf.reshape(everywhere, [n, d, h, w, c]), pads, 0);
  const size3: Triple = [out[0], out[1], out[2]];
  let y: tf.Tensor | undefined;
  let indices: tf.Tensor | undefined;
  for (let a = 0; a < attrs.size[0]; a++)
    for (let b = 0; b < attrs.size[1]; b++)
      for (let e = 0; e < attrs.size[2]; e++) {
        const value = tf.reshape(everyNth(padded, [a, b, e], attrs.stride, size3), [-1]);
        const position = tf.reshape(everyNth(positions, [a, b, e], attrs.stride, size3), [-1]);
        if (!y || !indices) {
          [y, indices] = [value, position];
          continue;
        }
        const greater = tf.greater(value, y);
        y = tf.where(greater, value, y);
        indices = tf.where(greater, position, indices);
      }
  const shape: Shape5 = [n, ...size3, c];
  const result = (flat: tf.Tensor | undefined) => tf.reshape(flat as tf.Tensor, [...shape]) as tf.Tensor5D;
  return { y: result(y), indices: tf.cast(result(indices), 'int32') };
}
