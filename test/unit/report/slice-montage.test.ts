import { decode } from 'fast-png';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { colourBar, shortNumber } from '../../../src/core/report/figures/colour-bar';
import { heatColour } from '../../../src/protocol/heat-colours';
import { Picture, textWidth } from '../../../src/core/report/figures/picture';
import { lesionCentre, sliceMontage, type Montage } from '../../../src/core/report/figures/slice-montage';
import {
  boxOf,
  pixelOf,
  PLANES,
  samplePlane,
  slicePlane,
} from '../../../src/core/report/figures/slice-plane';
import { affineFromSpacing, transformPoint } from '../../../src/core/volume/affine';
import { maskNonzero } from '../../../src/core/volume/mask';
import { readNifti } from '../../../src/core/volume/nifti-read';
import { toRas } from '../../../src/core/volume/orientation';
import type { Affine, Mask, Triple, Volume } from '../../../src/core/volume/volume';
import { realData } from '../../peers';

/** A ball of grey 100 with radius 20 mm around the origin, and a bright spot at the patient's right front top. */
const spotMm: Triple = [10, 6, 8];
function phantom(affine: Affine, shape: Triple): Volume {
  const data = new Float32Array(shape[0] * shape[1] * shape[2]);
  for (let k = 0, at = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++)
      for (let i = 0; i < shape[0]; i++, at++) {
        const mm = transformPoint(affine, [i, j, k]);
        if (Math.hypot(...mm) <= 20) data[at] = 100;
        if (Math.hypot(mm[0] - spotMm[0], mm[1] - spotMm[1], mm[2] - spotMm[2]) < 2.1) data[at] = 200;
      }
  return { shape, affine, data };
}

const ras = phantom(affineFromSpacing([2, 2, 2], [-24, -24, -24]), [25, 25, 25]);
/** Axes P, S, R with 2 x 1 x 3 mm voxels. */
const psr = phantom([0, 0, 3, -24, -2, 0, 0, 24, 0, 1, 0, -24, 0, 0, 0, 1], [25, 49, 17]);

function around(volume: Volume, mm: Triple, radius: number): Mask {
  const data = Uint8Array.from(volume.data, (_, v) => {
    const [ni, nj] = volume.shape;
    const [x, y, z] = transformPoint(volume.affine, [
      v % ni,
      Math.floor(v / ni) % nj,
      Math.floor(v / ni / nj),
    ]);
    return Math.hypot(x - mm[0], y - mm[1], z - mm[2]) <= radius ? 1 : 0;
  });
  return { ...volume, data };
}

function pixels({ png }: Montage): (x: number, y: number) => [number, number, number] {
  const { data, width, channels } = decode(png);
  expect(channels).toBe(3);
  return (x, y) => {
    const at = 3 * (Math.floor(y) * width + Math.floor(x));
    return [data[at], data[at + 1], data[at + 2]];
  };
}

/** Where a place of the patient lies in the picture. */
function inPicture(montage: Montage, panel: number, mm: Triple): [number, number] {
  const { slice, x, y } = montage.panels[panel];
  const [px, py] = pixelOf(slice, mm);
  return [x + px, y + py];
}

