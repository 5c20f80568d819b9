import { describe, expect, it } from 'vitest';
import { parseHeader } from '../../../src/extension/volume/nifti-header';
import { apply, inverse, type Point } from '../../../src/webview/volume/affine';
import { heatTable } from '../../../src/webview/volume/drawable';
import { pixelOn, pointOn } from '../../../src/webview/volume/mask-field';
import { paintSlice } from '../../../src/webview/volume/paint-slice';
import { robustWindow } from '../../../src/webview/volume/robust-window';
import type { Tile } from '../../../src/webview/volume/slice-drawing';
import { sliceTiles } from '../../../src/webview/volume/slice-layout';
import { niftiBytes } from '../volume/nifti-bytes';

/** 4 x 6 x 5 voxels of 2 x 1 x 3 mm, stored to the left, to the back and upwards. */
const shape = [4, 6, 5] as const;
const affine = [-2, 0, 0, 3, 0, -1, 0, 2, 0, 0, 3, -6, 0, 0, 0, 1];
const header = { shape: [...shape], spacingMm: [2, 1, 3], orientation: 'LPS', affine };
const room = { width: 400, height: 400, gap: 4 };
const middle: Point = apply(affine, [1, 2, 2]);

function tileOf(tiles: readonly Tile[], view: Tile['view']) {
  const tile = tiles.find((one) => one.view === view);
  if (!tile?.plane) throw new Error(`no ${view} tile`);
  return { ...tile, plane: tile.plane };
}

describe('where the painted slices stand', () => {
  it('has one scale for all, whichever arrangement gives the largest', () => {
    for (const [width, height] of [
      [400, 400],
      [1200, 200],
      [200, 1200],
    ]) {
      const tiles = sliceTiles(header, { width, height, gap: 4 }, 'neurological', middle);
      // 8 mm across, 6 mm to the back, 15 mm upwards.
      const scales = (['axial', 'coronal', 'sagittal'] as const).flatMap((view, n) => {
        const { width: w, height: h } = tileOf(tiles, view);
        return [w / [8, 8, 6][n], h / [6, 15, 15][n]];
      });
      for (const scale of scales) expect(Math.abs(scale / scales[0] - 1)).toBeLessThan(0.05); // whole pixels
      for (const { left, top, width: w, height: h } of tiles) {
        expect(left).toBeGreaterThanOrEqual(0);
        expect(left + w).toBeLessThanOrEqual(width);
        expect(top).toBeGreaterThanOrEqual(0);
        expect(top + h).toBeLessThanOrEqual(height);
      }
    }
  });

  it('cuts through the crosshair, and its edges are the grid\u2019s', () => {
    const tiles = sliceTiles(header, room, 'neurological', middle);
    const { left, top, width, height, plane } = tileOf(tiles, 'coronal');
    const corner = apply(inverse(affine), pointOn(plane, left, top));
    expect(corner.map((n) => n + 0)).toEqual([3.5, 2, 4.5].map((n) => expect.closeTo(n, 9)));
    const other = apply(inverse(affine), pointOn(plane, left + width, top + height));
    expect(other).toEqual([-0.5, 2, -0.5].map((n) => expect.closeTo(n, 9)));
  });

  it('shows the patient\u2019s right at the left in the radiological convention, and the nose always at the left', () => {
    const [right, front]: Point[] = [
      [2, 0, 0],
      [0, 2, 0],
    ];
    for (const convention of ['radiological', 'neurological'] as const) {
      const tiles = sliceTiles(header, room, convention, [0, 0, 0]);
      for (const view of ['axial', 'coronal'] as const) {
        const { plane } = tileOf(tiles, view);
        const leftwards = pixelOn(plane, right)[0] < pixelOn(plane, [0, 0, 0])[0];
        expect(leftwards, `${view}, ${convention}`).toBe(convention === 'radiological');
      }
      const { plane } = tileOf(tiles, 'sagittal');
      expect(pixelOn(plane, front)[0]).toBeLessThan(pixelOn(plane, [0, 0, 0])[0]);
    }
  });
});

