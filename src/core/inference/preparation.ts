import type { PreparedScan } from '../cohort/prepared-case';
import type { CheckpointMeta } from '../model/checkpoint';
import { STANDARD, type Recipe } from '../volume/recipe';

/** How a checkpoint wants images prepared: by its own recipe, else by the standard one, and the remark says so. */
export function recipeOf({ recipe }: CheckpointMeta): {
  readonly recipe: Recipe;
  readonly remark?: string;
} {
  if (recipe) return { recipe };
  return {
    recipe: STANDARD,
    remark: 'The weights carry no preprocessing recipe: the standard one is used',
  };
}

/** Which brain mask a scan was normalised with, and whether it was another kind in training. */
export function brainMaskRemark(
  { brainSource, brainNote }: PreparedScan,
  { brainMasks }: CheckpointMeta,
): { readonly text: string; readonly another: boolean } {
  const another = brainMasks !== undefined && !brainMasks.includes(brainSource);
  const text =
    `brain mask ${brainSource}` +
    (brainNote === undefined ? '' : ` (${brainNote})`) +
    (another
      ? `; in training it was ${brainMasks.join(', ')}, so the image is normalised differently here`
      : '');
  return { text, another };
}
