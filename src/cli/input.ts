import type { Command } from 'commander';
import { InputError } from '../core/errors';
import type { CheckpointMeta } from '../core/model/checkpoint';
import { zScore } from '../core/volume/intensity';
import { maskAbove } from '../core/volume/mask';
import { readNifti } from '../core/volume/nifti-read';
import { applyRecipe, STANDARD, type MaskSource, type Recipe } from '../core/volume/recipe';
import { resample } from '../core/volume/resample';
import type { Grid, Mask, Volume } from '../core/volume/volume';
import type { LoadReport } from '../core/weights/load-report';
import { recipeGiven, type RecipeFlags } from './options';
import { tell } from './terminal';

export interface InputFlags {
  /** Brain mask of the scan. */
  readonly brain?: string;
}

export function addInputOptions(command: Command): Command {
  return command.option(
    '--brain <mask>',
    'brain mask of the scan (NIfTI); else an Otsu head mask, and said so',
  );
}

export interface PreparedInput {
  readonly channels: readonly Volume[];
  readonly brain: Mask;
  readonly brainSource: MaskSource;
  /** The subject's own grid, of the first channel. */
  readonly subject: Grid;
}

/** One `--input`: a scan, or the channels of one case separated by commas; the first decides the grid. */
export async function prepareInput(
  input: string,
  recipe: Recipe,
  brainPath: string | undefined,
): Promise<PreparedInput> {
  const [first, ...others] = input.split(',');
  const { volume: image } = await readNifti(first);
  const given = brainPath === undefined ? undefined : maskAbove((await readNifti(brainPath)).volume, 0.5);
  const { volume, brain, brainSource } = applyRecipe(image, recipe, { brain: given });
  const channels = [volume];
  for (const path of others) {
    const onGrid = resample((await readNifti(path)).volume, volume, 'trilinear', { antialias: true });
    channels.push(recipe.normalise === 'z-score' ? zScore(onGrid, brain, recipe.outside) : onGrid);
  }
  return { channels, brain, brainSource, subject: { shape: image.shape, affine: image.affine } };
}

/** The recipe of the flags, else the checkpoint's own, else the standard one, and said so. */
export async function recipeFor(flags: RecipeFlags, meta: CheckpointMeta): Promise<Recipe> {
  const recipe = await recipeGiven(flags, meta.recipe);
  if (recipe) return recipe;
  tell('The weights carry no preprocessing recipe: the standard one is used (--preprocess changes it).');
  return STANDARD;
}

/** Says what a file did not bring. */
export function reportLoad(report: LoadReport, path: string): void {
  if (report.prefixStripped.length > 0)
    tell(`${path}: prefix ${report.prefixStripped.join(', ')} taken off the names.`);
  if (report.missing.length > 0)
    tell(
      `${path}: ${report.missing.length} tensors are missing and stay as initialised: ${some(report.missing)}.`,
    );
  if (report.mismatched.length > 0)
    throw new InputError(
      `${path}: ${report.mismatched.length} tensors have another shape than the network: ${some(report.mismatched.map((one) => `${one.name} is ${one.found.join('x')}, expected ${one.expected.join('x')}`))}. Check --arch, --shortcut and --width.`,
    );
  if (report.unexpected.length > 0)
    tell(`${path}: ${report.unexpected.length} tensors are not used: ${some(report.unexpected)}.`);
}

function some(names: readonly string[]): string {
  return names.length <= 4
    ? names.join(', ')
    : `${names.slice(0, 4).join(', ')} and ${names.length - 4} more`;
}
