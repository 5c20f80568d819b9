import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { affineFromSpacing, axisCodes, IDENTITY, transformPoint } from '../../../src/core/volume/affine';
import { centreOfMass, gridCentre } from '../../../src/core/volume/grid';
import { meanAndSd } from '../../../src/core/volume/intensity';
import { maskAbove } from '../../../src/core/volume/mask';
import { reorient } from '../../../src/core/volume/orientation';
import type { Recipe } from '../../../src/core/volume/recipe';
import {
  applyRecipe,
  namedRecipe,
  NONE,
  parseRecipe,
  STANDARD,
  toSubjectGrid,
} from '../../../src/core/volume/recipe';
import { resample } from '../../../src/core/volume/resample';
import type { Grid, Mask, Volume } from '../../../src/core/volume/volume';
import { scratchFolder } from './scratch-folder';

const { put, folder } = scratchFolder();

/** A ball of 100 (radius 12 mm, off the middle) with a core of 160 in air of 10, 2 mm voxels. */
function ball(): Volume {
  const shape = [24, 20, 22] as const;
  const data = new Float32Array(24 * 20 * 22);
  for (let k = 0, at = 0; k < 22; k++)
    for (let j = 0; j < 20; j++)
      for (let i = 0; i < 24; i++) {
        const radius = 2 * Math.hypot(i - 9, j - 11, k - 10);
        data[at++] = radius < 6 ? 160 : radius < 12 ? 100 : 10;
      }
  return { shape, affine: affineFromSpacing([2, 2, 2], [-30, -10, 5]), data };
}
const lowest = (volume: Volume): number =>
  volume.data.reduce((least, value) => Math.min(least, value), Infinity);
const with_ = (changes: Partial<Recipe>): Recipe => ({ ...STANDARD, shape: [40, 40, 40], ...changes });

describe('a recipe', () => {
  it('that is standard is what the documentation says', () => {
    expect(STANDARD).toEqual({
      version: 1,
      orient: 'RAS',
      spacing: [1, 1, 1],
      shape: [160, 256, 256],
      centre: 'mass',
      mask: 'intracranial',
      normalise: 'z-score',
      outside: 'keep',
    });
  });

  it('comes through JSON; what is left out is as in standard', () => {
    expect(parseRecipe(JSON.parse(JSON.stringify(NONE)))).toEqual(NONE);
    expect(parseRecipe({ version: 1 })).toEqual(STANDARD);
    expect(parseRecipe({ version: 1, spacing: [2, 2, 3], shape: null })).toMatchObject({
      spacing: [2, 2, 3],
      shape: null,
    });
  });

  it.each([
    ['version', {}],
    ['version', { version: 2 }],
    ['spacing.1', { version: 1, spacing: [1, 0, 1] }],
    ['spacing', { version: 1, spacing: [1, 1] }],
    ['shape.2', { version: 1, shape: [10, 10, 1.5] }],
    ['mask', { version: 1, mask: 'brain' }],
    ['spacin', { version: 1, spacin: [1, 1, 1] }],
    ['no recipe', 'standard'],
  ])('is refused by the name of the field: %s', (field, json) => {
    expect(() => parseRecipe(json, 'my.json')).toThrow(InputError);
    expect(() => parseRecipe(json, 'my.json')).toThrow(new RegExp(`^my.json: .*${field}`));
  });

  it('is found by its name or in a file', async () => {
    expect(await namedRecipe('standard')).toBe(STANDARD);
    expect(await namedRecipe('none')).toBe(NONE);
    expect(await namedRecipe(put('mine.json', '{"version":1,"mask":"none"}'))).toEqual({
      ...STANDARD,
      mask: 'none',
    });
    await expect(namedRecipe(put('torn.json', '{"version":'))).rejects.toThrow('torn.json is no JSON file');
    await expect(namedRecipe(`${folder}/nowhere.json`)).rejects.toThrow(InputError);
  });
});

