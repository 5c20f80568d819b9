import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseNiftiHeader } from '../../../src/core/volume/nifti-header';
import { parseHeader } from '../../../src/extension/volume/nifti-header';
import { heatColour } from '../../../src/protocol/heat-colours';
import { apply, directionLetter, inverse, type Point } from '../../../src/webview/volume/affine';
import { contour } from '../../../src/webview/volume/contour';
import { flatTable, heatTable, overlayFile, paint, scanFile } from '../../../src/webview/volume/drawable';
import { maskField, pixelOn, pointOn, sampleMask } from '../../../src/webview/volume/mask-field';
import { shortNumber, valueText } from '../../../src/webview/volume/numbers';
import { restoredState } from '../../../src/webview/volume/view-state';
import { extentOf, middleOf, peakOf, Voxels } from '../../../src/webview/volume/voxels';
import { anyAffine } from '../volume/arbitraries';
import { DATATYPES, niftiBytes, type NiftiFields } from '../volume/nifti-bytes';

const { float32, int16, int64 } = DATATYPES;

function voxelsOf(fields: NiftiFields): Voxels {
  const bytes = niftiBytes(fields);
  return new Voxels(bytes, parseHeader(bytes, 'scan.nii'));
}

function bytesOf(
  values: ArrayLike<number>,
  write: (view: DataView, at: number, value: number) => void,
  size: number,
) {
  const view = new DataView(new ArrayBuffer(values.length * size));
  Array.from(values).forEach((value, n) => write(view, n * size, value));
  return new Uint8Array(view.buffer);
}

describe('values at the crosshair', () => {
  it('are in file units: slope and intercept applied', () => {
    const voxels = voxelsOf({ slope: 0.5, intercept: 10 });
    expect(voxels.value([1, 2, 3])).toBe(0.5 * (1 + 2 * (2 + 3 * 3)) + 10);
  });

  it('are the same in either byte order, aligned or not', () => {
    const values = [-5, 0, 300, 32767, -32768, 1, 2, 3];
    for (const little of [true, false])
      for (const voxOffset of [352, 353]) {
        const stored = bytesOf(values, (view, at, value) => view.setInt16(at, value, little), 2);
        const shifted = voxOffset === 352 ? stored : Uint8Array.of(0, ...stored);
        const [datatype, bitpix] = int16;
        const voxels = voxelsOf({
          little,
          voxOffset,
          datatype,
          bitpix,
          dim: [3, 2, 2, 2, 1, 1, 1, 1],
          voxels: shifted,
        });
        expect([...voxels.volume()]).toEqual(values);
      }
  });

  it('of 64-bit integers are numbers', () => {
    const stored = bytesOf([7, -9], (view, at, value) => view.setBigInt64(at, BigInt(value), true), 8);
    const [datatype, bitpix] = int64;
    expect([
      ...voxelsOf({ datatype, bitpix, dim: [3, 2, 1, 1, 1, 1, 1, 1], voxels: stored }).volume(),
    ]).toEqual([7, -9]);
  });

  it('of a 4D file are those of the volume', () => {
    const voxels = voxelsOf({
      dim: [4, 2, 2, 2, 3, 1, 1, 1],
      voxels: Uint8Array.from({ length: 24 }, (_, n) => n),
    });
    expect([0, 1, 2].map((volume) => voxels.value([1, 0, 0], volume))).toEqual([1, 9, 17]);
  });

  it('are found by place in mm, and nowhere outside of the grid', () => {
    const voxels = voxelsOf({}); // 2 x 3 x 4 voxels of 2 x 3 x 4 mm
    expect(voxels.voxelAt([2.9, 3, 11.5])).toEqual([1, 1, 3]);
    expect(Object.is(voxels.voxelAt([-0.5, 0, 0])?.[0], 0)).toBe(true);
    expect(voxels.voxelAt([-1.1, 0, 0])).toBeUndefined();
    expect(voxels.voxelAt([0, 0, 14.1])).toBeUndefined();
  });
});

describe('an affine', () => {
  it('is undone by its inverse', () => {
    fc.assert(
      fc.property(anyAffine, (affine) => {
        const there = apply(affine, [3, -4, 5]);
        const size = Math.max(1, ...there.map(Math.abs));
        apply(inverse(affine), there).forEach((n, axis) =>
          expect(Math.abs(n - [3, -4, 5][axis])).toBeLessThan(1e-6 * size),
        );
      }),
    );
  });

  it('names directions by their largest part', () => {
    expect(
      [
        [1, 0, 0],
        [-1, 0.4, 0],
        [0, -2, 1],
        [0, 0, 1],
      ].map(directionLetter),
    ).toEqual(['R', 'L', 'P', 'S']);
  });
});

