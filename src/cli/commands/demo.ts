import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import { channelsOf, type Cohort, type Modality } from '../../core/cohort/cohort';
import { writePhantomCohort } from '../../core/cohort/phantom/write-phantom-cohort';
import { plantCohort } from '../../core/cohort/plant/plant-cohort';
import { readCohort } from '../../core/cohort/read-cohort';
import { casesWith } from '../../core/cohort/usable-cases';
import { closeEngine, openEngine } from '../../core/engine/choose';
import { InputError } from '../../core/errors';
import { crossValidate } from '../../core/experiment/cross-validation';
import type { MapRequest } from '../../core/experiment/run';
import { writeJson } from '../../core/files/whole';
import { describeSpec, networkSpec } from '../../core/model/spec';
import { writeReport } from '../../core/report/write-report';
import type { TrainingConfig } from '../../core/train/config';
import { STANDARD, type Recipe } from '../../core/volume/recipe';
import { engineName } from '../engine';
import { addEngineOptions, modalityOption, wholeNumber, type EngineFlags } from '../options';
import { resultLines } from '../result-lines';
import { duration, Progress, print, stopOnInterrupt, tell } from '../terminal';
import { showProgress } from './train';

interface DemoFlags extends EngineFlags {
  readonly data?: string;
  readonly out?: string;
  readonly modality: Modality;
  readonly seed: number;
}

/** What a demo works on and how: chosen so that two cores need a few minutes. */
interface DemoPlan {
  readonly title: string;
  readonly notes: readonly string[];
  readonly makeCohort: (
    out: string,
    onProgress: (done: number, total: number) => void,
    signal: AbortSignal,
  ) => Promise<void>;
  readonly training: TrainingConfig;
}

const FOLDS = 4;

/** Small grids keep their own voxels: no resampling, no cropping. Outside the brain everything is 0. */
const RECIPE: Recipe = {
  ...STANDARD,
  spacing: null,
  shape: null,
  centre: 'grid',
  mask: 'auto',
  outside: 'zero',
};

const TRAINING: Omit<TrainingConfig, 'epochs'> = {
  batchSize: 8,
  checkpointActivations: false,
  microBatch: 8,
  optimiser: {
    kind: 'adamw',
    learningRate: 3e-3,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0.01,
  },
  schedule: { kind: 'trapezoid', warmup: 0.05, decay: 0.35 },
  augmentation: { rotation: 0, scale: 0, flip: true, intensity: 0.1, noise: 0.1 },
  classBalanced: true,
  twinBatches: true,
  patience: 0,
  validationFraction: 0,
};

const MAPS: readonly MapRequest[] = [
  { layer: 'layer4', method: 'gradcam', align: 'receptive' },
  { layer: 'layer1', method: 'hirescam', align: 'receptive' },
];

const SMALL =
  'This demo is small on purpose, so that two cores need minutes: a coarse grid, a ResNet-10 of a quarter of the width, no pooling behind the stem. It shows the method, not what the method can reach.';

export function addDemo(fcd: Command): void {
  const command = fcd
    .command('demo')
    .description('the main job in minutes: a cohort, a cross-validation, class maps, Heat-Scores, one page')
    .option(
      '--data <dir>',
      'folder of real T1w heads with label maps: lesions are planted in them (default: phantoms)',
    )
    .option('--out <dir>', 'where everything goes (default: fcd-demo, with --data fcd-demo-real)')
    .addOption(modalityOption())
    .option('--seed <n>', 'decides everything that is random', wholeNumber(0), 1);
  addEngineOptions(command).action(run);
}

