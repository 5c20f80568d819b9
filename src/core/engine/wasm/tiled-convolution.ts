import { SINK_AT, ZEROS_AT } from './control';
import { axisOf, product, type ConvGeometry, type ConvPass } from './conv-geometry';
import type { Machine } from './machine';
import { canTile, tileAxis, tileTable, type TileSize, type TiledAxis } from './tile-axis';

/** A thread's scratch beside the products of its tiles: addresses and values between passes (tiled-convolution.ts). */
const THREAD_BYTES = 64 * 1024;
/** Bytes between the blocks of two products beyond what they hold. */
const SKEW = 192;
/** Rows of a micro-kernel's tile. */
const ROWS = 6;
/** Blocks of rows that are whole tiles and whole groups of 8 channels. */
const ROW_BLOCK = 24;
/** Bytes of products that a thread has in hand where every thread works on its own tiles. */
const OWN_BYTES = 3 << 19;
const LEAST_OWN_TILES = 12;
/** A transformed filter larger than this is read by all threads together, for as many tiles as these bytes hold. */
const LARGE_FILTER_BYTES = 16 << 20;
const SHARED_BYTES = 96 << 20;
/** With few tiles, one larger than this is never there as a whole: it is made for some channels at a time. */
const UNIT_WORTH_BYTES = 6 << 20;
const FEW_TILES = 96;
/** Channels that are computed at a time, and rows of the filter that are transformed together (tiled-convolution.ts). */
const UNIT_CHANNELS = 16;
const UNIT_ROWS = 8;
/** Bytes of their transformed filter: half of a second-level cache. */
const UNIT_FILTER_BYTES = 1 << 20;
/** Tiles whose products are in hand meanwhile. */
const UNIT_TILES = 48;
/** Bytes of the sums of a filter's gradient that are held at a time. */
const SUMS_BYTES = 48 << 20;
/** Bytes of tiles of x and dy, transformed for the filter's gradient, that are held at a time. */
const GRADIENT_TILES_BYTES = 8 << 20;

/** Whether a convolution can be computed by tiles. */
export function tilesServe(g: ConvGeometry): boolean {
  return [0, 1, 2].every((a) => canTile(axisOf(g, a)));
}

const roundUp = (value: number, multiple: number) => Math.ceil(value / multiple) * multiple;

/** A convolution cut into tiles: y from x (and its gradient of the filter), or dx from dy. */
export interface Tiling {
  readonly axes: readonly TiledAxis[];
  readonly tables: readonly Int32Array[];
  /** Matrix products per tile, and tiles of the whole batch. */
  readonly products: number;
  readonly tiles: number;
}

const tilings = new Map<string, Tiling>();
const TILINGS_KEPT = 256;

/** How a convolution is cut; a network asks for the same few dozen over and over. */
export function tilingOf(pass: ConvPass, g: ConvGeometry, size: TileSize): Tiling {
  const key = JSON.stringify([pass, size, g]);
  let tiling = tilings.get(key);
  if (!tiling) {
    tiling = cut(pass === 'dx' ? 'dx' : 'y', g, size);
    if (tilings.size >= TILINGS_KEPT) tilings.clear();
    tilings.set(key, tiling);
  }
  return tiling;
}

function cut(pass: 'y' | 'dx', g: ConvGeometry, size: TileSize): Tiling {
  const steps = ([, h, w]: readonly number[], channels: number) =>
    [h * w, w, 1].map((voxels) => voxels * channels * 4);
  const x = steps(g.input, g.inChannels);
  const y = steps(g.output, g.outChannels);
  const axes = [0, 1, 2].map((a) => tileAxis(axisOf(g, a), pass, size));
  return {
    axes,
    tables: axes.map((axis, a) => (pass === 'y' ? tileTable(axis, x[a], y[a]) : tileTable(axis, y[a], x[a]))),
    products: product(axes.map(({ algorithm }) => algorithm.products)),
    tiles: g.batch * product(axes.map(({ reads }) => reads.length)),
  };
}

const sampleBytes = (grid: readonly number[], channels: number) => product(grid) * channels * 4;

