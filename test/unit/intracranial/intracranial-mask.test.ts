import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makePhantomHead, phantomGrid } from '../../../src/core/cohort/phantom/head';
import { LABEL } from '../../../src/core/cohort/phantom/structures';
import { prepareScan } from '../../../src/core/cohort/prepared-case';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { InputError } from '../../../src/core/errors';
import { diceOverlap } from '../../../src/core/intracranial/dice-overlap';
import { doubtAbout, type Inside } from '../../../src/core/intracranial/segment-inside';
import { intracranialMask } from '../../../src/core/intracranial/shipped-head';
import { brainMaskRemark } from '../../../src/core/inference/preparation';
import { networkSpec } from '../../../src/core/model/spec';
import { affineFromSpacing } from '../../../src/core/volume/affine';
import { headMask } from '../../../src/core/volume/head-mask';
import { readNifti } from '../../../src/core/volume/nifti-read';
import { writeNifti } from '../../../src/core/volume/nifti-write';
import { reorient, toRas } from '../../../src/core/volume/orientation';
import { STANDARD, type Recipe } from '../../../src/core/volume/recipe';
import type { Grid, Mask, Volume } from '../../../src/core/volume/volume';
import { ROOT, realData } from '../../peers';

const folder = mkdtempSync(join(tmpdir(), 'fcd-intracranial-'));
beforeAll(() => openEngine({ threads: 1 }));
afterAll(async () => {
  await closeEngine();
  rmSync(folder, { recursive: true });
});
afterEach(() => delete process.env.FCD_MODELS);

async function maskOf(image: Volume, grid: Grid = image): Promise<Mask> {
  const found = await intracranialMask(image);
  if ('refused' in found) throw new Error(found.refused);
  return found.on(grid);
}

/** A drawn head that nobody has learned from, and what of it lies inside the skull. */
function phantom(size: number, subject = 1) {
  const { t1w, flair, labels } = makePhantomHead({ seed: 4711, subject, ...phantomGrid(size) });
  return { t1w, flair, inside: labels.data.map((label) => (label >= LABEL['cerebrospinal fluid'] ? 1 : 0)) };
}

