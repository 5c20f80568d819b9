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

/** Whether a convolution can be computed by short convolutions along the depth: y of a stem over one channel. */
export function depthServes(pass: ConvPass, g: ConvGeometry): boolean {
  return (
    pass === 'y' &&
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
  let at = 0;
  for (const part of parts)
    for (let p = 0; p < part.products; p++, at++) {
      const group = Math.floor(at / ROWS) * inputs * ROWS + (at % ROWS);
      part.data[p].forEach((value, i) => (data[group + (part.firstTap + i * stride) * ROWS] = value));
      part.filter[p].forEach((value, i) => (filter[at * KERNEL_DEPTH + part.firstTap + i * stride] = value));
      part.result.forEach((row, i) => (back[at * ROWS + i] = row[p]));
    }
  return { inputs, products, data, filter, back };
}

const matricesOf = new Map<number, DepthMatrices>();

function matrices(stride: number): DepthMatrices {
  const known = matricesOf.get(stride) ?? depthMatrices(stride);
  matricesOf.set(stride, known);
  return known;
}

const roundUp = (value: number, multiple: number) => Math.ceil(value / multiple) * multiple;

function depthPlan(g: ConvGeometry, panel: number) {
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
  const plan = depthPlan(g, panel);
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
      ]);
    },
  );
}

/** Bytes of scratch memory, tables included. */
export function depthScratchBytes(g: ConvGeometry, threads: number, panel: number): number {
  const { filter, thread, inputs, products } = depthPlan(g, panel);
  return filter + thread * threads + (products + ROWS) * (inputs + KERNEL_DEPTH + ROWS) * 4;
}

/** Multiply-adds of {@link multiplyDepthTiles} that count: the matrix products and the way back. */
export function depthProducts(g: ConvGeometry): number {
  const { products } = matrices(g.stride[0]);
  const tiles = g.batch * Math.ceil(g.output[0] / ROWS) * g.output[1] * roundUp(g.output[2], ROWS);
  return tiles * g.outChannels * products * (product(g.kernel.slice(1)) + 2 * ROWS);
}
