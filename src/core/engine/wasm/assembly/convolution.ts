// y and dx of a convolution: a direct implicit GEMM. For every tile of 6 result positions a table of addresses says
// where the 6 inputs of each tap lie (padding points at a row of zeros); the micro-kernel then multiplies through it.
// Which input a tap reads is told by three tables, one per axis, that the caller made (gather-axis.ts): so stride,
// padding and dilation per axis, and the gradient of a strided convolution, are the same code.
import { CHAIN, PANEL, ROWS, gatherGemm } from './micro-kernels';
import { warm, warmRows } from './warm';
import { ceilDivide, claim, smaller } from './work';

/** Filled by convolution.ts of the engine, field by field, 4 bytes each. Sizes in bytes where a name says so. */
@unmanaged class GatherJob {
  counter: usize;
  source: usize;
  packed: usize;
  result: usize;
  /** A row of zeros, as long as a source voxel. */
  zeros: usize;
  /** Where the results of positions that do not exist go. */
  sink: usize;
  /**
   * Per thread: for every place that it keeps, the table of tiles and their ranges; then POSITION_BYTES, PART_TILE_BYTES,
   * 32 bytes per tap along the width, and the panels that it packs.
   */
  scratch: usize;
  scratchBytes: usize;
  batch: i32;
  sourceBytes: usize; // of one sample
  depth: i32; // the result's grid
  height: i32;
  width: i32;
  channels: i32; // of the result
  k: i32; // floats read per tap
  /** Taps of the whole kernel, as packed. */
  taps: i32;
  axisD: usize;
  axisH: usize;
  axisW: usize;
  tilesPerChunk: i32;
  panelGroups: i32;
  /**
   * 0, or the filter itself: then each thread packs its panels, slice by slice, and goes through all positions with
   * them, which spares a large filter the way through memory. The tables of all positions are kept.
   */
  filter: usize;
  /** The filter is that of dx: lanes are its rows. */
  transposed: i32;
  /**
   * 1: neighbours in a tile follow each other along the depth and the batch, so that on a small grid they meet the
   * same padding in height and width, and what they do not meet is left out.
   */
  depthFirst: i32;
  /** 1: the result holds sums already, to which these are added. */
  accumulates: i32;
}

/**
 * What one axis reads, made by gather-axis.ts. Positions are visited in `step` classes (0, step, 2 step ... then 1,
 * 1 + step ...), because the taps that can meet a position of a strided gradient depend on its class alone.
 */
@unmanaged class GatherAxis {
  step: i32;
  /** Most taps that a class has: the pitch of the tables. */
  pitch: i32;
  /** Words from here to: [class] number of taps. */
  counts: i32;
  /** ... to: [class][j] index of the tap along this axis, times the taps of the inner axes. */
  tapIndex: i32;
  /** ... to: [position][j] byte offset of the input or -1 in the padding. */
  offsets: i32;
}

// @ts-ignore: decorator
@inline function word(axis: GatherAxis, table: i32, index: i32): i32 {
  return load<i32>(changetype<usize>(axis) + (<usize>(table + index) << 2));
}

// @ts-ignore: decorator
@inline function positionsOfClass(size: i32, step: i32, start: i32): i32 {
  return start < size ? (size - start - 1) / step + 1 : 0;
}

/** A table entry: six addresses; of a tap, its number among those of its class, and its byte offset in the filter. */
const ENTRY: usize = 32;
const NUMBER: usize = 24;
const LAST: usize = 28;
/** Of a tile, which entries count (gatherGemm): the first, the end, whether a sum was written. */
const RANGE: usize = 16;

/** Where the six positions of a tile are: per position its sample's address and its rows in the three axis tables. */
const POSITION: usize = 16;
const POSITION_BYTES: usize = 128;
/** The result of a panel that is only partly there, and the six addresses that it displaces. */
const PART_TILE_BYTES: usize = 512;

