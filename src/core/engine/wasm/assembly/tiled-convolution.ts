// Convolutions of 3 x 3 x 3 taps by short convolutions along the three axes (short-convolutions.mjs). Both operands are
// transformed, tile by tile and tap by tap; every product of the transformed tile becomes a matrix product over channels
// of all tiles; the products are transformed back. Which voxels a tile reads and makes is told by a table per axis
// (tile-axis.ts): padding, dilation (tiles of a sub-lattice) and strides are the caller's business.
//
// The products of one place lie together, [product][tile][channel], and every product's block begins 192 bytes further
// than a power of two would have it: else all of them fall into the same few sets of the caches.
import { transpose4x4 } from './convolution';
import { PANEL, ROWS, outerProduct, panelGemm } from './micro-kernels';
import { COLLECT, DATA, FILTER, KINDS, RESULT, SPREAD, gathered, scattered, strided } from './transforms';
import { ceilDivide, claim, smaller } from './work';

/** Made by tile-axis.ts: how one axis is cut into tiles. */
@unmanaged class TileAxis {
  algorithm: i32; // number among the short convolutions
  inputs: i32;
  outputs: i32;
  products: i32;
  tiles: i32;
  /** Words from here to: [tile][input] byte offset or -1 in the padding. */
  reads: i32;
  /** ... to: [tile][output] byte offset or -1 outside. */
  makes: i32;
}

/** Eight channels: what the transforms work on at a time. */
const GROUP: usize = 32;
const SKEW: usize = 192;
const TAPS: i32 = 27;

/** A thread's scratch: addresses, values between passes (7 x 7 x 7 groups at most), then what a kernel keeps beyond. */
const TABLE_BYTES: usize = 1536;
const VALUES_BYTES: usize = 11136;
const FIRST_VALUES: usize = TABLE_BYTES;
const SECOND_VALUES: usize = FIRST_VALUES + VALUES_BYTES;
const SPARE: usize = SECOND_VALUES + VALUES_BYTES;
/** A group of the results of a tile, and their addresses. */
const SPARE_TABLE: usize = SPARE + VALUES_BYTES;
const REST: usize = SPARE_TABLE + TABLE_BYTES;
/** Rows and lanes of a block of the filter that is transformed at a time. */
const BLOCK_ROWS: i32 = 8;
const BLOCK_LANES: i32 = 16;
const BLOCK_PITCH: usize = <usize>(BLOCK_LANES * 4);
const TAP_PITCH: usize = <usize>BLOCK_ROWS * BLOCK_PITCH;

// @ts-ignore: decorator
@inline function matrix(axis: TileAxis, kind: i32): i32 {
  return axis.algorithm * KINDS + kind;
}

// @ts-ignore: decorator
@inline function roundUp(value: i32, multiple: i32): i32 {
  return ceilDivide(value, multiple) * multiple;
}

// @ts-ignore: decorator
@inline function products(d: TileAxis, h: TileAxis, w: TileAxis): i32 {
  return d.products * h.products * w.products;
}

/** The addresses of the voxels that a tile reads or makes; `outside` where there is none. */
function addresses(table: usize, axisD: TileAxis, axisH: TileAxis, axisW: TileAxis, makes: bool, tile: i32, grid: usize, sampleBytes: usize, outside: usize): void {
  const countD = makes ? axisD.outputs : axisD.inputs;
  const countH = makes ? axisH.outputs : axisH.inputs;
  const countW = makes ? axisW.outputs : axisW.inputs;
  const tileW = tile % axisW.tiles;
  let rest = tile / axisW.tiles;
  const tileH = rest % axisH.tiles;
  rest /= axisH.tiles;
  const tileD = rest % axisD.tiles;
  const sample = grid + <usize>(rest / axisD.tiles) * sampleBytes;
  let d = offsets(axisD, makes, tileD * countD);
  const firstH = offsets(axisH, makes, tileH * countH);
  const firstW = offsets(axisW, makes, tileW * countW);
  for (let i = 0; i < countD; i++, d += 4) {
    const plane = load<i32>(d);
    let h = firstH;
    for (let j = 0; j < countH; j++, h += 4) {
      const line = load<i32>(h);
      const row = <i32>sample + plane + line;
      let w = firstW;
      for (let k = 0; k < countW; k++, w += 4) {
        const voxel = load<i32>(w);
        // The sign of an or says whether one of them is negative.
        store<i32>(table, (plane | line | voxel) < 0 ? <i32>outside : row + voxel);
        table += 4;
      }
    }
  }
}

