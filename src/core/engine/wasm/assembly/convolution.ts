// y and dx of a convolution: a direct implicit GEMM. For every tile of 6 result positions a table of addresses says
// where the 6 inputs of each tap lie (padding points at a row of zeros); the micro-kernel then multiplies through it.
// Which input a tap reads is told by three tables, one per axis, that the caller made (gather-axis.ts): so stride,
// padding and dilation per axis, and the gradient of a strided convolution, are the same code.
import { PANEL, ROWS, gatherGemm } from './micro-kernels';
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
  /** Per thread: the table of tiles, POSITION_BYTES, PART_TILE_BYTES, and 32 bytes per tap along the width. */
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
   * 0, or the filter itself: then each thread packs its panels and goes through all positions with them, which spares
   * a large filter the way through memory.
   */
  filter: usize;
  /** Taps that it packs at a time: whole runs along the width. All, unless sums go to memory after every tap anyway. */
  tapsPerSlice: i32;
  /** The filter is that of dx: lanes are its rows. */
  transposed: i32;
  /**
   * 1: neighbours in a tile follow each other along the depth and the batch, so that on a small grid they meet the
   * same padding in height and width, and what they do not meet is left out.
   */
  depthFirst: i32;
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

/** A table entry: six addresses, an unused word, and at the end a number of taps or a tap's offset in the filter. */
const ENTRY: usize = 32;
const LAST: usize = 28;

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
  const table = job.scratch + <usize>thread * job.scratchBytes;
  const partTile = table + <usize>job.tilesPerChunk * pitch + POSITION_BYTES;
  const packed = partTile + PART_TILE_BYTES + <usize>(axisW.pitch << 5);
  const places = placesOf(job, axisD, axisH, axisW);
  const groups = job.panelGroups;
  const jobs = job.filter ? groups : places * groups;
  for (;;) {
    const index = claim(job.counter);
    if (index >= jobs) return;
    const group = index % groups;
    const from = (panels * group) / groups;
    const to = (panels * (group + 1)) / groups;
    if (!job.filter) {
      const tiles = fillTiles(job, axisD, axisH, axisW, index / groups, table, pitch, 0, job.taps);
      if (tiles > 0) multiplyPanels(job, tiles, table, pitch, job.packed + <usize>from * panelBytes, panelBytes, from, to, partTile, false);
      continue;
    }
    for (let tap = 0; tap < job.taps; tap += job.tapsPerSlice) {
      const count = job.tapsPerSlice;
      const sliceBytes = <usize>count * <usize>(job.k * PANEL * 4);
      const slice = job.filter + <usize>tap * <usize>job.k * <usize>(job.channels * 4);
      if (job.transposed) for (let panel = from; panel < to; panel++) packTransposed(slice, count, job.channels, job.k, panel, packed + <usize>(panel - from) * sliceBytes);
      else packPanels(slice, count, job.k, job.channels, from, to, packed);
      for (let place = 0; place < places; place++) {
        const tiles = fillTiles(job, axisD, axisH, axisW, place, table, pitch, tap, tap + count);
        if (tiles > 0) multiplyPanels(job, tiles, table, pitch, packed, sliceBytes, from, to, partTile, tap > 0);
      }
    }
  }
}

function multiplyPanels(job: GatherJob, tiles: i32, table: usize, pitch: usize, weights: usize, panelBytes: usize, from: i32, to: i32, partTile: usize, accumulate: bool): void {
  const fullPanels = job.channels / PANEL;
  for (let panel = from; panel < to; panel++) {
    const column = <usize>(panel * PANEL * 4);
    if (panel < fullPanels) gatherGemm(tiles, table, pitch, job.k, weights, column, accumulate);
    else partPanel(tiles, table, pitch, job.k, weights, column, partTile, job.channels - panel * PANEL, accumulate);
    weights += panelBytes;
  }
}

/** Chunks of tiles, of the largest class; smaller classes leave some of theirs empty. */
function placesOf(job: GatherJob, axisD: GatherAxis, axisH: GatherAxis, axisW: GatherAxis): i32 {
  const largest = job.batch * positionsOfClass(job.depth, axisD.step, 0) * positionsOfClass(job.height, axisH.step, 0) * positionsOfClass(job.width, axisW.step, 0);
  return ceilDivide(largest, job.tilesPerChunk * ROWS) * axisD.step * axisH.step * axisW.step;
}

