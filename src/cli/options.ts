import { InvalidArgumentError, Option, type Command } from 'commander';
import type { TensorflowPlaces } from '../protocol/tensorflow';
import { MODALITIES, type Modality } from '../core/cohort/cohort';
import { ENGINES, PRECISIONS, type EngineName, type Precision } from '../core/engine/engine';
import { InputError } from '../core/errors';
import { GEOMETRIES, type GeometryName } from '../core/model/geometry';
import {
  ARCHITECTURES,
  AXES,
  SHORTCUTS,
  WIDTHS,
  type Architecture,
  type Axes,
  type NetworkSpec,
  type Shortcut,
} from '../core/model/spec';
import { namedRecipe, STANDARD, type Recipe } from '../core/volume/recipe';
import type { Shape3, Triple } from '../core/volume/volume';

/** The command line itself is wrong, whatever the files hold: exit code 2. */
export class UsageError extends InputError {}

/** Options that say which network: shared by train, predict, explain and experiment. */
export interface NetworkFlags {
  readonly arch?: Architecture;
  readonly geometry?: GeometryName;
  readonly shortcut?: Shortcut;
  readonly width?: number;
  readonly axes?: Axes;
}

/**
 * @param from a network is made anew, or is that of a file, and is only named where the file does not tell it
 * @param arch depth where none is named
 */
export function addNetworkOptions(command: Command, from: 'anew' | 'file', arch?: Architecture): Command {
  const otherwise = (text: string): string => (from === 'anew' ? ` (default: ${text})` : '');
  return underHeading(
    command,
    from === 'anew' ? 'Network:' : 'Network, where the file does not tell it:',
    () => {
      command.addOption(
        new Option('--arch <name>', `depth of the 3D ResNet${arch ? ` (default: ${arch})` : ''}`).choices([
          ...ARCHITECTURES,
        ]),
      );
      addGeometryOption(command, `strides and dilations${otherwise('paper')}`)
        .addOption(
          new Option(
            '--shortcut <type>',
            `where a block changes the shape: A has no weights, B a convolution${otherwise('A for 18 and 34, else B')}`,
          ).choices([...SHORTCUTS]),
        )
        .option(
          '--width <share>',
          `share of the channels in every layer: 1, 1/2, 1/4, 1/8${otherwise('1')}`,
          width,
        )
        .addOption(
          new Option(
            '--axes <order>',
            `which voxel axis is the depth${otherwise('ijk; of medicalnet kji')}`,
          ).choices([...AXES]),
        );
    },
  );
}

export function addGeometryOption(command: Command, what = 'strides and dilations'): Command {
  return command.addOption(new Option('--geometry <name>', what).choices(Object.keys(GEOMETRIES)));
}

/** Lets options stand under a heading of their own in the help. */
export function underHeading(command: Command, heading: string, add: () => void): Command {
  const before = command.optionsGroup();
  command.optionsGroup(heading);
  add();
  return command.optionsGroup(before);
}

/** What was given, without what was not. */
export function networkGiven(flags: NetworkFlags): Partial<NetworkSpec> {
  const { arch, geometry, shortcut, width: share, axes } = flags;
  return Object.fromEntries(
    Object.entries({ arch, geometry, shortcut, width: share, axes }).filter(
      ([, value]) => value !== undefined,
    ),
  );
}

export interface RecipeFlags {
  readonly preprocess?: string;
  readonly spacing?: Triple;
  readonly shape?: Shape3;
  readonly mask?: Recipe['mask'];
}

/** @param otherwise how scans are prepared where no option says it */
export function addRecipeOptions(command: Command, otherwise: string): Command {
  return underHeading(command, 'How scans are prepared:', () => {
    command
      .option('--preprocess <recipe>', `standard, none, or a JSON file (default: ${otherwise})`)
      .option('--spacing <mm>', 'voxel size in mm, one number or I,J,K (standard: 1)', (text) =>
        triple(text, '--spacing'),
      )
      .option('--shape <IxJxK>', 'grid after cropping and padding (standard: 160x256x256)', (text) =>
        shape(text),
      )
      .addOption(
        new Option('--mask <source>', 'brain mask for normalisation (standard: intracranial)').choices([
          'auto',
          'given',
          'intracranial',
          'otsu',
          'nonzero',
          'none',
        ]),
      );
  });
}

/**
 * The recipe that the options name, on top of `base` where they change parts of it. Undefined where nothing names one:
 * a checkpoint's own then counts.
 */
