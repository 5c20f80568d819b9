// dfilter of a convolution: for every tap, the outer products of the inputs that it read with dy, summed over positions.
// dfilter is one matrix, [tap and input channel][output channel]; a tile of 6 rows x one panel of columns stays in
// registers. The work is split by tiles of the result, so nothing is reduced across threads. What a tile multiplies is
// copied first, positions one after the other: as voxels lie in memory, power-of-two numbers of channels apart, they
// would fall into the same few sets of the caches.
import { PANEL, ROWS, outerProduct } from './micro-kernels';
import { warmRows } from './warm';
import { ceilDivide, claim, smaller } from './work';

@unmanaged class FilterGradientJob {
  counter: usize;
  x: usize;
  dy: usize;
  filter: usize; // [taps][rows][columns]
  scratch: usize; // per thread: segments, a tile, copies of dy and x
  scratchBytes: usize;
  batch: i32;
  depth: i32; // grid of x
  height: i32;
  width: i32;
  voxelBytes: usize; // from one voxel of x to the next
  rows: i32; // input channels (x the kernel's width where that is folded in)
  outDepth: i32;
  outHeight: i32;
  outWidth: i32;
  columns: i32; // output channels
  kernelD: i32;
  kernelH: i32;
  kernelW: i32;
  strideD: i32;
  strideH: i32;
  strideW: i32;
  padD: i32;
  padH: i32;
  padW: i32;
  dilationD: i32;
  dilationH: i32;
  dilationW: i32;
  /** Rows of dy that are worked through before the next tile: what fits in the caches. */
  rowsPerBlock: i32;
  /** The tiles of dfilter are shared out in so many ranges of rows times ranges of panels. */
  rowChunks: i32;
  columnChunks: i32;
  /** 1: tiles of rows run across taps, for few input channels; padding is copied as zeros. 0: each tap has its own tiles. */
  across: i32;
}

/** Positions that a range of dy's rows takes: an address of x, one of dy, and how many. */
const SEGMENT: usize = 12;
const TILE_BYTES: usize = <usize>(ROWS * PANEL * 4);
const ROW_BYTES: usize = <usize>(ROWS * 4);
const PANEL_BYTES: usize = <usize>(PANEL * 4);
/** Positions of which all rows are copied while their lines are in a first-level cache. */
const NEAR: i32 = 32;
/** With no more positions than these, a tile's products take hardly longer than writing it down. */
const FEW: i32 = 64;

