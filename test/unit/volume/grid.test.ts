import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { affineFromSpacing, IDENTITY, transformPoint, voxelSizes } from '../../../src/core/volume/affine';
import { fromTensorOrder, shapeInAxes, toTensorOrder } from '../../../src/core/volume/axes';
import {
  centreOfMass,
  cropOrPad,
  gridCentre,
  gridWithSpacing,
  isotropicGrid,
} from '../../../src/core/volume/grid';
import { resample } from '../../../src/core/volume/resample';
import type { Volume } from '../../../src/core/volume/volume';
import { anyVolume } from './arbitraries';

const row = (values: number[]): Volume => ({
  shape: [values.length, 1, 1],
  affine: affineFromSpacing([2, 1, 1], [10, 0, 0]),
  data: Float32Array.from(values),
});
const size = fc.integer({ min: 1, max: 9 });

describe('the centre of mass', () => {
  it('weighs voxels by their values', () => {
    const volume: Volume = {
      shape: [2, 2, 2],
      affine: IDENTITY,
      data: Float32Array.from([0, 0, 0, 1, 0, 0, 0, 3]),
    };
    expect(centreOfMass(volume)).toEqual([1, 1, 0.75]);
  });

  it('is nowhere in an empty image', () => {
    expect(centreOfMass(row([0, 0]))).toBeUndefined();
  });
});

describe('crop or pad', () => {
  it('cuts and fills with zeros around the middle, and moves the origin', () => {
    const cropped = cropOrPad(row([1, 2, 3, 4, 5]), [3, 1, 1]);
    expect([...cropped.data]).toEqual([2, 3, 4]);
    expect(cropped.affine[3]).toBe(12);
    const padded = cropOrPad(row([1, 2, 3]), [5, 1, 3]);
    expect([...padded.data]).toEqual([0, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0]);
    expect([padded.affine[3], padded.affine[11]]).toEqual([8, -1]);
  });

  it('takes another centre, also one off the grid', () => {
    expect([...cropOrPad(row([1, 2, 3, 4, 5]), [3, 1, 1], [4, 0, 0]).data]).toEqual([4, 5, 0]);
    expect([...cropOrPad(row([1, 2, 3]), [2, 1, 1], [50, 0, 0]).data]).toEqual([0, 0]);
  });

  it('rounds halves upwards, so even and odd sizes are settled', () => {
    expect([...cropOrPad(row([1, 2, 3, 4]), [3, 1, 1]).data]).toEqual([2, 3, 4]);
    expect([...cropOrPad(row([1, 2, 3]), [2, 1, 1]).data]).toEqual([2, 3]);
  });

  it('is what nearest resampling onto the same grid gives', () => {
    fc.assert(
      fc.property(anyVolume, fc.tuple(size, size, size), (volume, shape) => {
        const cropped = cropOrPad(volume, shape);
        expect(cropped.data).toEqual(resample(volume, cropped, 'nearest').data);
        // On a common lattice nothing is interpolated, so trilinear is exact too.
        expect(cropped.data.map((v) => v + 0)).toEqual(
          resample(volume, cropped, 'trilinear').data.map((v) => v + 0),
        );
      }),
      { numRuns: 60 },
    );
  });

  it('refuses shapes that cannot be', () => {
    expect(() => cropOrPad(row([1]), [0, 1, 1])).toThrow(InputError);
    expect(() => cropOrPad(row([1]), [2048, 2048, 2048])).toThrow('2048 x 2048 x 2048');
  });
});

describe('a grid with other voxel sizes', () => {
  it('covers the same field of view around the same middle', () => {
    const grid = { shape: [10, 20, 5] as const, affine: affineFromSpacing([2, 1, 4], [-9, 0, 7]) };
    const finer = isotropicGrid(grid, 1);
    expect(finer.shape).toEqual([20, 20, 20]);
    expect(voxelSizes(finer.affine)).toEqual([1, 1, 1]);
    const middle = transformPoint(grid.affine, gridCentre(grid.shape));
    expect(transformPoint(finer.affine, gridCentre(finer.shape))).toEqual(middle);
    expect(finer.affine[3]).toBe(-9.5); // half an old voxel out, half a new one back in
  });

  it('has at least one voxel along each axis and is never absurdly large', () => {
    const grid = { shape: [4, 4, 4] as const, affine: affineFromSpacing([1, 1, 1]) };
    expect(gridWithSpacing(grid, [100, 2, 1]).shape).toEqual([1, 2, 4]);
    expect(() => gridWithSpacing(grid, [1e-4, 1e-4, 1e-4])).toThrow(InputError);
  });
});

describe('the order of a tensor', () => {
  // Values tell their voxel: 100 i + 10 j + k.
  const shape = [2, 3, 4] as const;
  const data = Float32Array.from(
    { length: 24 },
    (_, n) => 100 * (n % 2) + 10 * (Math.floor(n / 2) % 3) + Math.floor(n / 6),
  );
  const volume: Volume = { shape, affine: IDENTITY, data };

  it('ijk: D = i, H = j, W = k, so k runs fastest', () => {
    expect(shapeInAxes(shape, 'ijk')).toEqual([2, 3, 4]);
    const tensor = toTensorOrder(volume, 'ijk');
    expect([...tensor.subarray(0, 5)]).toEqual([0, 1, 2, 3, 10]);
    expect(tensor[(1 * 3 + 2) * 4 + 3]).toBe(123);
  });

  it('kji: D = k, H = j, W = i, so i runs fastest, as in the file', () => {
    expect(shapeInAxes(shape, 'kji')).toEqual([4, 3, 2]);
    const tensor = toTensorOrder(volume, 'kji');
    expect([...tensor.subarray(0, 3)]).toEqual([0, 100, 10]);
    expect(tensor[(3 * 3 + 2) * 2 + 1]).toBe(123);
    tensor[0] = 7;
    expect(volume.data[0]).toBe(0); // a copy
  });

  it('is undone by its inverse, in any type and beyond the size of a tile', () => {
    const large = fc.integer({ min: 1, max: 70 });
    fc.assert(
      fc.property(
        large,
        fc.integer({ min: 1, max: 4 }),
        large,
        fc.constantFrom('ijk', 'kji'),
        (i, j, k, axes) => {
          const any = {
            shape: [i, j, k] as const,
            affine: IDENTITY,
            data: Int32Array.from({ length: i * j * k }, (_, n) => n),
          };
          const tensor = toTensorOrder(any, axes);
          expect(tensor).toBeInstanceOf(Int32Array);
          expect(fromTensorOrder(tensor, shapeInAxes(any.shape, axes), axes)).toEqual(any.data);
          const last = axes === 'ijk' ? (i * j * k > 1 && k > 1 ? i * j : 0) : i > 1 ? 1 : 0;
          if (last) expect(tensor[1]).toBe(last); // one step along W
        },
      ),
      { numRuns: 40 },
    );
  });

  it('needs as many values as the shape has', () => {
    expect(() => fromTensorOrder(new Float32Array(23), [2, 3, 4], 'ijk')).toThrow(InputError);
  });
});