export async function recipeGiven(flags: RecipeFlags & { readonly preprocess: string }): Promise<Recipe>;
export async function recipeGiven(flags: RecipeFlags, base?: Recipe): Promise<Recipe | undefined>;
export async function recipeGiven(flags: RecipeFlags, base?: Recipe): Promise<Recipe | undefined> {
  const changed = flags.spacing ?? flags.shape ?? flags.mask;
  if (flags.preprocess === undefined && changed === undefined) return base;
  const named =
    flags.preprocess === undefined
      ? (base ?? (await namedRecipe('standard')))
      : await namedRecipe(flags.preprocess);
  return {
    ...named,
    spacing: flags.spacing ?? named.spacing,
    shape: flags.shape ?? named.shape,
    // What is best today; the recipe that is stored names it.
    mask: flags.mask === 'auto' ? STANDARD.mask : (flags.mask ?? named.mask),
  };
}

export interface EngineFlags {
  readonly engine?: EngineName | 'auto';
  /** A kernel module by name. */
  readonly module?: string;
  /** Where the engine tensorflow is to be found. */
  readonly tensorflow?: TensorflowPlaces;
  readonly threads?: number;
  readonly background?: boolean;
  readonly precision?: Precision;
  /** Bytes. */
  readonly gpuMemory?: number;
}

export function addEngineOptions(command: Command): Command {
  return underHeading(command, 'What computes:', () => engineOptions(command));
}

function engineOptions(command: Command): void {
  command
    .addOption(
      new Option('--engine <name>', 'auto: a GPU that computes rightly, else the processor')
        .choices(['auto', ...ENGINES])
        .default('auto'),
    )
    .option('--module <name>', 'engine wasm: kernels by name (default: the fastest that compute rightly)')
    .option(
      '--tensorflow <folder>',
      "engine tensorflow: a folder in which npm installed @tensorflow/tfjs-node-gpu or -node ('.' for this one)",
      (folder): TensorflowPlaces => ({ named: folder }),
    )
    .addOption(
      new Option(
        '--precision <name>',
        'engine webgpu: f16 lets convolutions multiply, and training keep activations, in half precision (default: f32)',
      ).choices([...PRECISIONS]),
    )
    .option(
      '--gpu-memory <GB>',
      "engine webgpu: how much of the GPU's memory may be taken (default: no limit, for WebGPU does not tell how much there is)",
      gigabytes,
    )
    .option('--threads <n>', 'threads (default: physical cores)', wholeNumber(1))
    .option('--background', 'one thread at low priority, for work beside a training run');
}

export function modalityOption(): Option {
  return new Option('--modality <contrast>', 'what the network sees')
    .choices([...MODALITIES])
    .default('FLAIR' satisfies Modality);
}

/** For commands in which nothing is random: scripts pass the same options to all. */
export function addUnusedSeedOption(command: Command): Command {
  return command.option('--seed <n>', 'taken as by fcd train; nothing is random here', wholeNumber(0));
}

/** Parser of a whole number within limits. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw new InvalidArgumentError(
        most === Number.MAX_SAFE_INTEGER
          ? `Give a whole number of at least ${least}.`
          : `Give a whole number from ${least} to ${most}.`,
      );
    return value;
  };
}

/** Parser of a number within limits. */
export function numberWithin(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !(value >= low && value <= high))
      throw new InvalidArgumentError(`Give a number from ${low} to ${high}.`);
    return value;
  };
}

/** `2/5`: fold 2 of 5, counted from 1. */
export function foldOf(text: string): { index: number; count: number } {
  const match = /^(\d+)\/(\d+)$/.exec(text);
  const [index, count] = match ? [Number(match[1]), Number(match[2])] : [0, 0];
  if (!match || count < 2 || index < 1 || index > count)
    throw new InvalidArgumentError('Give k/K with 1 <= k <= K and K >= 2, e.g. 1/5.');
  return { index: index - 1, count };
}

/** Bytes of so many GB. */
function gigabytes(text: string): number {
  return numberWithin(0.1, 4096)(text) * 2 ** 30;
}

function width(text: string): number {
  const match = /^1\/([248])$/.exec(text);
  const value = match ? 1 / Number(match[1]) : Number(text);
  if (!(WIDTHS as readonly number[]).includes(value))
    throw new InvalidArgumentError('Give 1, 1/2, 1/4 or 1/8.');
  return value;
}

function triple(text: string, flag: string): Triple {
  const parts = text.split(',').map(Number);
  const three = parts.length === 1 ? [parts[0], parts[0], parts[0]] : parts;
  if (three.length !== 3 || three.some((part) => !(part > 0)))
    throw new InvalidArgumentError(`Give ${flag} as one positive number or three, e.g. 1 or 1,1,1.`);
  return [three[0], three[1], three[2]];
}

function shape(text: string): Shape3 {
  const parts = text.split('x').map(Number);
  if (parts.length !== 3 || parts.some((part) => !Number.isInteger(part) || part < 1))
    throw new InvalidArgumentError('Give three whole numbers, e.g. 160x256x256.');
  return [parts[0], parts[1], parts[2]];
}

/** @throws UsageError unless the option was given */
export function required<T>(value: T | undefined, flag: string): T {
  if (value === undefined) throw new UsageError(`${flag} is missing.`);
  return value;
}
