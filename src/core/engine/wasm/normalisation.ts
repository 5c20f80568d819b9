import type { Machine } from './machine';
import { doubleField } from './pool';

/** Floats of x that one partial sum covers: fixed, so that sums do not depend on the number of threads. */
const BLOCK_FLOATS = 65_536;
const CLAIM_FLOATS = 16_384;
/** Rows from whose mean the deviations are summed. */
const GUESS_ROWS = 16;

/** x seen as [rows, channels]; addresses, 0 where absent. */
export interface NormShape {
  readonly rows: number;
  readonly channels: number;
}

export interface ChannelSums {
  readonly first: Float64Array;
  readonly second: Float64Array;
}

/** Sums that a kernel left per block of rows, [block][2][channels] in double precision. */
export interface BlockSums {
  readonly partial: number;
  readonly blocks: number;
}

/** Mean and biased variance per channel, in single precision: from x to where they shall lie. */
export function channelMoments(
  machine: Machine,
  shape: NormShape,
  x: number,
  to: { readonly mean: number; readonly variance: number },
): void {
  const { heap, pool } = machine;
  const { rows, channels } = shape;
  heap.withScratch([channels * 4], (guess) => {
    pool.run('meansOfFirstRows', [x, guess, Math.min(rows, GUESS_ROWS), channels], true);
    sumsAround(machine, shape, x, guess, ({ partial, blocks }) =>
      pool.run('moments', [partial, blocks, rows, channels, guess, to.mean, to.variance], true),
    );
  });
}

/** Sum per channel. */
export function channelSums(machine: Machine, shape: NormShape, x: number): Float64Array {
  return withZeros(machine, shape.channels, (zeros) =>
    sumsAround(machine, shape, x, zeros, (sums) => addedUp(machine, shape.channels, sums).first),
  );
}

/** Sums of x - shift and of its square. */
function sumsAround<T>(
  machine: Machine,
  shape: NormShape,
  x: number,
  shift: number,
  use: (sums: BlockSums) => T,
): T {
  const { rows, channels } = shape;
  const job = (partial: number, rowsPerBlock: number) => [x, shift, partial, rows, channels, rowsPerBlock];
  return withBlockSums(machine, 'sums', shape, job, use);
}

/** gamma / sqrt(variance + epsilon) per channel: what training multiplies with. All are addresses. */
export function normFactor(
  { pool }: Machine,
  channels: number,
  gamma: number,
  variance: number,
  epsilon: number,
  factor: number,
): void {
  pool.run('normFactor', [gamma, variance, factor, channels, ...doubleField(epsilon)], true);
}

/** Where the coefficients of {@link applyAffineGradient} and the gradients of gamma and beta shall lie. */
export interface NormGradientPlaces {
  readonly slope: number;
  readonly offset: number;
  readonly dgamma: number;
  readonly dbeta: number;
}

/**
 * From the sums of g and of g * (x - mean) over all rows of x:
 * dx = gamma / s * (g - mean(g) - (x - mean) / s^2 * mean(g * (x - mean))), s^2 = variance + epsilon.
 */
export function normGradient(
  { pool }: Machine,
  { rows, channels }: NormShape,
  { partial, blocks }: BlockSums,
  at: { readonly factor: number; readonly variance: number },
  epsilon: number,
  to: NormGradientPlaces,
): void {
  const places = [at.factor, at.variance, to.slope, to.offset, to.dgamma, to.dbeta];
  pool.run('normGradient', [partial, blocks, rows, channels, ...places, ...doubleField(epsilon)], true);
}

/** How a rectification in the forward pass masks dy: by its result, or by its argument, computed anew. */
export interface Mask {
  /** Address of the forward result; 0 where it was not rectified. */
  readonly y: number;
  /** g is dy where (x - mean) * factor + shift > 0. */
  readonly again?: { readonly factor: number; readonly shift: number };
}

