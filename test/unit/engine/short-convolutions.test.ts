import { describe, expect, it } from 'vitest';
import {
  SHORT_CONVOLUTIONS,
  type ShortConvolution,
} from '../../../src/core/engine/wasm/assembly/short-convolutions.mjs';
import { canTile, tileAxis, type TileSize } from '../../../src/core/engine/wasm/tile-axis';
import type { ConvAxis } from '../../../src/core/engine/wasm/gather-axis';
import { Random } from '../../../src/core/random';

/** Results of an algorithm for one tile, by its three matrices. */
function compute({ data, filter, result }: ShortConvolution, x: number[], taps: number[]): number[] {
  const times = (matrix: readonly (readonly number[])[], v: number[]) =>
    matrix.map((row) => row.reduce((sum, weight, i) => sum + weight * v[i], 0));
  const [d, f] = [times(data, x), times(filter, taps)];
  return times(
    result,
    d.map((value, i) => value * f[i]),
  );
}

/** y of one axis by definition. */
function convolve(axis: ConvAxis, x: number[], taps: number[]): number[] {
  return Array.from({ length: axis.output }, (_, o) =>
    taps.reduce((sum, tap, k) => sum + tap * (x[o * axis.stride - axis.padding + k * axis.dilation] ?? 0), 0),
  );
}

/** dx of one axis by definition. */
function gradient(axis: ConvAxis, dy: number[], taps: number[]): number[] {
  const dx = Array.from({ length: axis.input }, () => 0);
  dy.forEach((value, o) =>
    taps.forEach((tap, k) => {
      const at = o * axis.stride - axis.padding + k * axis.dilation;
      if (at >= 0 && at < axis.input) dx[at] += tap * value;
    }),
  );
  return dx;
}

/** An axis computed tile by tile; a result that two tiles make, or none, is NaN. */
function byTiles(
  axis: ConvAxis,
  pass: 'y' | 'dx',
  size: TileSize,
  source: number[],
  taps: number[],
): number[] {
  const { algorithm, reads, makes } = tileAxis(axis, pass, size);
  const results = Array.from({ length: pass === 'y' ? axis.output : axis.input }, () => NaN);
  const ordered = pass === 'dx' && axis.stride === 1 ? [...taps].reverse() : taps;
  reads.forEach((positions, tile) => {
    const made = compute(
      algorithm,
      positions.map((at) => (at < 0 ? 0 : source[at])),
      ordered,
    );
    makes[tile].forEach((at, i) => {
      if (at >= 0) results[at] = Number.isNaN(results[at]) ? made[i] : NaN;
    });
  });
  return results;
}

describe('short convolutions', () => {
  it('need fewer products than taps times results', () => {
    for (const { name, products, outputs, inputs } of SHORT_CONVOLUTIONS) {
      if (name.startsWith('whole1')) continue;
      const nominal = name.startsWith('stridedGradient') ? (3 * outputs) / 2 : 3 * outputs;
      expect(products, name).toBeLessThan(nominal);
      expect(products, name).toBeGreaterThanOrEqual(Math.min(inputs, outputs));
    }
  });

  it('tile any axis exactly: every size, padding, dilation and stride, forward and backward', () => {
    const random = Random.seeded(5);
    const values = (count: number) => Array.from({ length: count }, () => random.uniform(-1, 1));
    for (let i = 0; i < 3000; i++) {
      const stride = 1 + random.integer(2);
      const dilation = stride === 2 ? 1 : 1 + random.integer(5);
      const input = 1 + random.integer(14);
      const padding = random.integer(2) ? dilation : random.integer(5);
      const output = Math.floor((input + 2 * padding - 2 * dilation - 1) / stride) + 1;
      if (output < 1) continue;
      const axis = { input, output, kernel: 3, stride, padding, dilation };
      expect(canTile(axis)).toBe(true);
      const [x, dy, taps] = [values(input), values(output), values(3)];
      for (const size of [2, 3, 4] as const) {
        const what = `${JSON.stringify(axis)} by ${size}`;
        const close = (actual: number[], expected: number[]) =>
          actual.forEach((value, at) => expect(value, what).toBeCloseTo(expected[at], 9));
        close(byTiles(axis, 'y', size, x, taps), convolve(axis, x, taps));
        close(byTiles(axis, 'dx', size, dy, taps), gradient(axis, dy, taps));
      }
    }
  });

  it('take a sub-lattice that fits into one tile whole, without its padding', () => {
    const products = (input: number, dilation: number) =>
      tileAxis({ input, output: input, kernel: 3, stride: 1, padding: dilation, dilation }, 'y', 3).algorithm
        .products;
    expect(products(12, 4)).toBe(5);
    expect(products(8, 4)).toBe(3);
    expect(products(4, 4)).toBe(1);
  });
});
