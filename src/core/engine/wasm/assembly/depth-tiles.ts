// A stem's convolution of one channel, by short convolutions along the depth alone (short-convolutions.mjs): six planes
// of the result at a time. The transformed planes of x are of one channel too, so that transforming costs next to
// nothing; for each of them the taps in height and width are one matrix product. Rows of a plane are laid side by side
// first, [width][row of the kernel]: then what a position reads is one run of floats.
import { PANEL, ROWS, outerProduct, panelGemm } from './micro-kernels';
import { ceilDivide, claim, smaller } from './work';

@unmanaged class DepthFilterJob {
  counter: usize;
  filter: usize; // [kernelD][kernelH][kernelW][columns]
  packed: usize; // [product][panel][kernelW][kernelH][PANEL]
  /** [product][kernelD]: what transforms the taps along the depth. */
  matrix: usize;
  products: i32;
  kernelD: i32;
  kernelH: i32;
  kernelW: i32;
  columns: i32;
}

export function transformDepthFilter(thread: i32, threads: i32, at: usize): void {
  const job = changetype<DepthFilterJob>(at);
  const panels = ceilDivide(job.columns, PANEL);
  const plane = job.kernelH * job.kernelW;
  const planeBytes = <usize>(plane * job.columns * 4);
  for (;;) {
    const product = claim(job.counter);
    if (product >= job.products) return;
    const weights = job.matrix + <usize>(product * job.kernelD * 4);
    for (let panel = 0; panel < panels; panel++)
      for (let kw = 0; kw < job.kernelW; kw++)
        for (let kh = 0; kh < job.kernelH; kh++) {
          const from = job.filter + <usize>(((kh * job.kernelW + kw) * job.columns + panel * PANEL) * 4);
          const to = job.packed + <usize>((((product * panels + panel) * plane + kw * job.kernelH + kh) * PANEL) * 4);
          const lanes = smaller(PANEL, job.columns - panel * PANEL);
          for (let lane = 0; lane < PANEL; lane++) {
            let sum: f32 = 0;
            if (lane < lanes)
              for (let kd = 0; kd < job.kernelD; kd++)
                sum += load<f32>(weights + <usize>(kd << 2)) * load<f32>(from + <usize>kd * planeBytes + <usize>(lane << 2));
            store<f32>(to + <usize>(lane << 2), sum);
          }
        }
  }
}

@unmanaged class DepthTilesJob {
  counter: usize;
  x: usize; // [batch][depth][height][width]
  packed: usize; // by transformDepthFilter
  result: usize; // [batch][outDepth][outHeight][outWidth][columns]
  scratch: usize; // per thread: planes, a row of zeros, rows side by side, products, a tile
  scratchBytes: usize;
  /** [group of six products][input][ROWS]: what transforms planes of x; from tile to tile it steps six results on. */
  data: usize;
  /** [product][ROWS]: what makes six planes of the result. */
  back: usize;
  inputs: i32;
  products: i32;
  batch: i32;
  depth: i32;
  height: i32;
  width: i32;
  outDepth: i32;
  outHeight: i32;
  outWidth: i32;
  columns: i32;
  kernelH: i32; // at most 8
  kernelW: i32;
  strideD: i32;
  strideH: i32;
  strideW: i32;
  padD: i32;
  padH: i32;
  padW: i32;
  /** Bytes of a transformed plane's row with its padding. */
  rowBytes: usize;
  /** Bytes of rows side by side, and of one product of a row of positions. */
  sideBytes: usize;
  productBytes: usize;
  /** For the gradient: rows of dy at a time, and positions of a row with those that keep rows apart. */
  rowsPerBlock: i32;
  rowPositions: i32;
  /** Groups of six products that a thread takes with one panel: all of them read dy once, one lets more threads work. */
  groupsAtOnce: i32;
}

const ROW_BYTES: usize = <usize>(ROWS * 4);
const PANEL_BYTES: usize = <usize>(PANEL * 4);

