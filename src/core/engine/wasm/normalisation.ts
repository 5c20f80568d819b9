import type { Machine } from './machine';

/** Floats of x that one partial sum covers: fixed, so that sums do not depend on the number of threads. */
const BLOCK_FLOATS = 65_536;
/** Floats swept channel by channel while they are in the first-level cache: of x, or of each of x, dy and y. */
const STRIP_FLOATS = { sums: 4096, gradientSums: 2048 };
const CLAIM_FLOATS = 16_384;

/** x seen as [rows, channels]; addresses, 0 where absent. */
export interface NormShape {
  readonly rows: number;
  readonly channels: number;
}

export interface ChannelSums {
  readonly first: Float64Array;
  readonly second: Float64Array;
}

/** Mean and biased variance per channel. */
export function channelMoments(
  machine: Machine,
  shape: NormShape,
  x: number,
): { mean: Float64Array; variance: Float64Array } {
  const { first, second } = channelSums(machine, 'sums', shape, { x, dy: 0, y: 0, mean: 0 });
  const mean = first.map((sum) => sum / shape.rows);
  const variance = second.map((squares, c) => Math.max(0, squares / shape.rows - mean[c] ** 2));
  return { mean, variance };
}

/** Sums of g and of g * (x - mean) per channel, where g is dy where y > 0 (y = 0: everywhere). */
export function gradientSums(
  machine: Machine,
  shape: NormShape,
  at: { readonly x: number; readonly dy: number; readonly y: number; readonly mean: number },
): ChannelSums {
  return channelSums(machine, 'gradientSums', shape, at);
}

function channelSums(
  { heap, pool }: Machine,
  kernel: 'sums' | 'gradientSums',
  { rows, channels }: NormShape,
  at: { readonly x: number; readonly dy: number; readonly y: number; readonly mean: number },
): ChannelSums {
  const rowsPerStrip = Math.max(8, Math.floor(STRIP_FLOATS[kernel] / channels));
  const rowsPerBlock = Math.max(rowsPerStrip, Math.floor(BLOCK_FLOATS / channels));
  const blocks = Math.ceil(rows / rowsPerBlock);
  return heap.withScratch([blocks * 2 * channels * 8], (partial) => {
    pool.run(
      kernel,
      [at.x, at.dy, at.y, at.mean, partial, rows, channels, rowsPerBlock, rowsPerStrip],
      blocks === 1,
    );
    const parts = heap.float64(partial, blocks * 2 * channels);
    const first = new Float64Array(channels);
    const second = new Float64Array(channels);
    for (let block = 0; block < blocks; block++) {
      const base = block * 2 * channels;
      for (let c = 0; c < channels; c++) {
        first[c] += parts[base + c];
        second[c] += parts[base + channels + c];
      }
    }
    return { first, second };
  });
}

/** Per-channel coefficients of {@link applyAffine}. */
export interface Affine {
  readonly mean: ArrayLike<number>;
  readonly factor: ArrayLike<number>;
  readonly offset: ArrayLike<number>;
}

/** y = act((x - mean) * factor + offset + residual). */
export function applyAffine(
  { heap, pool }: Machine,
  { rows, channels }: NormShape,
  at: { readonly x: number; readonly residual: number; readonly y: number },
  affine: Affine,
  relu: boolean,
): void {
  heap.withScratch([channels * 12], (coefficients) => {
    const [mean, factor, offset] = place(heap.float32(coefficients, 3 * channels), coefficients, channels, [
      affine.mean,
      affine.factor,
      affine.offset,
    ]);
    const rowsPerClaim = Math.max(1, Math.floor(CLAIM_FLOATS / channels));
    pool.run(
      'affine',
      [at.x, at.residual, at.y, mean, factor, offset, rows, channels, rowsPerClaim, relu ? 1 : 0],
      rows <= rowsPerClaim,
    );
  });
}

export interface AffineGradient {
  readonly mean: ArrayLike<number>;
  readonly factor: ArrayLike<number>;
  readonly slope: ArrayLike<number>;
  readonly offset: ArrayLike<number>;
}

/** dx = g * factor - (x - mean) * slope - offset, dresidual = g; g is dy where y > 0 (y = 0: everywhere). */
export function applyAffineGradient(
  { heap, pool }: Machine,
  { rows, channels }: NormShape,
  at: {
    readonly x: number;
    readonly dy: number;
    readonly y: number;
    readonly dx: number;
    readonly dresidual: number;
  },
  affine: AffineGradient,
): void {
  heap.withScratch([channels * 16], (coefficients) => {
    const placed = place(heap.float32(coefficients, 4 * channels), coefficients, channels, [
      affine.mean,
      affine.factor,
      affine.slope,
      affine.offset,
    ]);
    const rowsPerClaim = Math.max(1, Math.floor(CLAIM_FLOATS / channels));
    pool.run(
      'affineGradient',
      [at.x, at.dy, at.y, at.dx, at.dresidual, ...placed, rows, channels, rowsPerClaim],
      rows <= rowsPerClaim,
    );
  });
}

/** Writes per-channel arrays one after the other and returns their addresses. */
function place(
  view: Float32Array,
  address: number,
  channels: number,
  arrays: readonly ArrayLike<number>[],
): number[] {
  return arrays.map((array, i) => {
    view.set(array, i * channels);
    return address + i * channels * 4;
  });
}
