import type * as tf from '@tensorflow/tfjs-core';
import { KERNELS, convOutputShape, type ConvAttrs, type Shape5 } from '../../ops/kernels';
import { geometryOfShapes, type ConvGeometry } from '../../wasm/conv-geometry';
import type { GpuBackend } from '../backend';
import { filterGradientText, type FilterGradientVariant } from './filter-gradient-text';
import { chooseGemm, problemKey, type GemmProblem } from './gemm-choice';
import { backwardGather, forwardGather } from './gather-classes';
import { gatherProduct } from './gather-product';
import type { Implementation } from './implementation';
import { inParts } from './partial-sums';
import { kernelSettings } from './settings';
import { laidOut } from './shader-text';
import { withSwappedFilter } from './swapped-filter';
import { words } from './uniform-values';

const shape5 = (x: tf.TensorInfo) => x.shape as unknown as Shape5;

const conv3d: Implementation = (backend, { x, filter }, attrs) => {
  const conv = attrs as unknown as ConvAttrs;
  const shape = convOutputShape(x.shape, filter.shape, conv);
  const g = geometryOfShapes(x.shape, filter.shape, shape, conv);
  const y = backend.output(shape, 'float32');
  gatherProduct(
    backend,
    {
      gather: forwardGather(g),
      samples: g.batch,
      size: g.input,
      channels: g.inChannels,
      resultSize: g.output,
      columns: g.outChannels,
      kernel: g.kernel,
    },
    x,
    filter,
    y,
  );
  return y;
};

const conv3dInputGradient: Implementation = (backend, { dy, filter }, attrs) => {
  const { inputShape } = attrs as unknown as { inputShape: Shape5 };
  const g = geometryOfShapes(inputShape, filter.shape, shape5(dy), attrs as unknown as ConvAttrs);
  const dx = backend.output(inputShape, 'float32');
  const conv = {
    gather: backwardGather(g),
    samples: g.batch,
    size: g.output,
    channels: g.outChannels,
    resultSize: g.input,
    columns: g.inChannels,
    kernel: g.kernel,
  };
  withSwappedFilter(backend, filter, (swapped) => gatherProduct(backend, conv, dy, swapped, dx));
  return dx;
};

const conv3dFilterGradient: Implementation = (backend, { x, dy }, attrs) => {
  const { filterShape } = attrs as unknown as { filterShape: Shape5 };
  const g = geometryOfShapes(x.shape, filterShape, shape5(dy), attrs as unknown as ConvAttrs);
  const dfilter = backend.output(filterShape, 'float32');
  filterGradient(backend, g, x, dy, dfilter);
  return dfilter;
};

function filterGradient(
  backend: GpuBackend,
  g: ConvGeometry,
  x: tf.TensorInfo,
  dy: tf.TensorInfo,
  dfilter: tf.TensorInfo,
): void {
  const [od, oh, ow] = g.output;
  const [kd, kh, kw] = g.kernel;
  const problem: GemmProblem = {
    kind: 'filter-gradient',
    rows: kd * kh * kw * g.inChannels,
    columns: g.outChannels,
    depth: g.batch * od * oh * ow,
    count: 1,
  };
  const settings = kernelSettings(backend);
  const { tile, parts } = settings.choices.get(problemKey(problem)) ?? chooseGemm(problem);
  const variant: FilterGradientVariant = {
    tile,
    vectorRows: g.inChannels % 4 === 0,
    vectorColumns: g.outChannels % 4 === 0,
    precision: settings.precision,
  };
  const program = {
    key: `filter-gradient ${JSON.stringify(variant)}`,
    wgsl: () => filterGradientText(variant),
  };
  const columnTiles = Math.ceil(problem.columns / tile.columns);
  const rowTiles = Math.ceil(problem.rows / tile.rows);
  const groups = columnTiles * rowTiles * parts;
  inParts(backend, dfilter, parts, (into) =>
    backend.dispatch(
      program,
      [x, dy, into],
      laidOut(groups),
      words(
        ...[...g.input, g.inChannels],
        ...[...g.output, g.outChannels],
        ...[...g.stride, columnTiles],
        ...[...g.padding, rowTiles],
        ...[...g.dilation, groups],
        ...[...g.kernel, problem.depth],
        ...[problem.rows, Math.ceil(problem.depth / parts), 0, 0],
      ),
    ),
  );
}

export const convolutionKernels: Readonly<Record<string, Implementation>> = {
  [KERNELS.conv3d]: conv3d,
  [KERNELS.conv3dInputGradient]: conv3dInputGradient,
  [KERNELS.conv3dFilterGradient]: conv3dFilterGradient,
};