// @ts-ignore: decorator
@inline function offsets(axis: TileAxis, makes: bool, index: i32): usize {
  return changetype<usize>(axis) + (<usize>((makes ? axis.makes : axis.reads) + index) << 2);
}

/** A tile's voxels through the table -> its products, `step` bytes apart; 8 channels from byte `column` on. */
function fromVoxels(kind: i32, axisD: TileAxis, axisH: TileAxis, axisW: TileAxis, scratch: usize, column: usize, to: usize, step: usize): void {
  const spread = kind == SPREAD;
  const countD = spread ? axisD.outputs : axisD.inputs;
  const countH = spread ? axisH.outputs : axisH.inputs;
  gathered(matrix(axisW, kind), countD * countH, scratch, column, scratch + FIRST_VALUES, <usize>axisW.products * GROUP, GROUP);
  alongHeightAndDepth(kind, countD, countH, axisW.products, axisD, axisH, axisH.products, scratch, to, step);
}

/** The second and third pass of three: [countD][countH][width] in the first values -> [..][outH][width], `step` apart. */
function alongHeightAndDepth(kind: i32, countD: i32, countH: i32, width: i32, axisD: TileAxis, axisH: TileAxis, outH: i32, scratch: usize, to: usize, step: usize): void {
  const line = <usize>width * GROUP;
  let from = scratch + FIRST_VALUES;
  let second = scratch + SECOND_VALUES;
  for (let d = 0; d < countD; d++) {
    strided(matrix(axisH, kind), width, from, GROUP, line, second, GROUP, line);
    from += <usize>countH * line;
    second += <usize>outH * line;
  }
  const plane = outH * width;
  strided(matrix(axisD, kind), plane, scratch + SECOND_VALUES, GROUP, <usize>plane * GROUP, to, step, <usize>plane * step);
}

/** A tile's products, `step` bytes apart -> its voxels through the table. */
function toVoxels(axisD: TileAxis, axisH: TileAxis, axisW: TileAxis, scratch: usize, from: usize, step: usize, table: usize, column: usize): void {
  const plane = axisH.products * axisW.products;
  const first = scratch + FIRST_VALUES;
  const second = scratch + SECOND_VALUES;
  const line = <usize>axisW.products * GROUP;
  strided(matrix(axisD, RESULT), plane, from, step, <usize>plane * step, first, GROUP, <usize>plane * GROUP);
  for (let d = 0; d < axisD.outputs; d++)
    strided(matrix(axisH, RESULT), axisW.products, first + <usize>(d * plane) * GROUP, GROUP, line, second + <usize>(d * axisH.outputs) * line, GROUP, line);
  scattered(matrix(axisW, RESULT), axisD.outputs * axisH.outputs, second, line, GROUP, table, column);
}

@unmanaged class TransformFilterJob {
  counter: usize;
  filter: usize; // [27][rows][columns]
  transformed: usize; // [product][panel][k][PANEL]
  scratch: usize;
  scratchBytes: usize;
  rows: i32; // input channels
  columns: i32; // output channels
  /** For dx: k runs over the filter's columns, lanes over its rows. */
  transposed: i32;
  /** 1 (d), 2 (h), 4 (w): the axes along which the taps are reversed. */
  reversed: i32;
  axisD: usize;
  axisH: usize;
  axisW: usize;
}

export function transformFilter(thread: i32, threads: i32, at: usize): void {
  const job = changetype<TransformFilterJob>(at);
  const k = job.transposed ? job.columns : job.rows;
  const lanes = job.transposed ? job.rows : job.columns;
  const panels = ceilDivide(lanes, PANEL);
  const scratch = job.scratch + <usize>thread * job.scratchBytes;
  const step = <usize>k * <usize>(panels * PANEL * 4) + SKEW;
  const blocks = ceilDivide(k, BLOCK_ROWS);
  const items = blocks * ceilDivide(panels * PANEL, BLOCK_LANES);
  for (;;) {
    const item = claim(job.counter);
    if (item >= items) return;
    const firstK = (item % blocks) * BLOCK_ROWS;
    const firstLane = (item / blocks) * BLOCK_LANES;
    const to = job.transformed + <usize>((firstLane / PANEL) * k + firstK) * <usize>(PANEL * 4);
    transformBlock(job, scratch, firstK, smaller(BLOCK_ROWS, k - firstK), firstLane, to, <usize>k * <usize>(PANEL * 4), step);
  }
}