export function depthTiles(thread: i32, threads: i32, at: usize): void {
  const job = changetype<DepthTilesJob>(at);
  const panels = ceilDivide(job.columns, PANEL);
  const planes = ceilDivide(job.products, ROWS) * ROWS;
  const planeBytes = <usize>job.height * job.rowBytes;
  const x = job.scratch + <usize>thread * job.scratchBytes;
  const zeros = x + <usize>planes * planeBytes;
  const side = zeros + job.rowBytes;
  const products = side + job.sideBytes;
  const tile = products + <usize>job.products * job.productBytes;
  const k = job.kernelH * job.kernelW;
  const panelBytes = <usize>k * PANEL_BYTES;
  const pitch = <usize>panels * PANEL_BYTES;
  const step = <usize>(job.strideW * job.kernelH * 4);
  const voxelBytes = <usize>(job.columns * 4);
  const outPlane = <usize>(job.outHeight * job.outWidth) * voxelBytes;
  const tiles = ceilDivide(job.outDepth, ROWS);
  const rowTiles = ceilDivide(job.outWidth, ROWS);
  memory.fill(zeros, 0, job.rowBytes);
  for (;;) {
    const item = claim(job.counter);
    if (item >= job.batch * tiles) return;
    const n = item / tiles;
    const first = (item % tiles) * ROWS;
    for (let group = 0; group < planes; group += ROWS) transformPlanes(job, n, first, group, x + <usize>group * planeBytes, planeBytes);
    const made = smaller(ROWS, job.outDepth - first);
    for (let oh = 0; oh < job.outHeight; oh++) {
      for (let product = 0; product < job.products; product++) {
        sideBySide(job, x + <usize>product * planeBytes, oh * job.strideH - job.padH, zeros, side);
        const to = products + <usize>product * job.productBytes;
        let weights = job.packed + <usize>(product * panels) * panelBytes;
        for (let panel = 0; panel < panels; panel++) {
          panelGemm(rowTiles, side, step, k, weights, to + <usize>panel * PANEL_BYTES, pitch, false);
          weights += panelBytes;
        }
      }
      let to = job.result + <usize>(((n * job.outDepth + first) * job.outHeight + oh) * job.outWidth) * voxelBytes;
      for (let ow = 0; ow < job.outWidth; ow++) {
        const from = products + <usize>ow * pitch;
        for (let panel = 0; panel < panels; panel++) {
          const column = <usize>panel * PANEL_BYTES;
          const lanes = smaller(PANEL, job.columns - panel * PANEL);
          if (made == ROWS && lanes == PANEL) {
            outerProduct(job.products, job.back, ROW_BYTES, from + column, job.productBytes, to + column, outPlane, false);
          } else {
            outerProduct(job.products, job.back, ROW_BYTES, from + column, job.productBytes, tile, PANEL_BYTES, false);
            for (let i = 0; i < made; i++)
              for (let lane = 0; lane < lanes; lane++)
                store<f32>(to + <usize>i * outPlane + column + <usize>(lane << 2), load<f32>(tile + <usize>((i * PANEL + lane) << 2)));
          }
        }
        to += voxelBytes;
      }
    }
  }
}

/** The planes of x that six planes of the result read -> six transformed ones, whose rows bring their padding along. */
function transformPlanes(job: DepthTilesJob, n: i32, first: i32, group: i32, to: usize, planeBytes: usize): void {
  const start = first * job.strideD - job.padD;
  const low = start < 0 ? smaller(-start, job.inputs) : 0;
  const end = smaller(job.inputs, job.depth - start);
  const count = end > low ? end - low : 0;
  const xRow = <usize>(job.width * 4);
  const xPlane = <usize>job.height * xRow;
  const before = <usize>(job.padW * 4);
  // Where all is padding no plane is read: its address must only be one of x.
  const from = job.x + <usize>(n * job.depth + (count ? start + low : 0)) * xPlane;
  const a = job.data + <usize>(group * job.inputs) * 4 + <usize>low * ROW_BYTES;
  for (let h = 0; h < job.height; h++) {
    const row = to + <usize>h * job.rowBytes;
    for (let w: usize = 0; w < xRow; w += PANEL_BYTES)
      outerProduct(count, a, ROW_BYTES, from + <usize>h * xRow + w, xPlane, row + before + w, planeBytes, false);
    for (let i = 0; i < ROWS; i++) {
      const line = row + <usize>i * planeBytes;
      memory.fill(line, 0, before);
      memory.fill(line + before + xRow, 0, job.rowBytes - before - xRow);
    }
  }
}