describe('what is handed to the drawing', () => {
  it('has the place that the host read, as an sform', () => {
    const turned = {
      sformCode: 0,
      qformCode: 1,
      quatern: [0.1, 0.2, 0.3] as [number, number, number],
      qoffset: [1, 2, 3] as [number, number, number],
    };
    for (const version of [1, 2] as const) {
      const voxels = voxelsOf({ ...turned, version, slope: 2, intercept: 1 });
      const drawn = parseNiftiHeader(new Uint8Array(scanFile(voxels)), 'drawn');
      expect(drawn).toMatchObject({
        affineSource: 'sform',
        slope: 2,
        intercept: 1,
        frames: 1,
        dtype: 'uint8',
      });
      drawn.affine.forEach((n, at) => expect(n).toBeCloseTo(voxels.header.affine[at], 5));
    }
  });

  it('keeps the values, or writes them as float32 where the type is not drawn', () => {
    const values = [0.25, NaN, -3, Infinity, 5, 6, 7, 8];
    const stored = bytesOf(values, (view, at, value) => view.setFloat32(at, value, false), 4);
    const [datatype, bitpix] = float32;
    const voxels = voxelsOf({
      little: false,
      datatype,
      bitpix,
      slope: 2,
      dim: [3, 2, 2, 2, 1, 1, 1, 1],
      voxels: stored,
    });
    expect([...new Float32Array(scanFile(voxels), 352)]).toEqual([0.5, 0, -6, 0, 10, 12, 14, 16]);
  });
});

describe('heat', () => {
  const painted = (values: number[], threshold: number, max: number) => {
    const target = new Uint8Array(4 * values.length);
    paint(target, Float32Array.from(values), { threshold, max, table: heatTable() });
    return values.map((_, n) => [...target.subarray(4 * n, 4 * n + 4)]);
  };

  it('has the report’s colours, and is hottest at the maximum: never upside down', () => {
    const [low, middle, high] = painted([1, 5, 10], 0, 10);
    const expected = (part: number) => {
      const { colour, share } = heatColour(Math.round(255 * part) / 255);
      return [...colour, Math.round(255 * share)];
    };
    expect([low, middle, high]).toEqual([expected(0.1), expected(0.5), expected(1)]);
    expect(low[3]).toBeLessThan(middle[3]);
    expect(high[0] + high[1]).toBeGreaterThan(low[0] + low[1]);
  });

  it('keeps its colours when a threshold hides what is low: a colour means a value', () => {
    expect(painted([1, 5, 10], 2, 10).slice(1)).toEqual(painted([1, 5, 10], 0, 10).slice(1));
    expect(painted([1, 2], 2, 10).map(([, , , cover]) => cover)).toEqual([0, 0]);
  });

  it('does not draw what is 0, negative or no number, and nothing of an empty map', () => {
    expect(painted([0, -3, NaN], 0, 10).map(([, , , cover]) => cover)).toEqual([0, 0, 0]);
    expect(painted([0, 0], 0, 0).map(([, , , cover]) => cover)).toEqual([0, 0]);
  });

  it('comes as a file of colours on its own grid', () => {
    const voxels = voxelsOf({});
    const file = overlayFile(voxels.volume(), voxels.header, {
      threshold: 0,
      max: 23,
      table: flatTable([255, 0, 0], 0.5),
    });
    const view = new DataView(file);
    expect([view.getInt16(70, true), view.getInt16(72, true)]).toEqual([2304, 32]);
    expect([...new Uint8Array(file, 352, 8)]).toEqual([255, 0, 0, 0, 255, 0, 0, 128]);
  });
});

describe('where to look first', () => {
  const shape = [4, 4, 4];
  const at = (i: number, j: number, k: number) => i + 4 * (j + 4 * k);

  it('is inside of the lesion, also where the centre of mass is not', () => {
    const values = new Float32Array(64);
    for (const [i, j, k] of [
      [0, 0, 1],
      [0, 1, 1],
      [3, 3, 3],
      [0, 2, 1],
    ])
      values[at(i, j, k)] = 1;
    const voxel = middleOf(values, shape, 0.5);
    expect(voxel && values[at(...voxel)]).toBe(1);
    expect(voxel?.[2]).toBe(1);
  });

  it('is the hottest voxel of a map', () => {
    const values = new Float32Array(64).fill(NaN);
    values[at(1, 2, 3)] = 2;
    values[at(0, 0, 0)] = 1;
    expect(peakOf(values, shape)).toEqual([1, 2, 3]);
  });

  it('does not exist where nothing is', () => {
    expect(middleOf(new Float32Array(64), shape, 0.5)).toBeUndefined();
    expect(peakOf(new Float32Array(64).fill(NaN), shape)).toBeUndefined();
    expect(extentOf(Float32Array.of(NaN, Infinity))).toMatchObject({ min: NaN, max: NaN });
  });
});

