import { join, resolve } from 'node:path';
import { Option, type Command } from 'commander';
import type { PretrainingResults } from '../../protocol/pretraining';
import { MODALITIES, channelsOf, type Modality } from '../../core/cohort/cohort';
import type { EngineReport } from '../../core/engine/engine';
import { InputError, StoppedError } from '../../core/errors';
import { RunDirectory } from '../../core/experiment/run-directory';
import { writeJson } from '../../core/files/whole';
import { networkSpec } from '../../core/model/spec';
import {
  begunPretrainings,
  pretrainFolds,
  pretrainingRecordOf,
  type Holding,
  type PretrainingAsked,
} from '../../core/pretrain/begin-pretraining';
import { DEFAULT_PRETRAINING, parsePretraining } from '../../core/pretrain/config';
import { HeadStore } from '../../core/pretrain/head-store';
import { findHeads, hashOfHeads } from '../../core/pretrain/heads';
import { LabelCodes } from '../../core/pretrain/label-codes';
import { pretrainingResults } from '../../core/pretrain/pretraining-results';
import {
  executePretraining,
  pretrainingPlan,
  type PretrainingProgress,
} from '../../core/pretrain/pretraining-run';
import { chosenTasks, readTasksFile } from '../../core/pretrain/tasks-file';
import { STANDARD } from '../../core/volume/recipe';
import { withEngineOf, withNamedEngine } from '../engine';
import {
  addEngineOptions,
  addNetworkOptions,
  addRecipeOptions,
  foldOf,
  networkGiven,
  recipeGiven,
  required,
  wholeNumber,
  type EngineFlags,
  type NetworkFlags,
  type RecipeFlags,
} from '../options';
import { Progress, print, stopOnInterrupt, table, tell } from '../terminal';
import { addTrainingOptions, trainingGiven, type TrainingFlags } from '../training-options';

interface PretrainFlags extends NetworkFlags, RecipeFlags, EngineFlags, TrainingFlags {
  readonly tasks?: string;
  readonly single?: string;
  readonly modality?: Modality;
  readonly fold?: { index: number; count: number };
  readonly folds?: number;
  readonly holdOutNobody?: boolean;
  readonly tasksPerStep?: number;
  readonly decoderChannels?: number;
  readonly seed: number;
  readonly out?: string;
  readonly resume?: string;
}

export function addPretrain(fcd: Command): void {
  const command = fcd
    .command('pretrain')
    .usage('--tasks <file> --arch <name> --out <run> [options] | --resume <run>')
    .description('an encoder learns to segment: one structure or many, for fcd train --init')
    .option('--tasks <file>', 'tasks.json: structures by label numbers, and whose images and label maps')
    .option('--single <task>', 'learn this one of its tasks (default: all of them together)')
    .addOption(
      new Option(
        '--modality <contrast>',
        'what the network sees; mixed: every image of either contrast (default: what the tasks file says, else T1w)',
      ).choices([...MODALITIES]),
    )
    .addOption(
      new Option('--fold <k/K>', 'which fold of the heads is held out (default: 1/5)').argParser(foldOf),
    )
    .addOption(
      new Option('--folds <n>', 'every fold in turn: Dice over all heads, one run for each fold')
        .argParser(wholeNumber(2))
        .conflicts(['fold', 'holdOutNobody']),
    )
    .addOption(
      new Option('--hold-out-nobody', 'learn from all heads; Dice is not measured then').conflicts('fold'),
    )
    .option('--tasks-per-step <n>', 'draw so many tasks for each step (default: all)', wholeNumber(1))
    .option(
      '--decoder-channels <n>',
      `channels of the decoder at full resolution (default: ${DEFAULT_PRETRAINING.decoderChannels})`,
      wholeNumber(1, 512),
    )
    .option('--seed <n>', 'decides folds, order, augmentation and initialisation', wholeNumber(0), 42)
    .option('--out <run>', 'the run directory to make');
  addTrainingOptions(command, DEFAULT_PRETRAINING.training);
  addNetworkOptions(command, 'anew');
  addRecipeOptions(command, "standard on each scan's own grid");
  addEngineOptions(command);
  // A run that goes on is what its run.json says; only threads, engine and memory may follow the machine.
  const decided = command.options
    .map((option) => option.attributeName())
    .filter((name) => !['threads', 'engine', 'gpuMemory'].includes(name));
  command
    .addOption(new Option('--resume <run>', 'go on with a run that was stopped').conflicts(decided))
    .action(async (flags: PretrainFlags) => {
      const path = resolve(flags.resume ?? required(flags.out, '--out RUN'));
      try {
        if (flags.resume !== undefined) await resume(path, flags);
        else await begin(path, flags);
      } catch (error) {
        if (!(error instanceof StoppedError)) throw error;
        throw new StoppedError(
          flags.folds === undefined
            ? `${error.message} Go on with: fcd pretrain --resume ${path}`
            : `${error.message} The same command goes on.`,
        );
      }
    });
}

/** Each scan's own grid, z-scored: label maps that have one are drawn on it. --spacing and --shape change it. */
const OWN_GRID = { ...STANDARD, spacing: null, shape: null };