/** Rows of a plane from `h` on, [row][width] -> [width][row], four places at a time. */
function sideBySide(job: DepthTilesJob, plane: usize, h: i32, zeros: usize, to: usize): void {
  const pitch = <usize>(job.kernelH * 4);
  // The upper rows first: each place's end is overwritten by the next one's beginning.
  const r0 = rowOf(job, plane, h, zeros), r1 = rowOf(job, plane, h + 1, zeros), r2 = rowOf(job, plane, h + 2, zeros), r3 = rowOf(job, plane, h + 3, zeros);
  const r4 = rowOf(job, plane, h + 4, zeros), r5 = rowOf(job, plane, h + 5, zeros), r6 = rowOf(job, plane, h + 6, zeros), r7 = rowOf(job, plane, h + 7, zeros);
  for (let w: usize = 0; w < job.rowBytes; w += 16) {
    transposeTo(r4 + w, r5 + w, r6 + w, r7 + w, to + 16, pitch);
    transposeTo(r0 + w, r1 + w, r2 + w, r3 + w, to, pitch);
    to += 4 * pitch;
  }
}

// @ts-ignore: decorator
@inline function rowOf(job: DepthTilesJob, plane: usize, h: i32, zeros: usize): usize {
  return <u32>h < <u32>job.height ? plane + <usize>h * job.rowBytes : zeros;
}

// @ts-ignore: decorator
@inline function transposeTo(a: usize, b: usize, c: usize, d: usize, to: usize, pitch: usize): void {
  const r0 = v128.load(a), r1 = v128.load(b), r2 = v128.load(c), r3 = v128.load(d);
  const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
  const high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
  const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
  const high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f64>(low01, low23, 0, 2));
  v128.store(to + pitch, v128.shuffle<f64>(low01, low23, 1, 3));
  v128.store(to + 2 * pitch, v128.shuffle<f64>(high01, high23, 0, 2));
  v128.store(to + 3 * pitch, v128.shuffle<f64>(high01, high23, 1, 3));
}

/**
 * The transpose of {@link depthTiles}: sums of the outer products of transformed planes of x with dy, spread over the
 * products. A thread takes some groups of six products and one panel; `packed` is where their sums go, [product][panel][tile of rows],
 * `result` is dy, and `back` [group of six products][plane of dy][ROWS].
 */