/** A few rows of BLOCK_LANES lanes: their panels are `panelStep` bytes apart, their products `step`. */
function transformBlock(job: TransformFilterJob, scratch: usize, firstK: i32, countK: i32, firstLane: i32, target: usize, panelStep: usize, step: usize): void {
  const axisD = changetype<TileAxis>(job.axisD);
  const axisH = changetype<TileAxis>(job.axisH);
  const axisW = changetype<TileAxis>(job.axisW);
  const lanes = job.transposed ? job.rows : job.columns;
  const existing = ceilDivide(lanes, PANEL) * PANEL;
  const block = scratch + REST;
  const stepD: isize = (job.reversed & 1 ? -9 : 9) * <isize>TAP_PITCH;
  const stepH: isize = (job.reversed & 2 ? -3 : 3) * <isize>TAP_PITCH;
  const stepW: isize = (job.reversed & 4 ? -1 : 1) * <isize>TAP_PITCH;
  const firstTap = <usize>((job.reversed & 1 ? 18 : 0) + (job.reversed & 2 ? 6 : 0) + (job.reversed & 4 ? 2 : 0)) * TAP_PITCH;
  const countLanes = smaller(BLOCK_LANES, lanes - firstLane);
  if (job.transposed) copyTransposed(job, block, firstK, countK, firstLane, countLanes);
  else copyRows(job, block, firstK, countK, firstLane, countLanes);
  for (let row = 0; row < countK; row++)
    for (let lane = 0; lane < BLOCK_LANES; lane += 8) {
      if (firstLane + lane >= existing) break;
      let from = block + firstTap + <usize>row * BLOCK_PITCH + <usize>(lane << 2);
      let first = scratch + FIRST_VALUES;
      for (let d = 0; d < 3; d++) {
        strided(matrix(axisW, FILTER), 3, from, stepH, stepW, first, <usize>axisW.products * GROUP, GROUP);
        from += stepD;
        first += <usize>(3 * axisW.products) * GROUP;
      }
      const to = target + <usize>(lane / PANEL) * panelStep + <usize>(row * PANEL + (lane % PANEL)) * 4;
      alongHeightAndDepth(FILTER, 3, 3, axisW.products, axisD, axisH, axisH.products, scratch, to, step);
    }
}

/** A block of the filter, [tap][k][lane]; lanes that do not exist are zero. */
function copyRows(job: TransformFilterJob, block: usize, firstK: i32, countK: i32, firstLane: i32, countLanes: i32): void {
  for (let tap = 0; tap < TAPS; tap++)
    for (let row = 0; row < countK; row++) {
      const from = job.filter + (<usize>(tap * job.rows + firstK + row) * <usize>job.columns + <usize>firstLane) * 4;
      const to = block + <usize>tap * TAP_PITCH + <usize>row * BLOCK_PITCH;
      if (countLanes == BLOCK_LANES) {
        v128.store(to, v128.load(from));
        v128.store(to, v128.load(from, 16), 16);
        v128.store(to, v128.load(from, 32), 32);
        v128.store(to, v128.load(from, 48), 48);
      } else {
        for (let lane = 0; lane < BLOCK_LANES; lane++)
          store<f32>(to + <usize>(lane << 2), lane < countLanes ? load<f32>(from + <usize>(lane << 2)) : 0);
      }
    }
}

function copyTransposed(job: TransformFilterJob, block: usize, firstK: i32, countK: i32, firstLane: i32, countLanes: i32): void {
  const pitch = <usize>(job.columns * 4);
  for (let tap = 0; tap < TAPS; tap++) {
    const from = job.filter + <usize>(tap * job.rows + firstLane) * pitch + <usize>(firstK << 2);
    const to = block + <usize>tap * TAP_PITCH;
    if (countLanes == BLOCK_LANES && countK == BLOCK_ROWS) {
      for (let lane = 0; lane < BLOCK_LANES; lane += 4)
        for (let row = 0; row < BLOCK_ROWS; row += 4)
          transpose4x4(from + <usize>lane * pitch + <usize>(row << 2), pitch, to + <usize>row * BLOCK_PITCH + <usize>(lane << 2), BLOCK_PITCH);
    } else {
      for (let row = 0; row < countK; row++)
        for (let lane = 0; lane < BLOCK_LANES; lane++)
          store<f32>(to + <usize>row * BLOCK_PITCH + <usize>(lane << 2), lane < countLanes ? load<f32>(from + <usize>lane * pitch + <usize>(row << 2)) : 0);
    }
  }
}

