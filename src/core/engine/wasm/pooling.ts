import type { Shape5, Triple } from '../ops/kernels';
import type { Machine } from './machine';
import { withBlockSums, type Affine, type AffineGradient, type BlockSums } from './normalisation';

/** Work on so few floats is done before the other threads wake. */
const ALONE_FLOATS = 16_384;

/** Runs of rows per thread, so that a thread that was held up does not hold up the others. */
const CLAIMS = 12;
/** Of x in the gradient: they are read ahead, and stay in a second-level cache. */
const CLAIM_BYTES = 1 << 16;

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

export interface PoolWindow {
  readonly size: Triple;
  readonly stride: Triple;
  readonly padding: Triple;
}

/** Where x, y and the maxima's flat positions lie. */
export interface PoolAddresses {
  readonly x: number;
  readonly y: number;
  readonly indices: number;
}

export function maxPool(
  { pool }: Machine,
  x: Shape5,
  y: Shape5,
  window: PoolWindow,
  at: PoolAddresses,
): void {
  pool.run('maxPool', [at.x, at.y, at.indices, ...windowFields(x, y, window)], product(x) < ALONE_FLOATS);
}

/** Channels that {@link affineMaxPool} takes are multiples of this. */
export const AFFINE_POOL_CHANNELS = 8;

/** Max pooling of max((x - mean) * factor + offset, 0), which is never written down. */
export function affineMaxPool(
  machine: Machine,
  x: Shape5,
  y: Shape5,
  window: PoolWindow,
  at: PoolAddresses,
  { mean, factor, offset }: Affine,
): void {
  const rowsPerClaim = Math.ceil((y[0] * y[1] * y[2]) / (machine.threads * CLAIMS));
  machine.pool.run(
    'affineMaxPool',
    [at.x, at.y, at.indices, ...windowFields(x, y, window), mean, factor, offset, rowsPerClaim],
    product(x) < ALONE_FLOATS,
  );
}

/** Sums over x of g and of g * (x - mean) per channel, where g is the gradient of {@link affineMaxPool}'s pooling. */
export function pooledGradientSums<T>(
  machine: Machine,
  x: Shape5,
  out: Shape5,
  at: { readonly x: number; readonly dy: number; readonly indices: number },
  mean: number,
  use: (sums: BlockSums) => T,
): T {
  const [n, d, h, w, channels] = x;
  const outPositions = out[1] * out[2] * out[3];
  const rows = n * outPositions;
  const job = (partial: number, rowsPerBlock: number) => [
    at.x,
    at.dy,
    at.indices,
    mean,
    partial,
    outPositions,
    d * h * w,
    rows,
    channels,
    rowsPerBlock,
  ];
  return withBlockSums(machine, 'pooledGradientSums', { rows, channels }, job, use);
}

/**
 * dx of a max pooling: g, the sum of every dy whose maximum the voxel was; with `affine`, of a pooling behind a
 * normalisation and a rectification: g * factor - (x - mean) * slope - offset, where dx may lie where x does.
 */
export function maxPoolGradient(
  machine: Machine,
  dx: Shape5,
  out: Shape5,
  window: PoolWindow,
  at: { readonly dy: number; readonly indices: number; readonly dx: number },
  normal?: { readonly x: number; readonly affine: AffineGradient },
): void {
  const { mean = 0, factor = 0, slope = 0, offset = 0 } = normal?.affine ?? {};
  const rowsPerClaim = Math.max(1, Math.floor(CLAIM_BYTES / (dx[3] * dx[4] * 4)));
  machine.pool.run(
    'maxPoolGradient',
    [
      at.dy,
      at.indices,
      at.dx,
      ...windowFields(dx, out, window),
      normal?.x ?? 0,
      mean,
      factor,
      slope,
      offset,
      rowsPerClaim,
    ],
    product(dx) < ALONE_FLOATS,
  );
}

function windowFields(x: Shape5, y: Shape5, window: PoolWindow): number[] {
  return [...x, ...y.slice(1, 4), ...window.size, ...window.stride, ...window.padding];
}

/** [N, positions, C] -> [N, C]. */
export function globalAverage(
  { pool }: Machine,
  x: Shape5,
  at: { readonly x: number; readonly y: number },
): void {
  const [n, d, h, w, c] = x;
  pool.run('globalAverage', [at.x, at.y, n, d * h * w, c], product(x) < ALONE_FLOATS);
}

/** [N, C] spread over the positions of dx. */
export function globalAverageGradient(
  { pool }: Machine,
  dx: Shape5,
  at: { readonly x: number; readonly y: number },
): void {
  const [n, d, h, w, c] = dx;
  pool.run('globalAverageGradient', [at.x, at.y, n, d * h * w, c], product(dx) < ALONE_FLOATS);
}

/** Shortcut A or its gradient: between x [N,D,H,W,C] and the subsampled y with appended channels. */
export function subsample(
  { pool }: Machine,
  pass: 'y' | 'dx',
  x: Shape5,
  y: Shape5,
  stride: Triple,
  at: { readonly x: number; readonly y: number },
): void {
  const sizes = [...x, ...y.slice(1)];
  const kernel = pass === 'y' ? 'subsample' : 'subsampleGradient';
  pool.run(kernel, [at.x, at.y, ...sizes, ...stride], product(x) < ALONE_FLOATS);
}
