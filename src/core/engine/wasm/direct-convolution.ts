import type { Triple } from '../ops/kernels';
import { SINK_AT, ZEROS_AT } from './control';
import { axisOf, product, type ConvGeometry, type ConvPass } from './conv-geometry';
import { gatherAxis } from './gather-axis';
import type { Machine } from './machine';

/** Positions per tile of the micro-kernels. */
const TILE = 6;
/** Table of addresses that a thread works through at a time: half of a first-level cache. */
const TABLE_BYTES = 16_384;
/** Beside the table and its width offsets, a thread keeps the positions of a tile and a partial panel's result. */
const THREAD_BYTES = 640;
/** Pieces of work per thread, so that a thread that was held up does not hold up the others. */
const PIECES = 8;
/** Positions of dy that are multiplied with every tap while they are in the cache. */
const BLOCK_POSITIONS = 256;
/** With so few input channels the taps along a row are taken as channels (a scan's modalities). */
const FOLD_CHANNELS = 4;
/** Work that is done before another thread has woken: so many floats to copy, multiply-adds to compute. */
const ALONE = { floats: 65_536, products: 1_000_000 };

/** Whether the taps along a row may be taken as channels: `folded` below. */
export function canFold(pass: ConvPass, g: ConvGeometry): boolean {
  return pass !== 'dx' && g.inChannels <= FOLD_CHANNELS && g.kernel[2] > 1 && g.dilation[2] === 1;
}

/** y from x or dx from dy, tap by tap; `folded`: with the taps along a row as channels. All are addresses. */
export function multiplyTaps(
  machine: Machine,
  pass: 'y' | 'dx',
  g: ConvGeometry,
  folded: boolean,
  source: number,
  filter: number,
  result: number,
): void {
  if (folded)
    withPaddedRows(machine, g, source, (padded) => gather(machine, pass, fold(g), padded, filter, result));
  else gather(machine, pass, g, source, filter, result);
}

/** dfilter from x and dy, tap by tap. */
export function multiplyGradientTaps(
  machine: Machine,
  g: ConvGeometry,
  folded: boolean,
  x: number,
  dy: number,
  dfilter: number,
): void {
  if (folded) withPaddedRows(machine, g, x, (padded) => outerProducts(machine, fold(g), padded, dy, dfilter));
  else outerProducts(machine, g, x, dy, dfilter);
}

/** A convolution whose taps read `run` floats, and voxels of x that are `voxel` floats apart. */
interface Folded extends ConvGeometry {
  readonly run?: number;
}

/**
 * The same convolution over rows that bring their padding along: neighbouring voxels' channels lie one after the other,
 * so the kW taps of a row are one tap of kW x Ci floats.
 */
function fold(g: ConvGeometry): Folded {
  const [d, h, w] = g.input;
  return {
    ...g,
    input: [d, h, w + 2 * g.padding[2]],
    padding: [g.padding[0], g.padding[1], 0],
    kernel: [g.kernel[0], g.kernel[1], 1],
    run: g.kernel[2] * g.inChannels,
  };
}

function withPaddedRows(machine: Machine, g: ConvGeometry, x: number, use: (padded: number) => void): void {
  const rows = g.batch * g.input[0] * g.input[1];
  const rowBytes = g.input[2] * g.inChannels * 4;
  const padBytes = g.padding[2] * g.inChannels * 4;
  machine.heap.withScratch([rows * (rowBytes + 2 * padBytes)], (padded) => {
    machine.pool.run('padRows', [x, padded, rows, rowBytes, padBytes], (rows * rowBytes) / 4 <= ALONE.floats);
    use(padded);
  });
}

/** y from x, or dx from dy: every result gathers what its taps read. */
function gather(
  machine: Machine,
  pass: 'y' | 'dx',
  g: Folded,
  source: number,
  filter: number,
  result: number,
): void {
  const { heap, pool, panel } = machine;
  const forward = pass === 'y';
  const sourceGrid = forward ? g.input : g.output;
  const grid = forward ? g.output : g.input;
  const voxel = forward ? g.inChannels : g.outChannels;
  const rows = g.run ?? g.inChannels;
  const k = forward ? rows : g.outChannels;
  const channels = forward ? g.outChannels : rows;
  const taps = product(g.kernel);
  const panels = Math.ceil(channels / panel);

  const axes = gatherAxes(pass, g, sourceGrid, voxel);
  const mostTaps = axes.reduce((product, axis) => product * axis[1], 1);
  const tileBytes = 32 * (1 + mostTaps);
  const classes = axes.reduce((product, axis) => product * axis[0], 1);
  const largest = axes.reduce((product, axis, a) => product * Math.ceil(grid[a] / axis[0]), g.batch);
  const tiles = Math.ceil(largest / TILE);
  const tilesPerChunk = Math.max(1, Math.min(16, tiles, Math.floor(TABLE_BYTES / tileBytes)));
  const chunks = Math.ceil(tiles / tilesPerChunk);
  let groups = 1;
  while (chunks * classes * groups < PIECES * pool.threads && groups < panels) groups *= 2;
  groups = Math.min(groups, panels);
  const scratchBytes = tilesPerChunk * tileBytes + THREAD_BYTES + 32 * axes[2][1];

  const floats = taps * rows * g.outChannels;
  const alone = g.batch * product(g.output) * floats <= ALONE.products;
  const axisBytes = axes.map((axis) => axis.byteLength);
  heap.withScratch(
    [panels * panel * taps * k * 4, scratchBytes * pool.threads, ...axisBytes],
    (packed, scratch, ...axisAt) => {
      pool.run(forward ? 'packFilter' : 'packFilterTransposed', [filter, packed, taps, rows, g.outChannels]);
      axes.forEach((axis, a) => heap.int32(axisAt[a], axis.length).set(axis));
      pool.run(
        'convolution',
        [
          source,
          packed,
          result,
          ZEROS_AT,
          SINK_AT,
          scratch,
          scratchBytes,
          g.batch,
          product(sourceGrid) * voxel * 4,
          ...grid,
          channels,
          k,
          taps,
          ...axisAt,
          tilesPerChunk,
          groups,
        ],
        alone,
      );
    },
  );
}