@unmanaged class MultiplyTilesJob {
  counter: usize;
  source: usize;
  transformed: usize; // by transformFilter
  result: usize;
  zeros: usize;
  sink: usize;
  scratch: usize;
  scratchBytes: usize;
  batch: i32;
  sourceBytes: usize; // of one sample
  resultBytes: usize;
  k: i32; // channels of the source
  channels: i32; // of the result
  axisD: usize;
  axisH: usize;
  axisW: usize;
  tilesPerChunk: i32; // a multiple of ROWS
}

/** y from x, or dx from dy: every thread on its own chunk of tiles, whose products fit into a second-level cache. */
export function multiplyTiles(thread: i32, threads: i32, at: usize): void {
  const job = changetype<MultiplyTilesJob>(at);
  const axisD = changetype<TileAxis>(job.axisD);
  const axisH = changetype<TileAxis>(job.axisH);
  const axisW = changetype<TileAxis>(job.axisW);
  const places = products(axisD, axisH, axisW);
  const panels = ceilDivide(job.channels, PANEL);
  const sourcePitch = <usize>(roundUp(job.k, 8) * 4);
  const resultPitch = <usize>(panels * PANEL * 4);
  const sourceStep = <usize>job.tilesPerChunk * sourcePitch + SKEW;
  const resultStep = <usize>job.tilesPerChunk * resultPitch + SKEW;
  const panelBytes = <usize>(job.k * PANEL * 4);
  const filterStep = <usize>panels * panelBytes + SKEW;
  const channelBytes = <usize>(job.channels * 4);
  const scratch = job.scratch + <usize>thread * job.scratchBytes;
  const sourceTiles = scratch + REST;
  const resultTiles = sourceTiles + <usize>places * sourceStep;
  const total = job.batch * axisD.tiles * axisH.tiles * axisW.tiles;
  const chunks = ceilDivide(total, job.tilesPerChunk);
  prepareSpare(scratch, axisD.outputs * axisH.outputs * axisW.outputs);
  for (;;) {
    const chunk = claim(job.counter);
    if (chunk >= chunks) return;
    const first = chunk * job.tilesPerChunk;
    const count = smaller(job.tilesPerChunk, total - first);
    for (let t = 0; t < count; t++) {
      addresses(scratch, axisD, axisH, axisW, false, first + t, job.source, job.sourceBytes, job.zeros);
      const to = sourceTiles + <usize>t * sourcePitch;
      for (let column: usize = 0; column < sourcePitch; column += GROUP)
        fromVoxels(DATA, axisD, axisH, axisW, scratch, column, to + column, sourceStep);
    }
    const rowTiles = ceilDivide(count, ROWS);
    for (let place = 0; place < places; place++) {
      const a = sourceTiles + <usize>place * sourceStep;
      const c = resultTiles + <usize>place * resultStep;
      let b = job.transformed + <usize>place * filterStep;
      for (let panel = 0; panel < panels; panel++) {
        panelGemm(rowTiles, a, sourcePitch, job.k, b, c + <usize>(panel * PANEL * 4), resultPitch, false);
        b += panelBytes;
      }
    }
    for (let t = 0; t < count; t++) {
      addresses(scratch, axisD, axisH, axisW, true, first + t, job.result, job.resultBytes, job.sink);
      toChannels(axisD, axisH, axisW, scratch, resultTiles + <usize>t * resultPitch, resultStep, 0, channelBytes);
    }
  }
}

/** Addresses of the group that is kept aside where a voxel's last channels are fewer than eight. */
function prepareSpare(scratch: usize, outputs: i32): void {
  for (let i = 0; i < outputs; i++) store<u32>(scratch + SPARE_TABLE + (<usize>i << 2), <u32>(scratch + SPARE + <usize>i * GROUP));
}

