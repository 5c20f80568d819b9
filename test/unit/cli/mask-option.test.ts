import { expect, it } from 'vitest';
import { recipeGiven } from '../../../src/cli/options';
import { STANDARD } from '../../../src/core/volume/recipe';

it('--mask auto is what is best today, and the recipe that is stored names it', async () => {
  expect(await recipeGiven({ mask: 'auto' })).toEqual({ ...STANDARD, mask: 'intracranial' });
  expect(await recipeGiven({ preprocess: 'none', mask: 'auto' })).toMatchObject({ mask: 'intracranial' });
});

it('a recipe of a checkpoint keeps its own rule where no mask is asked for', async () => {
  const older = { ...STANDARD, mask: 'auto' } as const;
  expect(await recipeGiven({}, older)).toBe(older);
  expect(await recipeGiven({ spacing: [2, 2, 2] }, older)).toMatchObject({ mask: 'auto' });
  expect(await recipeGiven({ mask: 'otsu' }, older)).toMatchObject({ mask: 'otsu' });
});