describe('the intracranial head', () => {
  it.each([
    ['T1w', 64],
    ['FLAIR', 64],
    ['T1w', 96],
    ['FLAIR', 40],
  ] as const)('finds what lies inside the skull of phantoms: %s, %i voxels', async (contrast, size) => {
    const { t1w, flair, inside } = phantom(size);
    const image = contrast === 'T1w' ? t1w : flair;
    const dice = diceOverlap((await maskOf(image)).data, inside);
    expect(dice).toBeGreaterThan(0.9);
    expect(dice).toBeGreaterThan(diceOverlap(headMask(image).data, inside) ?? 1);
  });

  it('does not care in which order the voxels lie, or how bright they are', async () => {
    const { t1w } = phantom(64, 2);
    const upright = await maskOf(t1w);
    const turned = reorient({ ...t1w, data: t1w.data.map((value) => 3 * value) }, 'LIP');
    const back = toRas(await maskOf(turned));
    expect(diceOverlap(back.data, upright.data)).toBeGreaterThan(0.99);
  });

  it('says the same again, whatever the number of threads', async () => {
    const { flair } = phantom(48, 3);
    const once = await maskOf(flair);
    expect((await maskOf(flair)).data).toEqual(once.data);
    await openEngine({ threads: 2 });
    expect((await maskOf(flair)).data).toEqual(once.data);
    await openEngine({ threads: 1 });
  });

  it('needs what it is made of: refused where none comes along, an error where it is damaged', async () => {
    const { t1w } = phantom(40, 4);
    process.env.FCD_MODELS = folder;
    writeFileSync(join(folder, 'catalogue.json'), JSON.stringify({ schema: 1, weights: [] }));
    expect(await intracranialMask(t1w)).toEqual({
      refused: 'no intracranial head comes with this program',
    });
    const models = join(folder, 'models');
    cpSync(join(ROOT, 'models'), models, { recursive: true });
    const file = join(models, 'intracranial.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(file, bytes);
    process.env.FCD_MODELS = models;
    await expect(intracranialMask(t1w)).rejects.toThrow(InputError);
    await expect(intracranialMask(t1w)).rejects.toThrow(/other bytes than the catalogue says.*--mask otsu/);
  });

  it('refuses an image of one value', async () => {
    const flat: Volume = { ...phantom(40).t1w, data: new Float32Array(36 * 40 * 36).fill(7) };
    expect(await intracranialMask(flat)).toEqual({ refused: 'the image has one value only' });
  });
});

describe('what a mask must be to be believed', () => {
  /** A cube of `size` voxels of 10 mm in a grid of 20 x 20 x 20. */
  function cube(size: number, from = 0): Mask {
    const data = new Uint8Array(8000);
    for (let k = from; k < from + size; k++)
      for (let j = 0; j < size; j++) data.fill(1, 400 * k + 20 * j, 400 * k + 20 * j + size);
    return { shape: [20, 20, 20], affine: affineFromSpacing([10, 10, 10]), data };
  }
  const said = (mask: Mask): Inside => {
    const litres = mask.data.reduce((sum, value) => sum + value, 0) / 1000;
    const scores = { ...mask, data: Float32Array.from(mask.data, (value) => value - 0.5) };
    return { shape: mask.shape, affine: mask.affine, mask, litres, scores };
  };
  /** Signal 100 in a cube, little noise elsewhere. */
  const bright = (mask: Mask): Volume => ({
    ...mask,
    data: Float32Array.from(mask.data, (value, v) => (value === 1 ? 100 : v % 7)),
  });
  const whole = bright(cube(18));

  it('as large as the inside of a skull', () => {
    expect(doubtAbout(said(cube(7)), whole)).toMatch(/found 0\.34 litres, where 0\.5 to 2\.2 can be/);
    expect(doubtAbout(said(cube(14)), whole)).toMatch(/found 2\.74 litres/);
    expect(doubtAbout(said(cube(11)), whole)).toBeUndefined();
  });

  it('tissue, not air', () => {
    expect(doubtAbout(said(cube(10)), bright(cube(10, 3)))).toBeUndefined();
    expect(doubtAbout(said(cube(10)), bright(cube(10, 6)))).toBe(
      '60 % of what the intracranial head found is air',
    );
  });
});

describe('a scan that is prepared', () => {
  const recipe: Recipe = { ...STANDARD, spacing: [4, 4, 4], shape: [56, 64, 56] };
  const scan = join(folder, 'scan.nii.gz');
  const given = join(folder, 'brain.nii.gz');
  let inside: Uint8Array;
  beforeAll(async () => {
    const head = phantom(64, 5);
    inside = Uint8Array.from(head.inside);
    await writeNifti(scan, head.t1w);
    await writeNifti(given, { ...head.t1w, data: inside });
  });

  it('takes the mask that comes with it, else the head’s, and says which', async () => {
    expect((await prepareScan([scan], given, recipe)).brainSource).toBe('given');
    const prepared = await prepareScan([scan], undefined, recipe);
    expect(prepared).toMatchObject({ brainSource: 'intracranial', brainNote: undefined });
    const there = await prepareScan([scan], given, recipe);
    expect(diceOverlap(prepared.brain.data, there.brain.data)).toBeGreaterThan(0.9);
    const meta = { spec: networkSpec({ arch: 'resnet10' }), brainMasks: ['given', 'intracranial'] };
    expect(brainMaskRemark(prepared, meta)).toEqual({ text: 'brain mask intracranial', another: false });
  });

  it('is prepared as ever by the recipe of an older checkpoint', async () => {
    const old = await prepareScan([scan], undefined, { ...recipe, mask: 'auto' });
    const otsu = await prepareScan([scan], undefined, { ...recipe, mask: 'otsu' });
    expect(old.brainSource).toBe('otsu');
    expect(old.channels[0].data).toEqual(otsu.channels[0].data);
  });

  it('falls back on Otsu’s head mask, and says why', async () => {
    process.env.FCD_MODELS = folder;
    writeFileSync(join(folder, 'catalogue.json'), JSON.stringify({ schema: 1, weights: [] }));
    const prepared = await prepareScan([scan], undefined, recipe);
    expect(prepared.brainSource).toBe('otsu');
    const meta = { spec: networkSpec({ arch: 'resnet10' }), brainMasks: ['intracranial'] };
    expect(brainMaskRemark(prepared, meta)).toEqual({
      text: 'brain mask otsu (no intracranial head comes with this program); in training it was intracranial, so the image is normalised differently here',
      another: true,
    });
  });
});

const data = realData();
const absent = data ? '' : ' [needs the real data]';

describe('on real heads, of which it has seen none', () => {
  it.skipIf(absent)(`it is nearer to the labels' intracranial volume than Otsu's mask${absent}`, async () => {
    const tasks = JSON.parse(readFileSync(join(data ?? '', 'ixi2mm', 'tasks23.json'), 'utf8')) as {
      name: string;
      labels: number[];
    }[];
    const numbers = new Set(tasks.find(({ name }) => name === 'intracranial volume')?.labels);
    for (const name of ['IXI132-HH-1415', 'IXI239-HH-2296', 'IXI383-HH-2099']) {
      const { volume } = await readNifti(join(data ?? '', 'ixi2mm', `${name}_T1.nii.gz`));
      const labels = await readNifti(join(data ?? '', 'ixi2mm', `${name}_T1_DLMUSE.nii.gz`));
      const inside = Array.from(labels.volume.data, (label) => (numbers.has(label) ? 1 : 0));
      const dice = diceOverlap((await maskOf(volume)).data, inside);
      const otsu = diceOverlap(headMask(volume).data, inside) ?? 1;
      expect(dice, name).toBeGreaterThan(0.8);
      expect(dice, name).toBeGreaterThan(otsu + 0.2);
    }
  });

  it.skipIf(absent)(`a stripped brain is found whole${absent}`, async () => {
    const { volume } = await readNifti(join(data ?? '', 'oms_mni_2mm', 'patient07_FLAIR_MNI2mm.nii.gz'));
    const kept = Array.from(volume.data, (value) => (value > 0 ? 1 : 0));
    expect(diceOverlap((await maskOf(volume)).data, kept)).toBeGreaterThan(0.85);
  });
});