/** A tile's products of channels from byte `column` on -> its voxels, whose addresses begin the scratch. */
function toChannels(axisD: TileAxis, axisH: TileAxis, axisW: TileAxis, scratch: usize, from: usize, step: usize, column: usize, channelBytes: usize): void {
  from -= column;
  for (; column + GROUP <= channelBytes; column += GROUP) toVoxels(axisD, axisH, axisW, scratch, from + column, step, scratch, column);
  if (column == channelBytes) return;
  toVoxels(axisD, axisH, axisW, scratch, from + column, step, scratch + SPARE_TABLE, 0);
  const outputs = axisD.outputs * axisH.outputs * axisW.outputs;
  for (let i = 0; i < outputs; i++)
    memory.copy(<usize>load<u32>(scratch + (<usize>i << 2)) + column, scratch + SPARE + <usize>i * GROUP, channelBytes - column);
}

@unmanaged class GatherTilesJob {
  counter: usize;
  /** A grid of voxels, and the first byte that is wanted of each. */
  grid: usize;
  sampleBytes: usize;
  zeros: usize;
  /** [product][tile][channel]: the pitch of a tile, and from one product to the next. */
  transformed: usize;
  pitch: usize;
  step: usize;
  scratch: usize;
  scratchBytes: usize;
  /** 1: voxels that tiles make (dy) are spread; 0: voxels that they read (x) are transformed. */
  spread: i32;
  axisD: usize;
  axisH: usize;
  axisW: usize;
  firstTile: i32;
  tiles: i32;
}

/** Transforms tiles of x or dy. */
export function gatherTiles(thread: i32, threads: i32, at: usize): void {
  const job = changetype<GatherTilesJob>(at);
  const axisD = changetype<TileAxis>(job.axisD);
  const axisH = changetype<TileAxis>(job.axisH);
  const axisW = changetype<TileAxis>(job.axisW);
  const scratch = job.scratch + <usize>thread * job.scratchBytes;
  const kind = job.spread ? SPREAD : DATA;
  for (;;) {
    const tile = claim(job.counter);
    if (tile >= job.tiles) return;
    addresses(scratch, axisD, axisH, axisW, job.spread != 0, job.firstTile + tile, job.grid, job.sampleBytes, job.zeros);
    const to = job.transformed + <usize>tile * job.pitch;
    for (let column: usize = 0; column < job.pitch; column += GROUP)
      fromVoxels(kind, axisD, axisH, axisW, scratch, column, to + column, job.step);
  }
}

@unmanaged class MultiplySharedTilesJob {
  counter: usize;
  source: usize; // [product][tile][channel]
  sourcePitch: usize;
  sourceStep: usize;
  transformed: usize; // by transformFilter
  result: usize; // [product][tile][channel]
  resultPitch: usize;
  resultStep: usize;
  products: i32;
  tiles: i32;
  k: i32;
  channels: i32;
}

/** The matrix products of one chunk, product by product: a large transformed filter is read once per chunk. */
export function multiplySharedTiles(thread: i32, threads: i32, at: usize): void {
  const job = changetype<MultiplySharedTilesJob>(at);
  const panels = ceilDivide(job.channels, PANEL);
  const panelBytes = <usize>(job.k * PANEL * 4);
  const filterStep = <usize>panels * panelBytes + SKEW;
  const rowTiles = ceilDivide(job.tiles, ROWS);
  // Halves of a product, so that few products still share out evenly.
  const items = 2 * job.products;
  for (;;) {
    const item = claim(job.counter);
    if (item >= items) return;
    const place = <usize>(item >> 1);
    const from = item & 1 ? panels / 2 : 0;
    const to = item & 1 ? panels : panels / 2;
    for (let panel = from; panel < to; panel++)
      panelGemm(
        rowTiles,
        job.source + place * job.sourceStep,
        job.sourcePitch,
        job.k,
        job.transformed + place * filterStep + <usize>panel * panelBytes,
        job.result + place * job.resultStep + <usize>(panel * PANEL * 4),
        job.resultPitch,
        false,
      );
  }
}

@unmanaged class TilePanelsJob extends TransformFilterJob {
  source: usize; // [product][tile][channel], by gatherTiles
  sourcePitch: usize;
  sourceStep: usize;
  result: usize;
  resultBytes: usize; // of one sample
  sink: usize;
  firstTile: i32;
  tiles: i32;
  /** Rows of the filter that are transformed and multiplied at a time, and tiles. */
  kPerBlock: i32;
  tilesPerChunk: i32; // a multiple of ROWS
  /** Ranges into which the tiles are cut where there are more threads than BLOCK_LANES channels. */
  parts: i32;
}