describe('the rim of a mask', () => {
  it('runs half way between voxels that are inside and outside, whatever the grid of the slice', () => {
    const values = new Float32Array(27);
    values[13] = 1; // the middle of 3 x 3 x 3 voxels of 2 mm
    const affine = [2, 0, 0, 10, 0, 2, 0, 20, 0, 0, 2, 30, 0, 0, 0, 1];
    const field = maskField(values, [3, 3, 3], inverse(affine), 0.5);
    expect(field.box).toEqual({ low: [1, 1, 1], high: [1, 1, 1] });
    expect(sampleMask(field, [12, 22, 32])).toBe(1);
    expect(sampleMask(field, [13, 22, 32])).toBe(0.5);
    expect(sampleMask(field, [12, 22, 30])).toBe(0);
    expect(sampleMask(field, [1000, 0, 0])).toBe(0);
  });

  it('is a closed line around a disc of the right radius', () => {
    const size = 41;
    const disc = Float32Array.from(
      { length: size * size },
      (_, n) => 10.25 - Math.hypot((n % size) - 20, Math.floor(n / size) - 20),
    );
    const segments = contour(disc, size, size, 0, { x: 100, y: 200, step: 2 });
    const ends = new Map<string, number>();
    let length = 0;
    for (const [x1, y1, x2, y2] of segments) {
      for (const [x, y] of [
        [x1, y1],
        [x2, y2],
      ]) {
        expect(Math.hypot(x - 140, y - 240)).toBeCloseTo(20.5, 0);
        const key = `${x.toFixed(6)} ${y.toFixed(6)}`;
        ends.set(key, (ends.get(key) ?? 0) + 1);
      }
      length += Math.hypot(x2 - x1, y2 - y1);
    }
    expect([...ends.values()].every((n) => n === 2)).toBe(true);
    expect(length / (2 * Math.PI * 20.5)).toBeCloseTo(1, 1);
  });

  it('cuts a saddle into two lines that do not cross', () => {
    const cell = Float32Array.of(1, 0, 0, 1);
    const inside = contour(cell, 2, 2, 0.4, { x: 0, y: 0, step: 1 });
    const outside = contour(cell, 2, 2, 0.6, { x: 0, y: 0, step: 1 });
    expect([inside.length, outside.length]).toEqual([2, 2]);
    // Joined through the middle: the lines cut off the two corners that are outside.
    for (const [x1, y1, x2, y2] of inside)
      expect(Math.abs((x1 + x2) / 2 + (y1 + y2) / 2 - 1)).toBeLessThan(0.5);
    for (const line of outside) expect(line.every((n) => n >= 0 && n <= 1)).toBe(true);
    expect(inside).not.toEqual(outside);
  });

  it('lies where the slice is: pixels and places belong to each other', () => {
    const plane = {
      origin: [90, -100, 12] as Point,
      right: [-0.5, 0.01, 0] as Point,
      down: [0, -0.5, 0.02] as Point,
    };
    const [x, y] = pixelOn(plane, pointOn(plane, 123, 45));
    expect(x).toBeCloseTo(123, 8);
    expect(y).toBeCloseTo(45, 8);
  });
});

describe('numbers for people', () => {
  it('are short, and never hide what they are', () => {
    expect([0, 12, 0.1234567, 123456.7, 1e-7, NaN, null].map(valueText)).toEqual([
      '0',
      '12',
      '0.123457',
      '123457',
      '1.0000e-7',
      'NaN',
      'outside',
    ]);
    expect([1.2049, 2e6, 0.00012].map((n) => shortNumber(n))).toEqual(['1.2', '2.0e+6', '1.2e-4']);
  });
});

describe('the state of a view', () => {
  const state = {
    image: '/a.nii',
    mm: [1, 2, 3],
    volume: 0,
    window: null,
    pose: null,
    hidden: true,
    overlays: {},
  };

  it('comes back for the same scan only, and only where it is one', () => {
    expect(restoredState(state, '/a.nii')).toEqual(state);
    for (const kept of [undefined, null, 'x', { ...state, mm: [1, 2] }, { ...state, image: '/b.nii' }])
      expect(restoredState(kept, '/a.nii')).toMatchObject({ image: '/a.nii', mm: null, hidden: false });
  });
});
