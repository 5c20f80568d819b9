import type * as tf from '@tensorflow/tfjs-core';
import { KERNELS, convOutputShape, type ConvAttrs, type Shape5 } from '../../ops/kernels';
import { geometryOfShapes, type ConvGeometry, type ConvPass } from '../../wasm/conv-geometry';
import type { Precision } from '../../engine';
import type { GpuBackend } from '../backend';
import { isTiled, type ConvChoice } from './conv-choice';
import { gatherOf } from './conv-problem';
import { filterGradient } from './filter-gradient';
import { gatherProduct } from './gather-product';
import { inSingle } from './half-copy';
import type { Implementation } from './implementation';
import { kernelSettings } from './settings';
import { withSwappedFilter } from './swapped-filter';
import { tiledConvolution } from './tiled-convolution';

const shape5 = (x: tf.TensorInfo) => x.shape as unknown as Shape5;

/** What a convolution's pass reads: x and filter for y, dy and filter for dx, x and dy for the filter's gradient. */
export type ConvOperands = readonly [tf.TensorInfo, tf.TensorInfo];

/** Records the commands that compute `result` in the way chosen. */
export function computeConvolution(
  backend: GpuBackend,
  pass: ConvPass,
  g: ConvGeometry,
  choice: ConvChoice,
  [a, b]: ConvOperands,
  result: tf.TensorInfo,
): void {
  if (isTiled(choice)) return tiledConvolution(backend, pass, g, choice, a, b, result);
  if (pass === 'dfilter') return filterGradient(backend, g, choice, a, b, result);
  const conv = gatherOf(pass, g);
  if (pass === 'y') return gatherProduct(backend, conv, choice, a, b, result);
  withSwappedFilter(backend, b, (swapped) => gatherProduct(backend, conv, choice, a, swapped, result));
}

/** Whether x may lie in half precision: for those that read copies in it anyway, and for gradients of filters that multiply in it. */
const readsHalves = (pass: ConvPass, { way }: ConvChoice, precision: Precision): boolean =>
  way === 'matrix-halves' || (pass === 'dfilter' && precision === 'f16');

function planned(
  backend: GpuBackend,
  pass: ConvPass,
  g: ConvGeometry,
  operands: ConvOperands,
  shape: readonly number[],
): tf.TensorInfo {
  const { plan, precision } = kernelSettings(backend);
  const result = backend.output(shape, 'float32');
  const choice = plan.choose({ pass, g, precision });
  const compute = (of: ConvOperands) => computeConvolution(backend, pass, g, choice, of, result);
  if (readsHalves(pass, choice, precision)) compute(operands);
  else inSingle(backend, { a: operands[0], b: operands[1] }, ({ a, b }) => compute([a, b]));
  return result;
}

const conv3d: Implementation = (backend, { x, filter }, attrs) => {
  const conv = attrs as unknown as ConvAttrs;
  const shape = convOutputShape(x.shape, filter.shape, conv);
  const g = geometryOfShapes(x.shape, filter.shape, shape, conv);
  return planned(backend, 'y', g, [x, filter], shape);
};

const conv3dInputGradient: Implementation = (backend, { dy, filter }, attrs) => {
  const { inputShape } = attrs as unknown as { inputShape: Shape5 };
  const g = geometryOfShapes(inputShape, filter.shape, shape5(dy), attrs as unknown as ConvAttrs);
  return planned(backend, 'dx', g, [dy, filter], inputShape);
};

const conv3dFilterGradient: Implementation = (backend, { x, dy }, attrs) => {
  const { filterShape } = attrs as unknown as { filterShape: Shape5 };
  const g = geometryOfShapes(x.shape, filterShape, shape5(dy), attrs as unknown as ConvAttrs);
  return planned(backend, 'dfilter', g, [x, dy], filterShape);
};

export const convolutionKernels: Readonly<Record<string, Implementation>> = {
  [KERNELS.conv3d]: conv3d,
  [KERNELS.conv3dInputGradient]: conv3dInputGradient,
  [KERNELS.conv3dFilterGradient]: conv3dFilterGradient,
};