/** y from x, or dx from dy, by tiles of `size` results along each axis. All are addresses. */
export function multiplyTiles(
  machine: Machine,
  pass: 'y' | 'dx',
  g: ConvGeometry,
  size: TileSize,
  source: number,
  filter: number,
  result: number,
): void {
  const { heap, pool, panel } = machine;
  const forward = pass === 'y';
  const tiling = tilingOf(pass, g, size);
  const { products, tiles } = tiling;
  const [k, channels] = forward ? [g.inChannels, g.outChannels] : [g.outChannels, g.inChannels];
  const x = sampleBytes(g.input, g.inChannels);
  const y = sampleBytes(g.output, g.outChannels);
  const sizes = multiplyPlan(pass, g, size, pool.threads, panel);
  const tableBytes = tiling.tables.map((table) => table.byteLength);
  heap.withScratch([sizes.filter, sizes.total, ...tableBytes], (transformed, scratch, ...tablesAt) => {
    tiling.tables.forEach((table, a) => heap.int32(tablesAt[a], table.length).set(table));
    const reversed = forward ? 0 : [0, 1, 2].reduce((bits, a) => bits | (g.stride[a] === 1 ? 1 << a : 0), 0);
    const [from, to] = forward ? [x, y] : [y, x];
    const filterJob = [
      filter,
      transformed,
      scratch,
      sizes.thread,
      g.inChannels,
      g.outChannels,
      forward ? 0 : 1,
      reversed,
      ...tablesAt,
    ];
    if (sizes.way === 'own') {
      pool.run('transformFilter', filterJob);
      pool.run('multiplyTiles', [
        source,
        transformed,
        result,
        ZEROS_AT,
        SINK_AT,
        scratch,
        sizes.thread,
        g.batch,
        from,
        to,
        k,
        channels,
        ...tablesAt,
        sizes.tilesPerChunk,
      ]);
      return;
    }
    const { tilesPerChunk, sourcePitch } = sizes;
    const sourceStep = tilesPerChunk * sourcePitch + SKEW;
    const sourceTiles = scratch + sizes.thread * pool.threads;
    const gather = (first: number, count: number) =>
      pool.run('gatherTiles', [
        source,
        from,
        ZEROS_AT,
        sourceTiles,
        sourcePitch,
        sourceStep,
        scratch,
        sizes.thread,
        0,
        ...tablesAt,
        first,
        count,
      ]);
    if (sizes.way === 'units') {
      gather(0, tiles);
      pool.run('multiplyTilePanels', [
        ...filterJob,
        sourceTiles,
        sourcePitch,
        sourceStep,
        result,
        to,
        SINK_AT,
        0,
        tiles,
        sizes.kPerBlock,
        Math.min(UNIT_TILES, tilesPerChunk),
        Math.ceil(pool.threads / Math.ceil(channels / UNIT_CHANNELS)),
      ]);
      return;
    }
    pool.run('transformFilter', filterJob);
    const { resultPitch } = sizes;
    const resultStep = tilesPerChunk * resultPitch + SKEW;
    const resultTiles = sourceTiles + products * sourceStep;
    for (let first = 0; first < tiles; first += tilesPerChunk) {
      const count = Math.min(tilesPerChunk, tiles - first);
      gather(first, count);
      pool.run('multiplySharedTiles', [
        sourceTiles,
        sourcePitch,
        sourceStep,
        transformed,
        resultTiles,
        resultPitch,
        resultStep,
        products,
        count,
        k,
        channels,
      ]);
      pool.run('scatterTiles', [
        resultTiles,
        resultPitch,
        resultStep,
        result,
        to,
        channels,
        SINK_AT,
        scratch,
        sizes.thread,
        ...tablesAt,
        first,
        count,
      ]);
    }
  });
}

/**
 * How the tiles are shared out, and scratch memory in bytes: results do not depend on the threads. `own`: every thread
 * takes chunks of tiles through all steps; `shared`: all threads take a step together; `units`: channels by channels.
 */
function multiplyPlan(pass: 'y' | 'dx', g: ConvGeometry, size: TileSize, threads: number, panel: number) {
  const { products, tiles } = tilingOf(pass, g, size);
  const [k, channels] = pass === 'y' ? [g.inChannels, g.outChannels] : [g.outChannels, g.inChannels];
  const lanes = roundUp(channels, panel);
  const filter = products * (k * lanes * 4 + SKEW);
  const sourcePitch = roundUp(k, 8) * 4;
  const resultPitch = lanes * 4;
  const tileBytes = products * (sourcePitch + resultPitch);
  if (filter > UNIT_WORTH_BYTES && tiles <= FEW_TILES) {
    const tilesPerChunk = roundUp(tiles, ROWS);
    const rowsFitting = Math.max(UNIT_ROWS, Math.floor(UNIT_FILTER_BYTES / (products * UNIT_CHANNELS * 4)));
    const kPerBlock = roundUp(Math.ceil(k / Math.ceil(k / rowsFitting)), UNIT_ROWS);
    const unit =
      products * (UNIT_CHANNELS * 4 * (kPerBlock + Math.min(UNIT_TILES, tilesPerChunk)) + 2 * SKEW);
    const thread = THREAD_BYTES + unit;
    const total = thread * threads + products * (tilesPerChunk * sourcePitch + SKEW);
    return { way: 'units', tilesPerChunk, kPerBlock, sourcePitch, filter: 0, thread, total } as const;
  }
  if (filter > LARGE_FILTER_BYTES) {
    const fitting = Math.max(ROWS, Math.floor(SHARED_BYTES / tileBytes));
    const chunks = Math.ceil(tiles / (fitting - (fitting % ROWS)));
    const tilesPerChunk = roundUp(Math.ceil(tiles / chunks), ROWS);
    const total = THREAD_BYTES * threads + tilesPerChunk * tileBytes + 2 * products * SKEW;
    return {
      way: 'shared',
      tilesPerChunk,
      sourcePitch,
      resultPitch,
      filter,
      thread: THREAD_BYTES,
      total,
    } as const;
  }
  const fitting = Math.max(LEAST_OWN_TILES, Math.floor(OWN_BYTES / tileBytes));
  const chunks = Math.ceil(tiles / (fitting - (fitting % ROWS)) / threads) * threads;
  const tilesPerChunk = roundUp(Math.ceil(tiles / chunks), ROWS);
  const thread = THREAD_BYTES + tilesPerChunk * tileBytes + 2 * products * SKEW;
  return { way: 'own', tilesPerChunk, filter, thread, total: thread * threads } as const;
}

