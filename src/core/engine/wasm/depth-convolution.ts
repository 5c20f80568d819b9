import { toomCook } from './assembly/short-convolutions.mjs';
import { product, type ConvGeometry, type ConvPass } from './conv-geometry';
import type { Machine } from './machine';

/** Planes of the result that are made at a time, and rows of a micro-kernel's tile. */
const ROWS = 6;
/** Points of the two short convolutions: of the small numbers these rounded least. */
const POINTS = {
  even: [0.6, -0.6, 1.1, -1.1, 1.6, -1.6, 0.3, -0.3],
  odd: [0, 0.6, -0.6, 1.1, -1.1, 1.6, -1.6],
};
const KERNEL_DEPTH = 7;
const MOST_ROWS = 8;

/** Positions of dy that the gradient multiplies at a time. */
const BLOCK_POSITIONS = 256;

/** Whether a convolution over one channel, a stem's, can be computed by short convolutions along the depth. */
export function depthServes(pass: ConvPass, g: ConvGeometry): boolean {
  return (
    pass !== 'dx' &&
    g.inChannels === 1 &&
    g.kernel[0] === KERNEL_DEPTH &&
    g.kernel[1] > 4 &&
    g.kernel[1] <= MOST_ROWS &&
    g.stride[0] <= 2 &&
    Math.max(...g.dilation) === 1
  );
}

interface DepthMatrices {
  readonly inputs: number;
  readonly products: number;
  /** [group of six products][input][6], [product][7] and [product][6], as the kernels read them. */
  readonly data: Float32Array;
  readonly filter: Float32Array;
  readonly back: Float32Array;
  /** The same as [group of six products][6][6], for the gradient. */
  readonly spread: Float32Array;
}

/**
 * Seven taps as four and three, which have fewer products together than one short convolution could have with as little
 * rounding. With stride 2 they are those that meet the even and the odd planes, else the first and the last ones.
 */
function depthMatrices(stride: number): DepthMatrices {
  const parts = [
    { ...toomCook(ROWS, 4, POINTS.even), firstTap: 0 },
    { ...toomCook(ROWS, 3, POINTS.odd), firstTap: stride === 2 ? 1 : 4 },
  ];
  const inputs = (ROWS - 1) * stride + KERNEL_DEPTH;
  const products = parts.reduce((sum, part) => sum + part.products, 0);
  const data = new Float32Array(Math.ceil(products / ROWS) * ROWS * inputs);
  const filter = new Float32Array(products * KERNEL_DEPTH);
  const back = new Float32Array(products * ROWS);
  const spread = new Float32Array(Math.ceil(products / ROWS) * ROWS * ROWS);
  let at = 0;
  for (const part of parts)
    for (let p = 0; p < part.products; p++, at++) {
      const group = Math.floor(at / ROWS) * inputs * ROWS + (at % ROWS);
      part.data[p].forEach((value, i) => (data[group + (part.firstTap + i * stride) * ROWS] = value));
      part.filter[p].forEach((value, i) => (filter[at * KERNEL_DEPTH + part.firstTap + i * stride] = value));
      part.result.forEach((row, i) => {
        back[at * ROWS + i] = row[p];
        spread[(Math.floor(at / ROWS) * ROWS + i) * ROWS + (at % ROWS)] = row[p];
      });
    }
  return { inputs, products, data, filter, back, spread };
}

const matricesOf = new Map<number, DepthMatrices>();

function matrices(stride: number): DepthMatrices {
  const known = matricesOf.get(stride) ?? depthMatrices(stride);
  matricesOf.set(stride, known);
  return known;
}

const roundUp = (value: number, multiple: number) => Math.ceil(value / multiple) * multiple;

function depthPlan(g: ConvGeometry, threads: number, panel: number) {
  const { inputs, products } = matrices(g.stride[0]);
  const lanes = roundUp(g.outChannels, panel);
  const positions = roundUp(g.output[2], ROWS);
  const places = Math.max(
    g.padding[2] + roundUp(g.input[2], panel),
    g.input[2] + 2 * g.padding[2],
    (positions - 1) * g.stride[2] + g.kernel[2],
  );
  const rowBytes = roundUp(places, 4) * 4;
  const sideBytes = roundUp((rowBytes / 4) * g.kernel[1] * 4 + 64, 64);
  const productBytes = positions * lanes * 4 + 192;
  const planes = roundUp(products, ROWS) * g.input[1] * rowBytes;
  return {
    inputs,
    products,
    rowBytes,
    sideBytes,
    productBytes,
    filter: products * g.kernel[1] * g.kernel[2] * lanes * 4,
    thread: roundUp(planes + rowBytes + sideBytes + products * productBytes + ROWS * panel * 4, 64),
    ...gradientPlan(g, threads, panel, rowBytes),
  };
}

