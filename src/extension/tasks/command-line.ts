import { basename, isAbsolute, join } from 'node:path';
import { isStrategyName } from '../../protocol/catalogue';
import { TaskError, type FcdTaskDefinition } from './task-definition';

/** What settings add to a task. */
export interface Preferences {
  /** `auto`, `cpu`, or the name of a kernel module. */
  readonly engine: string;
  /** 0: the engine's own choice. */
  readonly threads: number;
  readonly precision: 'f32' | 'f16';
  /** GB of a GPU's memory that may be taken; 0: as much as there is. */
  readonly gpuMemory: number;
  readonly grid: 'small' | 'standard';
  /** Folder for results, relative to the workspace folder. */
  readonly out: string;
}

/** A task, ready to be started. */
export interface CommandLine {
  /** Arguments of fcd. */
  readonly args: readonly string[];
  /** The directory of the run or experiment that it makes or goes on with, absolute. */
  readonly target: string | undefined;
}

/**
 * Sizes that a laptop computes in minutes, as README has them; `standard` is the program's own. The deep networks are
 * narrower: the weights that come with the program are of these widths.
 */
export function smallGrid(arch: string): string[] {
  return ['--geometry', 'compact', '--width', smallWidth(arch), '--spacing', '3.5', '--shape', '56x64x56'];
}

/** Share of the channels on the small grid. */
export function smallWidth(arch: string): '1/4' | '1/8' {
  return arch === 'resnet10' || arch === 'resnet18' ? '1/4' : '1/8';
}

/**
 * The command line of a task.
 * @param folder absolute path of the workspace folder, to which paths of the definition are relative
 * @param free gives a path that does not exist yet: the one asked for, or the same with a number behind it
 * @throws TaskError where a property is missing
 */
export function commandLine(
  task: FcdTaskDefinition,
  folder: string,
  preferences: Preferences,
  free: (path: string) => string,
): CommandLine {
  const absolute = (path: string): string => (isAbsolute(path) ? path : join(folder, path));
  const extra = task.args ?? [];
  switch (task.task) {
    case 'report': {
      const run = absolute(need(task.run, 'run', 'the run or experiment to report on'));
      const out = task.out === undefined ? [] : ['--out', absolute(task.out)];
      return { args: ['report', run, ...out, ...extra], target: undefined };
    }
    case 'phantom': {
      const out = absolute(need(task.out, 'out', 'a new or empty folder'));
      return {
        args: [
          'phantom',
          '--out',
          out,
          ...flag('--subjects', task.subjects),
          ...flag('--difficulty', task.difficulty),
          ...flag('--seed', task.seed),
          ...extra,
        ],
        target: undefined,
      };
    }
    case 'pretrain':
      return pretraining(task, absolute, preferences, free, extra);
    case 'train':
    case 'experiment':
      return fitting(task, absolute, preferences, free, extra);
  }
}

function pretraining(
  task: FcdTaskDefinition,
  absolute: (path: string) => string,
  preferences: Preferences,
  free: (path: string) => string,
  extra: readonly string[],
): CommandLine {
  if (task.resume !== undefined) {
    const target = absolute(task.resume);
    return { args: ['pretrain', '--resume', target, ...machineFlags(preferences), ...extra], target };
  }
  const tasks = absolute(need(task.tasks, 'tasks', 'a tasks.json, or a cohort that brings one'));
  const arch = task.arch ?? 'resnet18';
  const grid = task.grid ?? preferences.grid;
  const out = absolute(task.out ?? join(preferences.out, pretrainingName(task)));
  // Folds in turn go on with what is there; a run of its own needs a directory of its own.
  const target = task.folds === undefined && task.out === undefined ? free(out) : out;
  return {
    args: [
      'pretrain',
      ...['--tasks', tasks],
      ...flag('--single', task.single),
      ...flag('--modality', task.modality),
      ...['--arch', arch],
      ...(task.folds === undefined ? flag('--fold', task.fold ?? '1/5') : flag('--folds', task.folds)),
      ...flag('--epochs', task.epochs),
      ...flag('--seed', task.seed),
      ...(grid === 'small' ? smallGrid(arch) : []),
      ...engineFlags(preferences.engine),
      ...(preferences.precision === 'f16' ? ['--precision', 'f16'] : []),
      ...machineFlags(preferences),
      ...['--out', target],
      ...extra,
    ],
    target,
  };
}

