import { basename, dirname } from 'node:path';
import type { Outcome, RunSnapshot } from './follow-run';
import type { RunState } from './run-state';

/** The runs of one experiment: `<experiment>/runs/<name>/run.json`. */
export interface ExperimentGroup {
  readonly kind: 'experiment';
  readonly path: string;
  readonly title: string;
  readonly state: RunState | 'waiting';
  /** In the order of the folds. */
  readonly runs: readonly RunSnapshot[];
  /** Folds of the cross-validation, begun or not. */
  readonly folds: number;
  readonly outcome: Outcome | undefined;
  readonly hasReport: boolean;
}

export type RunRow = ExperimentGroup | { readonly kind: 'run'; readonly run: RunSnapshot };

/** The experiment that a run belongs to, by where it lies; undefined where it stands alone. */
export function experimentOf(runPath: string): string | undefined {
  const parent = dirname(runPath);
  return basename(parent) === 'runs' && /^fold-\d+$/.test(basename(runPath)) ? dirname(parent) : undefined;
}

export interface ExperimentFacts {
  readonly outcome: Outcome | undefined;
  readonly hasReport: boolean;
}

/** Rows of the Runs view: what is under way first, then the newest. */
export function groupRuns(
  runs: readonly RunSnapshot[],
  factsOf: (experiment: string) => ExperimentFacts | undefined,
): RunRow[] {
  const experiments = new Map<string, RunSnapshot[]>();
  const rows: RunRow[] = [];
  for (const run of runs) {
    const experiment = experimentOf(run.path);
    if (experiment === undefined) rows.push({ kind: 'run', run });
    else experiments.set(experiment, [...(experiments.get(experiment) ?? []), run]);
  }
  for (const [path, members] of experiments) rows.push(groupOf(path, members, factsOf(path)));
  return rows.sort((a, b) => Number(underWay(b)) - Number(underWay(a)) || createdOf(b) - createdOf(a));
}

function groupOf(
  path: string,
  members: readonly RunSnapshot[],
  facts: ExperimentFacts | undefined,
): ExperimentGroup {
  const runs = [...members].sort((a, b) => foldOf(a) - foldOf(b));
  const folds = Math.max(runs.length, ...runs.map(({ record }) => record?.fold.count ?? 0));
  const finished = runs.filter(({ state }) => state === 'finished').length;
  return {
    kind: 'experiment',
    path,
    title: facts?.outcome?.title ?? titleOf(runs, path),
    state: experimentState(runs, finished === folds, facts?.outcome !== undefined),
    runs,
    folds,
    outcome: facts?.outcome,
    hasReport: facts?.hasReport ?? false,
  };
}

function experimentState(
  runs: readonly RunSnapshot[],
  complete: boolean,
  summarised: boolean,
): ExperimentGroup['state'] {
  const states = runs.map(({ state }) => state);
  for (const state of ['running', 'starting', 'failed', 'lost', 'stopped'] as const)
    if (states.includes(state)) return state === 'starting' ? 'running' : state;
  if (complete && summarised) return 'finished';
  // Between two folds, before the summary, or ended there: nobody says which.
  return 'waiting';
}

/** `resnet18 on FLAIR`, without the fold that the run's name ends in. */
function titleOf(runs: readonly RunSnapshot[], path: string): string {
  const name = runs.find(({ record }) => record)?.record?.name;
  return name?.replace(/,? fold \d+ of \d+$/, '') ?? basename(path);
}

function foldOf({ record, path }: RunSnapshot): number {
  return record?.fold.index ?? Number(/\d+$/.exec(path)?.[0] ?? 0);
}

/** Whether a row is being computed at this moment. */
export function underWay(row: RunRow): boolean {
  const { state } = row.kind === 'run' ? row.run : row;
  return state === 'running' || state === 'starting';
}

function createdOf(row: RunRow): number {
  const runs = row.kind === 'run' ? [row.run] : row.runs;
  return Math.max(...runs.map(({ record }) => Date.parse(record?.created ?? '') || 0));
}