/** Rows of dy with positions between them, so that all of a block are equally far apart, and the scratch that takes. */
function gradientPlan(g: ConvGeometry, threads: number, panel: number, rowBytes: number) {
  const { products } = matrices(g.stride[0]);
  const between = Math.ceil(Math.max(0, g.kernel[2] - g.stride[2]) / g.stride[2]);
  const rowPositions = g.output[2] + between;
  const rowsPerBlock = Math.max(1, Math.min(g.output[1], Math.floor(BLOCK_POSITIONS / rowPositions)));
  const positions = rowsPerBlock * rowPositions;
  const side = roundUp(
    (positions * g.stride[2] + g.kernel[2]) * g.kernel[1] * 4 + rowBytes * g.kernel[1] + 192,
    64,
  );
  const spread = positions * panel * 4 + 192;
  const panels = Math.ceil(g.outChannels / panel);
  const tiles = Math.ceil((g.kernel[1] * g.kernel[2]) / ROWS) * panels;
  const groups = Math.ceil(products / ROWS);
  const groupsAtOnce = panels % threads === 0 || panels >= 4 * threads ? groups : 1;
  return {
    rowPositions,
    rowsPerBlock,
    side,
    spread,
    sums: products * tiles * ROWS * panel * 4,
    groupsAtOnce,
    gradientThread: roundUp(groupsAtOnce * ROWS * (g.input[1] * rowBytes + side + spread) + rowBytes, 64),
  };
}

/** y from x. All are addresses. */
export function multiplyDepthTiles(
  machine: Machine,
  g: ConvGeometry,
  x: number,
  filter: number,
  y: number,
): void {
  const { heap, pool, panel } = machine;
  const plan = depthPlan(g, pool.threads, panel);
  const tables = matrices(g.stride[0]);
  const bytes = [tables.data, tables.filter, tables.back].map((table) => table.byteLength);
  heap.withScratch(
    [plan.filter, plan.thread * pool.threads, ...bytes],
    (packed, scratch, dataAt, filterAt, backAt) => {
      heap.float32(dataAt, tables.data.length).set(tables.data);
      heap.float32(filterAt, tables.filter.length).set(tables.filter);
      heap.float32(backAt, tables.back.length).set(tables.back);
      pool.run('transformDepthFilter', [filter, packed, filterAt, plan.products, ...g.kernel, g.outChannels]);
      pool.run('depthTiles', [
        x,
        packed,
        y,
        scratch,
        plan.thread,
        dataAt,
        backAt,
        plan.inputs,
        plan.products,
        g.batch,
        ...g.input,
        ...g.output,
        g.outChannels,
        g.kernel[1],
        g.kernel[2],
        ...g.stride,
        ...g.padding,
        plan.rowBytes,
        plan.sideBytes,
        plan.productBytes,
        0,
        0,
        0,
      ]);
    },
  );
}

/** dfilter from x and dy. */
export function multiplyGradientDepthTiles(
  machine: Machine,
  g: ConvGeometry,
  x: number,
  dy: number,
  dfilter: number,
): void {
  const { heap, pool, panel } = machine;
  const plan = depthPlan(g, pool.threads, panel);
  const tables = matrices(g.stride[0]);
  const bytes = [tables.data, tables.filter, tables.spread].map((table) => table.byteLength);
  heap.withScratch(
    [plan.sums, plan.gradientThread * pool.threads, ...bytes],
    (sums, scratch, dataAt, filterAt, spreadAt) => {
      heap.float32(dataAt, tables.data.length).set(tables.data);
      heap.float32(filterAt, tables.filter.length).set(tables.filter);
      heap.float32(spreadAt, tables.spread.length).set(tables.spread);
      pool.run('depthGradientTiles', [
        x,
        sums,
        dy,
        scratch,
        plan.gradientThread,
        dataAt,
        spreadAt,
        plan.inputs,
        plan.products,
        g.batch,
        ...g.input,
        ...g.output,
        g.outChannels,
        g.kernel[1],
        g.kernel[2],
        ...g.stride,
        ...g.padding,
        plan.rowBytes,
        plan.side,
        plan.spread,
        plan.rowsPerBlock,
        plan.rowPositions,
        plan.groupsAtOnce,
      ]);
      pool.run('collectDepthFilter', [dfilter, sums, filterAt, plan.products, ...g.kernel, g.outChannels]);
    },
  );
}

/** Bytes of scratch memory, tables included. */
export function depthScratchBytes(pass: ConvPass, g: ConvGeometry, threads: number, panel: number): number {
  const { filter, thread, sums, gradientThread, inputs, products } = depthPlan(g, threads, panel);
  const held = pass === 'dfilter' ? sums + gradientThread * threads : filter + thread * threads;
  return held + (products + ROWS) * (inputs + KERNEL_DEPTH + ROWS) * 4;
}

/** Multiply-adds of {@link multiplyDepthTiles} that count: the matrix products and the way back. */
export function depthProducts(g: ConvGeometry): number {
  const { products } = matrices(g.stride[0]);
  const tiles = g.batch * Math.ceil(g.output[0] / ROWS) * g.output[1] * roundUp(g.output[2], ROWS);
  return tiles * g.outChannels * products * (product(g.kernel.slice(1)) + 2 * ROWS);
}
