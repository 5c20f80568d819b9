import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Results } from '../../protocol/results';
import { STOP_FILE, type InitRecord, type RunRecord } from '../../protocol/run';
import { InputError } from '../errors';
import { writeJson } from '../files/whole';
import type { Fold } from '../cohort/cohort';
import { stratifiedFolds } from '../cohort/folds';
import { VERSION } from '../version';
import { runRecord, type RunAsked } from './begin-run';
import { CaseStore } from './case-store';
import { executeRun, type RunOptions, type RunProgress } from './run';
import { RunDirectory } from './run-directory';
import { summarise, type FinishedRun } from './summarise';

export interface CrossValidation extends Omit<RunAsked, 'fold' | 'init'> {
  readonly folds: number;
  /** Decides the folds, where another number than `seed` does: several seeds can then share them. */
  readonly splitSeed?: number;
  /** What every fold starts from: weights that were pre-trained on a fold's training part are others in each fold. */
  readonly init: InitRecord | ((fold: Fold) => InitRecord);
  readonly out: string;
  readonly notes: readonly string[];
}

export interface CrossValidationOptions extends Omit<RunOptions, 'onProgress' | 'experiment'> {
  readonly onProgress?: (fold: Fold, progress: RunProgress) => void;
}

/**
 * Every fold trained, predicted and explained, then put together; `results.json` and one run directory per fold under
 * `out`. Folds that are finished are not computed again, one that was stopped goes on: the same call resumes.
 * @throws StoppedError when the signal aborts; InputError where `out` holds another experiment
 */
export async function crossValidate(
  asked: CrossValidation,
  options: CrossValidationOptions,
): Promise<Results> {
  const began = performance.now();
  const store = new CaseStore(asked.cases, asked);
  const advice = await store.memoryAdvice();
  if (advice !== undefined) options.onAdvice?.(advice);
  const folds = stratifiedFolds(asked.cases, asked.folds, asked.splitSeed ?? asked.seed);
  // Everything that can be refused is refused before the first fold is computed.
  const runs: { fold: Fold; directory: RunDirectory; record: RunRecord }[] = [];
  for (const fold of folds) {
    const directory = foldDirectory(asked.out, fold.index);
    const name = `${asked.name}, fold ${fold.index + 1} of ${fold.count}`;
    const record = runRecord({
      ...asked,
      fold,
      name,
      init: typeof asked.init === 'function' ? asked.init(fold) : asked.init,
    });
    if (directory.exists) requireSame(await directory.record(), record, directory.path);
    runs.push({ fold, directory, record });
  }
  // A wish to stop that was meant for an earlier process is forgotten.
  await rm(join(asked.out, STOP_FILE), { force: true });
  const finished: FinishedRun[] = [];
  for (const { fold, directory, record } of runs) {
    if (!directory.exists) await directory.begin(record);
    const result = await executeRun(directory, store, {
      ...options,
      experiment: asked.out,
      onProgress: (progress) => options.onProgress?.(fold, progress),
    });
    finished.push({ record: await directory.record(), result, events: directory.events() });
  }
  const results = await summarise(finished, store, {
    title: asked.name,
    command: asked.command,
    version: VERSION,
    seconds: (performance.now() - began) / 1000,
    cohort: asked.cohort,
    notes: asked.notes,
  });
  await writeJson(join(asked.out, 'results.json'), results);
  return results;
}

/** The directories of the folds under `out` that hold a run already, in the order of the folds. */
export function begunFolds(out: string, folds: number): RunDirectory[] {
  return Array.from({ length: folds }, (_, index) => foldDirectory(out, index)).filter(
    ({ exists }) => exists,
  );
}

function foldDirectory(out: string, index: number): RunDirectory {
  return new RunDirectory(join(out, 'runs', `fold-${index + 1}`));
}

/** A directory may only be gone on with by what was asked for when it began. */
function requireSame(there: RunRecord, asked: RunRecord, path: string): void {
  if (there.cohort.fingerprint !== asked.cohort.fingerprint)
    throw new InputError(
      `${path} holds a run on another cohort, or the cohort ${asked.cohort.path} has changed since it began (fingerprint ${asked.cohort.fingerprint.slice(0, 12)}, was ${there.cohort.fingerprint.slice(0, 12)}). Give another --out.`,
    );
  for (const key of ['modality', 'fold', 'seed', 'network', 'recipe', 'init', 'training'] as const)
    if (!isDeepStrictEqual(there[key], asked[key]))
      throw new InputError(
        `${path} holds a run with another ${key}. Give another --out, or the same options to go on with it.`,
      );
}
