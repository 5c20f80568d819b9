import { InputError } from '../errors';
import { intracranialMask } from '../intracranial/shipped-head';
import { zScoreLine } from '../volume/intensity';
import { maskAbove, wholeGrid } from '../volume/mask';
import { readNifti } from '../volume/nifti-read';
import { applyRecipe, type MaskSource, type Recipe } from '../volume/recipe';
import { resample } from '../volume/resample';
import type { Grid, Mask, Volume } from '../volume/volume';
import { contrastsOf, type Case, type Modality } from './cohort';

/** A scan as the network sees it: every channel and the brain mask on one grid. */
export interface PreparedScan {
  /** One volume per input channel, all on one grid. */
  readonly channels: readonly Volume[];
  readonly brain: Mask;
  readonly brainSource: MaskSource;
  /** Why the brain mask is not the one that the recipe would rather have: half a sentence. */
  readonly brainNote?: string;
  /** The subject's own grid: that of the first image as it lies in its file. */
  readonly subject: Grid;
}

/** A case as the network sees it: every channel, the brain mask and the lesion mask on one grid. */
export interface PreparedCase extends PreparedScan {
  readonly case: Case;
  readonly grid: Grid;
  /** The lesion mask, brought to `grid` by nearest neighbour. */
  readonly roi?: Mask;
}

/**
 * Reads the images of one scan and applies the recipe: training, predict and explain share this. The first image decides
 * the grid and, where none is given, the brain mask; further ones are resampled to it and normalised within the same
 * mask. A recipe that takes the intracranial mask needs an engine.
 * @param images one path per input channel @param brainPath a brain mask on any grid
 * @throws InputError that names the file
 */
export async function prepareScan(
  images: readonly string[],
  brainPath: string | undefined,
  recipe: Recipe,
): Promise<PreparedScan> {
  const [first, ...others] = images;
  const { volume: image } = await readNifti(first);
  const given = brainPath === undefined ? undefined : await readMask(brainPath);
  const inside = recipe.mask === 'intracranial' && !given ? await intracranialMask(image) : undefined;
  const intracranial = inside && 'on' in inside ? inside.on : undefined;
  const brainNote = inside && 'refused' in inside ? inside.refused : undefined;
  const { volume, brain, brainSource } = naming(first, () =>
    applyRecipe(image, recipe, { brain: given, intracranial }),
  );
  const channels = [volume];
  for (const path of others) {
    const other = (await readNifti(path)).volume;
    channels.push(naming(path, () => furtherChannel(other, volume, brain, recipe)));
  }
  return { channels, brain, brainSource, brainNote, subject: { shape: image.shape, affine: image.affine } };
}

/** {@link prepareScan} for a case of a cohort, with its lesion mask. @throws InputError that names the file */
export async function prepareCase(one: Case, modality: Modality, recipe: Recipe): Promise<PreparedCase> {
  const images = contrastsOf(modality, one).map((contrast) => {
    const path = one.images[contrast];
    if (path === undefined) throw new InputError(`${one.participantId} has no ${contrast} image.`);
    return path;
  });
  const scan = await prepareScan(images, one.brain, recipe);
  const { shape, affine } = scan.channels[0];
  const grid = { shape, affine };
  const roi = one.roi && (await maskOnGrid(one.roi.path, grid));
  return { ...scan, case: one, grid, roi };
}

/** A mask file brought to another grid by nearest neighbour. @throws InputError that names the file */
export async function maskOnGrid(path: string, grid: Grid): Promise<Mask> {
  const { volume } = await readNifti(path);
  return naming(path, () => maskAbove(resample(volume, grid, 'nearest'), 0.5));
}

async function readMask(path: string): Promise<Mask> {
  return maskAbove((await readNifti(path)).volume, 0.5);
}

/** A second contrast on the first one's grid; as in the recipe, what lies outside of its own scan is 0 after normalising. */
function furtherChannel(image: Volume, grid: Grid, brain: Mask, recipe: Recipe): Volume {
  const onGrid = resample(image, grid, 'trilinear', { antialias: true });
  const { data } = onGrid;
  if (recipe.normalise === 'z-score') {
    const { mean, sd } = zScoreLine(onGrid, brain);
    const share = resample(wholeGrid(image), grid, 'trilinear').data;
    for (let at = 0; at < data.length; at++) data[at] = (data[at] - mean * share[at]) / sd;
  }
  if (recipe.outside === 'zero')
    for (let at = 0; at < data.length; at++) if (brain.data[at] === 0) data[at] = 0;
  return onGrid;
}

/** Does the work, and puts the file before what it complains of. */
function naming<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof InputError && !error.message.includes(path))
      throw new InputError(`${path}: ${error.message}`, { cause: error });
    throw error;
  }
}