describe('the geometry of slices', () => {
  const box = { low: [-10, -20, -30], high: [10, 20, 30] } as const;

  it('has the patient’s right on the left of radiological pictures and on the right of neurological ones', () => {
    for (const plane of ['axial', 'coronal'] as const) {
      const radiological = slicePlane(plane, 0, box, 2, 'radiological');
      const neurological = slicePlane(plane, 0, box, 2, 'neurological');
      expect(pixelOf(radiological, [10, 0, 0])[0]).toBeCloseTo(0, 9);
      expect(pixelOf(neurological, [10, 0, 0])[0]).toBeCloseTo(40, 9);
      expect([radiological.edges, neurological.edges]).toEqual([
        ['R', 'L'],
        ['L', 'R'],
      ]);
    }
  });

  it('has the nose on the left of sagittal pictures, anterior on top of axial ones and superior on top of the others', () => {
    const [axial, coronal, sagittal] = PLANES.map((plane) => slicePlane(plane, 0, box, 2, 'neurological'));
    expect(sagittal.edges).toEqual(['A', 'P']);
    expect(pixelOf(sagittal, [0, 20, 0])[0]).toBeCloseTo(0, 9);
    expect(pixelOf(axial, [0, 20, 0])[1]).toBeCloseTo(0, 9);
    expect(pixelOf(coronal, [0, 0, 30])[1]).toBeCloseTo(0, 9);
    expect(pixelOf(sagittal, [0, 0, 30])[1]).toBeCloseTo(0, 9);
  });

  it('is true to mm: as many pixels as mm times pixels per mm, on both axes', () => {
    expect(
      PLANES.map((plane) => slicePlane(plane, 0, box, 3, 'radiological')).map((s) => [s.width, s.height]),
    ).toEqual([
      [60, 120],
      [60, 180],
      [120, 180],
    ]);
  });

  it('shows the value of a voxel at the pixel of its centre, in both interpolations and every orientation', () => {
    for (const volume of [ras, psr])
      for (const plane of PLANES)
        for (const interpolation of ['linear', 'cubic'] as const) {
          // A voxel that every grid has: 12 mm right, 4 mm front, 6 mm top.
          const mm: Triple = [12, 4, 6];
          const marked = { ...volume, data: new Float32Array(volume.data.length) };
          around(volume, mm, 0.1).data.forEach((inside, v) => (marked.data[v] = inside * 7));
          expect(marked.data.filter((value) => value === 7).length).toBe(1);
          const half = 20.5;
          const odd = { low: [-half, -half, -half], high: [half, half, half] } as const;
          const at = { axial: mm[2], coronal: mm[1], sagittal: mm[0] }[plane];
          const slice = slicePlane(plane, at, odd, 1, 'radiological');
          const [x, y] = pixelOf(slice, mm).map(Math.floor);
          const values = samplePlane(marked, slice, interpolation);
          expect(values[y * slice.width + x]).toBeCloseTo(7, 5);
          expect(values.indexOf(Math.max(...values))).toBe(y * slice.width + x);
        }
  });

  it('is 0 outside of the volume', () => {
    const slice = slicePlane('axial', 200, { low: [-5, -5, -5], high: [5, 5, 5] }, 1, 'radiological');
    expect(new Set(samplePlane(ras, slice, 'cubic'))).toEqual(new Set([0]));
  });

  it('boxes a mask in scanner space', () => {
    const mask = { ...psr, data: new Uint8Array(psr.data.length) };
    mask.data[3 + 25 * (10 + 49 * 2)] = 1;
    mask.data[5 + 25 * (4 + 49 * 2)] = 1;
    expect(boxOf(mask)).toEqual({ low: [-18, 14, -20], high: [-18, 18, -14] });
    expect(boxOf({ ...mask, data: new Uint8Array(mask.data.length) })).toBeUndefined();
  });
});

