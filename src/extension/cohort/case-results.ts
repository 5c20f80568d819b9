import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseHeatScores, parsePredictions } from '../../protocol/result-tables';
import { exists, type RunSnapshot } from '../runs/follow-run';
import { experimentOf } from '../runs/run-groups';

/** What a run said about a case that it was not trained on. */
export interface CaseResult {
  readonly participantId: string;
  readonly pFcd: number;
  readonly predicted: 'control' | 'fcd';
  /** Heat-Score roi/brain of the run's first map; null where it does not exist, undefined where none was made. */
  readonly heatScore: number | null | undefined;
  readonly layer: string | undefined;
  readonly method: string | undefined;
  readonly flags: readonly string[];
  readonly run: string;
  /** 0-based. */
  readonly fold: number;
  /** The class map on the subject's own grid. */
  readonly map: string | undefined;
}

/** Held-out results of a cohort, and where they are from. */
export interface CohortResults {
  /** Run or experiment. */
  readonly from: string;
  readonly title: string;
  readonly modality: string;
  readonly finished: number;
  readonly folds: number;
  readonly byParticipant: ReadonlyMap<string, CaseResult>;
}

/** The runs whose predictions count: the finished ones of the newest experiment, or the newest run of its own. */
export function newestFinished(
  runs: readonly RunSnapshot[],
  isOfCohort: (path: string) => boolean,
): RunSnapshot[] {
  const finished = runs.filter(
    ({ record, state }) => record && state === 'finished' && isOfCohort(record.cohort.path),
  );
  const [newest] = [...finished].sort((a, b) => endOf(b) - endOf(a));
  if (!newest) return [];
  const experiment = experimentOf(newest.path);
  return experiment === undefined
    ? [newest]
    : finished.filter(({ path }) => experimentOf(path) === experiment);
}

function endOf({ progress, record }: RunSnapshot): number {
  return progress.lastEvent ?? (Date.parse(record?.created ?? '') || 0);
}

/** Reads what the runs of one experiment (or a run alone) say about the cases that each held out. */
export async function readResults(runs: readonly RunSnapshot[]): Promise<CohortResults | undefined> {
  const [first] = runs;
  if (!first?.record) return undefined;
  const byParticipant = new Map<string, CaseResult>();
  for (const run of runs)
    for (const result of await resultsOf(run)) byParticipant.set(result.participantId, result);
  return {
    from: experimentOf(first.path) ?? first.path,
    title: first.record.name.replace(/,? fold \d+ of \d+$/, ''),
    modality: first.record.modality,
    finished: runs.length,
    folds: experimentOf(first.path) === undefined ? 1 : first.record.fold.count,
    byParticipant,
  };
}

async function resultsOf({ path, record }: RunSnapshot): Promise<CaseResult[]> {
  const heldOut = new Set(record?.fold.test);
  const predictions = parsePredictions(await textOf(join(path, 'predictions.csv')));
  const scores = parseHeatScores(await textOf(join(path, 'heatscores.csv')));
  return Promise.all(
    predictions
      .filter(({ participantId }) => heldOut.has(participantId))
      .map(async ({ participantId, pFcd, yPred, fold }) => {
        const score = scores.find(
          (row) => row.participantId === participantId && row.variant === 'roi/brain',
        );
        const map = join(path, 'cams', `${participantId}.nii.gz`);
        return {
          participantId,
          pFcd,
          predicted: yPred === 1 ? ('fcd' as const) : ('control' as const),
          heatScore: score?.score,
          layer: score?.layer,
          method: score?.method,
          flags: score?.flags ?? [],
          run: path,
          fold,
          map: (await exists(map)) ? map : undefined,
        };
      }),
  );
}

async function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
