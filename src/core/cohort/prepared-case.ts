import { InputError } from '../errors';
import { zScore } from '../volume/intensity';
import { maskAbove } from '../volume/mask';
import { readNifti } from '../volume/nifti-read';
import { applyRecipe, type MaskSource, type Recipe } from '../volume/recipe';
import { resample } from '../volume/resample';
import type { Grid, Mask, Volume } from '../volume/volume';
import { contrastsOf, type Case, type Modality } from './cohort';

/** A case as the network sees it: every channel, the brain mask and the lesion mask on one grid. */
export interface PreparedCase {
  readonly case: Case;
  readonly grid: Grid;
  /** One volume per contrast of the modality, in the network's channel order. */
  readonly channels: readonly Volume[];
  readonly brain: Mask;
  readonly brainSource: MaskSource;
  /** The lesion mask, brought to `grid` by nearest neighbour. */
  readonly roi?: Mask;
}

/**
 * Reads the images of a case and applies the recipe. The first contrast decides the grid; a second one is resampled to
 * it and normalised within the same brain mask.
 * @throws InputError that names the file
 */
export async function prepareCase(one: Case, modality: Modality, recipe: Recipe): Promise<PreparedCase> {
  const [first, ...others] = contrastsOf(modality).map((contrast) => {
    const path = one.images[contrast];
    if (path === undefined) throw new InputError(`${one.participantId} has no ${contrast} image.`);
    return path;
  });
  const { volume: image } = await readNifti(first);
  const given = one.brain === undefined ? undefined : maskAbove((await readNifti(one.brain)).volume, 0.5);
  const prepared = applyRecipe(image, recipe, { brain: given });
  const channels = [prepared.volume];
  for (const path of others) {
    const { volume } = await readNifti(path);
    const onGrid = resample(volume, prepared.volume, 'trilinear');
    channels.push(recipe.normalise === 'z-score' ? zScore(onGrid, prepared.brain, recipe.outside) : onGrid);
  }
  const roi = one.roi && (await maskOnGrid(one.roi.path, prepared.volume));
  const { brain, brainSource } = prepared;
  const { shape, affine } = prepared.volume;
  return { case: one, grid: { shape, affine }, channels, brain, brainSource, roi };
}

/** A mask file brought to another grid by nearest neighbour. */
export async function maskOnGrid(path: string, grid: Grid): Promise<Mask> {
  const { volume } = await readNifti(path);
  return maskAbove(resample(volume, grid, 'nearest'), 0.5);
}
