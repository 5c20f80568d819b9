import { join, resolve } from 'node:path';
import { Option, type Command } from 'commander';
import type { Modality } from '../../core/cohort/cohort';
import { stratifiedFolds } from '../../core/cohort/folds';
import { readCohort } from '../../core/cohort/read-cohort';
import { casesWith } from '../../core/cohort/usable-cases';
import { closeEngine, openEngine } from '../../core/engine/choose';
import { InputError } from '../../core/errors';
import { runRecord } from '../../core/experiment/begin-run';
import { CaseStore } from '../../core/experiment/case-store';
import { DEFAULT_MAPS, executeRun, planOf, type RunProgress } from '../../core/experiment/run';
import { RunDirectory } from '../../core/experiment/run-directory';
import { summarise } from '../../core/experiment/summarise';
import { writeJson } from '../../core/files/whole';
import { networkSpec } from '../../core/model/spec';
import { VERSION } from '../../core/version';
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

interface TrainFlags extends NetworkFlags, RecipeFlags, EngineFlags, TrainingFlags {
  readonly cohort?: string;
  readonly modality: Modality;
  readonly init: string;
  readonly fold: { index: number; count: number };
  readonly seed: number;
  readonly out?: string;
  readonly resume?: string;
}

export function addTrain(fcd: Command): void {
  const command = fcd
    .command('train')
    .description('one fit: training, then predictions, class maps and Heat-Scores of the held-out fold')
    .option('--cohort <dir>', 'a BIDS directory or a manifest')
    .addOption(modalityOption())
    .option('--init <weights>', 'none, or a file to start from', 'none')
    .option('--fold <k/K>', 'which fold is held out', foldOf, { index: 0, count: 5 })
    .option('--seed <n>', 'decides folds, order, augmentation and initialisation', wholeNumber(0), 42)
    .option('--out <run>', 'the run directory to make')
    .addOption(
      new Option('--resume <run>', 'go on with a run that was stopped').conflicts(['cohort', 'out']),
    );
  addTrainingOptions(command);
  addNetworkOptions(command);
  addRecipeOptions(command);
  addEngineOptions(command).action(async (flags: TrainFlags) => {
    await (flags.resume === undefined ? begin(flags) : resume(flags.resume, flags));
  });
}

async function begin(flags: TrainFlags): Promise<void> {
  const out = resolve(required(flags.out, '--out RUN'));
  const cohort = await readCohort(required(flags.cohort, '--cohort DIR'));
  const { usable, excluded } = casesWith(cohort, flags.modality);
  for (const { case: one, reason } of excluded) tell(`left out: ${one.participantId} ${reason}`);
  const folds = stratifiedFolds(usable, flags.fold.count, flags.seed);
  const spec = networkSpec({
    ...networkGiven(flags),
    arch: required(flags.arch, '--arch NAME'),
    inChannels: flags.modality === 'T1w+FLAIR' ? 2 : 1,
  });
  const recipe = required(await recipeGiven({ preprocess: 'standard', ...flags }), '--preprocess');
  const training = await trainingGiven(flags);
  const engine = await openEngine(flags);
  tell(`engine ${engine.name} ${engine.module ?? ''}, ${engine.threads} threads: ${engine.reason}`);
  const directory = new RunDirectory(out);
  await directory.begin(
    runRecord({
      name: `${spec.arch} ${flags.modality} fold ${flags.fold.index + 1} of ${flags.fold.count}`,
      cohort,
      cases: usable,
      modality: flags.modality,
      fold: folds[flags.fold.index],
      seed: flags.seed,
      spec,
      recipe,
      training,
      init: flags.init === 'none' ? 'none' : resolve(flags.init),
      engine,
      command: process.argv.slice(2),
    }),
  );
  await run(directory);
}

async function resume(path: string, flags: EngineFlags): Promise<void> {
  const directory = new RunDirectory(resolve(path));
  const record = await directory.record();
  // Bit for bit: the module and the thread count of the run's beginning, not what is best now.
  const { name, module, threads } = record.engine;
  if (name !== 'wasm' && name !== 'cpu')
    throw new InputError(`${path} was computed by the engine ${name}, which is not here.`);
  const engine = await openEngine({ engine: name, module, threads: flags.threads ?? threads });
  if (engine.threads !== threads)
    tell(
      `The run began with ${threads} threads and goes on with ${engine.threads}: sums are rounded differently from here on.`,
    );
  await run(directory);
}

async function run(directory: RunDirectory): Promise<void> {
  const record = await directory.record();
  const plan = planOf(record, directory.recordPath);
  const cohort = await readCohort(record.cohort.path);
  if (cohort.fingerprint !== record.cohort.fingerprint)
    throw new InputError(
      `The cohort at ${record.cohort.path} has changed since this run began (fingerprint ${cohort.fingerprint.slice(0, 12)}, was ${record.cohort.fingerprint.slice(0, 12)}). Start a new run.`,
    );
  const { usable } = casesWith(cohort, plan.modality);
  const store = new CaseStore(usable, plan.modality, plan.recipe);
  const progress = new Progress();
  const began = performance.now();
  try {
    const result = await executeRun(directory, store, {
      maps: DEFAULT_MAPS,
      niftis: true,
      signal: stopOnInterrupt(),
      onProgress: (at) => showProgress(progress, '', at),
    });
    progress.end();
    const results = await summarise([{ record, result, events: directory.events() }], store, {
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
    await closeEngine();
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