export function filterGradient(thread: i32, threads: i32, at: usize): void {
  const job = changetype<FilterGradientJob>(at);
  const taps = job.kernelD * job.kernelH * job.kernelW;
  const panels = ceilDivide(job.columns, PANEL);
  const tilesPerTap = ceilDivide(job.rows, ROWS);
  const items = job.across ? ceilDivide(taps * job.rows, ROWS) : taps * tilesPerTap;
  const allRows = job.batch * job.outDepth * job.outHeight;
  const table = job.scratch + <usize>thread * job.scratchBytes;
  const tile = table + <usize>job.rowsPerBlock * SEGMENT;
  const dy = tile + TILE_BYTES;
  for (;;) {
    const chunk = claim(job.counter);
    if (chunk >= job.rowChunks * job.columnChunks) return;
    const rowChunk = chunk % job.rowChunks;
    const columnChunk = chunk / job.rowChunks;
    const firstItem = (items * rowChunk) / job.rowChunks;
    const lastItem = (items * (rowChunk + 1)) / job.rowChunks;
    const firstPanel = (panels * columnChunk) / job.columnChunks;
    const lastPanel = (panels * (columnChunk + 1)) / job.columnChunks;
    const x = dy + <usize>((lastPanel - firstPanel) * job.rowsPerBlock * job.outWidth) * PANEL_BYTES;
    for (let row = 0; row < allRows; row += job.rowsPerBlock) {
      const rowEnd = smaller(row + job.rowsPerBlock, allRows);
      if (job.across) {
        const firstTap = (firstItem * ROWS) / job.rows;
        const lastTap = smaller((lastItem * ROWS - 1) / job.rows + 1, taps);
        const step = (<usize>((lastTap - firstTap) * job.rows * 4 + 47) >> 4) << 4;
        const count = copyAcross(job, firstTap, lastTap, row, rowEnd, x, step);
        const segments = everyRow(job, row, rowEnd, table);
        for (let panel = firstPanel; panel < lastPanel; panel++)
          copyPanel(segments, table, panel, job.columns, dy + <usize>((panel - firstPanel) * count) * PANEL_BYTES);
        for (let item = firstItem; item < lastItem; item++) {
          const first = item * ROWS;
          const a = x + <usize>((first - firstTap * job.rows) * 4);
          multiplyItem(job, count, a, step, dy, first, smaller(ROWS, taps * job.rows - first), firstPanel, lastPanel, tile, row > 0);
        }
      } else {
        warmOperands(job, row, rowEnd, firstItem * ROWS, smaller(lastItem * ROWS, job.rows), firstPanel * PANEL, smaller(lastPanel * PANEL, job.columns));
        for (let item = firstItem; item < lastItem; ) {
          const tap = item / tilesPerTap;
          const end = smaller(lastItem, (tap + 1) * tilesPerTap);
          const segments = rowSegments(job, tap, row, rowEnd, table);
          const count = positions(segments, table);
          multiplyTap(job, segments, count, table, tap, item % tilesPerTap, end - item, firstPanel, lastPanel, x, dy, tile, row > 0);
          item = end;
        }
      }
    }
  }
}

/** Reads what every tap reads of dy, and what the only one reads of x, line after line: copying comes by strides. */
function warmOperands(job: FilterGradientJob, row: i32, rowEnd: i32, firstRow: i32, lastRow: i32, firstColumn: i32, lastColumn: i32): void {
  const position = row * job.outWidth;
  const count = (rowEnd - row) * job.outWidth;
  if (count <= FEW) return;
  const pitch = <usize>(job.columns * 4);
  warmRows(job.dy + <usize>position * pitch + <usize>(firstColumn * 4), count, <usize>(lastColumn - firstColumn) * 4, pitch);
  if (job.kernelD * job.kernelH * job.kernelW > 1 || job.depth != job.outDepth || job.height != job.outHeight || job.width != job.outWidth) return;
  warmRows(job.x + <usize>position * job.voxelBytes + <usize>(firstRow * 4), count, <usize>(lastRow - firstRow) * 4, job.voxelBytes);
}

/**
 * Some tiles of rows of one tap with all panels of the chunk. A panel of dy stays in a first-level cache while tile after
 * tile is multiplied with it; but over few positions it is the result that takes time, and is written along its lines.
 */
function multiplyTap(job: FilterGradientJob, segments: i32, count: i32, table: usize, tap: i32, first: i32, items: i32, firstPanel: i32, lastPanel: i32, x: usize, dy: usize, tile: usize, accumulate: bool): void {
  const itemBytes = <usize>count * ROW_BYTES;
  const together = count <= FEW ? lastPanel - firstPanel : 1;
  copyItems(segments, table, first, items, <usize>job.strideW * job.voxelBytes, x, itemBytes);
  for (let panel = firstPanel; panel < lastPanel; panel += together) {
    for (let p = 0; p < together; p++) copyPanel(segments, table, panel + p, job.columns, dy + <usize>(p * count) * PANEL_BYTES);
    for (let i = 0; i < items; i++) {
      const row = (first + i) * ROWS;
      multiplyItem(job, count, x + <usize>i * itemBytes, ROW_BYTES, dy, tap * job.rows + row, smaller(ROWS, job.rows - row), panel, panel + together, tile, accumulate);
    }
  }
}

