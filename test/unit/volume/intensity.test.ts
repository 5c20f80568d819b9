import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { IDENTITY } from '../../../src/core/volume/affine';
import { headMask, otsuThreshold } from '../../../src/core/volume/head-mask';
import { meanAndSd, percentiles, zScore } from '../../../src/core/volume/intensity';
import {
  fillHoles,
  largestComponent,
  maskAbove,
  maskNonzero,
  wholeGrid,
} from '../../../src/core/volume/mask';
import type { Mask, Volume } from '../../../src/core/volume/volume';

const row = (values: number[]): Volume => ({
  shape: [values.length, 1, 1],
  affine: IDENTITY,
  data: Float32Array.from(values),
});
const mask = (values: number[]): Mask => ({
  shape: [values.length, 1, 1],
  affine: IDENTITY,
  data: Uint8Array.from(values),
});

describe('mean and sd', () => {
  it('are of the population, inside the mask where there is one', () => {
    expect(meanAndSd(Float32Array.from([2, 4, 4, 4, 5, 5, 7, 9]))).toEqual({ mean: 5, sd: 2, n: 8 });
    expect(meanAndSd(Float32Array.from([1, 3, 100]), [1, 1, 0])).toEqual({ mean: 2, sd: 1, n: 2 });
    expect(meanAndSd(Float32Array.from([1]), [0])).toEqual({ mean: NaN, sd: NaN, n: 0 });
  });
});

describe('percentiles', () => {
  it('lie between the two nearest ranks', () => {
    const data = Int16Array.from([40, 10, 30, 20]);
    expect(percentiles(data, [0, 50, 75, 100])).toEqual([10, 25, 32.5, 40]);
    expect([...data]).toEqual([40, 10, 30, 20]);
    expect(percentiles(data, [50], [0, 1, 0, 1])).toEqual([15]);
    expect(percentiles(data, [50], [0, 0, 0, 0])).toEqual([NaN]);
    expect(() => percentiles(data, [101])).toThrow(InputError);
  });
});

describe('the z-score', () => {
  it('has mean 0 and sd 1 inside the mask; outside it goes on or is 0', () => {
    const volume = row([1, 3, 5]);
    expect([...zScore(volume, mask([1, 1, 0])).data]).toEqual([-1, 1, 3]);
    expect([...zScore(volume, mask([1, 1, 0]), 'zero').data]).toEqual([-1, 1, 0]);
  });

  it('needs a mask of the same grid, with voxels in it, with contrast', () => {
    expect(() => zScore(row([1, 2]), mask([0, 0]))).toThrow('The mask is empty');
    expect(() => zScore(row([4, 4, 5]), mask([1, 1, 0]))).toThrow('one value (4)');
    expect(() => zScore(row([1, 2]), mask([1]))).toThrow('the image 2 x 1 x 1');
  });
});

describe('masks', () => {
  it('are made from values', () => {
    expect([...maskAbove(row([0, 1, 2]), 1).data]).toEqual([0, 0, 1]);
    expect([...maskNonzero(row([0, -1, 2])).data]).toEqual([0, 1, 1]);
    expect([...wholeGrid(row([0, 1])).data]).toEqual([1, 1]);
  });

  it('keep their largest part, by faces', () => {
    expect([...largestComponent(mask([1, 0, 1, 1, 0, 1])).data]).toEqual([0, 0, 1, 1, 0, 0]);
    const diagonal: Mask = { shape: [2, 2, 1], affine: IDENTITY, data: Uint8Array.from([1, 0, 0, 1]) };
    expect([...largestComponent(diagonal).data]).toEqual([1, 0, 0, 0]);
    expect([...largestComponent(mask([0, 0])).data]).toEqual([0, 0]);
  });

  it('lose their cavities, but not what opens to the border', () => {
    const shell = new Uint8Array(27).fill(1);
    shell[13] = 0;
    const closed: Mask = { shape: [3, 3, 3], affine: IDENTITY, data: shell };
    expect(fillHoles(closed).data.every((value) => value === 1)).toBe(true);
    const opened = shell.slice();
    opened[14] = 0; // a way out through the face i = 2
    expect([...fillHoles({ ...closed, data: opened }).data]).toEqual([...opened]);
  });
});

describe('the head mask', () => {
  it('parts two clouds of values between them', () => {
    const threshold = otsuThreshold(Float32Array.from([0, 1, 2, 3, 100, 101, 102]));
    expect(threshold).toBeGreaterThan(3);
    expect(threshold).toBeLessThan(100);
  });

  it('is the bright body with its dark cavity, without the bright speck beside it', () => {
    const n = 12;
    const data = new Float32Array(n ** 3);
    const expected = new Uint8Array(n ** 3);
    for (let at = 0; at < data.length; at++) {
      const radius = Math.hypot((at % n) - 6, (Math.floor(at / n) % n) - 6, Math.floor(at / (n * n)) - 6);
      data[at] = radius < 4 && radius > 1.5 ? 200 + (at % 7) : at % 5;
      expected[at] = radius < 4 ? 1 : 0;
    }
    data[0] = 220;
    expect(headMask({ shape: [n, n, n], affine: IDENTITY, data }).data).toEqual(expected);
  });

  it('cannot be had from an image of one value', () => {
    expect(() => headMask(row([5, 5, 5]))).toThrow(InputError);
  });
});