/** The table of a place's tiles; returns how many there are. */
function fillTiles(job: GatherJob, axisD: GatherAxis, axisH: GatherAxis, axisW: GatherAxis, place: i32, table: usize, pitch: usize, firstTap: i32, endTap: i32): i32 {
  const positions = table + <usize>job.tilesPerChunk * pitch;
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
  const total = job.batch * countD * countH * countW;
  if (first >= total) return 0;
  const tiles = smaller(job.tilesPerChunk, ceilDivide(total - first, ROWS));
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
  let left = total - first;
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
    fillTaps(head, positions, alongWidth, axisD, axisH, axisW, classD, classH, classW, tapBytes, <i32>job.zeros, firstTap, endTap);
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
function fillTaps(head: usize, positions: usize, alongWidth: usize, axisD: GatherAxis, axisH: GatherAxis, axisW: GatherAxis, classD: i32, classH: i32, classW: i32, tapBytes: usize, zerosAt: i32, firstTap: i32, endTap: i32): void {
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
      if (index < firstTap || index >= endTap) continue;
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
        store<i32>(entry, <i32>(<usize>(index - firstTap + word(axisW, axisW.tapIndex, classW * axisW.pitch + c)) * tapBytes), LAST);
        entry += ENTRY;
      }
    }
  }
  store<i32>(head, <i32>((entry - head) / ENTRY) - 1, LAST);
}

/** The last panel when channels are no multiple of its width: computed aside, and only the lanes that exist copied. */
function partPanel(tiles: i32, table: usize, pitch: usize, k: i32, weights: usize, column: usize, tile: usize, lanes: i32, accumulate: bool): void {
  const keep = tile + <usize>(ROWS * PANEL * 4);
  for (let t = 0; t < tiles; t++) {
    const head = table + <usize>t * pitch;
    for (let i = 0; i < ROWS; i++) {
      store<u32>(keep + <usize>(i << 2), load<u32>(head + <usize>(i << 2)));
      store<u32>(head + <usize>(i << 2), <u32>(tile + <usize>(i * PANEL * 4)));
      // The sums go on as they would in place: the same additions in the same order.
      if (accumulate) memory.copy(tile + <usize>(i * PANEL * 4), <usize>load<u32>(keep + <usize>(i << 2)) + column, <usize>(lanes << 2));
    }
    gatherGemm(1, head, pitch, k, weights, 0, accumulate);
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
    packPanels(job.filter + <usize>(tap * job.rows) * <usize>(job.columns * 4), 1, job.rows, job.columns, panel, panel + 1, job.packed + <usize>index * tapBytes);
  }
}

/** Neighbouring panels of all taps, [panel][tap][row][PANEL]. */
function packPanels(filter: usize, taps: i32, rows: i32, columns: i32, first: i32, end: i32, packed: usize): void {
  const panelBytes = <usize>(taps * rows) * <usize>(PANEL * 4);
  let from = filter + <usize>(first * PANEL * 4);
  for (let row = 0; row < taps * rows; row++) {
    let to = packed;
    let source = from;
    for (let panel = first; panel < end; panel++) {
      const lanes = columns - panel * PANEL;
      if (lanes >= PANEL) {
        for (let lane = 0; lane < PANEL; lane += 4) v128.store(to + <usize>(lane << 2), v128.load(source + <usize>(lane << 2)));
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
  const tapFloats = <usize>(job.rows * job.columns);
  const tapBytes = <usize>(job.columns * PANEL * 4);
  for (;;) {
    const index = claim(job.counter);
    if (index >= job.taps * panels) return;
    const tap = index % job.taps;
    const panel = index / job.taps;
    packTransposed(job.filter + ((<usize>tap * tapFloats) << 2), 1, job.rows, job.columns, panel, job.packed + <usize>index * tapBytes);
  }
}

/** One panel of all taps, [tap][column][PANEL]. */
function packTransposed(filter: usize, taps: i32, rows: i32, columns: i32, panel: i32, to: usize): void {
  const pitch = <usize>(columns * 4);
  const lanes = smaller(PANEL, rows - panel * PANEL);
  for (let tap = 0; tap < taps; tap++) {
    const from = filter + (<usize>(tap * rows) + <usize>(panel * PANEL)) * pitch;
    for (let lane = 0; lane < PANEL; lane += 4) {
      let column = 0;
      if (lane + 4 <= lanes)
        for (; column + 4 <= columns; column += 4)
          transpose4x4(from + <usize>lane * pitch + <usize>(column << 2), pitch, to + <usize>((column * PANEL + lane) << 2), <usize>(PANEL * 4));
      for (; column < columns; column++)
        for (let l = lane; l < lane + 4; l++)
          store<f32>(to + <usize>((column * PANEL + l) << 2), l < lanes ? load<f32>(from + <usize>l * pitch + <usize>(column << 2)) : 0);
    }
    to += <usize>(columns * PANEL * 4);
  }
}

/** Four rows of four floats -> four columns. */
export function transpose4x4(from: usize, fromPitch: usize, to: usize, toPitch: usize): void {
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