/**
 * The results of gathered tiles, BLOCK_LANES channels at a time: their part of the filter is transformed, multiplied and
 * forgotten. A filter that is transformed as a whole is many times its size, and would go through memory twice.
 */
export function multiplyTilePanels(thread: i32, threads: i32, at: usize): void {
  const job = changetype<TilePanelsJob>(at);
  const axisD = changetype<TileAxis>(job.axisD);
  const axisH = changetype<TileAxis>(job.axisH);
  const axisW = changetype<TileAxis>(job.axisW);
  const places = products(axisD, axisH, axisW);
  const k = job.transposed ? job.columns : job.rows;
  const lanes = job.transposed ? job.rows : job.columns;
  const channelBytes = <usize>(lanes * 4);
  const scratch = job.scratch + <usize>thread * job.scratchBytes;
  const panelStep = <usize>job.kPerBlock * <usize>(PANEL * 4);
  const filterStep = <usize>job.kPerBlock * <usize>(BLOCK_LANES * 4) + SKEW;
  const resultStep = <usize>job.tilesPerChunk * BLOCK_PITCH + SKEW;
  const transformed = scratch + REST + <usize>TAPS * TAP_PITCH;
  const results = transformed + <usize>places * filterStep;
  const units = ceilDivide(lanes, BLOCK_LANES);
  const once = job.kPerBlock >= k;
  prepareSpare(scratch, axisD.outputs * axisH.outputs * axisW.outputs);
  for (;;) {
    const item = claim(job.counter);
    if (item >= units * job.parts) return;
    const firstLane = (item % units) * BLOCK_LANES;
    const part = item / units;
    const panels = ceilDivide(smaller(BLOCK_LANES, lanes - firstLane), PANEL);
    const column = <usize>(firstLane << 2);
    const endTile = (job.tiles * (part + 1)) / job.parts;
    let start = true;
    for (let tile = (job.tiles * part) / job.parts; tile < endTile; tile += job.tilesPerChunk) {
      const count = smaller(job.tilesPerChunk, endTile - tile);
      const rowTiles = ceilDivide(count, ROWS);
      for (let first = 0; first < k; first += job.kPerBlock) {
        const countK = smaller(job.kPerBlock, k - first);
        if (start || !once)
          for (let row = 0; row < countK; row += BLOCK_ROWS)
            transformBlock(job, scratch, first + row, smaller(BLOCK_ROWS, countK - row), firstLane, transformed + <usize>row * <usize>(PANEL * 4), panelStep, filterStep);
        start = false;
        let a = job.source + <usize>tile * job.sourcePitch + <usize>(first << 2);
        let b = transformed;
        let c = results;
        for (let place = 0; place < places; place++) {
          for (let panel = 0; panel < panels; panel++)
            panelGemm(rowTiles, a, job.sourcePitch, countK, b + <usize>panel * panelStep, c + <usize>(panel * PANEL * 4), BLOCK_PITCH, first > 0);
          a += job.sourceStep;
          b += filterStep;
          c += resultStep;
        }
      }
      const endColumn = column + BLOCK_PITCH;
      for (let t = 0; t < count; t++) {
        addresses(scratch, axisD, axisH, axisW, true, job.firstTile + tile + t, job.result, job.resultBytes, job.sink);
        toChannels(axisD, axisH, axisW, scratch, results + <usize>t * BLOCK_PITCH, resultStep, column, endColumn < channelBytes ? endColumn : channelBytes);
      }
    }
  }
}

@unmanaged class ScatterTilesJob {
  counter: usize;
  products: usize; // [product][tile][channel]
  pitch: usize;
  step: usize;
  grid: usize;
  sampleBytes: usize;
  channels: i32;
  sink: usize;
  scratch: usize;
  scratchBytes: usize;
  axisD: usize;
  axisH: usize;
  axisW: usize;
  firstTile: i32;
  tiles: i32;
}

/** The products of tiles -> the voxels that they make. */
export function scatterTiles(thread: i32, threads: i32, at: usize): void {
  const job = changetype<ScatterTilesJob>(at);
  const axisD = changetype<TileAxis>(job.axisD);
  const axisH = changetype<TileAxis>(job.axisH);
  const axisW = changetype<TileAxis>(job.axisW);
  const scratch = job.scratch + <usize>thread * job.scratchBytes;
  prepareSpare(scratch, axisD.outputs * axisH.outputs * axisW.outputs);
  for (;;) {
    const tile = claim(job.counter);
    if (tile >= job.tiles) return;
    addresses(scratch, axisD, axisH, axisW, true, job.firstTile + tile, job.grid, job.sampleBytes, job.sink);
    toChannels(axisD, axisH, axisW, scratch, job.products + <usize>tile * job.pitch, job.step, 0, <usize>(job.channels * 4));
  }
}

