import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { prepareScan, type PreparedScan } from '../core/cohort/prepared-case';
import * as inference from '../core/inference/open-model';
import { brainMaskRemark, recipeOf } from '../core/inference/preparation';
import type { CheckpointMeta } from '../core/model/checkpoint';
import type { Recipe } from '../core/volume/recipe';
import { networkGiven, recipeGiven, type NetworkFlags, type RecipeFlags } from './options';
import { tell } from './terminal';

export interface InputFlags {
  /** Brain mask of the scan. */
  readonly brain?: string;
}

export function addInputOptions(command: Command): Command {
  return command.option(
    '--brain <mask>',
    'brain mask of the scan (NIfTI); else what lies inside the skull by the head that comes along, else an Otsu head mask; which one is said',
  );
}

/** One `--input`: a scan, or the channels of one case separated by commas; the first decides the grid. */
export async function prepareInput(
  input: string,
  recipe: Recipe,
  flags: InputFlags,
  meta: CheckpointMeta,
): Promise<PreparedScan> {
  const images = existsSync(input) ? [input] : input.split(',');
  const scan = await prepareScan(images, flags.brain, recipe);
  const { text, another } = brainMaskRemark(scan, meta);
  tell(`${input}: ${text}${another && scan.brainSource !== 'given' ? ' (--brain gives one)' : ''}`);
  return scan;
}

/** The recipe of the flags, else the checkpoint's own, else the standard one, and said so. */
export async function recipeFor(flags: RecipeFlags, meta: CheckpointMeta): Promise<Recipe> {
  const given = await recipeGiven(flags, meta.recipe);
  if (given) return given;
  const { recipe, remark } = recipeOf(meta);
  if (remark) tell(`${remark} (--preprocess changes it).`);
  return recipe;
}

/** The network that `--model` names, complete; what is odd about the file is said. The caller disposes the network. */
export async function openModel(
  flags: NetworkFlags & { readonly model: string },
): Promise<inference.OpenedModel> {
  const opened = await inference.openModel(flags.model, networkGiven(flags));
  for (const remark of opened.remarks) tell(remark);
  return opened;
}