export function convolution(thread: i32, threads: i32, at: usize): void {
  const job = changetype<GatherJob>(at);
  const axisD = changetype<GatherAxis>(job.axisD);
  const axisH = changetype<GatherAxis>(job.axisH);
  const axisW = changetype<GatherAxis>(job.axisW);
  const panels = ceilDivide(job.channels, PANEL);
  const panelBytes = <usize>job.taps * <usize>(job.k * PANEL * 4);
  const pitch = ENTRY * <usize>(1 + axisD.pitch * axisH.pitch * axisW.pitch);
  const placeBytes = <usize>job.tilesPerChunk * (pitch + RANGE);
  const places = placesOf(job, axisD, axisH, axisW);
  const tables = job.scratch + <usize>thread * job.scratchBytes;
  const positions = tables + (job.filter ? <usize>places : 1) * placeBytes;
  const groups = job.panelGroups;
  const jobs = job.filter ? groups : places * groups;
  let filled = false;
  for (;;) {
    const index = claim(job.counter);
    if (index >= jobs) return;
    const group = index % groups;
    const from = (panels * group) / groups;
    const to = (panels * (group + 1)) / groups;
    if (job.filter) {
      if (!filled) for (let place = 0; place < places; place++) fillTiles(job, axisD, axisH, axisW, place, tables + <usize>place * placeBytes, pitch, positions);
      filled = true;
      packAndMultiply(job, axisD, axisH, axisW, tables, pitch, placeBytes, places, positions, from, to);
    } else {
      const tiles = fillTiles(job, axisD, axisH, axisW, index / groups, tables, pitch, positions);
      if (tiles > 0) warmSource(job, index / groups, tiles);
      if (tiles > 0) multiplyPlace(job, tiles, tables, pitch, job.packed + <usize>from * panelBytes, panelBytes, from, to, positions + POSITION_BYTES);
    }
  }
}

/**
 * Reads what a chunk of consecutive positions is about to read, line after line: the micro-kernel comes by row beside
 * row, a pattern that the machine does not foresee, and would wait for memory; so for sums that it adds to.
 */
function warmSource(job: GatherJob, place: i32, tiles: i32): void {
  const voxels = job.depth * job.height * job.width;
  const voxelBytes = <usize>(job.k * 4);
  // One tap, stride 1.
  if (job.taps > 1 || job.sourceBytes != <usize>voxels * voxelBytes) return;
  const first = place * job.tilesPerChunk * ROWS;
  const count = smaller(tiles * ROWS, job.batch * voxels - first);
  warm(job.source + <usize>first * voxelBytes, <usize>count * voxelBytes);
  const resultBytes = <usize>(job.channels * 4);
  if (job.accumulates) warm(job.result + <usize>first * resultBytes, <usize>count * resultBytes);
}

/** One chunk of tiles with some panels: slice by slice of what is summed, so that a panel's slice stays in a cache. */
function multiplyPlace(job: GatherJob, tiles: i32, table: usize, pitch: usize, weights: usize, panelBytes: usize, from: i32, to: i32, partTile: usize): void {
  const ranges = table + <usize>job.tilesPerChunk * pitch;
  startRanges(tiles, table, pitch, ranges, job.accumulates);
  const k = job.k;
  const tapsPerSlice = k < CHAIN ? CHAIN / k : 1;
  for (let number = 0; ; number += tapsPerSlice) {
    const last = nextRanges(tiles, table, pitch, ranges, NUMBER, <u32>(number + tapsPerSlice));
    for (let first = 0; first < k; first += CHAIN) {
      const skipped = <usize>(first << 2);
      multiplyPanels(job, tiles, table, pitch, ranges, smaller(CHAIN, k - first), skipped, weights + skipped * PANEL, panelBytes, from, to, partTile, last);
      markWritten(tiles, ranges);
    }
    if (last) return;
  }
}