describe('applying a recipe', () => {
  it('none gives the values of the RAS grid and changes nothing', () => {
    const image = ball();
    const raw = image.data.slice();
    const psr = reorient(image, 'PSR');
    const { volume, brain, brainSource } = applyRecipe(psr, NONE);
    expect(volume.data).toEqual(raw);
    expect(volume.affine).toEqual(image.affine);
    expect(brainSource).toBe('otsu');
    expect(brain.data).toEqual(maskAbove(image, 50).data);
    volume.data.fill(0);
    expect(applyRecipe(image, NONE).volume.data).not.toBe(image.data);
    expect(image.data).toEqual(raw);
  });

  it('can leave the axes as they are', () => {
    const psr = reorient(ball(), 'PSR');
    expect(axisCodes(applyRecipe(psr, { ...NONE, orient: 'none' }).volume.affine)).toBe('PSR');
  });

  it('puts the head’s centre of mass into the middle, at the spacing and shape asked for', () => {
    const { volume, brain } = applyRecipe(reorient(ball(), 'LIP'), with_({}));
    expect(volume.shape).toEqual([40, 40, 40]);
    const middle = transformPoint(volume.affine, gridCentre(volume.shape));
    const head = transformPoint(volume.affine, centreOfMass(brain)!);
    middle.forEach((mm, axis) => expect(Math.abs(mm - head[axis])).toBeLessThan(0.75));
    expect(Math.abs(middle[0] - (-30 + 2 * 9))).toBeLessThan(0.75);
  });

  it('keeps the grid’s own middle where it is told to', () => {
    const image = ball();
    const { volume } = applyRecipe(image, with_({ centre: 'grid' }));
    const middle = transformPoint(volume.affine, gridCentre(volume.shape));
    expect(middle).toEqual(transformPoint(image.affine, gridCentre(image.shape)));
  });

  it('z-scores over the brain mask; air keeps its z-score, beyond the scan’s grid there is 0', () => {
    const { volume, brain } = applyRecipe(ball(), with_({ shape: [80, 80, 80] }));
    const { mean, sd } = meanAndSd(volume.data, brain.data);
    expect(mean).toBeCloseTo(0, 5);
    expect(sd).toBeCloseTo(1, 5);
    expect(volume.data[0]).toBe(0);
    const air = lowest(volume);
    expect(air).toBeLessThan(-2);
    expect(volume.data.filter((value) => value < air / 2).length / volume.data.length).toBeGreaterThan(0.1);
  });

  it('is resampling of the z-scored scan: what fades at the border fades to 0', () => {
    const image = ball();
    const { volume, brain } = applyRecipe(
      image,
      with_({ shape: [80, 80, 80], spacing: [1.7, 1.3, 1], centre: 'grid' }),
    );
    const inside = meanAndSd(volume.data, brain.data);
    expect(inside.mean).toBeCloseTo(0, 5);
    const air = lowest(volume);
    const row = volume.data.subarray(80 * (40 + 80 * 40), 80 * (41 + 80 * 40));
    const rim = row.findIndex((value) => value !== 0);
    expect(row[rim]).toBeGreaterThanOrEqual(air);
    expect(row[rim]).toBeLessThan(0);
    expect(row[rim + 2]).toBeCloseTo(air, 4);
  });

  it('takes the given mask, on whatever grid it lies, and says so', () => {
    const image = ball();
    const core = reorient(maskAbove(image, 150), 'ASL');
    const { brain, brainSource } = applyRecipe(image, { ...NONE, mask: 'given' }, { brain: core });
    expect(brainSource).toBe('given');
    expect(brain.data).toEqual(maskAbove(image, 150).data);
    expect(applyRecipe(image, { ...NONE, mask: 'otsu' }, { brain: core }).brainSource).toBe('otsu');
  });

  it('takes the intracranial mask where one can be had and none is given, else Otsu’s', () => {
    const image = ball();
    const asked: string[] = [];
    const intracranial = (grid: Grid): Mask => {
      asked.push(grid.shape.join());
      return maskAbove(resample(image, grid, 'nearest'), 150);
    };
    const recipe = with_({ mask: 'intracranial', spacing: [4, 4, 4], shape: [30, 30, 30] });
    const found = applyRecipe(image, recipe, { intracranial });
    expect(found.brainSource).toBe('intracranial');
    // It is asked for on the final grid, not resampled to it.
    expect(asked).toEqual(['30,30,30']);
    expect(applyRecipe(image, recipe, { intracranial, brain: maskAbove(image, 150) }).brainSource).toBe(
      'given',
    );
    expect(applyRecipe(image, recipe).brainSource).toBe('otsu');
    expect(asked).toHaveLength(1);
    for (const mask of ['auto', 'otsu'] as const)
      expect(applyRecipe(image, { ...recipe, mask }, { intracranial }).brainSource).toBe('otsu');
  });

  it('knows the other masks', () => {
    const image = ball();
    image.data[0] = 0;
    const nonzero = applyRecipe(image, { ...NONE, mask: 'nonzero' });
    expect(nonzero.brainSource).toBe('nonzero');
    expect(nonzero.brain.data.filter((value) => value === 0)).toHaveLength(1);
    const none = applyRecipe(image, with_({ mask: 'none', shape: [60, 60, 60] }));
    expect(none.brainSource).toBe('none');
    expect(none.brain.data.reduce((sum, value) => sum + value, 0)).toBe(48 * 40 * 44); // the scan, not the padding
  });

  it('can set everything outside the mask to 0', () => {
    const { volume, brain } = applyRecipe(ball(), with_({ outside: 'zero' }));
    expect(volume.data.some((value, at) => brain.data[at] === 0 && value !== 0)).toBe(false);
    expect(volume.data.some((value) => value !== 0)).toBe(true);
  });

  it('smooths where it makes an image more than 1.5 times coarser', () => {
    const image = ball();
    image.data.forEach((_, at) => (image.data[at] = at % 2 ? 200 : 0)); // stripes along i
    const recipe = with_({ spacing: [6, 2, 2], shape: null, mask: 'none', normalise: 'none' });
    const { volume } = applyRecipe(image, recipe);
    const { sd } = meanAndSd(volume.data);
    expect(sd).toBeLessThan(40); // 100 without smoothing
  });

  it('is refused without the mask it needs, with one that lies elsewhere, and without contrast', () => {
    const image = ball();
    expect(() => applyRecipe(image, { ...NONE, mask: 'given' })).toThrow('mask: given');
    const elsewhere: Mask = {
      shape: [2, 2, 2],
      affine: affineFromSpacing([1, 1, 1], [900, 0, 0]),
      data: new Uint8Array(8).fill(1),
    };
    expect(() => applyRecipe(image, NONE, { brain: elsewhere })).toThrow(
      'The brain mask (given) has no voxel',
    );
    const flat: Volume = { ...image, data: new Float32Array(image.data.length).fill(3) };
    expect(() => applyRecipe(flat, STANDARD)).toThrow(InputError);
    expect(applyRecipe(flat, NONE).brainSource).toBe('none');
  });
});

describe('a map brought back to the subject', () => {
  it('lies at the same millimetres, and is 0 where it does not reach', () => {
    const map: Volume = {
      shape: [2, 2, 2],
      affine: affineFromSpacing([4, 4, 4], [2, 2, 2]),
      data: new Float32Array(8).fill(5),
    };
    const subject = { shape: [10, 5, 5] as const, affine: IDENTITY };
    const { data, shape } = toSubjectGrid(map, subject);
    expect(shape).toEqual([10, 5, 5]);
    const at = (i: number) => data[i + 10 * (4 + 5 * 4)];
    expect([at(2), at(4), at(6), at(0), at(9)]).toEqual([5, 5, 5, 2.5, 1.25]);
  });
});
