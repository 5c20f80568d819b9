import { join } from 'node:path';
import type { Results } from '../../protocol/results';
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

export interface CrossValidation extends Omit<RunAsked, 'fold'> {
  readonly folds: number;
  readonly out: string;
  readonly notes: readonly string[];
}

export interface CrossValidationOptions extends Omit<RunOptions, 'onProgress'> {
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
  const store = new CaseStore(asked.cases, asked.modality, asked.recipe);
  const folds = stratifiedFolds(asked.cases, asked.folds, asked.seed);
  const finished: FinishedRun[] = [];
  for (const fold of folds) {
    const directory = new RunDirectory(join(asked.out, 'runs', `fold-${fold.index + 1}`));
    const record = runRecord({
      ...asked,
      fold,
      name: `${asked.name}, fold ${fold.index + 1} of ${fold.count}`,
    });
    if (directory.exists) requireSame(await directory.record(), record, directory.path);
    else await directory.begin(record);
    const result = await executeRun(directory, store, {
      ...options,
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

/** A directory may only be gone on with by what was asked for when it began. */
function requireSame(
  there: ReturnType<typeof runRecord>,
  asked: ReturnType<typeof runRecord>,
  path: string,
): void {
  for (const key of ['cohort', 'modality', 'fold', 'seed', 'network', 'recipe', 'init', 'training'] as const)
    if (JSON.stringify(there[key]) !== JSON.stringify(asked[key]))
      throw new InputError(
        `${path} holds a run with another ${key}. Give another --out, or the same options to go on with it.`,
      );
}