/** All tiles with some panels, which are packed slice by slice: the same sums as {@link multiplyPlace}. */
function packAndMultiply(job: GatherJob, axisD: GatherAxis, axisH: GatherAxis, axisW: GatherAxis, tables: usize, pitch: usize, placeBytes: usize, places: i32, positions: usize, from: i32, to: i32): void {
  const k = job.k;
  const partTile = positions + POSITION_BYTES;
  const packed = partTile + PART_TILE_BYTES + <usize>(axisW.pitch << 5);
  const tapBytes = <usize>(k * PANEL * 4);
  const tapsPerSlice = k < CHAIN ? CHAIN / k : 1;
  for (let place = 0; place < places; place++) {
    const table = tables + <usize>place * placeBytes;
    startRanges(tilesOf(job, axisD, axisH, axisW, place), table, pitch, table + <usize>job.tilesPerChunk * pitch, job.accumulates);
  }
  if (job.accumulates) {
    const lanes = smaller(to * PANEL, job.channels) - from * PANEL;
    warmRows(job.result + <usize>(from * PANEL * 4), job.batch * job.depth * job.height * job.width, <usize>(lanes << 2), <usize>(job.channels << 2));
  }
  for (let tap = 0; tap < job.taps; tap += tapsPerSlice) {
    const taps = smaller(tapsPerSlice, job.taps - tap);
    const end = tap + taps;
    for (let first = 0; first < k; first += CHAIN) {
      const count = smaller(CHAIN, k - first);
      const sliceBytes = <usize>taps * <usize>(count * PANEL * 4);
      warmFilter(job, tap, taps, first, count, from, to);
      if (job.transposed) for (let panel = from; panel < to; panel++) packTransposed(job.filter, tap, taps, job.channels, k, first, count, panel, packed + <usize>(panel - from) * sliceBytes);
      else packPanels(job.filter + <usize>(tap * k + first) * <usize>(job.channels * 4), taps * count, job.channels, from, to, packed);
      // Offsets in the tables are those of a whole packed panel.
      const weights = packed - <usize>tap * tapBytes;
      for (let place = 0; place < places; place++) {
        const table = tables + <usize>place * placeBytes;
        const ranges = table + <usize>job.tilesPerChunk * pitch;
        const tiles = tilesOf(job, axisD, axisH, axisW, place);
        if (first == 0) nextRanges(tiles, table, pitch, ranges, LAST, <u32>(<usize>end * tapBytes));
        multiplyPanels(job, tiles, table, pitch, ranges, count, <usize>(first << 2), weights, sliceBytes, from, to, partTile, end == job.taps);
        markWritten(tiles, ranges);
      }
    }
  }
}

/** Reads what is packed next of the filter. */
function warmFilter(job: GatherJob, tap: i32, taps: i32, first: i32, count: i32, from: i32, to: i32): void {
  const lanes = smaller(to * PANEL, job.channels) - from * PANEL;
  if (job.transposed) {
    for (let t = tap; t < tap + taps; t++)
      warmRows(job.filter + (<usize>(t * job.channels + from * PANEL) * <usize>job.k + <usize>first) * 4, lanes, <usize>(count << 2), <usize>(job.k << 2));
  } else {
    warmRows(job.filter + (<usize>(tap * job.k + first) * <usize>job.channels + <usize>(from * PANEL)) * 4, taps * count, <usize>(lanes << 2), <usize>(job.channels << 2));
  }
}

function multiplyPanels(job: GatherJob, tiles: i32, table: usize, pitch: usize, ranges: usize, k: i32, skipped: usize, weights: usize, panelBytes: usize, from: i32, to: i32, partTile: usize, last: bool): void {
  const fullPanels = job.channels / PANEL;
  for (let panel = from; panel < to; panel++) {
    const column = <usize>(panel * PANEL * 4);
    if (panel < fullPanels) gatherGemm(tiles, table, pitch, ranges, k, skipped, weights, column, last);
    else partPanel(tiles, table, pitch, ranges, k, skipped, weights, column, partTile, job.channels - panel * PANEL, last);
    weights += panelBytes;
  }
}

/** No entry counts yet; `written` says whether the result holds sums. */
function startRanges(tiles: i32, table: usize, pitch: usize, ranges: usize, written: i32): void {
  for (let t = 0; t < tiles; t++) {
    store<u32>(ranges, <u32>(table + ENTRY));
    store<u32>(ranges, <u32>(table + ENTRY), 4);
    store<i32>(ranges, written, 8);
    table += pitch;
    ranges += RANGE;
  }
}

/** Goes on to the entries whose \`word\` is below a limit; returns whether no tile has any beyond. */
function nextRanges(tiles: i32, table: usize, pitch: usize, ranges: usize, word: usize, limit: u32): bool {
  let last = true;
  for (let t = 0; t < tiles; t++) {
    let entry = <usize>load<u32>(ranges, 4);
    const end = table + ENTRY + (<usize>load<i32>(table, LAST) << 5);
    store<u32>(ranges, <u32>entry);
    while (entry != end && load<u32>(entry + word) < limit) entry += ENTRY;
    store<u32>(ranges, <u32>entry, 4);
    if (entry != end) last = false;
    table += pitch;
    ranges += RANGE;
  }
  return last;
}

