import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { prepareScan, type PreparedScan } from '../core/cohort/prepared-case';
import { InputError } from '../core/errors';
import { loadNetwork, type CheckpointMeta, type LoadedNetwork } from '../core/model/checkpoint';
import { STANDARD, type Recipe } from '../core/volume/recipe';
import { networkGiven, recipeGiven, type NetworkFlags, type RecipeFlags } from './options';
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

/** One `--input`: a scan, or the channels of one case separated by commas; the first decides the grid. */
export async function prepareInput(
  input: string,
  recipe: Recipe,
  flags: InputFlags,
  meta: CheckpointMeta,
): Promise<PreparedScan> {
  const images = existsSync(input) ? [input] : input.split(',');
  const scan = await prepareScan(images, flags.brain, recipe);
  const other = meta.brainMasks && !meta.brainMasks.includes(scan.brainSource);
  tell(
    `${input}: brain mask ${scan.brainSource}` +
      (other
        ? `; in training it was ${meta.brainMasks?.join(', ')}, so the image is normalised differently here${scan.brainSource === 'given' ? '' : ' (--brain gives one)'}`
        : ''),
  );
  return scan;
}

/** The recipe of the flags, else the checkpoint's own, else the standard one, and said so. */
export async function recipeFor(flags: RecipeFlags, meta: CheckpointMeta): Promise<Recipe> {
  const recipe = await recipeGiven(flags, meta.recipe);
  if (recipe) return recipe;
  tell('The weights carry no preprocessing recipe: the standard one is used (--preprocess changes it).');
  return STANDARD;
}

/**
 * The network that `--model` names, complete; what is odd about the file is said. The caller disposes the network.
 * @throws InputError where a tensor is missing or has another shape: what the network says would rest on random numbers
 */
export async function openModel(flags: NetworkFlags & { readonly model: string }): Promise<LoadedNetwork> {
  const loaded = await loadNetwork(flags.model, networkGiven(flags));
  try {
    requireComplete(loaded);
  } catch (error) {
    loaded.network.dispose();
    throw error;
  }
  sayWhatIsOdd(loaded);
  return loaded;
}

function requireComplete({ path, report }: LoadedNetwork): void {
  const { mismatched, missing } = report;
  if (mismatched.length > 0)
    throw new InputError(
      `${path}: ${mismatched.length} tensors have another shape than the network: ${some(mismatched.map((one) => `${one.name} is ${one.found.join('x')}, expected ${one.expected.join('x')}`))}. Check --arch, --shortcut and --width.`,
    );
  if (missing.length > 0)
    throw new InputError(
      `${path} lacks ${missing.length} tensors of the network: ${some(missing)}. What it says would rest on random numbers. Check --arch and --shortcut; weights without a classifier must be trained first (fcd train --init ${path}).`,
    );
}

function sayWhatIsOdd({ path, report, stored, network, remarks }: LoadedNetwork): void {
  for (const remark of remarks) tell(remark);
  if (report.prefixStripped.length > 0)
    tell(`${path}: prefix ${report.prefixStripped.join(', ')} taken off the names.`);
  if (report.unexpected.length > 0)
    tell(`${path}: ${report.unexpected.length} tensors are not used: ${some(report.unexpected)}.`);
  for (const key of ['geometry', 'shortcut', 'axes'] as const)
    if (stored && stored[key] !== network.spec[key])
      tell(
        `${path} was trained with ${key} ${stored[key]}; with ${key} ${network.spec[key]} the same weights compute another function.`,
      );
}

function some(names: readonly string[]): string {
  return names.length <= 4
    ? names.join(', ')
    : `${names.slice(0, 4).join(', ')} and ${names.length - 4} more`;
}
