import type * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../../errors';
import { conv3d, conv3dFilterGradient, conv3dInputGradient } from './conv3d';
import type { ConvAttrs, Shape5, Triple } from './kernels';

/** Geometry of a transposed convolution, in PyTorch's terms. */
export interface ConvTransposeAttrs extends ConvAttrs {
  /** Added to the far side of the output: tells apart the sizes that one stride leads to the same input. */
  readonly outputPadding: Triple;
}

/**
 * Transposed convolution as PyTorch's `conv_transpose3d` defines it: the input gradient of the convolution with the same
 * filter, stride, padding and dilation. No bias.
 * @param x [N, D, H, W, Ci]
 * @param filter [kd, kh, kw, Co, Ci] (PyTorch's [Ci, Co, kd, kh, kw] taken as OIDHW and turned to DHWIO)
 * @returns [N, (D - 1) * stride - 2 * padding + dilation * (kd - 1) + outputPadding + 1, ..., Co]
 */
export function convTranspose3d(x: tf.Tensor5D, filter: tf.Tensor5D, attrs: ConvTransposeAttrs): tf.Tensor5D {
  if (x.shape[4] !== filter.shape[4])
    throw new InputError(
      `A transposed convolution got ${x.shape[4]} input channels, but its filter expects ${filter.shape[4]} (filter shape ${filter.shape.join(' x ')}).`,
    );
  return conv3dInputGradient(x, filter, convOf(attrs), convTransposeShape(x.shape, filter.shape, attrs));
}

/** Gradients of {@link convTranspose3d} with respect to x and to the filter. */
export function convTranspose3dGradient(
  dy: tf.Tensor5D,
  x: tf.Tensor5D,
  filter: tf.Tensor5D,
  attrs: ConvTransposeAttrs,
): { readonly dx: tf.Tensor5D; readonly dfilter: tf.Tensor5D } {
  const conv = convOf(attrs);
  return {
    dx: conv3d(dy, filter, conv),
    dfilter: conv3dFilterGradient(dy, x, conv, filter.shape as Shape5),
  };
}

/** Shape of a transposed convolution's output. @throws InputError where there is no such size */
export function convTransposeShape(
  x: readonly number[],
  filter: readonly number[],
  { stride, padding, dilation, outputPadding }: ConvTransposeAttrs,
): Shape5 {
  const size = (a: number) => {
    if (outputPadding[a] >= stride[a] && outputPadding[a] >= dilation[a] && outputPadding[a] > 0)
      throw new InputError(
        `The output padding of a transposed convolution (${outputPadding.join(', ')}) must be smaller than its stride (${stride.join(', ')}) or its dilation (${dilation.join(', ')}).`,
      );
    return (x[a + 1] - 1) * stride[a] - 2 * padding[a] + dilation[a] * (filter[a] - 1) + outputPadding[a] + 1;
  };
  const shape: Shape5 = [x[0], size(0), size(1), size(2), filter[3]];
  if (Math.min(...shape) < 1)
    throw new InputError(
      `A transposed convolution of a grid of ${x.slice(1, 4).join(' x ')} with padding ${padding.join(', ')} leaves nothing.`,
    );
  return shape;
}

function convOf({ stride, padding, dilation }: ConvTransposeAttrs): ConvAttrs {
  return { stride, padding, dilation };
}
