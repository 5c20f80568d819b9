import { join, resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { channelsOf, type Modality } from '../../core/cohort/cohort';
import { stratifiedFolds } from '../../core/cohort/folds';
import type { EngineReport } from '../../core/engine/engine';
import { StoppedError } from '../../core/errors';
import { begunFolds, crossValidate } from '../../core/experiment/cross-validation';
import { DEFAULT_MAPS } from '../../core/experiment/run';
import { describeSpec, networkSpec } from '../../core/model/spec';
import { writeReport } from '../../core/report/write-report';
import { addFindingOptions, usableCohort, type FindingFlags } from '../cohort-input';
import { withEngineOf, withNamedEngine } from '../engine';
import { addInitOptions, initsGiven, type InitFlags } from '../init-options';
import {
  addEngineOptions,
  addNetworkOptions,
  addRecipeOptions,
  modalityOption,
  networkGiven,
  recipeGiven,
  wholeNumber,
  type EngineFlags,
  type NetworkFlags,
  type RecipeFlags,
} from '../options';
import { resultLines } from '../result-lines';
import { Progress, print, stopOnInterrupt, tell } from '../terminal';
import { addTrainingOptions, trainingGiven, type TrainingFlags } from '../training-options';
import { showProgress } from './train';

interface ExperimentFlags
  extends NetworkFlags, RecipeFlags, EngineFlags, TrainingFlags, InitFlags, FindingFlags {
  readonly cohort: string;
  readonly out: string;
  readonly modality: Modality;
  readonly folds: number;
  readonly seed: number;
  readonly splitSeed?: number;
  readonly dryRun?: boolean;
  readonly resume?: boolean;
}

/** Of the study. */
const DEFAULT_ARCH = 'resnet18';

export function addExperiment(fcd: Command): void {
  const command = fcd
    .command('experiment')
    .description('a cross-validation: every fold trained, predicted and explained, one report')
    .requiredOption('--cohort <dir>', 'a BIDS directory or a manifest')
    .requiredOption('--out <dir>', 'where runs, results.json and report.html go')
    .addOption(modalityOption())
    .option('--folds <n>', 'folds of the cross-validation', wholeNumber(2), 5)
    .option('--seed <n>', 'decides folds, order, augmentation and initialisation', wholeNumber(0), 42)
    .option(
      '--split-seed <n>',
      'decides the folds alone, so that several seeds share them (default: the seed)',
      wholeNumber(0),
    )
    .addOption(new Option('--executor <name>', 'where runs are computed').choices(['local']).default('local'))
    .option('--dry-run', 'say what would be computed, and stop')
    .option('--resume', 'go on with what is in --out (the same command does so by itself)');
  addInitOptions(command);
  addFindingOptions(command);
  addTrainingOptions(command);
  addNetworkOptions(command, 'anew', DEFAULT_ARCH);
  addRecipeOptions(command, 'standard');
  addEngineOptions(command).action(run);
}

async function run(flags: ExperimentFlags): Promise<void> {
  const out = resolve(flags.out);
  const spec = networkSpec({
    ...networkGiven(flags),
    arch: flags.arch ?? DEFAULT_ARCH,
    inChannels: channelsOf(flags.modality),
  });
  const recipe = await recipeGiven({ ...flags, preprocess: flags.preprocess ?? 'standard' });
  const training = await trainingGiven(flags);
  const { cohort, usable } = await usableCohort(flags.cohort, flags.modality, flags);
  if (flags.dryRun) {
    const folds = stratifiedFolds(usable, flags.folds, flags.splitSeed ?? flags.seed);
    print(`${describeSpec(spec)} on ${flags.modality} of ${usable.length} cases, ${flags.folds} runs:`);
    for (const fold of folds)
      print(
        `  ${join(out, 'runs', `fold-${fold.index + 1}`)}: train ${fold.train.length}, test ${fold.test.length}`,
      );
    return;
  }
  const compute = async (engine: EngineReport): Promise<void> => {
    const progress = new Progress();
    try {
      const results = await crossValidate(
        {
          name: `${spec.arch} on ${flags.modality}`,
          out,
          cohort,
          cases: usable,
          modality: flags.modality,
          folds: flags.folds,
          seed: flags.seed,
          spec,
          recipe,
          training,
          splitSeed: flags.splitSeed,
          init: await initsGiven(flags, spec, flags.folds),
          engine,
          command: process.argv.slice(2),
          notes: [],
        },
        {
          maps: DEFAULT_MAPS,
          niftis: true,
          signal: stopOnInterrupt(),
          onAdvice: (sentence) => {
            progress.end();
            tell(sentence);
          },
          onProgress: (fold, at) => showProgress(progress, `Fold ${fold.index + 1}/${fold.count} `, at),
        },
      );
      progress.end();
      await writeReport(results, join(out, 'report.html'));
      print(resultLines(results));
      print(`\nReport: ${join(out, 'report.html')}`);
    } finally {
      progress.end();
    }
  };
  const [begun] = begunFolds(out, flags.folds);
  try {
    // An experiment that goes on keeps the kernels that it began with.
    if (begun) await withEngineOf(await begun.record(), flags, compute);
    else await withNamedEngine(flags, compute);
  } catch (error) {
    if (!(error instanceof StoppedError)) throw error;
    throw new StoppedError(`${error.message} The same command goes on.`);
  }
}
