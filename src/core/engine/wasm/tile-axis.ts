import { SHORT_CONVOLUTIONS, type ShortConvolution } from './assembly/short-convolutions.mjs';
import type { ConvAxis } from './gather-axis';

/** Results per tile and axis that one may ask for. */
export type TileSize = 2 | 3 | 4;

/** One axis cut into tiles: which short convolution, and which positions each tile reads and makes (-1: none). */
export interface TiledAxis {
  readonly algorithm: ShortConvolution;
  readonly reads: readonly (readonly number[])[];
  readonly makes: readonly (readonly number[])[];
}

function algorithmNamed(name: string): ShortConvolution {
  const found = SHORT_CONVOLUTIONS.find((algorithm) => algorithm.name === name);
  if (!found) throw new Error(`There is no short convolution "${name}".`);
  return found;
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Whether tiles can serve an axis: three taps, with stride 1, or with stride 2 and no dilation. */
export function canTile(axis: ConvAxis): boolean {
  return axis.kernel === 3 && (axis.stride === 1 || (axis.stride === 2 && axis.dilation === 1));
}

/**
 * Cuts an axis into tiles of about `size` results: tiles of every sub-lattice of a dilated axis. A sub-lattice that fits
 * into one tile is taken whole, and what would multiply its padding is left out.
 * @param pass whether the result is y or dx; for the gradient of the filter, what y takes
 */
export function tileAxis(axis: ConvAxis, pass: 'y' | 'dx', size: TileSize): TiledAxis {
  if (axis.stride === 2) return pass === 'y' ? strided(axis, size) : stridedGradient(axis, size);
  const [from, to] = pass === 'y' ? [axis.input, axis.output] : [axis.output, axis.input];
  const { dilation } = axis;
  // dx reads dy with the taps reversed: as y with the padding that is left.
  const padding = pass === 'y' ? axis.padding : 2 * dilation - axis.padding;
  const longest = Math.ceil(to / dilation);
  const whole = longest <= Math.min(size, 3) && from === to && padding === dilation;
  const algorithm = algorithmNamed(whole ? `whole${longest}` : `tile${size}`);
  const starts = range(Math.min(dilation, to)).flatMap((lattice) =>
    range(Math.ceil(Math.ceil((to - lattice) / dilation) / algorithm.outputs)).map(
      (tile) => lattice + tile * algorithm.outputs * dilation,
    ),
  );
  const before = whole ? 0 : padding;
  return {
    algorithm,
    reads: starts.map((start) => positions(algorithm.inputs, start - before, dilation, from)),
    makes: starts.map((start) => positions(algorithm.outputs, start, dilation, to)),
  };
}

function strided(axis: ConvAxis, size: TileSize): TiledAxis {
  const algorithm = algorithmNamed(size === 2 ? 'strided2' : 'strided3');
  const starts = range(Math.ceil(axis.output / algorithm.outputs)).map((tile) => tile * algorithm.outputs);
  return {
    algorithm,
    reads: starts.map((start) => positions(algorithm.inputs, 2 * start - axis.padding, 1, axis.input)),
    makes: starts.map((start) => positions(algorithm.outputs, start, 1, axis.output)),
  };
}

function stridedGradient(axis: ConvAxis, size: TileSize): TiledAxis {
  const algorithm = algorithmNamed(size === 2 ? 'stridedGradient2' : 'stridedGradient3');
  const perTile = algorithm.outputs / 2;
  const first = Math.floor(axis.padding / 2);
  const last = Math.floor((axis.input - 1 + axis.padding) / 2);
  const starts = range(Math.ceil((last - first + 1) / perTile)).map((tile) => first + tile * perTile);
  return {
    algorithm,
    reads: starts.map((start) => positions(algorithm.inputs, start - 1, 1, axis.output)),
    makes: starts.map((start) => positions(algorithm.outputs, 2 * start - axis.padding, 1, axis.input)),
  };
}

function positions(count: number, first: number, step: number, size: number): number[] {
  return range(count)
    .map((i) => first + i * step)
    .map((position) => (position >= 0 && position < size ? position : -1));
}

/** As `TileAxis` of the kernels reads it; positions become byte offsets. */
export function tileTable(axis: TiledAxis, readBytes: number, makeBytes: number): Int32Array {
  const { algorithm, reads, makes } = axis;
  const head = 7;
  const bytes = (rows: TiledAxis['reads'], step: number) =>
    rows.flat().map((position) => (position < 0 ? -1 : position * step));
  return Int32Array.from([
    SHORT_CONVOLUTIONS.indexOf(algorithm),
    algorithm.inputs,
    algorithm.outputs,
    algorithm.products,
    reads.length,
    head,
    head + reads.length * algorithm.inputs,
    ...bytes(reads, readBytes),
    ...bytes(makes, makeBytes),
  ]);
}
