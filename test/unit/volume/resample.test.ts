import { describe, expect, it } from 'vitest';
import { affineFromSpacing, IDENTITY } from '../../../src/core/volume/affine';
import { isotropicGrid } from '../../../src/core/volume/grid';
import { toRas } from '../../../src/core/volume/orientation';
import { resample } from '../../../src/core/volume/resample';
import type { Affine, Mask, Volume } from '../../../src/core/volume/volume';

const along = (values: number[], affine: Affine = IDENTITY): Volume => ({
  shape: [values.length, 1, 1],
  affine,
  data: Float32Array.from(values),
});
const at = (x: number, n = 1, step = 1) => ({
  shape: [n, 1, 1] as const,
  affine: affineFromSpacing([step, 1, 1], [x, 0, 0]),
});

describe('trilinear resampling', () => {
  it('interpolates between voxel centres', () => {
    expect([...resample(along([0, 10, 30]), at(0.25, 4, 0.5), 'trilinear').data]).toEqual([2.5, 7.5, 15, 25]);
  });

  it('falls to 0 within one voxel beyond the outermost centre, and is 0 from there on', () => {
    const data = resample(along([8, 8, 8]), at(-1.25, 18, 0.25), 'trilinear').data;
    expect([...data.subarray(0, 6)]).toEqual([0, 0, 2, 4, 6, 8]);
    expect([...data.subarray(12)]).toEqual([8, 8, 6, 4, 2, 0]);
  });

  it('is exact on the image’s own grid in any orientation, to the last voxel', () => {
    const t = 0.3;
    const affine = [
      0.9 * Math.cos(t),
      0,
      2 * Math.sin(t),
      3.3,
      0,
      -1.1,
      0,
      7,
      -0.9 * Math.sin(t),
      0,
      2 * Math.cos(t),
      1,
      0,
      0,
      0,
      1,
    ];
    const data = Float32Array.from({ length: 5 * 6 * 7 }, (_, n) => Math.sin(n) * 1000);
    const volume: Volume = { shape: [5, 6, 7], affine, data };
    expect(resample(volume, volume, 'trilinear').data).toEqual(data);
    const ras = toRas(volume);
    expect(resample(volume, ras, 'trilinear').data).toEqual(ras.data);
    expect(resample(ras, volume, 'nearest').data).toEqual(data);
  });

  it('gives a plane back as a plane between any two grids', () => {
    const plane = (x: number, y: number, z: number) => 3 * x - 2 * y + 0.5 * z + 7;
    const shape = [12, 12, 12] as const;
    const affine = affineFromSpacing([1.5, 1.5, 1.5], [-9, -9, -9]);
    const data = new Float32Array(12 ** 3);
    data.forEach((_, n) => {
      const [i, j, k] = [n % 12, Math.floor(n / 12) % 12, Math.floor(n / 144)];
      data[n] = plane(1.5 * i - 9, 1.5 * j - 9, 1.5 * k - 9);
    });
    const c = Math.cos(0.5);
    const s = Math.sin(0.5);
    const grid = { shape: [4, 5, 3] as const, affine: [c, -s, 0, -1, s, c, 0, -2, 0, 0, 1, -1, 0, 0, 0, 1] };
    resample({ shape, affine, data }, grid, 'trilinear').data.forEach((value, n) => {
      const [i, j, k] = [n % 4, Math.floor(n / 4) % 5, Math.floor(n / 20)];
      expect(value).toBeCloseTo(plane(c * i - s * j - 1, s * i + c * j - 2, k - 1), 4);
    });
  });
});

describe('nearest resampling', () => {
  const labels: Mask = { shape: [3, 1, 1], affine: IDENTITY, data: Uint8Array.from([1, 2, 3]) };

  it('keeps labels and their type; halves go up; half a voxel beyond the border still counts', () => {
    const out = resample(labels, at(-0.75, 9, 0.5), 'nearest').data;
    expect(out).toEqual(Uint8Array.from([0, 1, 1, 2, 2, 3, 3, 0, 0]));
    expect([...resample(labels, at(0.5), 'nearest').data]).toEqual([2]);
    expect([...resample(labels, at(-0.5), 'nearest').data]).toEqual([1]);
    expect([...resample(labels, at(2.5), 'nearest').data]).toEqual([0]);
  });
});

describe('antialiasing', () => {
  const stripes = along(Array.from({ length: 40 }, (_, n) => (n % 2 ? 2 : 0)));

  it('smooths what the coarser grid cannot show, and only where it is asked for', () => {
    const coarse = isotropicGrid(stripes, 4);
    const middle = (antialias: boolean) => [
      ...resample(stripes, coarse, 'trilinear', { antialias }).data.subarray(3, 7),
    ];
    middle(true).forEach((value) => expect(value).toBeCloseTo(1, 2));
    const shifted = { ...coarse, affine: affineFromSpacing([4, 4, 4], [1, 0, 0]) };
    expect(resample(stripes, shifted, 'trilinear').data[3]).toBe(2); // 13: a stripe, not the mean
  });

  it('does nothing up to a ratio of 1.5', () => {
    const grid = at(0.2, 20, 1.5);
    expect(resample(stripes, grid, 'trilinear', { antialias: true }).data).toEqual(
      resample(stripes, grid, 'trilinear').data,
    );
  });
});
