import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import {
  affineFromSpacing,
  axisCodes,
  determinant,
  IDENTITY,
  invert,
  isSingular,
  multiply,
  sameGrid,
  shiftedTo,
  transformPoint,
  voxelSizes,
} from '../../../src/core/volume/affine';
import { reorient, toRas } from '../../../src/core/volume/orientation';
import type { Volume } from '../../../src/core/volume/volume';
import { anyAffine, anyPoint, anyVolume } from './arbitraries';

describe('an affine', () => {
  const affine = [0, 0, -2, 90, -3, 0, 0, 100, 0, 4, 0, -70, 0, 0, 0, 1];

  it('maps voxels to mm: worked out by hand', () => {
    expect(transformPoint(affine, [1, 2, 3])).toEqual([84, 97, -62]);
    expect(voxelSizes(affine)).toEqual([3, 4, 2]);
    expect(determinant(affine)).toBe(24);
    expect(shiftedTo(affine, [1, 2, 3]).filter((_, at) => at % 4 === 3)).toEqual([84, 97, -62, 1]);
    expect(affineFromSpacing([1, 2, 3], [4, 5, 6])).toEqual([1, 0, 0, 4, 0, 2, 0, 5, 0, 0, 3, 6, 0, 0, 0, 1]);
  });

  it('times its inverse is the identity', () => {
    fc.assert(
      fc.property(anyAffine, anyPoint, (any, point) => {
        multiply(any, invert(any)).forEach((value, at) => expect(value).toBeCloseTo(IDENTITY[at], 9));
        const back = transformPoint(invert(any), transformPoint(any, point));
        back.forEach((value, axis) => expect(value).toBeCloseTo(point[axis], 8));
      }),
    );
  });

  it('without three independent axes has no inverse', () => {
    const flat = [1, 2, 3, 0, 2, 4, 6, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    expect(isSingular(flat)).toBe(true);
    expect(() => invert(flat)).toThrow(InputError);
    expect(() => invert(IDENTITY.map(() => NaN))).toThrow('singular');
    expect(isSingular(affineFromSpacing([1e-5, 1e-5, 1e-5]))).toBe(false);
    expect(isSingular(affineFromSpacing([1e200, 1e200, 1]))).toBe(true);
  });

  it('has axis codes', () => {
    expect(axisCodes(affine)).toBe('PSL');
    expect(axisCodes(IDENTITY)).toBe('RAS');
    expect(axisCodes(affineFromSpacing([-1, -1, 1]))).toBe('LPS');
    const turned40 = [...IDENTITY];
    const t = (40 * Math.PI) / 180;
    turned40.splice(0, 6, Math.cos(t), -Math.sin(t), 0, 0, Math.sin(t), Math.cos(t));
    expect(axisCodes(turned40)).toBe('RAS');
    const sheared = [1, 0.9, 0, 0, 0, 0.5, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    expect(axisCodes(sheared)).toBe('RAS'); // by direction cosines alone j would run along x too
  });
});

describe('two grids', () => {
  const grid = { shape: [10, 20, 30] as const, affine: affineFromSpacing([1, 1, 1]) };
  it('are the same up to a thousandth of a millimetre at every corner', () => {
    expect(sameGrid(grid, { ...grid, affine: affineFromSpacing([1, 1, 1], [0.0009, 0, 0]) })).toBe(true);
    expect(sameGrid(grid, { ...grid, affine: affineFromSpacing([1, 1.0001, 1]) })).toBe(false);
    expect(sameGrid(grid, { ...grid, shape: [10, 20, 31] })).toBe(false);
  });
});

describe('reorientation', () => {
  const volume: Volume<Int16Array> = {
    shape: [3, 2, 1],
    affine: [0, -2, 0, 5, -1, 0, 0, 7, 0, 0, 3, 1, 0, 0, 0, 1], // i to the back, j to the left
    data: Int16Array.from([0, 1, 2, 10, 11, 12]),
  };

  it('permutes and flips, worked out by hand', () => {
    expect(axisCodes(volume.affine)).toBe('PLS');
    const ras = toRas(volume);
    expect(ras.shape).toEqual([2, 3, 1]);
    expect(ras.data).toEqual(Int16Array.from([12, 2, 11, 1, 10, 0]));
    expect(ras.affine).toEqual([2, 0, 0, 3, 0, 1, 0, 5, 0, 0, 3, 1, 0, 0, 0, 1]);
  });

  it('returns the image itself where nothing has to move', () => {
    expect(reorient(volume, 'PLS')).toBe(volume);
  });

  it('leaves every voxel at its place in mm, and there and back is the identity', () => {
    fc.assert(
      fc.property(anyVolume, (any) => {
        const ras = toRas(any);
        expect(axisCodes(ras.affine)).toBe('RAS');
        const back = reorient(ras, axisCodes(any.affine));
        expect(back.shape).toEqual(any.shape);
        expect(back.data).toEqual(any.data);
        back.affine.forEach((value, at) => expect(value).toBeCloseTo(any.affine[at], 9));
        const toAny = multiply(invert(any.affine), ras.affine);
        const [ni, nj] = ras.shape;
        ras.data.forEach((value, at) => {
          const voxel = [at % ni, Math.floor(at / ni) % nj, Math.floor(at / (ni * nj))] as const;
          const [i, j, k] = transformPoint(toAny, voxel).map(Math.round);
          expect(any.data[i + any.shape[0] * (j + any.shape[1] * k)]).toBe(value);
        });
      }),
      { numRuns: 60 },
    );
  });

  it('refuses codes that are no orientation', () => {
    for (const codes of ['RAX', 'RA', 'RLS', 'ras', ''])
      expect(() => reorient(volume, codes)).toThrow(InputError);
  });
});