/** One tile of rows with all panels of the chunk. Tiles that are only partly there are computed aside. */
function multiplyItem(job: FilterGradientJob, count: i32, a: usize, aStep: usize, dy: usize, firstRow: i32, rows: i32, firstPanel: i32, lastPanel: i32, tile: usize, accumulate: bool): void {
  const pitch = <usize>(job.columns * 4);
  let b = dy;
  let to = job.filter + <usize>firstRow * pitch + <usize>firstPanel * PANEL_BYTES;
  for (let panel = firstPanel; panel < lastPanel; panel++) {
    const lanes = smaller(PANEL, job.columns - panel * PANEL);
    if (rows == ROWS && lanes == PANEL) {
      outerProduct(count, a, aStep, b, PANEL_BYTES, to, pitch, accumulate);
    } else {
      outerProduct(count, a, aStep, b, PANEL_BYTES, tile, PANEL_BYTES, false);
      for (let row = 0; row < rows; row++)
        for (let lane = 0; lane < lanes; lane++) {
          const at = to + <usize>row * pitch + <usize>(lane << 2);
          const value = load<f32>(tile + <usize>((row * PANEL + lane) << 2));
          store<f32>(at, accumulate ? load<f32>(at) + value : value);
        }
    }
    b += <usize>count * PANEL_BYTES;
    to += PANEL_BYTES;
  }
}

/** The runs of positions, row by row of dy, whose input under this tap is not padding. */
function rowSegments(job: FilterGradientJob, tap: i32, row: i32, rowEnd: i32, table: usize): i32 {
  const offsetW = (tap % job.kernelW) * job.dilationW - job.padW;
  const first = offsetW < 0 ? ceilDivide(-offsetW, job.strideW) : 0;
  const last = job.width - 1 - offsetW;
  if (last < 0) return 0;
  const end = smaller(job.outWidth, last / job.strideW + 1);
  if (end <= first) return 0;
  let segments = 0;
  for (; row < rowEnd; row++) {
    const line = lineOf(job, tap, row);
    if (line < 0) continue;
    const voxel = line * job.width + first * job.strideW + offsetW;
    store<u32>(table, <u32>(job.x + <usize>voxel * job.voxelBytes));
    store<u32>(table, <u32>(job.dy + <usize>(row * job.outWidth + first) * <usize>(job.columns * 4)), 4);
    store<i32>(table, end - first, 8);
    table += SEGMENT;
    segments++;
  }
  return segments;
}

/** All positions of rows of dy, each row a segment. */
function everyRow(job: FilterGradientJob, row: i32, rowEnd: i32, table: usize): i32 {
  for (let r = row; r < rowEnd; r++) {
    store<u32>(table, <u32>(job.dy + <usize>(r * job.outWidth) * <usize>(job.columns * 4)), 4);
    store<i32>(table, job.outWidth, 8);
    table += SEGMENT;
  }
  return rowEnd - row;
}

/** The line of x, counted over the batch, that a row of dy meets under a tap; -1 in the padding. */
function lineOf(job: FilterGradientJob, tap: i32, row: i32): i32 {
  const rest = row / job.outHeight;
  const h = (row % job.outHeight) * job.strideH + ((tap / job.kernelW) % job.kernelH) * job.dilationH - job.padH;
  const d = (rest % job.outDepth) * job.strideD + (tap / (job.kernelW * job.kernelH)) * job.dilationD - job.padD;
  if (<u32>d >= <u32>job.depth || <u32>h >= <u32>job.height) return -1;
  return ((rest / job.outDepth) * job.depth + d) * job.height + h;
}

function positions(segments: i32, table: usize): i32 {
  let count = 0;
  for (let s = 0; s < segments; s++) count += load<i32>(table + <usize>s * SEGMENT, 8);
  return count;
}

/** A panel of dy, [position][PANEL]. Lanes that do not exist hold what follows: their products are never read. */
function copyPanel(segments: i32, table: usize, panel: i32, columns: i32, to: usize): void {
  const step = <usize>(columns * 4);
  for (let s = 0; s < segments; s++) {
    let from = <usize>load<u32>(table, 4) + <usize>panel * PANEL_BYTES;
    const end = from + <usize>load<i32>(table, 8) * step;
    table += SEGMENT;
    for (; from != end; from += step) {
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
      to += PANEL_BYTES;
    }
  }
}

