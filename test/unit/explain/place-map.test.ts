import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { placeMap, placeReceptive, upsampleHalfPixel } from '../../../src/core/explain/place-map';
import { Random } from '../../../src/core/random';
import { havePython, python } from '../../peers';

const identity = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];

function randomMap(seed: number, cells: number): Float32Array {
  const random = Random.seeded(seed);
  return Float32Array.from({ length: cells }, () => random.normal());
}

describe('half-pixel placement', () => {
  it('doubles one axis to the hand-derived quarters', () => {
    // Output v lies at (v + 0.5) / 2 - 0.5 = -0.25, 0.25, 0.75, 1.25; the ends are clamped.
    expect([...upsampleHalfPixel(Float32Array.of(0, 4), [1, 1, 2], [1, 1, 4])]).toEqual([0, 1, 3, 4]);
  });

  it.skipIf(!havePython('torch'))(
    'gives the values of torch.nn.functional.interpolate (needs python3-torch)',
    () => {
      const sizes: [number[], number[]][] = [
        [
          [2, 3, 4],
          [9, 7, 16],
        ],
        [
          [5, 4, 3],
          [5, 4, 3],
        ],
        [
          [1, 2, 1],
          [6, 5, 4],
        ],
        [
          [6, 6, 7],
          [3, 4, 5],
        ],
        [
          [20, 8, 8],
          [33, 64, 61],
        ],
      ];
      const code = `
import json, sys, numpy as np, torch
for shape, size, data in json.load(sys.stdin):
    x = torch.tensor(data, dtype=torch.float64).reshape(1, 1, *shape)
    y = torch.nn.functional.interpolate(x, size=size, mode='trilinear', align_corners=False)
    print(json.dumps([float(v) for v in y.reshape(-1)]))`;
      const maps = sizes.map(([from], index) => randomMap(index, from[0] * from[1] * from[2]));
      const given = sizes.map(([from, to], index) => [from, to, [...maps[index]]]);
      const lines = python(code, [], JSON.stringify(given)).trim().split('\n');
      sizes.forEach(([from, to], index) => {
        const expected = JSON.parse(lines[index]) as number[];
        const ours = upsampleHalfPixel(maps[index], triple(from), triple(to));
        expect(ours.length).toBe(expected.length);
        ours.forEach((value, at) => expect(Math.abs(value - expected[at])).toBeLessThan(5e-7));
      });
    },
  );
});

describe('receptive placement', () => {
  it('puts cell i at offset + i * stride, is linear between and holds the edge values beyond', () => {
    const placed = placeReceptive(Float32Array.of(10, 20, 40), [1, 1, 3], [1, 1, 12], {
      stride: [1, 1, 4],
      offset: [0, 0, 1],
    });
    // Cells at voxels 1, 5 and 9.
    expect([...placed]).toEqual([10, 10, 12.5, 15, 17.5, 20, 25, 30, 35, 40, 40, 40]);
  });

  it('differs from half-pixel placement by the half-cell that padded strides do not have', () => {
    const map = Float32Array.of(0, 0, 1, 0, 0);
    const peak = (placed: Float32Array): number[] =>
      [...placed.keys()].filter((v) => placed[v] === Math.max(...placed));
    const receptive = placeReceptive(map, [1, 1, 5], [1, 1, 40], { stride: [1, 1, 8], offset: [0, 0, 0] });
    expect(peak(receptive)).toEqual([16]);
    expect(peak(upsampleHalfPixel(map, [1, 1, 5], [1, 1, 40]))).toEqual([19, 20]);
  });

  it('refuses a stride of 0 in a sentence', () => {
    const none = { stride: [0, 1, 1], offset: [0, 0, 0] } as const;
    expect(() => placeReceptive(Float32Array.of(1), [1, 1, 1], [2, 2, 2], none)).toThrow(
      /axis 0 has stride 0 .* must be positive/,
    );
  });
});