describe('the painted pixels', () => {
  const values = Float32Array.from({ length: 4 * 6 * 5 }, (_, n) => n);
  const scan = { values, shape, mmToVoxel: inverse(affine) };
  const tile = tileOf(sliceTiles(header, room, 'neurological', middle), 'axial');

  it('are the values between black and white, linear between voxel middles', () => {
    const pixels = paintSlice(tile.plane, tile, scan, [0, 120], []);
    let compared = 0;
    for (let y = 0; y < tile.height; y += 7)
      for (let x = 0; x < tile.width; x += 7) {
        const voxel = apply(scan.mmToVoxel, pointOn(tile.plane, tile.left + x + 0.5, tile.top + y + 0.5));
        if (voxel.some((n, axis) => n < 0 || n > shape[axis] - 1)) continue;
        // The values rise linearly along every axis, so that the trilinear value is the same function.
        const value = voxel[0] + 4 * (voxel[1] + 6 * voxel[2]);
        expect(Math.abs(pixels[4 * (y * tile.width + x)] - (255 * value) / 120)).toBeLessThanOrEqual(0.51);
        compared++;
      }
    expect(compared).toBeGreaterThan(100);
  });

  it('are black where there is no number, and white above the window', () => {
    const holes = { ...scan, values: values.map((n) => (n % 4 < 2 ? NaN : 1000)) };
    const pixels = paintSlice(tile.plane, tile, holes, [0, 120], []);
    const greys = new Set(pixels.filter((_, n) => n % 4 === 0));
    expect([...greys].sort()).toEqual([0, 255]);
  });

  it('carry the heat by its colour and opacity, nothing outside of its grid', () => {
    const small = { values: new Float32Array(1).fill(1), shape: [1, 1, 1] };
    const heat = {
      ...small,
      mmToVoxel: inverse([-2, 0, 0, middle[0], 0, -1, 0, middle[1], 0, 0, 3, middle[2], 0, 0, 0, 1]),
      colouring: { threshold: 0.5, max: 1, table: heatTable() },
    };
    const black = { ...scan, values: new Float32Array(values.length) };
    const half = paintSlice(tile.plane, tile, black, [0, 1], [{ ...heat, opacity: 0.5 }]);
    const none = paintSlice(tile.plane, tile, black, [0, 1], [{ ...heat, opacity: 0 }]);
    expect(none.every((value, n) => value === (n % 4 === 3 ? 255 : 0))).toBe(true);
    const [x, y] = pixelOn(tile.plane, middle).map((n, axis) => Math.floor(n) - [tile.left, tile.top][axis]);
    const at = 4 * (y * tile.width + x);
    const [red, green, blue, cover] = heatTable().slice(4 * 255);
    [red, green, blue].forEach((n, channel) =>
      expect(Math.abs(half[at + channel] - (0.5 * n * cover) / 255)).toBeLessThanOrEqual(1),
    );
    const lit = half.filter((value, n) => n % 4 === 0 && value > 0).length;
    // A voxel of 2 x 1 mm of 8 x 6 mm.
    expect(lit / (tile.width * tile.height)).toBeCloseTo(2 / 48, 1);
  });
});

describe('the window in which a scan is drawn first', () => {
  const cube = (of: (i: number, j: number, k: number) => number) =>
    Float32Array.from({ length: 20 ** 3 }, (_, n) =>
      of(n % 20, Math.floor(n / 20) % 20, Math.floor(n / 400)),
    );

  it('leaves out two percent at either end, of what lies inside', () => {
    const values = cube((i, j, k) => (Math.min(i, j, k) < 3 ? 1e6 : (i - 5) * 100 + (j - 5) * 10 + (k - 5)));
    const [low, high] = robustWindow(values, [20, 20, 20]);
    const inner = [...Array(1000).keys()]; // digits 0 to 9 of i, j, k: every number once
    expect(low).toBeCloseTo(inner[19], -0.5);
    expect(high).toBeCloseTo(inner[979], -0.5);
  });

  it('does not count air where there is little else, and begins with it', () => {
    const values = cube((i, j) => (i === 9 ? 500 + j : 0));
    const [low, high] = robustWindow(values, [20, 20, 20]);
    expect(low).toBe(0);
    expect(high).toBeGreaterThan(500);
  });

  it('is the whole range of a mask, and something of an empty scan', () => {
    expect(
      robustWindow(
        cube((i, j, k) => (i + j + k === 30 ? 1 : 0)),
        [20, 20, 20],
      ),
    ).toEqual([0, 1]);
    expect(robustWindow(new Float32Array(8).fill(NaN), [2, 2, 2])).toEqual([0, 1]);
    expect(robustWindow(new Float32Array(8).fill(3), [2, 2, 2])).toEqual([3, 3]);
  });

  it('takes a single slice', () => {
    const values = Float32Array.from({ length: 400 }, (_, n) => n);
    const [low, high] = robustWindow(values, [20, 20, 1]);
    expect(low).toBeGreaterThan(0);
    expect(high).toBeLessThan(399);
  });
});

it('a header of the host has what the layout needs', () => {
  const { shape: read, orientation } = parseHeader(niftiBytes({}), 'scan.nii');
  const tiles = sliceTiles(parseHeader(niftiBytes({}), 'scan.nii'), room, 'radiological', [0, 0, 0]);
  expect([read.length, orientation.length, tiles.length]).toEqual([3, 3, 3]);
});
