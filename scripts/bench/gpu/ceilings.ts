import { messageOf } from '../../../src/core/errors';
import { halfToFloat32 } from '../../../src/core/weights/half';
import { describeGpu, gpu, settled, timesOf, type GpuDescription } from './gpu-in-use';
import { factor, fill } from './factors';
import {
  COPY_TEXT,
  matrixUnitText,
  matrixUnitTile,
  productText,
  type ProductKernel,
  type ProductTile,
} from './product-text';

// What the device gives to small WGSL kernels: copies, and matrix products in single and in half precision. Each product
// is checked on a few of its entries before it counts.

export interface MeasuredProduct {
  /** How it is computed: tile, or matrix unit. */
  readonly kernel: string;
  readonly tflops?: number;
  /** Why there is no figure. */
  readonly failed?: string;
}

export interface Ceilings {
  /** GB/s, read and written bytes together. */
  readonly copy: number;
  readonly copyBytes: number;
  /** TFLOP/s of the fastest matrix product; 0 where none was right. */
  readonly f32: number;
  /** Likewise; undefined without half precision. */
  readonly f16?: number;
  /** Side of the square matrices. */
  readonly side: number;
  readonly f32Products: readonly MeasuredProduct[];
  readonly f16Products: readonly MeasuredProduct[];
}

const TILES = {
  '128x128': { rows: 128, columns: 128, depth: 16, threadRows: 8, threadColumns: 8 },
  '128x64': { rows: 128, columns: 64, depth: 16, threadRows: 8, threadColumns: 4 },
  '64x64': { rows: 64, columns: 64, depth: 16, threadRows: 4, threadColumns: 4 },
} as const satisfies Record<string, ProductTile>;
type TileName = keyof typeof TILES;

/** Software compiles large tiles for half a minute, and multiplies slowly. */
const SOFTWARE = { tiles: ['64x64'], side: 128, copyBytes: 2 ** 24, leastMs: 5 } as const;
const HARDWARE = {
  tiles: ['128x128', '128x64', '64x64'],
  side: 4096,
  copyBytes: 2 ** 29,
  leastMs: 60,
} as const;

const REPEATS = 5;

interface Ways {
  readonly tiles: readonly TileName[];
  readonly side: number;
  readonly copyBytes: number;
  readonly leastMs: number;
}

/** Measures the open GPU. */
export async function measureCeilings(): Promise<Ceilings> {
  const description = describeGpu();
  const ways: Ways = description.software ? SOFTWARE : HARDWARE;
  const { maxStorageBufferBindingSize } = description.limits;
  const copyBytes = Math.min(ways.copyBytes, 2 ** Math.floor(Math.log2(maxStorageBufferBindingSize)));
  const copy = await copyBandwidth(copyBytes, ways.leastMs);
  const f32Products: MeasuredProduct[] = [];
  for (const name of ways.tiles)
    f32Products.push(await tried(name, () => threadProduct(name, 'f32', 'same', ways)));
  const f16Products = description.features.includes('shader-f16')
    ? await halfProducts(description, ways)
    : [];
  return {
    copy,
    copyBytes,
    f32: best(f32Products) ?? 0,
    f16: best(f16Products),
    side: ways.side,
    f32Products,
    f16Products,
  };
}

async function halfProducts(description: GpuDescription, ways: Ways): Promise<MeasuredProduct[]> {
  const products: MeasuredProduct[] = [];
  for (const name of ways.tiles)
    for (const sums of ['same', 'mixed'] as const)
      products.push(
        await tried(`${name}, sums in ${sums === 'same' ? 'f16' : 'f32'}`, () =>
          threadProduct(name, 'f16', sums, ways),
        ),
      );
  const [least, most] = description.subgroupSizes;
  if (!description.features.includes('chromium-experimental-subgroup-matrix')) return products;
  for (const shape of description.subgroupMatrices) {
    const { M, N, K, componentType, resultComponentType } = shape;
    if (componentType !== 'f16' || !/^f(16|32)$/.test(resultComponentType)) continue;
    const kernel = `matrix unit ${M}x${N}x${K}, sums in ${resultComponentType}`;
    products.push(
      least === most && least > 0
        ? await tried(kernel, () => {
            const [rows, columns] = matrixUnitTile(shape);
            const wgsl = matrixUnitText(shape, least);
            return product(
              { wgsl, rows, columns, element: 'f16', halfResult: resultComponentType === 'f16' },
              ways,
            );
          })
        : { kernel, failed: `its subgroups have ${least} to ${most} threads, and the kernel needs to know` },
    );
  }
  return products;
}

const best = (products: readonly MeasuredProduct[]): number | undefined => {
  const figures = products.flatMap(({ tflops }) => tflops ?? []);
  return figures.length > 0 ? Math.max(...figures) : undefined;
};