/** Sums of g and of g * (x - mean) per channel, where g is dy where the mask lets it pass. */
export function gradientSums<T>(
  machine: Machine,
  shape: NormShape,
  at: {
    readonly x: number;
    readonly dy: number;
    /** Where g is written, or 0. */
    readonly g: number;
  },
  mean: number,
  { y, again }: Mask,
  use: (sums: BlockSums) => T,
): T {
  const { rows, channels } = shape;
  const job = (partial: number, rowsPerBlock: number) => [
    at.x,
    at.dy,
    again ? 0 : y,
    at.g,
    mean,
    again?.factor ?? 0,
    again?.shift ?? 0,
    partial,
    rows,
    channels,
    rowsPerBlock,
  ];
  return withBlockSums(machine, 'gradientSums', shape, job, use);
}

/** Runs a kernel that leaves sums per block of rows, for as long as they are used. */
export function withBlockSums<T>(
  { heap, pool }: Machine,
  kernel: string,
  { rows, channels }: NormShape,
  job: (partial: number, rowsPerBlock: number) => number[],
  use: (sums: BlockSums) => T,
): T {
  const rowsPerBlock = Math.max(8, Math.floor(BLOCK_FLOATS / channels));
  const blocks = Math.ceil(rows / rowsPerBlock);
  return heap.withScratch([blocks * 2 * channels * 8], (partial) => {
    pool.run(kernel, job(partial, rowsPerBlock), blocks === 1);
    return use({ partial, blocks });
  });
}

/** The sums of all blocks, added up in their order. */
export function addedUp({ heap }: Machine, channels: number, { partial, blocks }: BlockSums): ChannelSums {
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
}

/** Per-channel coefficients of {@link applyAffine}: addresses. */
export interface Affine {
  readonly mean: number;
  readonly factor: number;
  readonly offset: number;
}

/** y = act((x - mean) * factor + offset + residual); y may lie where x does. */
export function applyAffine(
  { pool }: Machine,
  { rows, channels }: NormShape,
  at: { readonly x: number; readonly residual: number; readonly y: number },
  { mean, factor, offset }: Affine,
  relu: boolean,
): void {
  const rowsPerClaim = Math.max(1, Math.floor(CLAIM_FLOATS / channels));
  pool.run(
    'affine',
    [at.x, at.residual, at.y, mean, factor, offset, rows, channels, rowsPerClaim, relu ? 1 : 0],
    rows <= rowsPerClaim,
  );
}

/** Per-channel coefficients of {@link applyAffineGradient}: addresses. */
export interface AffineGradient {
  readonly mean: number;
  readonly factor: number;
  readonly slope: number;
  readonly offset: number;
}

/**
 * dx = g * factor - (x - mean) * slope - offset, dresidual = g, where g is dy where the mask lets it pass. dx may lie
 * where x does, dresidual where dy does.
 */
export function applyAffineGradient(
  { pool }: Machine,
  { rows, channels }: NormShape,
  at: {
    readonly x: number;
    readonly dy: number;
    readonly dx: number;
    readonly dresidual: number;
  },
  { mean, factor, slope, offset }: AffineGradient,
  { y, again }: Mask,
): void {
  const rowsPerClaim = Math.max(1, Math.floor(CLAIM_FLOATS / channels));
  const masked = again ? 0 : y;
  const coefficients = [mean, factor, slope, offset, again?.shift ?? 0];
  pool.run(
    'affineGradient',
    [at.x, at.dy, masked, at.dx, at.dresidual, ...coefficients, rows, channels, rowsPerClaim],
    rows <= rowsPerClaim,
  );
}

/** Lends a zero per channel. */
export function withZeros<T>({ heap }: Machine, channels: number, use: (zeros: number) => T): T {
  return heap.withScratch([channels * 4], (zeros) => {
    heap.float32(zeros, channels).fill(0);
    return use(zeros);
  });
}