async function run(flags: DemoFlags): Promise<void> {
  const began = performance.now();
  const out = resolve(flags.out ?? (flags.data === undefined ? 'fcd-demo' : 'fcd-demo-real'));
  const plan =
    flags.data === undefined ? phantomPlan(flags.seed) : await plantedPlan(resolve(flags.data), flags.seed);
  const signal = stopOnInterrupt();
  const progress = new Progress();
  tell(plan.title);
  const cohort = await cohortOf(plan, out, flags, progress, signal);
  const { usable } = casesWith(cohort, flags.modality);
  const engine = await openEngine(flags);
  tell(`Engine ${engineName(engine)}: ${engine.reason}`);
  const spec = networkSpec({
    arch: 'resnet10',
    geometry: 'compact',
    width: 0.25,
    inChannels: channelsOf(flags.modality),
  });
  tell(`${describeSpec(spec)}, ${FOLDS}-fold cross-validation by head over ${usable.length} images`);
  try {
    const results = await crossValidate(
      {
        name: plan.title,
        out,
        cohort,
        cases: usable,
        modality: flags.modality,
        folds: FOLDS,
        seed: flags.seed,
        spec,
        recipe: RECIPE,
        training: plan.training,
        init: { kind: 'none' },
        engine,
        command: process.argv.slice(2),
        notes: [...plan.notes, SMALL],
      },
      {
        maps: MAPS,
        onAdvice: (sentence) => {
          progress.end();
          tell(sentence);
        },
        niftis: true,
        signal,
        onProgress: (fold, at) => showProgress(progress, `Fold ${fold.index + 1}/${fold.count} `, at),
      },
    );
    progress.end();
    const page = join(out, 'report.html');
    await writeReport(results, page);
    print('');
    print(resultLines(results));
    print('');
    print(`Took ${duration((performance.now() - began) / 1000)}. Look at:`);
    print(`  ${pathToFileURL(page).href}   the report`);
    print(`  ${join(out, 'runs', 'fold-1', 'cams')}   class maps as NIfTI, on each subject's own grid`);
    print(
      `  ${join(out, 'runs', 'fold-1', 'predictions.csv')}, heatscores.csv, events.jsonl, run.json   the same in every fold`,
    );
  } finally {
    progress.end();
    await closeEngine();
  }
}

/** The demo's cohort: made once, used again by the next call with the same settings. */
async function cohortOf(
  plan: DemoPlan,
  out: string,
  flags: DemoFlags,
  progress: Progress,
  signal: AbortSignal,
): Promise<Cohort> {
  const folder = join(out, 'cohort');
  const marker = join(out, 'demo.json');
  const settings = {
    title: plan.title,
    seed: flags.seed,
    data: flags.data === undefined ? null : resolve(flags.data),
  };
  if (existsSync(marker)) {
    const made: unknown = JSON.parse(await readFile(marker, 'utf8'));
    if (JSON.stringify(made) !== JSON.stringify(settings))
      throw new InputError(
        `${out} holds a demo with other settings. Give another --out, or remove the folder.`,
      );
    tell(`Going on with the cohort in ${folder}`);
    return readCohort(folder);
  }
  if (existsSync(folder))
    throw new InputError(
      `${folder} exists, but no finished demo cohort. Give another --out, or remove the folder.`,
    );
  const title = 'Making the cohort';
  await plan.makeCohort(
    folder,
    (done, total) => progress.update(title, done, total, `${done} of ${total}`),
    signal,
  );
  progress.end();
  await writeJson(marker, settings);
  return readCohort(folder);
}

function phantomPlan(seed: number): DemoPlan {
  return {
    title: 'Phantom heads with lesions like FCD type II',
    notes: [
      'These heads never were a person: a parametric phantom, drawn with and without the signs of an FCD type II (difficulty 0.1 of 1: brighter than most real ones). Both versions of a head are always in the same fold.',
    ],
    makeCohort: (out, onProgress, signal) =>
      writePhantomCohort({
        out,
        subjects: 300,
        twins: true,
        size: 48,
        seed,
        difficulty: 0.1,
        signal,
        onProgress: ({ done, total }) => onProgress(done, total),
      }),
    training: { ...TRAINING, epochs: 16 },
  };
}

async function plantedPlan(data: string, seed: number): Promise<DemoPlan> {
  if (!existsSync(data))
    throw new InputError(
      `--data ${data} does not exist. Give a folder with *_T1.nii.gz and *_T1_DLMUSE.nii.gz.`,
    );
  return {
    title: 'Real heads with planted lesions like FCD type II',
    notes: [
      'The heads are real T1w scans; the lesions are planted by a stated rule, each head copy with a healthy twin that went through the same pipeline at strength 0. The FLAIR contrast is made from labels (FLAIR-like), not measured. No patient with FCD is among them.',
    ],
    makeCohort: (out, onProgress, signal) =>
      plantCohort({
        images: data,
        labels: data,
        out,
        seed,
        copies: 4,
        strength: 1.4,
        signal,
        onProgress: ({ done, total }) => onProgress(done, total),
      }),
    training: { ...TRAINING, epochs: 10 },
  };
}
