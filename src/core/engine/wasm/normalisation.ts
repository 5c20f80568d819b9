import type { Machine } from './machine';

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

/** Mean and biased variance per channel, in the single precision that they are kept in. */
export function channelMoments(
  machine: Machine,
  shape: NormShape,
  x: number,
): { mean: Float32Array; variance: Float32Array } {
  const { heap } = machine;
  const { rows, channels } = shape;
  const guess = meanOfFirstRows(heap.float32(x, Math.min(rows, GUESS_ROWS) * channels), channels);
  const { first, second } = sumsAround(machine, shape, x, guess);
  // Loops, not callbacks: a training step comes here for a hundred thousand channels.
  const mean = new Float32Array(channels);
  const variance = new Float32Array(channels);
  for (let c = 0; c < channels; c++) {
    const offset = first[c] / rows;
    mean[c] = guess[c] + offset;
    variance[c] = Math.max(0, second[c] / rows - offset * offset);
  }
  return { mean, variance };
}

/** Sum per channel. */
export function channelSums(machine: Machine, shape: NormShape, x: number): Float64Array {
  return sumsAround(machine, shape, x, new Float32Array(shape.channels)).first;
}

/** Sums of x - shift and of its square. */
function sumsAround(machine: Machine, shape: NormShape, x: number, shift: Float32Array): ChannelSums {
  const { rows, channels } = shape;
  return withCoefficients(machine, channels, [shift], (shifts) =>
    blockSums(machine, 'sums', shape, (partial, rowsPerBlock) => [
      x,
      shifts,
      partial,
      rows,
      channels,
      rowsPerBlock,
    ]),
  );
}

function meanOfFirstRows(values: Float32Array<ArrayBufferLike>, channels: number): Float32Array {
  const sums = new Float64Array(channels);
  for (let start = 0; start < values.length; start += channels)
    for (let c = 0; c < channels; c++) sums[c] += values[start + c];
  const rows = values.length / channels;
  const means = new Float32Array(channels);
  // A channel that overflows shall do so in the statistics, not here.
  for (let c = 0; c < channels; c++) means[c] = Number.isFinite(sums[c]) ? sums[c] / rows : 0;
  return means;
}

/** How a rectification in the forward pass masks dy: by its result, or by its argument, computed anew. */
export interface Mask {
  /** Address of the forward result; 0 where it was not rectified. */
  readonly y: number;
  /** g is dy where (x - mean) * factor + shift > 0. */
  readonly again?: { readonly factor: ArrayLike<number>; readonly shift: ArrayLike<number> };
}

/** Sums of g and of g * (x - mean) per channel, where g is dy where the mask lets it pass. */
export function gradientSums(
  machine: Machine,
  shape: NormShape,
  at: {
    readonly x: number;
    readonly dy: number;
    /** Where g is written, or 0. */
    readonly g: number;
  },
  mean: ArrayLike<number>,
  { y, again }: Mask,
): ChannelSums {
  const { rows, channels } = shape;
  return withCoefficients(machine, channels, [mean, again?.factor, again?.shift], (means, factor, shift) =>
    blockSums(machine, 'gradientSums', shape, (partial, rowsPerBlock) => [
      at.x,
      at.dy,
      again ? 0 : y,
      at.g,
      means,
      factor,
      shift,
      partial,
      rows,
      channels,
      rowsPerBlock,
    ]),
  );
}

/** Runs a kernel that leaves sums per block of rows, and adds the blocks up in order. */
export function blockSums(
  { heap, pool }: Machine,
  kernel: string,
  { rows, channels }: NormShape,
  job: (partial: number, rowsPerBlock: number) => number[],
): ChannelSums {
  const rowsPerBlock = Math.max(8, Math.floor(BLOCK_FLOATS / channels));
  const blocks = Math.ceil(rows / rowsPerBlock);
  return heap.withScratch([blocks * 2 * channels * 8], (partial) => {
    pool.run(kernel, job(partial, rowsPerBlock), blocks === 1);
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

/** y = act((x - mean) * factor + offset + residual); y may lie where x does. */
export function applyAffine(
  machine: Machine,
  { rows, channels }: NormShape,
  at: { readonly x: number; readonly residual: number; readonly y: number },
  affine: Affine,
  relu: boolean,
): void {
  withCoefficients(machine, channels, [affine.mean, affine.factor, affine.offset], (...coefficients) => {
    const rowsPerClaim = Math.max(1, Math.floor(CLAIM_FLOATS / channels));
    machine.pool.run(
      'affine',
      [at.x, at.residual, at.y, ...coefficients, rows, channels, rowsPerClaim, relu ? 1 : 0],
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

/**
 * dx = g * factor - (x - mean) * slope - offset, dresidual = g, where g is dy where the mask lets it pass. dx may lie
 * where x does, dresidual where dy does.
 */
export function applyAffineGradient(
  machine: Machine,
  { rows, channels }: NormShape,
  at: {
    readonly x: number;
    readonly dy: number;
    readonly dx: number;
    readonly dresidual: number;
  },
  affine: AffineGradient,
  { y, again }: Mask,
): void {
  const arrays = [affine.mean, affine.factor, affine.slope, affine.offset, again?.shift];
  withCoefficients(machine, channels, arrays, (...coefficients) => {
    const rowsPerClaim = Math.max(1, Math.floor(CLAIM_FLOATS / channels));
    machine.pool.run(
      'affineGradient',
      [at.x, at.dy, again ? 0 : y, at.dx, at.dresidual, ...coefficients, rows, channels, rowsPerClaim],
      rows <= rowsPerClaim,
    );
  });
}

/** Puts per-channel arrays into scratch memory; what is absent has the address 0. */
export function withCoefficients<T>(
  { heap }: Machine,
  channels: number,
  arrays: readonly (ArrayLike<number> | undefined)[],
  use: (...addresses: number[]) => T,
): T {
  return heap.withScratch([arrays.length * channels * 4], (address) => {
    const view = heap.float32(address, arrays.length * channels);
    return use(
      ...arrays.map((array, i) => {
        if (!array) return 0;
        view.set(array, i * channels);
        return address + i * channels * 4;
      }),
    );
  });
}