function markWritten(tiles: i32, ranges: usize): void {
  for (let t = 0; t < tiles; t++) {
    if (load<u32>(ranges) != load<u32>(ranges, 4)) store<i32>(ranges, 1, 8);
    ranges += RANGE;
  }
}

/** Chunks of tiles, of the largest class; smaller classes leave some of theirs empty. */
function placesOf(job: GatherJob, axisD: GatherAxis, axisH: GatherAxis, axisW: GatherAxis): i32 {
  const largest = job.batch * positionsOfClass(job.depth, axisD.step, 0) * positionsOfClass(job.height, axisH.step, 0) * positionsOfClass(job.width, axisW.step, 0);
  return ceilDivide(largest, job.tilesPerChunk * ROWS) * axisD.step * axisH.step * axisW.step;
}

/** How many tiles a place has. */
function tilesOf(job: GatherJob, axisD: GatherAxis, axisH: GatherAxis, axisW: GatherAxis, place: i32): i32 {
  const classes = axisD.step * axisH.step * axisW.step;
  const kind = place % classes;
  const inClass =
    job.batch *
    positionsOfClass(job.depth, axisD.step, kind / (axisH.step * axisW.step)) *
    positionsOfClass(job.height, axisH.step, (kind / axisW.step) % axisH.step) *
    positionsOfClass(job.width, axisW.step, kind % axisW.step);
  return max(0, smaller(job.tilesPerChunk, ceilDivide(inClass, ROWS) - (place / classes) * job.tilesPerChunk));
}

/** The table of a place's tiles; returns how many there are. */
function fillTiles(job: GatherJob, axisD: GatherAxis, axisH: GatherAxis, axisW: GatherAxis, place: i32, table: usize, pitch: usize, positions: usize): i32 {
  const tiles = tilesOf(job, axisD, axisH, axisW, place);
  if (tiles == 0) return 0;
  const alongWidth = positions + POSITION_BYTES + PART_TILE_BYTES;
  const tapBytes = <usize>(job.k * PANEL * 4);
  const classes = axisD.step * axisH.step * axisW.step;
  const kind = place % classes;
  const first = (place / classes) * job.tilesPerChunk * ROWS;
  const classD = kind / (axisH.step * axisW.step);
  const classH = (kind / axisW.step) % axisH.step;
  const classW = kind % axisW.step;
  const countD = positionsOfClass(job.depth, axisD.step, classD);
  const countH = positionsOfClass(job.height, axisH.step, classH);
  const countW = positionsOfClass(job.width, axisW.step, classW);
  const depthFirst = job.depthFirst != 0;

  let w: i32, h: i32, d: i32, n: i32;
  if (depthFirst) {
    d = first % countD;
    let rest = first / countD;
    n = rest % job.batch;
    rest /= job.batch;
    w = rest % countW;
    h = rest / countW;
  } else {
    w = first % countW;
    let rest = first / countW;
    h = rest % countH;
    rest /= countH;
    d = rest % countD;
    n = rest / countD;
  }
  let left = job.batch * countD * countH * countW - first;
  for (let t = 0; t < tiles; t++) {
    const head = table + <usize>t * pitch;
    // The last position is repeated where there are fewer than six; its copies' results go to the sink.
    for (let i = 0; i < ROWS; i++) {
      const slot = positions + <usize>i * POSITION;
      if (left <= 0) {
        store<u32>(head + <usize>(i << 2), <u32>job.sink);
        v128.store(slot, v128.load(slot - POSITION));
        continue;
      }
      left--;
      const pd = classD + d * axisD.step;
      const ph = classH + h * axisH.step;
      const pw = classW + w * axisW.step;
      const flat = ((n * job.depth + pd) * job.height + ph) * job.width + pw;
      store<u32>(head + <usize>(i << 2), <u32>(job.result + <usize>flat * <usize>(job.channels * 4)));
      store<u32>(slot, <u32>(job.source + <usize>n * job.sourceBytes));
      store<i32>(slot, pd * axisD.pitch, 4);
      store<i32>(slot, ph * axisH.pitch, 8);
      store<i32>(slot, pw * axisW.pitch, 12);
      if (depthFirst) {
        if (++d == countD) {
          d = 0;
          if (++n == job.batch) {
            n = 0;
            if (++w == countW) {
              w = 0;
              h++;
            }
          }
        }
      } else if (++w == countW) {
        w = 0;
        if (++h == countH) {
          h = 0;
          if (++d == countD) {
            d = 0;
            n++;
          }
        }
      }
    }
    fillTaps(head, positions, alongWidth, axisD, axisH, axisW, classD, classH, classW, tapBytes, <i32>job.zeros);
  }
  return tiles;
}