/** dfilter from x and dy, by the tiles of y. */
export function multiplyGradientTiles(
  machine: Machine,
  g: ConvGeometry,
  size: TileSize,
  x: number,
  dy: number,
  dfilter: number,
): void {
  const { heap, pool, panel } = machine;
  const tiling = tilingOf('dfilter', g, size);
  const { products, tiles } = tiling;
  const sizes = gradientBytes(g, size, panel);
  const { rowsPerBlock, tilesPerChunk, resultPitch } = sizes;
  const xBytes = sampleBytes(g.input, g.inChannels);
  const yBytes = sampleBytes(g.output, g.outChannels);
  const resultStep = tilesPerChunk * resultPitch + SKEW;
  const tableBytes = tiling.tables.map((table) => table.byteLength);
  heap.withScratch(
    [sizes.data, sizes.results, sizes.sums, THREAD_BYTES * pool.threads, ...tableBytes],
    (data, results, sums, scratch, ...tablesAt) => {
      tiling.tables.forEach((table, a) => heap.int32(tablesAt[a], table.length).set(table));
      const gather = (
        spread: boolean,
        grid: number,
        to: number,
        pitch: number,
        step: number,
        first: number,
        count: number,
      ) =>
        pool.run('gatherTiles', [
          grid,
          spread ? yBytes : xBytes,
          ZEROS_AT,
          to,
          pitch,
          step,
          scratch,
          THREAD_BYTES,
          spread ? 1 : 0,
          ...tablesAt,
          first,
          count,
        ]);
      for (let row = 0; row < g.inChannels; row += rowsPerBlock) {
        const rows = Math.min(rowsPerBlock, g.inChannels - row);
        const dataPitch = roundUp(rows, 8) * 4;
        const dataStep = tilesPerChunk * dataPitch + SKEW;
        for (let first = 0; first < tiles; first += tilesPerChunk) {
          const count = Math.min(tilesPerChunk, tiles - first);
          gather(false, x + row * 4, data, dataPitch, dataStep, first, count);
          // All of dy in one chunk serves every block of rows.
          if (row === 0 || tiles > tilesPerChunk)
            gather(true, dy, results, resultPitch, resultStep, first, count);
          pool.run('multiplyGradientTiles', [
            data,
            dataPitch,
            dataStep,
            results,
            resultPitch,
            resultStep,
            sums,
            products,
            count,
            rows,
            g.outChannels,
            first > 0 ? 1 : 0,
          ]);
        }
        pool.run('collectFilterGradient', [
          sums,
          dfilter + row * g.outChannels * 4,
          scratch,
          THREAD_BYTES,
          rows,
          g.inChannels,
          g.outChannels,
          ...tablesAt,
        ]);
      }
    },
  );
}

/** Sizes that do not depend on the threads: they decide in which order is summed. */
function gradientBytes(g: ConvGeometry, size: TileSize, panel: number) {
  const { products, tiles } = tilingOf('dfilter', g, size);
  const lanes = roundUp(g.outChannels, panel);
  const rowBytes = products * lanes * 4;
  const fitting = Math.floor(SUMS_BYTES / rowBytes);
  const rowsPerBlock = Math.min(
    roundUp(g.inChannels, ROW_BLOCK),
    Math.max(ROW_BLOCK, fitting - (fitting % ROW_BLOCK)),
  );
  const resultPitch = roundUp(g.outChannels, 8) * 4;
  const tileBytes = products * (roundUp(rowsPerBlock, 8) * 4 + resultPitch);
  const tilesPerChunk = Math.min(tiles, Math.max(ROWS, Math.floor(GRADIENT_TILES_BYTES / tileBytes)));
  return {
    rowsPerBlock,
    tilesPerChunk,
    resultPitch,
    data: products * (tilesPerChunk * roundUp(rowsPerBlock, 8) * 4 + SKEW) + THREAD_BYTES,
    results: products * (tilesPerChunk * resultPitch + SKEW) + THREAD_BYTES,
    sums: products * (roundUp(rowsPerBlock, ROWS) * lanes * 4 + SKEW),
  };
}

/** Bytes of scratch memory that a pass takes by tiles, tables apart. */
export function tiledScratchBytes(
  pass: ConvPass,
  g: ConvGeometry,
  size: TileSize,
  threads: number,
  panel: number,
): number {
  if (pass === 'dfilter') {
    const { data, results, sums } = gradientBytes(g, size, panel);
    return data + results + sums + THREAD_BYTES * threads;
  }
  const { filter, total } = multiplyPlan(pass, g, size, threads, panel);
  return filter + total;
}
