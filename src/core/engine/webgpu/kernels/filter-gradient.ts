import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { ConvGeometry } from '../../wasm/conv-geometry';
import type { GpuBackend, GpuProgram } from '../backend';
import type { GemmProblem } from './gemm-choice';
import { problemOf } from './conv-problem';
import { filterGradientText, type FilterGradientVariant } from './filter-gradient-text';
import { withHalves } from './half-copy';
import { sizeOf } from './implementation';
import { inParts } from './partial-sums';
import { multiplierOf, type ProductChoice } from './product-choice';
import { kernelSettings } from './settings';
import { laidOut } from './shader-text';
import { words } from './uniform-values';

type Data = TensorInfo | GPUBuffer;

/** The gradient of a filter from x and dy, as one matrix product over positions. In half precision x may lie in it. */
export function filterGradient(
  backend: GpuBackend,
  g: ConvGeometry,
  choice: ProductChoice,
  x: TensorInfo,
  dy: TensorInfo,
  dfilter: TensorInfo,
): void {
  const work = (from: Data, by: Data) =>
    inParts(backend, dfilter, choice.parts, (into) =>
      dispatch(backend, g, choice, from, by, into, { count: 1, apart: [0, 0, 0], resultStart: 0 }),
    );
  if (choice.way !== 'matrix-halves') return work(x, dy);
  withHalves(backend, x, sizeOf(x), (from) => withHalves(backend, dy, sizeOf(dy), (by) => work(from, by)));
}

/** Products of [count, depth, rows], transposed, and [count, depth, columns], from element `from` of `sums` on. */
export function batchedGradient(
  backend: GpuBackend,
  choice: ProductChoice,
  { rows, depth, columns, count }: Omit<GemmProblem, 'kind'>,
  left: Data,
  right: Data,
  { sums, from }: { readonly sums: Data; readonly from: number },
): void {
  const g: ConvGeometry = {
    batch: depth,
    input: [1, 1, 1],
    inChannels: rows,
    output: [1, 1, 1],
    outChannels: columns,
    kernel: [1, 1, 1],
    stride: [1, 1, 1],
    padding: [0, 0, 0],
    dilation: [1, 1, 1],
  };
  const apart = [depth * rows, depth * columns, 0];
  dispatch(backend, g, choice, left, right, sums, { count, apart, resultStart: from });
}

function dispatch(
  backend: GpuBackend,
  g: ConvGeometry,
  choice: ProductChoice,
  x: Data,
  dy: Data,
  into: Data,
  batch: { readonly count: number; readonly apart: readonly number[]; readonly resultStart: number },
): void {
  const problem = problemOf('dfilter', g);
  const { parts } = choice;
  const xInHalves = 'dataId' in x && backend.inHalves(x);
  const { key, product: tile } = multiplierOf(kernelSettings(backend), choice, 'depth');
  const variant: FilterGradientVariant = {
    vectorRows: g.inChannels % 4 === 0,
    vectorColumns: g.outChannels % 4 === 0,
    operands: choice.way === 'matrix-halves' ? 'f16' : 'f32',
    ...(xInHalves && { left: 'f16' }),
  };
  const program: GpuProgram = {
    readsHalves: xInHalves,
    key: `filter-gradient ${key} ${JSON.stringify(variant)}`,
    wgsl: () => filterGradientText(variant, tile),
  };
  const columnTiles = Math.ceil(problem.columns / tile.columns);
  const rowTiles = Math.ceil(problem.rows / tile.rows);
  const groups = columnTiles * rowTiles * parts * batch.count;
  const sizes = words(
    ...[...g.input, g.inChannels],
    ...[...g.output, g.outChannels],
    ...[...g.stride, columnTiles],
    ...[...g.padding, rowTiles],
    ...[...g.dilation, groups],
    ...[...g.kernel, problem.depth],
    ...[problem.rows, Math.ceil(problem.depth / parts), parts, batch.resultStart],
    ...[...batch.apart, batch.count],
  );
  backend.dispatch(program, [x, dy, into], laidOut(groups), sizes);
}