describe('both placements', () => {
  const shape = fc.tuple(
    fc.integer({ min: 1, max: 5 }),
    fc.integer({ min: 1, max: 5 }),
    fc.integer({ min: 1, max: 5 }),
  );

  it('keep a constant map constant and stay between the smallest and the largest cell', () => {
    fc.assert(
      fc.property(
        shape,
        shape,
        fc.nat(),
        fc.double({ min: 0.5, max: 4, noNaN: true }),
        (from, grow, seed, stride) => {
          const to = triple(from.map((n, axis) => n * grow[axis]));
          const cells = from[0] * from[1] * from[2];
          const map = randomMap(seed, cells);
          const grid = { stride: [stride, stride, stride], offset: [-1, 0.5, 3] } as const;
          const low = Math.min(...map);
          const high = Math.max(...map);
          for (const placed of [upsampleHalfPixel(map, from, to), placeReceptive(map, from, to, grid)])
            placed.forEach((value) => {
              expect(value).toBeGreaterThanOrEqual(low - 1e-6);
              expect(value).toBeLessThanOrEqual(high + 1e-6);
            });
          const flat = new Float32Array(cells).fill(0.3);
          expect(new Set(upsampleHalfPixel(flat, from, to))).toEqual(new Set([Math.fround(0.3)]));
        },
      ),
      { numRuns: 50 },
    );
  });

  it('refuse a map whose values do not fill its shape', () => {
    expect(() => upsampleHalfPixel(new Float32Array(7), [2, 2, 2], [4, 4, 4])).toThrow(
      'The class map holds 7 values, but its shape 2 x 2 x 2 needs 8.',
    );
  });

  it('refuse a grid without voxels', () => {
    expect(() => upsampleHalfPixel(new Float32Array(1), [1, 1, 1], [4, 0, 4])).toThrow(/4 x 0 x 4/);
  });
});

describe('a layer map on the input grid', () => {
  const receptive = { stride: [1, 1, 1], offset: [0, 0, 0] } as const;

  it('finds cell (d, h, w) at voxel (i, j, k) = (d, h, w) for ijk and (w, h, d) for kji', () => {
    const data = new Float32Array(24);
    const [d, h, w] = [1, 2, 3];
    data[(d * 3 + h) * 4 + w] = 1;
    const ijk = placeMap(
      { data, shape: [2, 3, 4], axes: 'ijk', receptive },
      { shape: [2, 3, 4], affine: identity },
      'receptive',
    );
    expect(ijk.data.indexOf(1)).toBe(d + 2 * (h + 3 * w));
    const kji = placeMap(
      { data, shape: [2, 3, 4], axes: 'kji', receptive },
      { shape: [4, 3, 2], affine: identity },
      'receptive',
    );
    expect(kji.data.indexOf(1)).toBe(w + 4 * (h + 3 * d));
    expect(ijk.data.reduce((sum, value) => sum + value)).toBe(1);
  });

  it('uses the stride and offset of D for i under ijk and for k under kji', () => {
    const data = Float32Array.of(0, 0, 1, 0);
    const grid = { stride: [2, 1, 1], offset: [1, 0, 0] } as const;
    const ijk = placeMap(
      { data, shape: [4, 1, 1], axes: 'ijk', receptive: grid },
      { shape: [8, 1, 1], affine: identity },
      'receptive',
    );
    const kji = placeMap(
      { data, shape: [4, 1, 1], axes: 'kji', receptive: grid },
      { shape: [1, 1, 8], affine: identity },
      'receptive',
    );
    expect([...ijk.data]).toEqual([0, 0, 0, 0, 0.5, 1, 0.5, 0]);
    expect(kji.data).toEqual(ijk.data);
  });

  it('is the same volume whichever axes order the network used', () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom('half-pixel' as const, 'receptive' as const), (seed, align) => {
        const [I, J, K] = [3, 4, 2];
        const volume = randomMap(seed, I * J * K);
        const kji = {
          data: volume,
          shape: [K, J, I],
          axes: 'kji',
          receptive: { stride: [3, 2, 1], offset: [1, 0, 0.5] },
        } as const;
        const transposed = new Float32Array(volume.length);
        for (let k = 0; k < K; k++)
          for (let j = 0; j < J; j++)
            for (let i = 0; i < I; i++) transposed[(i * J + j) * K + k] = volume[i + I * (j + J * k)];
        const ijk = {
          data: transposed,
          shape: [I, J, K],
          axes: 'ijk',
          receptive: { stride: [1, 2, 3], offset: [0.5, 0, 1] },
        } as const;
        const grid = { shape: [6, 8, 5], affine: identity } as const;
        expect(placeMap(ijk, grid, align).data).toEqual(placeMap(kji, grid, align).data);
      }),
      { numRuns: 20 },
    );
  });
});

function triple(numbers: readonly number[]): [number, number, number] {
  return [numbers[0], numbers[1], numbers[2]];
}
