import * as tf from '@tensorflow/tfjs-core';
import { KERNELS, type Shape5, type Triple } from './kernels';
import { asRows, everyNth, spreadAxis } from './merged-axes';
import { hasKernel, runKernel } from './run-kernel';

/**
 * Shortcut A of He et al. 2015: every stride-th voxel, zero channels appended up to `channels`. No parameters.
 * @param x [N, D, H, W, C] -> [N, ceil(D/sd), ceil(H/sh), ceil(W/sw), channels]
 */
export function subsamplePad(x: tf.Tensor5D, stride: Triple, channels: number): tf.Tensor5D {
  if (hasKernel(KERNELS.subsamplePad)) return runKernel(KERNELS.subsamplePad, { x }, { stride, channels });
  return tf.tidy(() => {
    const [n, d, h, w, c] = x.shape;
    const size: Triple = [Math.ceil(d / stride[0]), Math.ceil(h / stride[1]), Math.ceil(w / stride[2])];
    const kept = everyNth(x, [0, 0, 0], stride, size);
    if (channels === c) return tf.clone(kept);
    const padded = tf.pad(asRows(kept), [
      [0, 0],
      [0, channels - c],
    ]);
    return tf.reshape(padded, [n, ...size, channels]) as tf.Tensor5D;
  });
}

/** Gradient of {@link subsamplePad}: dy's first channels back at the voxels that were kept, zero elsewhere. */
export function subsamplePadGradient(dy: tf.Tensor5D, stride: Triple, inputShape: Shape5): tf.Tensor5D {
  if (hasKernel(KERNELS.subsamplePadGradient))
    return runKernel(KERNELS.subsamplePadGradient, { dy }, { stride, inputShape });
  return tf.tidy(() => {
    const [n, d, h, w] = dy.shape;
    const rows = tf.slice(asRows(dy), [0, 0], [n * d * h * w, inputShape[4]]);
    let dx: tf.Tensor5D = tf.reshape(rows, [n, d, h, w, inputShape[4]]);
    for (const a of [0, 1, 2]) dx = spreadAxis(dx, a + 1, stride[a], inputShape[a + 1]);
    return tf.clone(dx);
  });
}