async function begin(out: string, flags: PretrainFlags): Promise<void> {
  const file = await readTasksFile(required(flags.tasks, '--tasks FILE'));
  const tasks = chosenTasks(file, flags.single);
  const modality = flags.modality ?? file.modality ?? 'T1w';
  const spec = networkSpec({
    ...networkGiven(flags),
    arch: required(flags.arch, '--arch NAME'),
    inChannels: channelsOf(modality),
  });
  const recipe =
    (await recipeGiven(flags, flags.preprocess === undefined ? OWN_GRID : undefined)) ?? OWN_GRID;
  const config = parsePretraining(
    await trainingGiven(flags, DEFAULT_PRETRAINING.training),
    {
      tasksPerStep: flags.tasksPerStep ?? null,
      decoderChannels: flags.decoderChannels ?? DEFAULT_PRETRAINING.decoderChannels,
    },
    'the training options',
  );
  const { heads, leftOut } = await findHeads(file, modality);
  for (const sentence of leftOut) tell(`left out: ${sentence}`);
  const asked = (engine: EngineReport, data: string): PretrainingAsked => ({
    name: `${spec.arch} ${modality} ${tasks.length === 1 ? tasks[0].name : `${tasks.length} tasks`}`,
    ...{ file, tasks, heads, data, modality, spec, recipe, config, engine },
    seed: flags.seed,
    command: process.argv.slice(2),
  });
  const store = new HeadStore(heads, new LabelCodes(tasks), modality, recipe, spec);
  const data = await hashOfHeads(heads, modality);
  const { folds } = flags;
  if (folds === undefined) {
    const holding: Holding = flags.holdOutNobody === true ? 'nobody' : (flags.fold ?? { index: 0, count: 5 });
    await withNamedEngine(flags, async (engine) => {
      const directory = new RunDirectory(out);
      await directory.begin(pretrainingRecordOf(asked(engine, data), holding));
      await run(directory, store);
    });
    return;
  }
  const compute = async (engine: EngineReport): Promise<void> => {
    const results = await withProgress((progress) =>
      pretrainFolds(asked(engine, data), folds, out, store, {
        signal: stopOnInterrupt(),
        onAdvice: progress.advise,
        onProgress: (fold, at) => progress.show(`Fold ${fold + 1}/${folds} `, at),
      }),
    );
    print(diceLines(results));
    tell(`Everything is in ${out}.`);
  };
  const [begun] = begunPretrainings(out, folds);
  // Folds that go on keep the kernels that they began with.
  if (begun) await withEngineOf(await begun.record(), flags, compute);
  else await withNamedEngine(flags, compute);
}

async function resume(path: string, flags: EngineFlags): Promise<void> {
  const directory = new RunDirectory(path);
  const record = await directory.record();
  const { spec, recipe, tasks, modality } = pretrainingPlan(record, directory.recordPath);
  const file = await readTasksFile(record.cohort.path);
  const { heads } = await findHeads(file, modality);
  const data = await hashOfHeads(heads, modality);
  if (data !== record.cohort.fingerprint)
    throw new InputError(
      `The images or label maps of ${file.path} have changed since this run began (sha256 ${data.slice(0, 12)}, was ${record.cohort.fingerprint.slice(0, 12)}). Start a new run.`,
    );
  const store = new HeadStore(heads, new LabelCodes(tasks), modality, recipe, spec);
  await withEngineOf(record, flags, () => run(directory, store));
}

async function run(directory: RunDirectory, store: HeadStore): Promise<void> {
  const heads = await withProgress((progress) =>
    executePretraining(directory, store, {
      signal: stopOnInterrupt(),
      onAdvice: progress.advise,
      onProgress: (at) => progress.show('', at),
    }),
  );
  const record = await directory.record();
  const results = await pretrainingResults(
    [{ record, heads, events: directory.events() }],
    store,
    record.name,
  );
  await writeJson(join(directory.path, 'results.json'), results);
  print(diceLines(results));
  const { arch, geometry, width } = record.network;
  tell(`Next: fcd train --arch ${arch} --geometry ${geometry} --width ${width} --init ${directory.path} ...`);
}

/** The per-task table, for the terminal. */
export function diceLines({ tasks, mean, cases, notes, title, modality }: PretrainingResults): string {
  if (cases.length === 0) return [title, ...notes].join('\n');
  const number = (value: number | null): string => (value === null ? '' : value.toFixed(3));
  const row = (name: string, { mean: value, low, high, n }: typeof mean): string[] => [
    name,
    number(value),
    number(low),
    number(high),
    String(n),
  ];
  return [
    `${title}: Dice on held-out heads, with the 95 % interval of a bootstrap over heads`,
    table(
      ['task', 'Dice', 'low', 'high', modality === 'mixed' ? 'images' : 'heads'],
      [...tasks.map((one) => row(one.task, one)), row('mean over tasks', mean)],
    ),
    ...notes,
  ].join('\n');
}

interface Shown {
  readonly advise: (sentence: string) => void;
  readonly show: (prefix: string, at: PretrainingProgress) => void;
}

async function withProgress<T>(work: (shown: Shown) => Promise<T>): Promise<T> {
  const progress = new Progress();
  try {
    return await work({
      advise: (sentence) => {
        progress.end();
        tell(sentence);
      },
      show: (prefix, { phase, done, total, detail, secondsLeft }) =>
        progress.update(prefix + TITLES[phase], done, total, detail, secondsLeft),
    });
  } finally {
    progress.end();
  }
}

const TITLES: Record<PretrainingProgress['phase'], string> = {
  reading: 'Reading heads',
  training: 'Pre-training',
  predicting: 'Segmenting',
};
