import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { PretrainingResults } from '../../protocol/pretraining';
import { STOP_FILE, type RunRecord } from '../../protocol/run';
import type { Modality } from '../cohort/cohort';
import type { EngineReport } from '../engine/engine';
import { InputError } from '../errors';
import { engineRecord } from '../experiment/engine-of-run';
import { gitCommit } from '../experiment/begin-run';
import { RunDirectory } from '../experiment/run-directory';
import { writeJson } from '../files/whole';
import type { NetworkSpec } from '../model/spec';
import { VERSION } from '../version';
import type { Recipe } from '../volume/recipe';
import type { PretrainingConfig } from './config';
import type { HeadStore } from './head-store';
import { foldsOfHeads, type HeldOut, type LabelledHead } from './heads';
import { executePretraining, type PretrainingOptions, type PretrainingProgress } from './pretraining-run';
import { pretrainingResults } from './pretraining-results';
import type { Task, TasksFile } from './tasks-file';

/** What a person asked for, before it becomes a run.json. */
export interface PretrainingAsked {
  readonly name: string;
  readonly file: TasksFile;
  readonly tasks: readonly Task[];
  readonly heads: readonly LabelledHead[];
  /** sha256 over images and label maps. */
  readonly data: string;
  readonly modality: Modality;
  readonly seed: number;
  readonly spec: NetworkSpec;
  readonly recipe: Recipe;
  readonly config: PretrainingConfig;
  readonly engine: EngineReport;
  readonly command: readonly string[];
}

/** One fold of several that is held out, or nobody. */
export type Holding = { readonly index: number; readonly count: number } | 'nobody';

/** Who is learned from and who is held out. */
export function splitOf(asked: PretrainingAsked, holding: Holding): HeldOut {
  if (holding === 'nobody') return { train: asked.heads.map(({ participantId }) => participantId), test: [] };
  return foldsOfHeads(asked.heads, holding.count, asked.seed)[holding.index];
}

/** The record of a pre-training that is about to begin. */
export function pretrainingRecordOf(asked: PretrainingAsked, holding: Holding): RunRecord {
  const { engine, config, file } = asked;
  const { train, test } = splitOf(asked, holding);
  const { index, count } = holding === 'nobody' ? { index: 0, count: 1 } : holding;
  return {
    schema: 1,
    name: holding === 'nobody' ? asked.name : `${asked.name}, fold ${index + 1} of ${count}`,
    created: new Date().toISOString(),
    command: [...asked.command],
    cwd: process.cwd(),
    version: VERSION,
    commit: gitCommit(),
    cohort: { path: file.path, fingerprint: asked.data, cases: asked.heads.length },
    modality: asked.modality,
    fold: { index, count, train: [...train], validation: [], test: [...test] },
    seed: asked.seed,
    network: { ...asked.spec },
    recipe: { ...asked.recipe },
    init: { kind: 'none' },
    training: { ...config.training },
    engine: engineRecord(engine),
    segmentation: {
      tasksFile: file.path,
      tasks: asked.tasks.map(({ name, labels }) => ({ name, labels: [...labels] })),
      tasksPerStep: config.tasksPerStep,
      decoderChannels: config.decoderChannels,
    },
  };
}

/** The directories of the folds under `out` that hold a run already, in the order of the folds. */
export function begunPretrainings(out: string, folds: number): RunDirectory[] {
  return Array.from({ length: folds }, (_, index) => foldDirectory(out, index)).filter(
    ({ exists }) => exists,
  );
}

function foldDirectory(out: string, index: number): RunDirectory {
  return new RunDirectory(join(out, 'runs', `fold-${index + 1}`));
}

export interface PretrainFoldsOptions extends Omit<PretrainingOptions, 'experiment' | 'onProgress'> {
  readonly onProgress?: (fold: number, progress: PretrainingProgress) => void;
}

/**
 * Every fold pre-trained on the others' heads and measured on its own; `results.json` and one run directory per fold
 * under `out`. Finished folds are not computed again, one that was stopped goes on: the same call resumes.
 * @throws StoppedError when the signal aborts; InputError where `out` holds another pre-training
 */
export async function pretrainFolds(
  asked: PretrainingAsked,
  folds: number,
  out: string,
  store: HeadStore,
  options: PretrainFoldsOptions,
): Promise<PretrainingResults> {
  const runs = Array.from({ length: folds }, (_, index) => ({
    directory: foldDirectory(out, index),
    record: pretrainingRecordOf(asked, { index, count: folds }),
  }));
  // Everything that can be refused is refused before the first fold is computed.
  for (const { directory, record } of runs)
    if (directory.exists) requireSame(await directory.record(), record, directory.path);
  // A wish to stop that was meant for an earlier process is forgotten.
  await rm(join(out, STOP_FILE), { force: true });
  const finished: Parameters<typeof pretrainingResults>[0][number][] = [];
  for (const [index, { directory, record }] of runs.entries()) {
    if (!directory.exists) await directory.begin(record);
    const heads = await executePretraining(directory, store, {
      ...options,
      experiment: out,
      onProgress: (progress) => options.onProgress?.(index, progress),
    });
    finished.push({ record: await directory.record(), heads, events: directory.events() });
  }
  const results = await pretrainingResults(finished, store, asked.name);
  await writeJson(join(out, 'results.json'), results);
  return results;
}

/** A directory may only be gone on with by what was asked for when it began. */
function requireSame(there: RunRecord, asked: RunRecord, path: string): void {
  if (there.cohort.fingerprint !== asked.cohort.fingerprint)
    throw new InputError(
      `${path} holds a run on other images or label maps, or they have changed since it began. Give another --out.`,
    );
  for (const key of ['modality', 'fold', 'seed', 'network', 'recipe', 'training', 'segmentation'] as const)
    if (!isDeepStrictEqual(there[key], asked[key]))
      throw new InputError(
        `${path} holds a run with another ${key}. Give another --out, or the same options to go on with it.`,
      );
}