/** `pretrained-resnet18-T1w-caudate-fold-1of5`: the same for the same task, so that it can be gone on with. */
function pretrainingName({ arch, modality, single, fold, folds }: FcdTaskDefinition): string {
  const parts = [
    'pretrained',
    arch ?? 'resnet18',
    modality,
    single?.replace(/[^\p{L}\d]+/gu, '-').replace(/^-|-$/g, ''),
    folds === undefined ? `fold-${(fold ?? '1/5').replace('/', 'of')}` : undefined,
  ];
  return parts.filter((part) => part !== undefined).join('-');
}

function fitting(
  task: FcdTaskDefinition,
  absolute: (path: string) => string,
  preferences: Preferences,
  free: (path: string) => string,
  extra: readonly string[],
): CommandLine {
  if (task.resume !== undefined) {
    const target = absolute(task.resume);
    // A run that goes on is what its run.json says; nothing else can be given.
    return { args: ['train', '--resume', target, ...machineFlags(preferences), ...extra], target };
  }
  const cohort = absolute(need(task.cohort, 'cohort', 'a BIDS folder or a manifest'));
  const out = absolute(task.out ?? join(preferences.out, defaultName(task, cohort)));
  const single = task.task === 'train';
  // An experiment goes on with what is there; a run of its own needs a directory of its own.
  const target = single && task.out === undefined ? free(out) : out;
  const grid = task.grid ?? preferences.grid;
  const strategy = task.strategy ?? 'none';
  const arch = task.arch ?? 'resnet18';
  const init = isStrategyName(strategy) ? strategy : absolute(strategy);
  return {
    args: [
      task.task,
      '--cohort',
      cohort,
      '--modality',
      task.modality ?? 'FLAIR',
      '--arch',
      arch,
      ...(strategy === 'none' ? [] : ['--init', init]),
      ...(single ? flag('--fold', task.fold ?? '1/5') : flag('--folds', task.folds ?? 5)),
      ...flag('--epochs', task.epochs),
      ...flag('--seed', task.seed),
      ...(grid === 'small' ? smallGrid(arch) : []),
      ...engineFlags(preferences.engine),
      ...(preferences.precision === 'f16' ? ['--precision', 'f16'] : []),
      ...machineFlags(preferences),
      '--out',
      target,
      ...extra,
    ],
    target,
  };
}

/** What may be another on another machine, also where a run goes on. */
function machineFlags({ threads, gpuMemory }: Preferences): string[] {
  return [
    ...(threads > 0 ? ['--threads', String(threads)] : []),
    ...(gpuMemory > 0 ? ['--gpu-memory', String(gpuMemory)] : []),
  ];
}

/** What is no kernel module of the engine wasm. */
const ENGINES = ['wasm', 'webgpu', 'tensorflow', 'cpu'];

/** `fcd.engine` as options of the command line. */
export function engineFlags(engine: string): string[] {
  if (engine === 'auto' || engine === '') return [];
  return ENGINES.includes(engine) ? ['--engine', engine] : ['--engine', 'wasm', '--module', engine];
}

/** `heads-resnet18-FLAIR`, `heads-resnet18-FLAIR-fold-1of5`: the same for the same task, so that it can be gone on with. */
export function defaultName(task: FcdTaskDefinition, cohort: string): string {
  const strategy = task.strategy ?? 'none';
  const parts = [
    basename(cohort).replace(/\.(csv|tsv)$/i, ''),
    task.arch ?? 'resnet18',
    task.modality ?? 'FLAIR',
    strategy === 'none' ? undefined : `from-${nameOf(strategy)}`,
    task.grid === 'standard' ? 'standard' : undefined,
    task.task === 'train' ? `fold-${(task.fold ?? '1/5').replace('/', 'of')}` : undefined,
  ];
  return parts.filter((part) => part !== undefined).join('-');
}

/** `multi-23`, or the file's name: as part of a folder's name. */
function nameOf(strategy: string): string {
  if (isStrategyName(strategy)) return strategy.replace(':', '-');
  return basename(strategy).replace(/\.[a-z]+$/i, '');
}

function need<T>(value: T | undefined, property: string, what: string): T {
  if (value === undefined)
    throw new TaskError(`The fcd task lacks the property "${property}" (${what}). Add it in tasks.json.`);
  return value;
}

function flag(name: string, value: string | number | undefined): string[] {
  return value === undefined ? [] : [name, String(value)];
}
