import { execFileSync } from 'node:child_process';
import type { InitRecord, RunRecord } from '../../protocol/run';
import type { Case, Cohort, Fold, Modality } from '../cohort/cohort';
import type { EngineReport } from '../engine/engine';
import type { NetworkSpec } from '../model/spec';
import type { TrainingConfig } from '../train/config';
import { VERSION } from '../version';
import type { Recipe } from '../volume/recipe';
import { engineRecord } from './engine-of-run';
import { requireUnseen } from './init-weights';
import { splitForValidation } from './run';

/** What a person asked for, before it becomes a run.json. */
export interface RunAsked {
  readonly name: string;
  readonly cohort: Cohort;
  readonly cases: readonly Case[];
  readonly modality: Modality;
  readonly fold: Fold;
  readonly seed: number;
  readonly spec: NetworkSpec;
  readonly recipe: Recipe;
  readonly training: TrainingConfig;
  readonly init: InitRecord;
  readonly engine: EngineReport;
  readonly command: readonly string[];
}

/** The record of a run that is about to begin. @throws InputError where its initial weights have seen held-out heads */
export function runRecord(asked: RunAsked): RunRecord {
  const { cohort, fold, engine } = asked;
  const split = splitForValidation(asked.cases, fold.train, asked.training, asked.seed);
  const heldOut = new Set([...split.validation, ...fold.test]);
  requireUnseen(
    asked.init,
    asked.cases.filter(({ participantId }) => heldOut.has(participantId)).map(({ source }) => source),
  );
  return {
    schema: 1,
    name: asked.name,
    created: new Date().toISOString(),
    command: [...asked.command],
    cwd: process.cwd(),
    version: VERSION,
    commit: gitCommit(),
    cohort: { path: cohort.path, fingerprint: cohort.fingerprint, cases: asked.cases.length },
    modality: asked.modality,
    fold: {
      index: fold.index,
      count: fold.count,
      train: [...split.train],
      validation: [...split.validation],
      test: [...fold.test],
    },
    seed: asked.seed,
    network: { ...asked.spec },
    recipe: { ...asked.recipe },
    init: { ...asked.init },
    training: { ...asked.training },
    engine: engineRecord(engine),
  };
}

/** Commit of the working directory's repository, where there is one: part of how a result can be traced. */
export function gitCommit(): string | null {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], {
      stdio: ['ignore', 'pipe', 'ignore'],
      encoding: 'utf8',
    }).trim();
  } catch {
    return null;
  }
}
