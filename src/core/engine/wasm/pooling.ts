import type { Shape5, Triple } from '../ops/kernels';
import type { Machine } from './machine';

/** Work on so few floats is done before the other threads wake. */
const ALONE_FLOATS = 16_384;

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
  const [n, d, h, w, c] = x;
  pool.run(
    'maxPool',
    [
      at.x,
      at.y,
      at.indices,
      ...[n, d, h, w, c],
      ...y.slice(1, 4),
      ...window.size,
      ...window.stride,
      ...window.padding,
    ],
    product(x) < ALONE_FLOATS,
  );
}

/** Adds every dy (at `y`) to dx (at `x`) where the maximum was. */
export function maxPoolGradient(
  { pool }: Machine,
  dx: Shape5,
  dy: readonly number[],
  at: PoolAddresses,
): void {
  const size = product(dx);
  const alone = size < ALONE_FLOATS;
  const [n, d, h, w, c] = dx;
  pool.run('fillZero', [at.x, size], alone);
  pool.run('maxPoolScatter', [at.y, at.indices, at.x, n, d * h * w, dy[1] * dy[2] * dy[3], c], alone);
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
