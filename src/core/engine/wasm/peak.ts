import type { Machine } from './machine';

/** As in peak.ts of the kernels. */
const CHAINS = 10;
const ROUNDS = 100_000;
const TRIES = 12;

/** GFLOP/s of all threads together on registers alone, which no kernel can exceed: the best of a few tries. */
export function timePeak({ heap, pool, panel }: Machine): number {
  const pieces = 16 * pool.threads;
  const lanes = panel === 16 ? 8 : 4;
  const flops = 2 * CHAINS * lanes * ROUNDS * pieces;
  return heap.withScratch([32, 320 * pool.threads], (operands, results) => {
    heap.float32(operands, 8).fill(0.5);
    let best = Infinity;
    for (let i = 0; i < TRIES; i++) {
      const start = performance.now();
      pool.run('peak', [operands, results, ROUNDS, pieces]);
      best = Math.min(best, performance.now() - start);
    }
    return flops / best / 1e6;
  });
}
