import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { InitRecord } from '../../../src/protocol/run';
import type { Cohort, Modality } from '../../../src/core/cohort/cohort';
import { stratifiedFolds } from '../../../src/core/cohort/folds';
import { writePhantomCohort } from '../../../src/core/cohort/phantom/write-phantom-cohort';
import { readCohort } from '../../../src/core/cohort/read-cohort';
import { currentEngine } from '../../../src/core/engine/choose';
import { StoppedError } from '../../../src/core/errors';
import { runRecord, type RunAsked } from '../../../src/core/experiment/begin-run';
import { CaseStore } from '../../../src/core/experiment/case-store';
import { executeRun, type RunOptions, type RunResult } from '../../../src/core/experiment/run';
import { RunDirectory } from '../../../src/core/experiment/run-directory';
import { readCam } from '../../../src/core/explain/cam-file';
import { networkSpec, type NetworkSpec } from '../../../src/core/model/spec';
import { DEFAULT_TRAINING, type OptimiserConfig, type TrainingConfig } from '../../../src/core/train/config';
import { STANDARD, type Recipe } from '../../../src/core/volume/recipe';

/** The smallest network there is. */
export const SPEC = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 });

/** About 20 voxels a side. */
export const RECIPE: Recipe = { ...STANDARD, spacing: [9, 9, 9], shape: null, centre: 'grid' };

export const SGD: OptimiserConfig = {
  kind: 'sgd',
  learningRate: 0.01,
  momentum: 0.9,
  nesterov: false,
  weightDecay: 1e-3,
};
export const ADAM = DEFAULT_TRAINING.optimiser;
export const ADAMW: OptimiserConfig = {
  kind: 'adamw',
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.01,
};

/** Three epochs of three steps; every kind of augmentation; batches in two parts. */
export const TRAINING: TrainingConfig = {
  ...DEFAULT_TRAINING,
  epochs: 3,
  batchSize: 3,
  microBatch: 2,
  optimiser: ADAM,
  schedule: { kind: 'cosine', warmup: 0.2 },
  augmentation: { rotation: 10, scale: 0.05, flip: true, intensity: 0.1, noise: 0.1 },
  patience: 0,
};

/** A folder that goes with the test file. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'fcd-experiment-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Ten phantoms of 32 voxels, half of them patients. */
export async function tinyCohort(folder: string): Promise<Cohort> {
  const out = join(folder, 'heads');
  await writePhantomCohort({ out, subjects: 10, size: 32, seed: 3, difficulty: 0 });
  return readCohort(out);
}

export interface Asked {
  readonly cohort: Cohort;
  readonly training?: TrainingConfig;
  readonly modality?: Modality;
  readonly seed?: number;
  readonly fold?: number;
  readonly init?: InitRecord;
  readonly spec?: NetworkSpec;
  readonly recipe?: Recipe;
}

/** What a person asks for, with the engine that is open. */
export function asked({ cohort, training, modality, seed, fold, init, spec, recipe }: Asked): RunAsked {
  const engine = currentEngine();
  if (!engine) throw new Error('The test has no engine.');
  return {
    name: 'tiny',
    cohort,
    cases: cohort.cases,
    modality: modality ?? 'FLAIR',
    fold: stratifiedFolds(cohort.cases, 5, seed ?? 42)[fold ?? 0],
    seed: seed ?? 42,
    spec: { ...(spec ?? SPEC), inChannels: modality === 'T1w+FLAIR' ? 2 : 1 },
    recipe: recipe ?? RECIPE,
    training: training ?? TRAINING,
    init: init ?? { kind: 'none' },
    engine,
    command: ['test'],
  };
}

export const OPTIONS: Omit<RunOptions, 'onProgress'> = {
  maps: [{ layer: 'layer4', method: 'gradcam', align: 'half-pixel' }],
  niftis: true,
};

/** A run directory that has begun, and its cases. */
export async function begun(
  path: string,
  request: Asked,
): Promise<{ directory: RunDirectory; store: CaseStore }> {
  const directory = new RunDirectory(path);
  const run = asked(request);
  await directory.begin(runRecord(run));
  return { directory, store: new CaseStore(run.cases, run) };
}

/** Executes a run and stops it when `when` says so of its progress; true where it was stopped. */
export async function stoppedWhen(
  directory: RunDirectory,
  store: CaseStore,
  when: (phase: string, done: number) => boolean,
): Promise<boolean> {
  const controller = new AbortController();
  try {
    await executeRun(directory, store, {
      ...OPTIONS,
      signal: controller.signal,
      onProgress: ({ phase, done }) => {
        if (when(phase, done)) controller.abort();
      },
    });
    return false;
  } catch (error) {
    if (error instanceof StoppedError) return true;
    throw error;
  }
}

export async function execute(directory: RunDirectory, store: CaseStore): Promise<RunResult> {
  return executeRun(directory, store, OPTIONS);
}

/** Everything that a run came to, as bytes and text: two runs are the same where this is equal. */
export async function outcome(directory: RunDirectory): Promise<Record<string, string>> {
  const bits: Record<string, string> = {};
  for (const kind of ['last', 'best'] as const)
    bits[kind] = readFileSync(directory.checkpoint(kind)).toString('base64');
  for (const name of ['predictions.csv', 'heatscores.csv'])
    bits[name] = readFileSync(join(directory.path, name), 'utf8');
  const cams = join(directory.path, 'cams');
  for (const name of readdirSync(cams).sort()) {
    if (name.endsWith('.nii.gz')) bits[name] = readFileSync(join(cams, name)).toString('base64');
    if (!name.endsWith('.safetensors')) continue;
    // The record names the model's path, which is another in another directory.
    const { map } = await readCam(join(cams, name));
    bits[name] = Buffer.from(map.data.buffer, map.data.byteOffset, map.data.byteLength).toString('base64');
  }
  return bits;
}