describe('a montage', () => {
  it('shows the bright spot where it lies in the patient, whatever the orientation of the file', () => {
    for (const image of [ras, psr])
      for (const convention of ['radiological', 'neurological'] as const) {
        const montage = sliceMontage({ image, centre: spotMm, convention });
        const pixel = pixels(montage);
        PLANES.forEach((plane, panel) => {
          const [x, y] = inPicture(montage, panel, spotMm);
          expect(pixel(x, y)).toEqual([255, 255, 255]);
          const { slice, x: left } = montage.panels[panel];
          const onLeft = x < left + slice.width / 2;
          // 10 mm to the right, 6 mm to the front: left in radiological pictures, and left where the nose is left.
          expect(onLeft).toBe(plane === 'sagittal' || convention === 'radiological');
        });
      }
  });

  it('goes through the lesion, through the hottest voxel without one, through the middle of the head without both', () => {
    const roi = around(ras, [-8, 4, -6], 3);
    const heat: Volume = { ...ras, data: Float32Array.from(around(ras, [6, -8, 10], 0.1).data) };
    expect(sliceMontage({ image: ras, roi, heat }).centre).toEqual([-8, 4, -6]);
    expect(sliceMontage({ image: ras, heat }).centre).toEqual([6, -8, 10]);
    expect(sliceMontage({ image: ras }).centre).toEqual([0, 0, 0]);
  });

  it('goes through a voxel of a bent lesion, not through the hollow of it', () => {
    const shell = around(ras, [0, 0, 0], 15);
    around(ras, [0, 0, 0], 11).data.forEach((inside, v) => {
      if (inside) shell.data[v] = 0;
    });
    expect(Math.hypot(...lesionCentre(shell))).toBeGreaterThan(11);
  });

  it('outlines the mask in cyan on its border, and neither inside nor outside', () => {
    const roi = around(ras, [0, 0, 0], 10);
    const montage = sliceMontage({ image: ras, roi });
    const pixel = pixels(montage);
    const cyan = ([r, g, b]: readonly number[]): boolean => b > 150 && g > 150 && r < 90;
    // The ball's outermost voxel along x has its centre at 10 mm, so the border lies at 11.
    const found: number[] = [];
    for (let mm = 0; mm < 19; mm += 0.1)
      if (cyan(pixel(...inPicture(montage, 0, [mm, 0, 0])))) found.push(mm);
    expect(found.length).toBeGreaterThan(0);
    expect(Math.min(...found)).toBeGreaterThan(10.7);
    expect(Math.max(...found)).toBeLessThan(11.3);
  });

  it('colours heat by its place in the stated range, from nothing to the hottest colour', () => {
    const heat: Volume = { ...ras, data: ras.data.map((value) => (value === 200 ? 3 : 0)) };
    const plain = sliceMontage({ image: ras, centre: spotMm });
    const montage = sliceMontage({ image: ras, heat, centre: spotMm });
    expect(montage.heatRange).toEqual([0, 3]);
    const [x, y] = inPicture(montage, 0, spotMm);
    const { colour, share } = heatColour(1);
    expect(pixels(montage)(x, y)).toEqual(colour.map((part) => Math.round((1 - share) * 255 + share * part)));
    const cold = inPicture(montage, 0, [-10, -6, 8]);
    expect(pixels(montage)(...cold)).toEqual(pixels(plain)(...inPicture(plain, 0, [-10, -6, 8])));
    const wide = sliceMontage({ image: ras, heat, centre: spotMm, heatRange: [0, 30] });
    expect(pixels(wide)(...inPicture(wide, 0, spotMm))).not.toEqual(pixels(montage)(x, y));
  });

  it('draws no heat for a zero map, and says the range that it would have had', () => {
    const heat = { ...ras, data: new Float32Array(ras.data.length) };
    const montage = sliceMontage({ image: ras, heat });
    expect(montage.heatRange).toEqual([0, 1]);
    expect(pixels(montage)(...inPicture(montage, 1, [0, 0, 0]))).toEqual(
      pixels(sliceMontage({ image: ras }))(...inPicture(montage, 1, [0, 0, 0])),
    );
  });

  it('takes mask and heat from grids of their own', () => {
    const same = sliceMontage({ image: ras, roi: around(psr, spotMm, 5), heat: psr });
    expect(same.centre).toEqual([9, 6, 8]);
    const [x, y] = inPicture(same, 0, [9, 6, 8]);
    const [r, g, b] = pixels(same)(x, y);
    expect(r).toBeGreaterThan(b);
    expect(g).toBeGreaterThan(b);
  });

  it('places panels in columns without overlap, inside the picture', () => {
    const planes = [-8, -4, 0, 4, 8].map((atMm) => ({ plane: 'axial' as const, atMm }));
    const montage = sliceMontage({ image: ras, planes, columns: 2, title: 'five slices' });
    const rows = montage.panels.map(({ y }) => y);
    expect(rows[0]).toBe(rows[1]);
    expect(rows[2]).toBeGreaterThanOrEqual(rows[0] + montage.panels[0].slice.height);
    expect(montage.panels[1].x).toBeGreaterThanOrEqual(montage.panels[0].x + montage.panels[0].slice.width);
    const decoded = decode(montage.png);
    expect([decoded.width, decoded.height]).toEqual([montage.width, montage.height]);
    for (const { slice, x, y } of montage.panels) {
      expect(x + slice.width).toBeLessThanOrEqual(montage.width);
      expect(y + slice.height).toBeLessThanOrEqual(montage.height);
    }
  });

  it('is the same bytes for the same input', () => {
    const given = { image: ras, roi: around(ras, spotMm, 4), heat: ras };
    expect(Buffer.compare(sliceMontage(given).png, sliceMontage(given).png)).toBe(0);
  });

  it('refuses in a sentence what cannot be drawn', () => {
    const empty: Mask = { ...ras, data: new Uint8Array(ras.data.length) };
    expect(() => sliceMontage({ image: ras, roi: empty })).toThrow('The lesion mask to be drawn is empty.');
    expect(() => sliceMontage({ image: ras, frame: empty })).toThrow(
      'The mask that frames the picture is empty.',
    );
    expect(() => sliceMontage({ image: ras, window: [5, 5] })).toThrow('The window of the image is 5 to 5');
    expect(() => sliceMontage({ image: ras, heat: ras, heatRange: [2, 1] })).toThrow(
      'The range of the heat is 2 to 1',
    );
    expect(() => sliceMontage({ image: ras, pixelsPerMm: 1000 })).toThrow(/the limit is 20000 a side/);
    expect(() => sliceMontage({ image: ras, planes: [] })).toThrow('at least one plane');
    expect(() => sliceMontage({ image: ras, columns: 0 })).toThrow('0 columns');
  });

  const data = realData();
  it.skipIf(!data)(
    'shows a real lesion inside the real brain of an LAS file as in its RAS copy (needs the real scans)',
    async () => {
      const folder = join(data ?? '', 'oms_mni_2mm');
      const { volume: image } = await readNifti(join(folder, 'patient07_FLAIR_MNI2mm.nii.gz'));
      const { volume } = await readNifti(join(folder, 'patient07_lesion_MNI2mm.nii.gz'));
      const roi = maskNonzero(volume);
      const montage = sliceMontage({ image, roi });
      const turned = sliceMontage({ image: toRas(image), roi: toRas(roi) });
      expect(montage.centre).toEqual(turned.centre);
      const [a, b] = [decode(montage.png).data, decode(turned.png).data];
      expect(a.length).toBe(b.length);
      let furthest = 0;
      for (let at = 0; at < a.length; at++) furthest = Math.max(furthest, Math.abs(a[at] - b[at]));
      expect(furthest).toBeLessThanOrEqual(1);
      // Two mm voxels: the lesion's centre voxel is where the panel says, and the brain around it is not black.
      const [r] = pixels(montage)(...inPicture(montage, 0, montage.centre));
      expect(r).toBeGreaterThan(60);
    },
  );
});

