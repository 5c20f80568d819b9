import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import { InputError } from '../../errors';
import { addInto } from './add-into';
import { KERNELS, convOutputShape, type ConvAttrs, type Shape5 } from './kernels';
import { cutGrid, fromLattices, padGrid, toLattices } from './merged-axes';
import { hasKernel, runKernel, runKernelMany } from './run-kernel';

/**
 * 3D convolution as PyTorch defines it: cross-correlation, symmetric zero padding, any stride and dilation, no bias.
 * @param x [N, D, H, W, Ci]
 * @param filter [kd, kh, kw, Ci, Co]
 * @returns [N, OD, OH, OW, Co]
 */
export function conv3d(x: tf.Tensor5D, filter: tf.Tensor5D, attrs: ConvAttrs): tf.Tensor5D {
  if (x.shape[4] !== filter.shape[3])
    throw new InputError(
      `A convolution got ${x.shape[4]} input channels, but its filter expects ${filter.shape[3]} (filter shape ${filter.shape.join(' x ')}).`,
    );
  const out = convOutputShape(x.shape, filter.shape, attrs);
  if (Math.min(...out) < 1)
    throw new InputError(
      `A grid of ${x.shape.slice(1, 4).join(' x ')} is too small for a ${filter.shape.slice(0, 3).join(' x ')} convolution with stride ${attrs.stride.join(', ')}.`,
    );
  if (hasKernel(KERNELS.conv3d)) return runKernel(KERNELS.conv3d, { x, filter }, attrs);
  return composedConv3d(x, filter, attrs);
}

/** Gradient of {@link conv3d} with respect to x. `dy` [N, OD, OH, OW, Co] -> [N, D, H, W, Ci]. */
export function conv3dInputGradient(
  dy: tf.Tensor5D,
  filter: tf.Tensor5D,
  attrs: ConvAttrs,
  inputShape: Shape5,
): tf.Tensor5D {
  if (hasKernel(KERNELS.conv3dInputGradient))
    return runKernel(KERNELS.conv3dInputGradient, { dy, filter }, { ...attrs, inputShape });
  return tf.tidy(() => {
    // The convolution is linear in x: its gradient is the same at any x, so zeros serve.
    const pull = tf.grad((x) => composedConv3d(x as tf.Tensor5D, filter, attrs));
    return pull(tf.zeros(inputShape as [number, number, number, number, number]), dy) as tf.Tensor5D;
  });
}

/**
 * {@link conv3dInputGradient} added to `sum`, which is given away: in its memory where the engine can, else new. Use the
 * returned tensor.
 */
export function addConv3dInputGradient(
  sum: tf.Tensor5D,
  dy: tf.Tensor5D,
  filter: tf.Tensor5D,
  attrs: ConvAttrs,
): tf.Tensor5D {
  // Not asked by hasKernel: an engine that adds afterwards has kernels for both.
  if (!tf.getKernel(KERNELS.conv3dInputGradientInto, tf.getBackend()))
    return addInto(sum, conv3dInputGradient(dy, filter, attrs, sum.shape));
  runKernelMany(KERNELS.conv3dInputGradientInto, { sum, dy, filter }, attrs);
  return sum;
}

/** Gradient of {@link conv3d} with respect to the filter: sum over batch and positions. */
export function conv3dFilterGradient(
  x: tf.Tensor5D,
  dy: tf.Tensor5D,
  attrs: ConvAttrs,
  filterShape: Shape5,
): tf.Tensor5D {
  if (hasKernel(KERNELS.conv3dFilterGradient))
    return runKernel(KERNELS.conv3dFilterGradient, { x, dy }, { ...attrs, filterShape });
  return tf.tidy(() => {
    const pull = tf.grad((filter) => composedConv3d(x, filter as tf.Tensor5D, attrs));
    return pull(tf.zeros(filterShape as [number, number, number, number, number]), dy) as tf.Tensor5D;
  });
}

/**
 * The same convolution from tfjs-core operations that have gradients on every backend: explicit padding, then 'valid';
 * a dilation becomes a convolution over the sub-lattices (tfjs-core's conv3d has no gradient when dilated).
 */
function composedConv3d(x: tf.Tensor5D, filter: tf.Tensor5D, attrs: ConvAttrs): tf.Tensor5D {
  return tf.tidy(() => {
    const { stride, padding, dilation } = attrs;
    const dilated = Math.max(...dilation) > 1;
    if (dilated && Math.max(...stride) > 1)
      throw new InputError('This engine has no convolution that is strided and dilated at once.');
    if (!dilated) {
      const padded = padGrid(
        x,
        padding.map((p) => [p, p] as const),
      );
      return tf.conv3d(padded, filter, [...stride], 'valid');
    }
    const [, ...out] = convOutputShape(x.shape, filter.shape, attrs);
    // Pad at the end to a whole number of sub-lattices; what this adds to the output is cut off again.
    const pads = [0, 1, 2].map((a) => {
      const padded = x.shape[a + 1] + 2 * padding[a];
      return [padding[a], padding[a] + ((dilation[a] - (padded % dilation[a])) % dilation[a])] as const;
    });
    const convolved = tf.conv3d(toLattices(padGrid(x, pads), dilation), filter, 1, 'valid');
    return cutGrid(fromLattices(convolved, dilation), [0, 0, 0], [out[0], out[1], out[2]]);
  });
}
