import { join, resolve } from 'node:path';
import { Option, type Command } from 'commander';
import type { RunRecord } from '../../protocol/run';
import { channelsOf, type Case, type Cohort, type Modality } from '../../core/cohort/cohort';
import { stratifiedFolds } from '../../core/cohort/folds';
import { readCohort } from '../../core/cohort/read-cohort';
import { casesWith } from '../../core/cohort/usable-cases';
import { InputError, StoppedError } from '../../core/errors';
import { runRecord } from '../../core/experiment/begin-run';
import { CaseStore } from '../../core/experiment/case-store';
import { DEFAULT_MAPS, executeRun, planOf, type RunProgress } from '../../core/experiment/run';
import { RunDirectory } from '../../core/experiment/run-directory';
import { summarise } from '../../core/experiment/summarise';
import { writeJson } from '../../core/files/whole';
import { networkSpec } from '../../core/model/spec';
import { VERSION } from '../../core/version';
import { addFindingOptions, usableCohort, type FindingFlags } from '../cohort-input';
import { withEngineOf, withNamedEngine } from '../engine';
import { addInitOptions, initGiven, type InitFlags } from '../init-options';
import {
  addEngineOptions,
  addNetworkOptions,
  addRecipeOptions,
  foldOf,
  modalityOption,
  networkGiven,
  recipeGiven,
  required,
  wholeNumber,
  type EngineFlags,
  type NetworkFlags,
  type RecipeFlags,
} from '../options';
import { Progress, stopOnInterrupt, tell } from '../terminal';
import { addTrainingOptions, trainingGiven, type TrainingFlags } from '../training-options';

interface TrainFlags extends NetworkFlags, RecipeFlags, EngineFlags, TrainingFlags, InitFlags, FindingFlags {
  readonly cohort?: string;
  readonly modality: Modality;
  readonly fold?: { index: number; count: number };
  readonly seed: number;
  readonly splitSeed?: number;
  readonly out?: string;
  readonly resume?: string;
}

export function addTrain(fcd: Command): void {
  const command = fcd
    .command('train')
    .usage('--cohort <dir> --arch <name> --out <run> [options] | --resume <run>')
    .description('one fit: training, then predictions, class maps and Heat-Scores of the held-out fold')
    .option('--cohort <dir>', 'a BIDS directory or a manifest')
    .addOption(modalityOption())
    .option('--fold <k/K>', 'which fold is held out (default: 1/5)', foldOf)
    .option('--seed <n>', 'decides folds, order, augmentation and initialisation', wholeNumber(0), 42)
    .option(
      '--split-seed <n>',
      'decides the folds alone, so that several seeds share them (default: the seed)',
      wholeNumber(0),
    )
    .option('--out <run>', 'the run directory to make');
  addInitOptions(command);
  addFindingOptions(command);
  addTrainingOptions(command);
  addNetworkOptions(command, 'anew');
  addRecipeOptions(command, 'standard');
  addEngineOptions(command);
  // A run that goes on is what its run.json says; only threads, engine and memory may follow the machine.
  const decided = command.options
    .map((option) => option.attributeName())
    .filter((name) => !['threads', 'engine', 'gpuMemory'].includes(name));
  command
    .addOption(new Option('--resume <run>', 'go on with a run that was stopped').conflicts(decided))
    .action(async (flags: TrainFlags) => {
      const path = resolve(flags.resume ?? required(flags.out, '--out RUN'));
      try {
        await (flags.resume === undefined ? begin(path, flags) : resume(path, flags));
      } catch (error) {
        if (!(error instanceof StoppedError)) throw error;
        throw new StoppedError(`${error.message} Go on with: fcd train --resume ${path}`);
      }
    });
}

async function begin(out: string, flags: TrainFlags): Promise<void> {
  const path = required(flags.cohort, '--cohort DIR');
  const spec = networkSpec({
    ...networkGiven(flags),
    arch: required(flags.arch, '--arch NAME'),
    inChannels: channelsOf(flags.modality),
  });
  const recipe = await recipeGiven({ ...flags, preprocess: flags.preprocess ?? 'standard' });
  const training = await trainingGiven(flags);
  const { cohort, usable } = await usableCohort(path, flags.modality, flags);
  const { index, count } = flags.fold ?? { index: 0, count: 5 };
  const fold = stratifiedFolds(usable, count, flags.splitSeed ?? flags.seed)[index];
  await withNamedEngine(flags, async (engine) => {
    const directory = new RunDirectory(out);
    const record = runRecord({
      name: `${spec.arch} ${flags.modality} fold ${index + 1} of ${count}`,
      cohort,
      cases: usable,
      modality: flags.modality,
      fold,
      seed: flags.seed,
      spec,
      recipe,
      training,
      init: await initGiven(flags, spec),
      engine,
      command: process.argv.slice(2),
    });
    await directory.begin(record);
    await run(directory, record, cohort, usable);
  });
}

async function resume(path: string, flags: EngineFlags): Promise<void> {
  const directory = new RunDirectory(path);
  const record = await directory.record();
  if (record.segmentation)
    throw new InputError(`${path} is a run of pre-training: fcd pretrain --resume ${path} goes on with it.`);
  const cohort = await readCohort(record.cohort.path);
  if (cohort.fingerprint !== record.cohort.fingerprint)
    throw new InputError(
      `The cohort at ${record.cohort.path} has changed since this run began (fingerprint ${cohort.fingerprint.slice(0, 12)}, was ${record.cohort.fingerprint.slice(0, 12)}). Start a new run.`,
    );
  const { usable } = casesWith(cohort, record.modality);
  await withEngineOf(record, flags, () => run(directory, record, cohort, usable));
}

async function run(
  directory: RunDirectory,
  record: RunRecord,
  cohort: Cohort,
  cases: readonly Case[],
): Promise<void> {
  const store = new CaseStore(cases, planOf(record, directory.recordPath));
  const advice = await store.memoryAdvice();
  if (advice !== undefined) tell(advice);
  const progress = new Progress();
  const began = performance.now();
  try {
    const result = await executeRun(directory, store, {
      maps: DEFAULT_MAPS,
      niftis: true,
      signal: stopOnInterrupt(),
      onAdvice: (sentence) => {
        progress.end();
        tell(sentence);
      },
      onProgress: (at) => showProgress(progress, '', at),
    });
    progress.end();
    // How its steps were computed is only known behind them.
    const computed = await directory.record();
    const results = await summarise([{ record: computed, result, events: directory.events() }], store, {
      title: record.name,
      command: record.command,
      version: VERSION,
      seconds: (performance.now() - began) / 1000,
      cohort,
      notes: [],
    });
    await writeJson(join(directory.path, 'results.json'), results);
    const { accuracy } = results.metrics;
    tell(
      `Held-out accuracy ${accuracy.value?.toFixed(3) ?? 'none'} over ${accuracy.n} cases. Everything is in ${directory.path}.`,
    );
    tell(`Next: fcd report ${directory.path}`);
  } finally {
    progress.end();
  }
}

const TITLES: Record<RunProgress['phase'], string> = {
  reading: 'Reading heads',
  training: 'Training',
  predicting: 'Predicting',
  explaining: 'Explaining',
};

/** One line of progress of a run; `prefix` names the fold where there are several. */
export function showProgress(progress: Progress, prefix: string, at: RunProgress): void {
  progress.update(prefix + TITLES[at.phase], at.done, at.total, at.detail, at.secondsLeft);
}