/** Some tiles of rows of x, [tile][position][ROWS]. */
function copyItems(segments: i32, table: usize, first: i32, items: i32, step: usize, to: usize, itemBytes: usize): void {
  const tableEnd = table + <usize>segments * SEGMENT;
  while (table != tableEnd) {
    let near = 1;
    let count = load<i32>(table, 8);
    for (let next = table + SEGMENT; next != tableEnd && count + load<i32>(next, 8) <= NEAR; next += SEGMENT) {
      count += load<i32>(next, 8);
      near++;
    }
    for (let i = 0; i < items; i++) copyRows(near, table, <usize>((first + i) * ROWS * 4), step, to + <usize>i * itemBytes);
    to += <usize>count * ROW_BYTES;
    table += <usize>near * SEGMENT;
  }
}

/** Six channels of x, [position][ROWS]. */
function copyRows(segments: i32, table: usize, column: usize, step: usize, to: usize): void {
  for (let s = 0; s < segments; s++) {
    let from = <usize>load<u32>(table) + column;
    const end = from + <usize>load<i32>(table, 8) * step;
    table += SEGMENT;
    for (; from != end; from += step) {
      v128.store(to, v128.load(from));
      store<u64>(to, load<u64>(from, 16), 16);
      to += ROW_BYTES;
    }
  }
}

/**
 * What several taps read of x, [position][tap][row]. A copy may end up to seven floats late; the next one overwrites
 * that. Returns the number of positions.
 */
function copyAcross(job: FilterGradientJob, firstTap: i32, lastTap: i32, row: i32, rowEnd: i32, to: usize, step: usize): i32 {
  const xStep = <usize>job.strideW * job.voxelBytes;
  const runBytes = <usize>(job.rows * 4);
  const count = (rowEnd - row) * job.outWidth;
  for (; row < rowEnd; row++) {
    // Taps in order: each overwrites what the one before left too much.
    for (let tap = firstTap; tap < lastTap; tap++) {
      const line = lineOf(job, tap, row);
      const offsetW = (tap % job.kernelW) * job.dilationW - job.padW;
      let first = 0;
      let end = 0;
      if (line >= 0 && offsetW < job.width) {
        end = smaller(job.outWidth, (job.width - 1 - offsetW) / job.strideW + 1);
        first = offsetW < 0 ? smaller(end, ceilDivide(-offsetW, job.strideW)) : 0;
      }
      const target = to + <usize>(tap - firstTap) * runBytes;
      const from = job.x + <usize>(line * job.width + first * job.strideW + offsetW) * job.voxelBytes;
      copyRuns(0, 0, target, step, runBytes, first);
      copyRuns(from, xStep, target + <usize>first * step, step, runBytes, end - first);
      copyRuns(0, 0, target + <usize>end * step, step, runBytes, job.outWidth - end);
    }
    to += <usize>job.outWidth * step;
  }
  return count;
}

/** Runs of floats; from the address 0, zeros. */
function copyRuns(from: usize, fromStep: usize, to: usize, toStep: usize, bytes: usize, count: i32): void {
  if (count <= 0) return;
  const end = to + <usize>count * toStep;
  if (from == 0) {
    const none = f32x4.splat(0);
    for (; to != end; to += toStep) for (let i: usize = 0; i < bytes; i += 16) v128.store(to + i, none);
  } else if (bytes <= 32) {
    for (; to != end; to += toStep) {
      const low = v128.load(from);
      const high = v128.load(from, 16);
      v128.store(to, low);
      v128.store(to, high, 16);
      from += fromStep;
    }
  } else {
    for (; to != end; to += toStep) {
      for (let i: usize = 0; i < bytes; i += 16) v128.store(to + i, v128.load(from + i));
      from += fromStep;
    }
  }
}