const axisCache = new Map<string, readonly Int32Array[]>();
const AXIS_CACHE_SIZE = 256;

/** The tables of the three axes; a network asks for the same few dozen over and over. */
function gatherAxes(
  pass: 'y' | 'dx',
  g: ConvGeometry,
  sourceGrid: Triple,
  voxel: number,
): readonly Int32Array[] {
  const key = JSON.stringify([pass, g.input, g.output, g.kernel, g.stride, g.padding, g.dilation, voxel]);
  let axes = axisCache.get(key);
  if (!axes) {
    const line = voxel * 4;
    const bytes = [sourceGrid[1] * sourceGrid[2] * line, sourceGrid[2] * line, line];
    const tapSteps = [g.kernel[1] * g.kernel[2], g.kernel[2], 1];
    axes = [0, 1, 2].map((a) => gatherAxis(axisOf(g, a), pass, bytes[a], tapSteps[a]));
    if (axisCache.size >= AXIS_CACHE_SIZE) axisCache.clear();
    axisCache.set(key, axes);
  }
  return axes;
}

function outerProducts(machine: Machine, g: Folded, x: number, dy: number, dfilter: number): void {
  const { heap, pool } = machine;
  const rows = g.run ?? g.inChannels;
  const taps = product(g.kernel);
  // Seven rows of eight lanes fit a stem's seven taps exactly; six rows of a panel are faster where both fit.
  const tileRows = rows % 7 === 0 && rows <= 28 ? 7 : 6;
  const width = tileRows === 7 ? 8 : machine.panel;
  const rowTiles = Math.ceil(rows / tileRows);
  const tilesBytes = taps * rowTiles * Math.ceil(g.outChannels / width) * tileRows * width * 4;
  const rowsPerBlock = Math.max(1, Math.floor(BLOCK_POSITIONS / g.output[2]));
  const scratchBytes = rowsPerBlock * 12 + 64;
  const floats = taps * rows * g.outChannels;
  const alone = g.batch * product(g.output) * floats <= ALONE.products;
  heap.withScratch([tilesBytes, scratchBytes * pool.threads], (tiles, scratch) => {
    pool.run(
      'filterGradient',
      [
        x,
        dy,
        tiles,
        scratch,
        scratchBytes,
        g.batch,
        ...g.input,
        g.inChannels * 4,
        rows,
        ...g.output,
        g.outChannels,
        ...g.kernel,
        ...g.stride,
        ...g.padding,
        ...g.dilation,
        tileRows,
        rowsPerBlock,
        Math.min(taps * rowTiles, alone || pool.threads === 1 ? 1 : 4 * pool.threads),
      ],
      alone,
    );
    pool.run(
      'unpackFilterGradient',
      [tiles, dfilter, taps, rows, g.outChannels, tileRows],
      floats <= ALONE.floats,
    );
  });
}

/** Bytes of scratch memory that a pass takes tap by tap: an upper bound, tables included. */
export function directScratchBytes(
  pass: ConvPass,
  g: ConvGeometry,
  folded: boolean,
  threads: number,
  panel: number,
): number {
  const taps = product(g.kernel);
  const up = (n: number, step: number) => Math.ceil(n / step) * step;
  const [lanes, rows] = pass === 'dx' ? [g.inChannels, g.outChannels] : [g.outChannels, g.inChannels];
  // Rows of a gradient's tile are six or seven; folded taps are rows of their own.
  const filter = taps * up(lanes, panel) * (pass === 'dfilter' ? up(rows, TILE) + TILE : rows) * 4;
  const [d, h, w] = g.input;
  const copy = folded ? g.batch * d * h * (w + 2 * g.padding[2]) * g.inChannels * 4 : 0;
  const tables = 4 * (g.kernel[0] + 2) * (d + h + w + product(g.stride));
  return filter + copy + tables + threads * (TABLE_BYTES + THREAD_BYTES + 64 * taps);
}