describe('the colour bar', () => {
  it('runs from the bare grey of the scan to the hottest colour', () => {
    const { data, width, height } = decode(colourBar({ range: [0, 2.5], label: 'heat' }, 300, 40));
    expect([width, height]).toEqual([300, 40]);
    const row = Array.from({ length: 300 }, (_, x) => [
      ...data.slice(3 * (20 * 300 + x), 3 * (20 * 300 + x) + 3),
    ]);
    const left = row.findIndex(([r, g, b]) => r === 96 && g === 96 && b === 96);
    expect(left).toBeGreaterThan(0);
    const { colour, share } = heatColour(1);
    const hottest = colour.map((part) => Math.round((1 - share) * 96 + share * part));
    expect(row.some((pixel) => pixel.every((part, c) => Math.abs(part - hottest[c]) <= 1))).toBe(true);
  });

  it('writes numbers short', () => {
    expect([0, 1, 0.123456, 12345.6, 1e7, 2.5e-5, -3.14159].map(shortNumber)).toEqual([
      '0',
      '1',
      '0.123',
      '12300',
      '1.0E7',
      '2.5E-5',
      '-3.14',
    ]);
  });

  it('orders colours by brightness and cover', () => {
    const parts = Array.from({ length: 21 }, (_, n) => heatColour(n / 20));
    parts.slice(1).forEach(({ colour, share }, n) => {
      const luma = ([r, g, b]: readonly number[]): number => 0.2126 * r + 0.7152 * g + 0.0722 * b;
      expect(luma(colour)).toBeGreaterThan(luma(parts[n].colour));
      expect(share).toBeGreaterThanOrEqual(parts[n].share);
    });
    expect(heatColour(0).share).toBe(0);
    expect(heatColour(7)).toEqual(heatColour(1));
  });
});

describe('a picture', () => {
  it('draws letters that stay in their box and differ from each other', () => {
    const drawn = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-=.,:/%()_'"].map((sign) => {
      const picture = new Picture(30, 30, [0, 0, 0]);
      picture.text(sign, 7, 7, { colour: [255, 255, 255], height: 15 });
      const lit = [...picture.data.keys()].filter((at) => at % 3 === 0 && picture.data[at] > 0);
      expect(lit.length).toBeGreaterThan(0);
      for (const at of lit) {
        expect((at / 3) % 30).toBeGreaterThanOrEqual(5);
        expect((at / 3) % 30).toBeLessThan(19.5);
        expect(Math.floor(at / 90)).toBeGreaterThanOrEqual(5);
        expect(Math.floor(at / 90)).toBeLessThan(24);
      }
      return picture.data.join();
    });
    // A zero is an O.
    expect(new Set(drawn).size).toBe(drawn.length - 1);
  });

  it('starts, centres and ends text where it is told', () => {
    const columns = (align: 'left' | 'centre' | 'right'): number[] => {
      const picture = new Picture(100, 20, [0, 0, 0]);
      picture.text('HH', 50, 4, { colour: [255, 255, 255], height: 12, align });
      return [...picture.data.keys()]
        .filter((at) => picture.data[at] > 100)
        .map((at) => Math.floor(at / 3) % 100);
    };
    const width = textWidth('HH', 12);
    expect(Math.abs(Math.min(...columns('left')) - 50)).toBeLessThan(2);
    expect(Math.abs(Math.max(...columns('right')) - 50)).toBeLessThan(2);
    expect(Math.abs(Math.min(...columns('centre')) - (50 - width / 2))).toBeLessThan(2);
  });

  it('blends by share and ignores what lies outside', () => {
    const picture = new Picture(2, 2, [100, 100, 100]);
    picture.blend(1, 0, [200, 0, 100], 0.5);
    picture.blend(5, 5, [1, 2, 3], 1);
    picture.blend(-1, 0, [1, 2, 3], 1);
    expect(picture.pixel(1, 0)).toEqual([150, 50, 100]);
    expect(picture.pixel(0, 0)).toEqual([100, 100, 100]);
  });
});