/** The six positions' byte offsets along one axis for its tap j (-1: padding), as four lanes and two. */
// @ts-ignore: decorator
@inline function offsetsLow(axis: GatherAxis, positions: usize, field: usize, j: i32): v128 {
  let v = i32x4.splat(word(axis, axis.offsets, load<i32>(positions + field) + j));
  v = i32x4.replace_lane(v, 1, word(axis, axis.offsets, load<i32>(positions + field, 16) + j));
  v = i32x4.replace_lane(v, 2, word(axis, axis.offsets, load<i32>(positions + field, 32) + j));
  return i32x4.replace_lane(v, 3, word(axis, axis.offsets, load<i32>(positions + field, 48) + j));
}

// @ts-ignore: decorator
@inline function offsetsHigh(axis: GatherAxis, positions: usize, field: usize, j: i32): v128 {
  const v = i32x4.splat(word(axis, axis.offsets, load<i32>(positions + field, 64) + j));
  return i32x4.replace_lane(v, 1, word(axis, axis.offsets, load<i32>(positions + field, 80) + j));
}

/** Appends the taps that at least one of the tile's positions needs: an address for each, zeros in the padding. */
function fillTaps(head: usize, positions: usize, alongWidth: usize, axisD: GatherAxis, axisH: GatherAxis, axisW: GatherAxis, classD: i32, classH: i32, classW: i32, tapBytes: usize, zerosAt: i32): void {
  const countD = word(axisD, axisD.counts, classD);
  const countH = word(axisH, axisH.counts, classH);
  const countW = word(axisW, axisW.counts, classW);
  const zeros = i32x4.splat(zerosAt);
  const none = i32x4.splat(0);
  for (let c = 0; c < countW; c++) {
    v128.store(alongWidth + (<usize>c << 5), offsetsLow(axisW, positions, 12, c));
    v128.store(alongWidth + (<usize>c << 5), offsetsHigh(axisW, positions, 12, c), 16);
  }
  const sampleLow = i32x4.replace_lane(i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(load<i32>(positions)), 1, load<i32>(positions, 16)), 2, load<i32>(positions, 32)), 3, load<i32>(positions, 48));
  const sampleHigh = i32x4.replace_lane(i32x4.splat(load<i32>(positions, 64)), 1, load<i32>(positions, 80));
  let entry = head + ENTRY;
  for (let a = 0; a < countD; a++) {
    const planeLow = offsetsLow(axisD, positions, 4, a);
    const planeHigh = offsetsHigh(axisD, positions, 4, a);
    // All lanes negative: all padding.
    if (i32x4.all_true(i32x4.lt_s(v128.and(planeLow, planeHigh), none))) continue;
    for (let b = 0; b < countH; b++) {
      const index = word(axisD, axisD.tapIndex, classD * axisD.pitch + a) + word(axisH, axisH.tapIndex, classH * axisH.pitch + b);
      const lineLow = offsetsLow(axisH, positions, 8, b);
      const lineHigh = offsetsHigh(axisH, positions, 8, b);
      // The sign of an or says whether either is padding.
      const outLow = v128.or(planeLow, lineLow);
      const outHigh = v128.or(planeHigh, lineHigh);
      if (i32x4.all_true(i32x4.lt_s(v128.and(outLow, outHigh), none))) continue;
      const rowLow = i32x4.add(sampleLow, i32x4.add(planeLow, lineLow));
      const rowHigh = i32x4.add(sampleHigh, i32x4.add(planeHigh, lineHigh));
      for (let c = 0; c < countW; c++) {
        const offsetLow = v128.load(alongWidth + (<usize>c << 5));
        const offsetHigh = v128.load(alongWidth + (<usize>c << 5), 16);
        const insideLow = i32x4.ge_s(v128.or(outLow, offsetLow), none);
        const insideHigh = i32x4.ge_s(v128.or(outHigh, offsetHigh), none);
        if (!v128.any_true(v128.or(insideLow, insideHigh))) continue;
        v128.store(entry, v128.bitselect(i32x4.add(rowLow, offsetLow), zeros, insideLow));
        v128.store(entry, v128.bitselect(i32x4.add(rowHigh, offsetHigh), zeros, insideHigh), 16);
        store<i32>(entry, (a * countH + b) * countW + c, NUMBER);
        store<i32>(entry, <i32>(<usize>(index + word(axisW, axisW.tapIndex, classW * axisW.pitch + c)) * tapBytes), LAST);
        entry += ENTRY;
      }
    }
  }
  store<i32>(head, <i32>((entry - head) / ENTRY) - 1, LAST);
}

