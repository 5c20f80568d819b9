import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { GpuBackend, GpuProgram } from '../backend';
import type { GatherProduct } from './conv-problem';
import type { AxisClass } from './gather-classes';
import { gatherProductText, type GatherVariant } from './gather-product-text';
import type { Block, GemmProblem } from './gemm-choice';
import { withHalves } from './half-copy';
import { inParts } from './partial-sums';
import { multiplierOf, type ProductChoice } from './product-choice';
import { kernelSettings } from './settings';
import { laidOut } from './shader-text';
import { words } from './uniform-values';

type Data = TensorInfo | GPUBuffer;

/** Fewer channels than these are summed together with the taps: else most of a step would be zeros. */
const byTapFrom = (depth: number) => Math.max(8, depth / 2);

/** One class, those of stride 2, or all there are: few texts serve all strides. */
const roomFor = (classes: number) => (classes === 1 ? 1 : Math.max(8, classes));

const CLASS_WORDS = 28;

const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);

const rowsOf = (samples: number, axes: readonly AxisClass[]) => samples * product(axes.map((x) => x.count));

/** Computes `result` from the gathered tensor and a filter. */
export function gatherProduct(
  backend: GpuBackend,
  conv: GatherProduct,
  choice: ProductChoice,
  gathered: Data,
  filter: Data,
  result: TensorInfo,
): void {
  const { program, tile, byTap } = programOf(backend, conv, choice);
  const work = (from: Data, by: Data) =>
    inParts(backend, result, choice.parts, (into) => {
      const { groups, sizes } = sizesOf(conv, tile, byTap, choice.parts, {
        count: choice.parts,
        apart: [0, 0, product(result.shape)],
      });
      backend.dispatch(program, [from, by, into], laidOut(groups), sizes);
    });
  if (choice.way !== 'matrix-halves') return work(gathered, filter);
  const { samples, size, channels, columns, kernel } = conv;
  withHalves(backend, gathered, samples * product(size) * channels, (from) =>
    withHalves(backend, filter, product(kernel) * channels * columns, (by) => work(from, by)),
  );
}

/** Products [count, rows, depth] times [count, depth, columns], one by one. */
export function batchedProduct(
  backend: GpuBackend,
  choice: ProductChoice,
  { rows, depth, columns, count }: Omit<GemmProblem, 'kind'>,
  left: Data,
  right: Data,
  result: Data,
): void {
  const conv: GatherProduct = {
    gather: { step: ONE, scale: ONE, classes: [[ONE_ROW, ONE_ROW, ONE_ROW]] },
    samples: rows,
    size: ONE,
    channels: depth,
    resultSize: ONE,
    columns,
    kernel: ONE,
  };
  const { program, tile, byTap } = programOf(backend, conv, choice);
  const apart = [rows * depth, depth * columns, rows * columns];
  const { groups, sizes } = sizesOf(conv, tile, byTap, 1, { count, apart });
  backend.dispatch(program, [left, right, result], laidOut(groups), sizes);
}

const ONE = [1, 1, 1] as const;
const ONE_ROW: AxisClass = {
  start: 0,
  count: 1,
  origin: 0,
  taps: 1,
  firstTap: 0,
  tapIncrement: 1,
  tapStep: 1,
};

function programOf(
  backend: GpuBackend,
  { gather, channels, columns }: GatherProduct,
  choice: ProductChoice,
): { program: GpuProgram; tile: Block; byTap: boolean } {
  const { key, product: tile } = multiplierOf(kernelSettings(backend), choice, 'rows');
  const variant: GatherVariant = {
    byTap: channels % 4 === 0 && channels >= byTapFrom(tile.depth),
    vectorColumns: columns % 4 === 0,
    classes: roomFor(gather.classes.length),
    operands: choice.way === 'matrix-halves' ? 'f16' : 'f32',
  };
  const program: GpuProgram = {
    key: `gather-product ${key} ${JSON.stringify(variant)}`,
    wgsl: () => gatherProductText(variant, tile),
  };
  return { program, tile, byTap: variant.byTap };
}

function sizesOf(
  conv: GatherProduct,
  tile: Block,
  byTap: boolean,
  parts: number,
  /** Products, or parts of one, and elements from one to the next of the left side, the right one and the result. */
  batch: { readonly count: number; readonly apart: readonly number[] },
): { groups: number; sizes: ArrayBuffer } {
  const { gather, samples, channels } = conv;
  const columnTiles = Math.ceil(conv.columns / tile.columns);
  let rowTiles = 0;
  const classes = gather.classes.flatMap((axes) => {
    const firstTile = rowTiles;
    const rows = rowsOf(samples, axes);
    rowTiles += Math.ceil(rows / tile.rows);
    const taps = product(axes.map((x) => x.taps));
    const steps = byTap ? taps * Math.ceil(channels / tile.depth) : Math.ceil((taps * channels) / tile.depth);
    const triple = (of: keyof AxisClass) => axes.map((x) => x[of]);
    return [
      ...[...triple('count'), firstTile],
      ...[...triple('start'), rows],
      ...[...triple('origin'), steps],
      ...[...triple('taps'), Math.ceil(steps / parts)],
      ...[...triple('firstTap'), 0],
      ...[...triple('tapIncrement'), 0],
      ...[...triple('tapStep'), 0],
    ];
  });
  const groups = columnTiles * rowTiles * batch.count;
  const sizes = words(
    ...[...conv.size, channels],
    ...[...conv.resultSize, conv.columns],
    ...[...gather.step, columnTiles],
    ...[...gather.scale, rowTiles],
    ...[...conv.kernel, groups],
    ...[...batch.apart, parts],
    ...[gather.classes.length, 0, 0, 0],
    ...classes,
    ...new Array<number>(CLASS_WORDS * (roomFor(gather.classes.length) - gather.classes.length)).fill(0),
  );
  return { groups, sizes };
}
