import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { GpuBackend, GpuProgram } from '../backend';
import { chooseGemm, problemKey, type GemmProblem, type GemmTile } from './gemm-choice';
import type { AxisClass, Gather } from './gather-classes';
import { gatherProductText, type GatherVariant } from './gather-product-text';
import { inParts } from './partial-sums';
import { kernelSettings } from './settings';
import { laidOut } from './shader-text';
import { words } from './uniform-values';

type Data = TensorInfo | GPUBuffer;

/** Tensors of a convolution by gathering: [samples, ...size, channels] and taps [..., channels, columns]. */
export interface GatherProduct {
  readonly gather: Gather;
  readonly samples: number;
  readonly size: readonly number[];
  readonly channels: number;
  readonly resultSize: readonly number[];
  readonly columns: number;
  readonly kernel: readonly number[];
}

/** Fewer channels than a step of depth are summed together with the taps: else most of a step would be zeros. */
const BY_TAP_FROM = 8;

/** One class, those of stride 2, or all there are: few texts serve all strides. */
const roomFor = (classes: number) => (classes === 1 ? 1 : Math.max(8, classes));

const CLASS_WORDS = 28;

const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);

const rowsOf = (samples: number, axes: readonly AxisClass[]) => samples * product(axes.map((x) => x.count));

/** Computes `result` from the gathered tensor and a filter. */
export function gatherProduct(
  backend: GpuBackend,
  conv: GatherProduct,
  gathered: Data,
  filter: Data,
  result: TensorInfo,
): void {
  const { gather, samples, channels, columns } = conv;
  const rows = gather.classes.reduce((sum, axes) => sum + rowsOf(samples, axes), 0);
  const longest = Math.max(...gather.classes.map((axes) => product(axes.map((x) => x.taps)) * channels));
  const problem: GemmProblem = { kind: 'gather', rows, columns, depth: longest, count: 1 };
  const { choices } = kernelSettings(backend);
  const { tile, parts } = choices.get(problemKey(problem)) ?? chooseGemm(problem);
  const program = programOf(backend, conv, tile);
  inParts(backend, result, parts, (into) => {
    const { groups, sizes } = sizesOf(conv, tile, program.variant.byTap, parts, product(result.shape));
    backend.dispatch(program, [gathered, filter, into], laidOut(groups), sizes);
  });
}

function programOf(
  backend: GpuBackend,
  { gather, channels, columns }: GatherProduct,
  tile: GemmTile,
): GpuProgram & { readonly variant: GatherVariant } {
  const variant: GatherVariant = {
    tile,
    byTap: channels % 4 === 0 && channels >= BY_TAP_FROM,
    vectorColumns: columns % 4 === 0,
    classes: roomFor(gather.classes.length),
    precision: kernelSettings(backend).precision,
  };
  return {
    key: `gather-product ${JSON.stringify(variant)}`,
    wgsl: () => gatherProductText(variant),
    variant,
  };
}

function sizesOf(
  conv: GatherProduct,
  tile: GemmTile,
  byTap: boolean,
  parts: number,
  resultLength: number,
  batch: { readonly count: number; readonly apart: readonly number[] } = {
    count: parts,
    apart: [0, 0, resultLength],
  },
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