@unmanaged class MultiplyGradientTilesJob {
  counter: usize;
  data: usize; // of x, [product][tile][channel]
  dataPitch: usize;
  dataStep: usize;
  results: usize; // of dy
  resultPitch: usize;
  resultStep: usize;
  sums: usize; // [product][tile of rows][panel][ROWS][PANEL]
  products: i32;
  tiles: i32;
  rows: i32; // input channels
  columns: i32; // output channels
  accumulate: i32;
}

/** Adds the outer products of transformed tiles of x and dy, product by product. */
export function multiplyGradientTiles(thread: i32, threads: i32, at: usize): void {
  const job = changetype<MultiplyGradientTilesJob>(at);
  const panels = ceilDivide(job.columns, PANEL);
  const rowTiles = ceilDivide(job.rows, ROWS);
  const tileBytes = <usize>(ROWS * PANEL * 4);
  const sumsStep = <usize>(rowTiles * panels) * tileBytes + SKEW;
  for (;;) {
    const place = claim(job.counter);
    if (place >= job.products) return;
    const data = job.data + <usize>place * job.dataStep;
    const results = job.results + <usize>place * job.resultStep;
    let tile = job.sums + <usize>place * sumsStep;
    for (let row = 0; row < rowTiles; row++)
      for (let panel = 0; panel < panels; panel++) {
        const a = data + <usize>(row * ROWS * 4);
        const b = results + <usize>(panel * PANEL * 4);
        outerProduct(job.tiles, a, job.dataPitch, b, job.resultPitch, tile, <usize>(PANEL * 4), job.accumulate != 0);
        tile += tileBytes;
      }
  }
}

@unmanaged class CollectJob {
  counter: usize;
  sums: usize; // by multiplyGradientTiles
  filter: usize; // [27][filterRows][columns], from the first row on
  scratch: usize;
  scratchBytes: usize;
  rows: i32;
  filterRows: i32;
  columns: i32;
  axisD: usize;
  axisH: usize;
  axisW: usize;
}

/** The summed products -> 27 taps. */
export function collectFilterGradient(thread: i32, threads: i32, at: usize): void {
  const job = changetype<CollectJob>(at);
  const axisD = changetype<TileAxis>(job.axisD);
  const axisH = changetype<TileAxis>(job.axisH);
  const axisW = changetype<TileAxis>(job.axisW);
  const panels = ceilDivide(job.columns, PANEL);
  const rowTiles = ceilDivide(job.rows, ROWS);
  const step = <usize>(rowTiles * panels * ROWS * PANEL * 4) + SKEW;
  const scratch = job.scratch + <usize>thread * job.scratchBytes;
  const line = <usize>axisW.products * step;
  const tapBytes = <usize>job.filterRows * <usize>(job.columns * 4);
  for (;;) {
    const row = claim(job.counter);
    if (row >= job.rows) return;
    for (let column = 0; column < job.columns; column += 8) {
      const tile = ((row / ROWS) * panels + column / PANEL) * ROWS + (row % ROWS);
      const from = job.sums + <usize>(tile * PANEL + (column % PANEL)) * 4;
      strided(matrix(axisW, COLLECT), axisD.products * axisH.products, from, line, step, scratch + FIRST_VALUES, 3 * GROUP, GROUP);
      alongHeightAndDepth(COLLECT, axisD.products, axisH.products, 3, axisD, axisH, 3, scratch, scratch + SPARE, GROUP);
      const lanes = <usize>smaller(8, job.columns - column) * 4;
      let to = job.filter + (<usize>row * <usize>job.columns + <usize>column) * 4;
      for (let tap = 0; tap < TAPS; tap++) {
        const value = scratch + SPARE + <usize>tap * GROUP;
        if (lanes == GROUP) {
          v128.store(to, v128.load(value));
          v128.store(to, v128.load(value, 16), 16);
        } else {
          memory.copy(to, value, lanes);
        }
        to += tapBytes;
      }
    }
  }
}
