// dfilter of a convolution: for every tap, the outer products of the inputs that it read with dy, summed over positions.
// A tile of 6 (or 7) input channels x one panel of output channels stays in registers; the work is split by tap and
// tile, so nothing is reduced across threads.
import { PANEL, outerProduct6, outerProduct7 } from './micro-kernels';
import { ceilDivide, claim, smaller } from './work';

@unmanaged class FilterGradientJob {
  counter: usize;
  x: usize;
  dy: usize;
  /** [tap][tile of rows][panel][tileRows][panelWidth], unpacked afterwards. */
  tiles: usize;
  scratch: usize; // per thread: row segments
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
  tileRows: i32; // 6, or 7 with panels of 8
  /** Rows of dy that are worked through before the next tile: what fits in the cache. */
  rowsPerBlock: i32;
  chunks: i32;
}

export function filterGradient(thread: i32, threads: i32, at: usize): void {
  const job = changetype<FilterGradientJob>(at);
  const seven = job.tileRows == 7;
  const panelWidth = seven ? 8 : PANEL;
  const panels = ceilDivide(job.columns, panelWidth);
  const rowTiles = ceilDivide(job.rows, job.tileRows);
  const items = job.kernelD * job.kernelH * job.kernelW * rowTiles;
  const tileBytes = <usize>(job.tileRows * panelWidth * 4);
  const table = job.scratch + <usize>thread * job.scratchBytes;
  const allRows = job.batch * job.outDepth * job.outHeight;
  const dyStep = <usize>(job.columns * 4);
  const xStep = <usize>job.strideW * job.voxelBytes;
  for (;;) {
    const chunk = claim(job.counter);
    if (chunk >= job.chunks) return;
    const firstItem = <i32>((<i64>items * chunk) / job.chunks);
    const lastItem = <i32>((<i64>items * (chunk + 1)) / job.chunks);
    for (let row = 0; row < allRows; row += job.rowsPerBlock) {
      const rowEnd = smaller(row + job.rowsPerBlock, allRows);
      let tap = -1;
      let segments = 0;
      for (let item = firstItem; item < lastItem; item++) {
        if (item / rowTiles != tap) {
          tap = item / rowTiles;
          segments = rowSegments(job, tap, row, rowEnd, table);
        }
        const rowColumn = <usize>((item % rowTiles) * job.tileRows * 4);
        for (let panel = 0; panel < panels; panel++) {
          const tile = job.tiles + (<usize>item * <usize>panels + <usize>panel) * tileBytes;
          const column = <usize>(panel * panelWidth * 4);
          if (seven) outerProduct7(segments, table, rowColumn, column, xStep, dyStep, tile, row > 0);
          else outerProduct6(segments, table, rowColumn, column, xStep, dyStep, tile, row > 0);
        }
      }
    }
  }
}

/** The runs of positions, row by row of dy, whose input under this tap is not padding. */
function rowSegments(job: FilterGradientJob, tap: i32, row: i32, rowEnd: i32, table: usize): i32 {
  const offsetW = (tap % job.kernelW) * job.dilationW - job.padW;
  const offsetH = ((tap / job.kernelW) % job.kernelH) * job.dilationH - job.padH;
  const offsetD = (tap / (job.kernelW * job.kernelH)) * job.dilationD - job.padD;
  const first = offsetW < 0 ? ceilDivide(-offsetW, job.strideW) : 0;
  const last = job.width - 1 - offsetW;
  if (last < 0) return 0;
  const end = smaller(job.outWidth, last / job.strideW + 1);
  if (end <= first) return 0;
  let segments = 0;
  for (; row < rowEnd; row++) {
    const rest = row / job.outHeight;
    const h = (row % job.outHeight) * job.strideH + offsetH;
    const d = (rest % job.outDepth) * job.strideD + offsetD;
    if (<u32>d >= <u32>job.depth || <u32>h >= <u32>job.height) continue;
    const voxel = (((rest / job.outDepth) * job.depth + d) * job.height + h) * job.width + first * job.strideW + offsetW;
    store<u32>(table, <u32>(job.x + <usize>voxel * job.voxelBytes));
    store<u32>(table, <u32>(job.dy + <usize>(row * job.outWidth + first) * <usize>(job.columns * 4)), 4);
    store<i32>(table, end - first, 8);
    table += 12;
    segments++;
  }
  return segments;
}

@unmanaged class UnpackJob {
  counter: usize;
  tiles: usize;
  filter: usize; // [taps][rows][columns]
  taps: i32;
  rows: i32;
  columns: i32;
  tileRows: i32;
}

/** The tiles of {@link filterGradient} -> [tap][input channel][output channel]. */
export function unpackFilterGradient(thread: i32, threads: i32, at: usize): void {
  const job = changetype<UnpackJob>(at);
  const panelWidth = job.tileRows == 7 ? 8 : PANEL;
  const panels = ceilDivide(job.columns, panelWidth);
  const rowTiles = ceilDivide(job.rows, job.tileRows);
  for (;;) {
    const item = claim(job.counter);
    if (item >= job.taps * rowTiles) return;
    const firstRow = (item % rowTiles) * job.tileRows;
    const rowEnd = smaller(firstRow + job.tileRows, job.rows);
    for (let panel = 0; panel < panels; panel++) {
      const lanes = smaller(panelWidth, job.columns - panel * panelWidth);
      let from = job.tiles + (<usize>item * <usize>panels + <usize>panel) * <usize>(job.tileRows * panelWidth * 4);
      for (let row = firstRow; row < rowEnd; row++) {
        const to = job.filter + ((<usize>((item / rowTiles) * job.rows + row)) * <usize>job.columns + <usize>(panel * panelWidth)) * 4;
        if (lanes == panelWidth)
          for (let lane = 0; lane < panelWidth; lane += 4) v128.store(to + <usize>(lane << 2), v128.load(from + <usize>(lane << 2)));
        else
          for (let lane = 0; lane < lanes; lane++) store<f32>(to + <usize>(lane << 2), load<f32>(from + <usize>(lane << 2)));
        from += <usize>(panelWidth * 4);
      }
    }
  }
}