/** The last panel when channels are no multiple of its width: computed aside, and only the lanes that exist copied. */
function partPanel(tiles: i32, table: usize, pitch: usize, ranges: usize, k: i32, skipped: usize, weights: usize, column: usize, tile: usize, lanes: i32, last: bool): void {
  const keep = tile + <usize>(ROWS * PANEL * 4);
  for (let t = 0; t < tiles; t++) {
    const head = table + <usize>t * pitch;
    const range = ranges + <usize>t * RANGE;
    for (let i = 0; i < ROWS; i++) {
      store<u32>(keep + <usize>(i << 2), load<u32>(head + <usize>(i << 2)));
      store<u32>(head + <usize>(i << 2), <u32>(tile + <usize>(i * PANEL * 4)));
      // The sums go on as they would in place: the same additions in the same order.
      if (load<i32>(range, 8)) memory.copy(tile + <usize>(i * PANEL * 4), <usize>load<u32>(keep + <usize>(i << 2)) + column, <usize>(lanes << 2));
    }
    gatherGemm(1, head, pitch, range, k, skipped, weights, 0, last);
    for (let i = 0; i < ROWS; i++) {
      const result = load<u32>(keep + <usize>(i << 2));
      store<u32>(head + <usize>(i << 2), result);
      memory.copy(<usize>result + column, tile + <usize>(i * PANEL * 4), <usize>(lanes << 2));
    }
  }
}

@unmanaged class PackJob {
  counter: usize;
  filter: usize; // [taps][rows][columns]
  packed: usize; // [panel][taps][k][PANEL]
  taps: i32;
  rows: i32;
  columns: i32;
}

/** Filter -> panels for y: k runs over the filter's rows (input channels), lanes over its columns (output channels). */
export function packFilter(thread: i32, threads: i32, at: usize): void {
  const job = changetype<PackJob>(at);
  const panels = ceilDivide(job.columns, PANEL);
  const tapBytes = <usize>(job.rows * PANEL * 4);
  for (;;) {
    const index = claim(job.counter);
    if (index >= job.taps * panels) return;
    const tap = index % job.taps;
    const panel = index / job.taps;
    packPanels(job.filter + <usize>(tap * job.rows) * <usize>(job.columns * 4), job.rows, job.columns, panel, panel + 1, job.packed + <usize>index * tapBytes);
  }
}

/** Neighbouring panels of some rows, [panel][row][PANEL]. */
function packPanels(filter: usize, rows: i32, columns: i32, first: i32, end: i32, packed: usize): void {
  const panelBytes = <usize>rows * <usize>(PANEL * 4);
  let from = filter + <usize>(first * PANEL * 4);
  for (let row = 0; row < rows; row++) {
    let to = packed;
    let source = from;
    for (let panel = first; panel < end; panel++) {
      const lanes = columns - panel * PANEL;
      if (lanes >= PANEL) {
        copyPanelRow(source, to);
      } else {
        for (let lane = 0; lane < PANEL; lane++)
          store<f32>(to + <usize>(lane << 2), lane < lanes ? load<f32>(source + <usize>(lane << 2)) : 0);
      }
      source += <usize>(PANEL * 4);
      to += panelBytes;
    }
    packed += <usize>(PANEL * 4);
    from += <usize>(columns * 4);
  }
}