/** A kernel that a driver refuses, or that computes wrongly, costs its own figure alone. */
async function tried(kernel: string, measure: () => Promise<number>): Promise<MeasuredProduct> {
  const { device } = gpu();
  device.pushErrorScope('validation');
  let tflops: number | undefined;
  let failed: string | undefined;
  try {
    tflops = await measure();
  } catch (error) {
    failed = messageOf(error);
  }
  const refused = await device.popErrorScope();
  const reason = refused?.message.split('\n')[0] ?? failed;
  return reason === undefined ? { kernel, tflops } : { kernel, failed: reason };
}

async function copyBandwidth(bytes: number, leastMs: number): Promise<number> {
  const count = bytes / 16;
  const groups = Math.ceil(count / 256);
  const across = Math.min(groups, 32_768);
  const program = { key: 'bench copy', wgsl: () => COPY_TEXT };
  return withBuffers([bytes, bytes], async ([source, copy]) => {
    const run = () =>
      gpu().dispatch(program, [source, copy], [across, Math.ceil(groups / across)], uints(count));
    const times = await timesOf(run, REPEATS, leastMs);
    return (2 * bytes) / Math.min(...times) / 1e6;
  });
}

function threadProduct(
  name: TileName,
  element: ProductKernel['element'],
  sums: ProductKernel['sums'],
  ways: Ways,
): Promise<number> {
  const tile = TILES[name];
  const wgsl = productText({ tile, element, sums });
  return product({ wgsl, rows: tile.rows, columns: tile.columns, element, halfResult: false }, ways);
}

interface ProductRun {
  readonly wgsl: string;
  readonly rows: number;
  readonly columns: number;
  readonly element: 'f32' | 'f16';
  readonly halfResult: boolean;
}

/** TFLOP/s of a product of square matrices. @throws Error where it is wrong */
async function product(asked: ProductRun, ways: Ways): Promise<number> {
  const { wgsl, rows, columns, element } = asked;
  const { side, leastMs } = ways;
  const bytes = side * side * (element === 'f16' ? 2 : 4);
  const program = { key: `bench ${wgsl}`, wgsl: () => wgsl };
  return withBuffers([bytes, bytes, side * side * 4], async ([a, b, c]) => {
    fill(a, element, side * side, 1);
    fill(b, element, side * side, 2);
    const run = () => gpu().dispatch(program, [a, b, c], [side / columns, side / rows], uints(side));
    run();
    await checkProduct(c, side, asked);
    const times = await timesOf(run, REPEATS, leastMs);
    return (2 * side ** 3) / Math.min(...times) / 1e9;
  });
}

/**
 * Of the entries' standard deviation. In single precision products of such factors are exact; thousands of them summed in half
 * precision are off by some hundredths, and a wrong kernel is by as much as the values themselves.
 */
const TOLERANCE = { f32: 1e-4, f16: 0.2 } as const;

/** Looks at entries of the first and of the last row. */
async function checkProduct(c: GPUBuffer, side: number, { element, halfResult }: ProductRun): Promise<void> {
  const scale = Math.sqrt(side) / 12; // the standard deviation of the entries: factors are uniform in [-1/2, 1/2]
  for (const row of [0, side - 1]) {
    const values = await readRow(c, row, side, halfResult);
    for (const column of [0, 1, side / 2 + 3, side - 1]) {
      let expected = 0;
      for (let k = 0; k < side; k++) expected += factor(row * side + k, 1) * factor(k * side + column, 2);
      const error = Math.abs(values[column] - expected) / scale;
      if (!(error <= TOLERANCE[element]))
        throw new Error(
          `its entry ${row}, ${column} is ${values[column].toPrecision(4)} instead of ${expected.toPrecision(4)}`,
        );
    }
  }
}

async function readRow(c: GPUBuffer, row: number, side: number, half: boolean): Promise<ArrayLike<number>> {
  const backend = gpu();
  const bytes = side * (half ? 2 : 4);
  await settled();
  const staging = backend.device.createBuffer({
    size: bytes,
    usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
  });
  try {
    const encoder = backend.device.createCommandEncoder();
    encoder.copyBufferToBuffer(c, row * bytes, staging, 0, bytes);
    backend.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const values = staging.getMappedRange().slice(0);
    return half ? halfToFloat32(new Uint16Array(values)) : new Float32Array(values);
  } finally {
    staging.destroy();
  }
}

const uints = (...values: readonly number[]): ArrayBuffer =>
  Uint32Array.from([...values, 0, 0, 0, 0].slice(0, 4)).buffer;

async function withBuffers<T>(
  bytes: readonly number[],
  work: (buffers: GPUBuffer[]) => Promise<T>,
): Promise<T> {
  const { pool } = gpu();
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffers: GPUBuffer[] = [];
  try {
    for (const size of bytes) buffers.push(pool.acquireBuffer(size, usage));
    return await work(buffers);
  } finally {
    for (const buffer of buffers) pool.releaseBuffer(buffer);
  }
}
