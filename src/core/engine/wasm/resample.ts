import type { Shape5 } from '../ops/kernels';
import type { Taps3 } from '../ops/taps';
import type { Machine } from './machine';

const ALONE_FLOATS = 16_384;

/** Sparse linear maps along the three axes of x: see FcdResample. */
export function resample(
  { heap, pool }: Machine,
  x: Shape5,
  y: Shape5,
  taps: Taps3,
  at: { readonly x: number; readonly y: number },
): void {
  const tables = taps.flatMap(({ starts, from, weights }) => [starts, from, weights]);
  heap.withScratch(
    tables.map(({ length }) => length * 4),
    (...addresses) => {
      tables.forEach((table, i) => {
        if (table instanceof Float32Array) heap.float32(addresses[i], table.length).set(table);
        else heap.int32(addresses[i], table.length).set(table);
      });
      const floats = y.reduce((product, n) => product * n, 1);
      pool.run('resample', [at.x, at.y, ...x, ...y.slice(1, 4), ...addresses], floats < ALONE_FLOATS);
    },
  );
}