/** Filter -> panels for dx: k runs over the filter's columns (output channels), lanes over its rows (input channels). */
export function packFilterTransposed(thread: i32, threads: i32, at: usize): void {
  const job = changetype<PackJob>(at);
  const panels = ceilDivide(job.rows, PANEL);
  const tapBytes = <usize>(job.columns * PANEL * 4);
  for (;;) {
    const index = claim(job.counter);
    if (index >= job.taps * panels) return;
    const tap = index % job.taps;
    const panel = index / job.taps;
    packTransposed(job.filter, tap, 1, job.rows, job.columns, 0, job.columns, panel, job.packed + <usize>index * tapBytes);
  }
}

// @ts-ignore: decorator
@inline function copyPanelRow(from: usize, to: usize): void {
  const v0 = v128.load(from);
  const v1 = v128.load(from, 16);
  v128.store(to, v0);
  v128.store(to, v1, 16);
  if (PANEL == 16) {
    const v2 = v128.load(from, 32);
    const v3 = v128.load(from, 48);
    v128.store(to, v2, 32);
    v128.store(to, v3, 48);
  }
}

/** One panel of some taps and some of their columns, [tap][column][PANEL]. */
function packTransposed(filter: usize, firstTap: i32, taps: i32, rows: i32, columns: i32, firstColumn: i32, count: i32, panel: i32, to: usize): void {
  const pitch = <usize>(columns * 4);
  const lanes = smaller(PANEL, rows - panel * PANEL);
  for (let tap = firstTap; tap < firstTap + taps; tap++) {
    const from = filter + (<usize>(tap * rows) + <usize>(panel * PANEL)) * pitch + <usize>(firstColumn << 2);
    for (let lane = 0; lane < PANEL; lane += 4) {
      let column = 0;
      if (lane + 4 <= lanes)
        for (; column + 4 <= count; column += 4)
          transpose4x4(from + <usize>lane * pitch + <usize>(column << 2), pitch, to + <usize>((column * PANEL + lane) << 2), <usize>(PANEL * 4));
      for (; column < count; column++)
        for (let l = lane; l < lane + 4; l++)
          store<f32>(to + <usize>((column * PANEL + l) << 2), l < lanes ? load<f32>(from + <usize>l * pitch + <usize>(column << 2)) : 0);
    }
    to += <usize>(count * PANEL * 4);
  }
}

/** Four rows of four floats -> four columns. */
// @ts-ignore: decorator
@inline export function transpose4x4(from: usize, fromPitch: usize, to: usize, toPitch: usize): void {
  const r0 = v128.load(from);
  const r1 = v128.load(from + fromPitch);
  const r2 = v128.load(from + 2 * fromPitch);
  const r3 = v128.load(from + 3 * fromPitch);
  const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
  const high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
  const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
  const high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f64>(low01, low23, 0, 2));
  v128.store(to + toPitch, v128.shuffle<f64>(low01, low23, 1, 3));
  v128.store(to + 2 * toPitch, v128.shuffle<f64>(high01, high23, 0, 2));
  v128.store(to + 3 * toPitch, v128.shuffle<f64>(high01, high23, 1, 3));
}

@unmanaged class PadRowsJob {
  counter: usize;
  source: usize;
  padded: usize;
  rows: i32;
  rowBytes: usize;
  padBytes: usize; // on either side
}

/** Copies every row of voxels with zeros on either side, so that a stem's taps along a row become one run of floats. */
export function padRows(thread: i32, threads: i32, at: usize): void {
  const job = changetype<PadRowsJob>(at);
  const rowsPerClaim = 64;
  const pitch = job.rowBytes + 2 * job.padBytes;
  for (;;) {
    const first = claim(job.counter) * rowsPerClaim;
    if (first >= job.rows) return;
    const last = smaller(first + rowsPerClaim, job.rows);
    for (let row = first; row < last; row++) {
      const to = job.padded + <usize>row * pitch;
      memory.fill(to, 0, job.padBytes);
      memory.copy(to + job.padBytes, job.source + <usize>row * job.rowBytes, job.rowBytes);
      memory.fill(to + job.padBytes + job.rowBytes, 0, job.padBytes);
    }
  }
}
