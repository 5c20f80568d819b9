import * as tf from '@tensorflow/tfjs-core';
import { KERNELS, type Shape5, type Triple } from './kernels';
import { hasKernel, runKernel } from './run-kernel';

/**
 * Shortcut A of He et al. 2015: every stride-th voxel, zero channels appended up to `channels`. No parameters.
 * @param x [N, D, H, W, C] -> [N, ceil(D/sd), ceil(H/sh), ceil(W/sw), channels]
 */
export function subsamplePad(x: tf.Tensor5D, stride: Triple, channels: number): tf.Tensor5D {
  if (hasKernel(KERNELS.subsamplePad)) return runKernel(KERNELS.subsamplePad, { x }, { stride, channels });
  return tf.tidy(() => {
    const every = tf.stridedSlice(x, [0, 0, 0, 0, 0], x.shape, [1, ...stride, 1]) as tf.Tensor5D;
    const missing = channels - x.shape[4];
    if (missing === 0) return every;
    return tf.pad(every, [
      [0, 0],
      [0, 0],
      [0, 0],
      [0, 0],
      [0, missing],
    ]);
  });
}

/** Gradient of {@link subsamplePad}: dy's first channels back at the voxels that were kept, zero elsewhere. */
export function subsamplePadGradient(dy: tf.Tensor5D, stride: Triple, inputShape: Shape5): tf.Tensor5D {
  if (hasKernel(KERNELS.subsamplePadGradient))
    return runKernel(KERNELS.subsamplePadGradient, { dy }, { stride, inputShape });
  return tf.tidy(() => {
    const kept = tf.slice(dy, [0, 0, 0, 0, 0], [...dy.shape.slice(0, 4), inputShape[4]]);
    return spread(
      spread(spread(kept, 1, stride[0], inputShape[1]), 2, stride[1], inputShape[2]),
      3,
      stride[2],
      inputShape[3],
    ) as tf.Tensor5D;
  });
}

/** Puts stride - 1 zeros behind every element of an axis and cuts the axis to `size`. */
function spread(x: tf.Tensor, axis: number, stride: number, size: number): tf.Tensor {
  if (stride === 1) return x;
  const shape = x.shape;
  const gaps = tf.zeros([...shape.slice(0, axis + 1), stride - 1, ...shape.slice(axis + 1)]);
  const interleaved = tf.concat([tf.expandDims(x, axis + 1), gaps], axis + 1);
  const merged = tf.reshape(interleaved, [
    ...shape.slice(0, axis),
    shape[axis] * stride,
    ...shape.slice(axis + 1),
  ]);
  const end = merged.shape.slice();
  end[axis] = size;
  return tf.slice(merged, new Array<number>(shape.length).fill(0), end);
}