export function depthGradientTiles(thread: i32, threads: i32, at: usize): void {
  const job = changetype<DepthTilesJob>(at);
  const panels = ceilDivide(job.columns, PANEL);
  const groups = ceilDivide(ceilDivide(job.products, ROWS), job.groupsAtOnce);
  const planes = job.groupsAtOnce * ROWS;
  const planeBytes = <usize>job.height * job.rowBytes;
  const x = job.scratch + <usize>thread * job.scratchBytes;
  const zeros = x + <usize>planes * planeBytes;
  const side = zeros + job.rowBytes;
  const spread = side + <usize>planes * job.sideBytes;
  const step = <usize>(job.strideW * job.kernelH * 4);
  const voxelBytes = <usize>(job.columns * 4);
  const outPlane = <usize>(job.outHeight * job.outWidth) * voxelBytes;
  const tiles = ceilDivide(job.outDepth, ROWS);
  const rowTiles = ceilDivide(job.kernelH * job.kernelW, ROWS);
  const tileBytes = <usize>ROWS * PANEL_BYTES;
  memory.fill(zeros, 0, job.rowBytes);
  for (;;) {
    const item = claim(job.counter);
    if (item >= groups * panels) return;
    const panel = item % panels;
    const group = (item / panels) * planes;
    const taken = smaller(planes, job.products - group);
    // Positions that keep rows apart stay zero, and what they meet must be a number.
    memory.fill(side, 0, <usize>planes * (job.sideBytes + job.productBytes));
    for (let tile = 0; tile < job.batch * tiles; tile++) {
      const n = tile / tiles;
      const first = (tile % tiles) * ROWS;
      const made = smaller(ROWS, job.outDepth - first);
      for (let i = 0; i < taken; i += ROWS) transformPlanes(job, n, first, group + i, x + <usize>i * planeBytes, planeBytes);
      const spreadMatrix = job.back + <usize>(group * ROWS * 4);
      for (let row = 0; row < job.outHeight; row += job.rowsPerBlock) {
        const rows = smaller(job.rowsPerBlock, job.outHeight - row);
        for (let r = 0; r < rows; r++) {
          const oh = row + r;
          for (let i = 0; i < taken; i++)
            sideBySide(job, x + <usize>i * planeBytes, oh * job.strideH - job.padH, zeros, side + <usize>i * job.sideBytes + <usize>(r * job.rowPositions) * step);
          let from = job.result + <usize>(((n * job.outDepth + first) * job.outHeight + oh) * job.outWidth) * voxelBytes + <usize>panel * PANEL_BYTES;
          let to = spread + <usize>(r * job.rowPositions) * PANEL_BYTES;
          for (let ow = 0; ow < job.outWidth; ow++) {
            for (let i = 0; i < taken; i += ROWS)
              outerProduct(made, spreadMatrix + <usize>(i * ROWS * 4), ROW_BYTES, from, outPlane, to + <usize>i * job.productBytes, job.productBytes, false);
            from += voxelBytes;
            to += PANEL_BYTES;
          }
        }
        for (let i = 0; i < taken; i++) {
          let a = side + <usize>i * job.sideBytes;
          let sums = job.packed + <usize>(((group + i) * panels + panel) * rowTiles) * tileBytes;
          for (let t = 0; t < rowTiles; t++) {
            outerProduct(rows * job.rowPositions, a, step, spread + <usize>i * job.productBytes, PANEL_BYTES, sums, PANEL_BYTES, tile > 0 || row > 0);
            a += ROW_BYTES;
            sums += tileBytes;
          }
        }
      }
    }
  }
}

/** The sums of {@link depthGradientTiles} -> the taps along the depth; fields as of {@link transformDepthFilter}. */
export function collectDepthFilter(thread: i32, threads: i32, at: usize): void {
  const job = changetype<DepthFilterJob>(at);
  const panels = ceilDivide(job.columns, PANEL);
  const plane = job.kernelH * job.kernelW;
  const rowTiles = ceilDivide(plane, ROWS);
  const productBytes = <usize>(panels * rowTiles * ROWS) * PANEL_BYTES;
  for (;;) {
    const tap = claim(job.counter);
    if (tap >= plane) return;
    const kh = tap / job.kernelW;
    const place = (tap % job.kernelW) * job.kernelH + kh;
    for (let column = 0; column < job.columns; column++) {
      const from = job.packed + <usize>((column / PANEL) * rowTiles * ROWS + place) * PANEL_BYTES + <usize>((column % PANEL) << 2);
      for (let kd = 0; kd < job.kernelD; kd++) {
        let sum: f32 = 0;
        for (let product = 0; product < job.products; product++)
          sum += load<f32>(job.matrix + <usize>((product * job.kernelD + kd) << 2)) * load<f32>(from + <usize>product * productBytes);
        store<f32>(job.filter + <usize>(((kd * plane + tap) * job.columns + column) << 2), sum);
      }
    }
  }
}
