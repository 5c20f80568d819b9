import type { CaseResult, MapResult, MetricRecord, Results } from '../../protocol/results';
import type { PredictionRow, RunEvent, RunRecord } from '../../protocol/run';
import { CONTRASTS, type Cohort, type Fold } from '../cohort/cohort';
import { smoothedMaximum, trivialBaseline, type ScoredCase } from '../cohort/trivial-baseline';
import type { LocalisationCompanions } from '../explain/heat-score';
import { cohortNull, maskVoxels, scoreRow, type ScoreRow } from '../explain/null';
import { describeSpec } from '../model/spec';
import { clusterInterval } from '../stats/cluster';
import { mean } from '../stats/describe';
import { describeFineTuning, NO_FINE_TUNING } from '../train/fine-tuning';
import { classificationMetrics } from '../train/metrics';
import { voxelSizes } from '../volume/affine';
import { resample } from '../volume/resample';
import { maskAbove } from '../volume/mask';
import type { Mask } from '../volume/volume';
import type { CaseStore } from './case-store';
import { describeEngine } from './engine-of-run';
import { describeInit } from './init-weights';
import { remarksOnStep } from './step-of-run';
import { mapName, planOf, shownImage, type ExplainedCase, type MapRequest, type RunResult } from './run';

/** One finished run of an experiment. */
export interface FinishedRun {
  readonly record: RunRecord;
  readonly result: RunResult;
  readonly events: readonly RunEvent[];
}

export interface SummaryOptions {
  readonly title: string;
  readonly command: readonly string[];
  readonly version: string;
  readonly seconds: number;
  readonly cohort: Cohort;
  readonly notes: readonly string[];
  /** Full width at half maximum of the trivial baseline's smoothing, mm. */
  readonly baselineFwhmMm?: number;
}

const DEFAULT_FWHM_MM = 8;

/** Puts the runs of a cross-validation (or a single one) together into results.json. */
export async function summarise(
  runs: readonly FinishedRun[],
  store: CaseStore,
  options: SummaryOptions,
): Promise<Results> {
  const [{ record }] = runs;
  const plan = planOf(record, 'run.json');
  const predictions = runs.flatMap(({ result }) => result.predictions);
  const explained = runs.flatMap(({ result }) => result.explained);
  const { cohort } = options;
  const first = await store.get(predictions[0].participantId);
  const maps = unique(explained.map(({ map }) => map));
  const whole = runs.length > 1;
  const sources = await store.brainSources(predictions.map(({ participantId }) => participantId));
  return {
    schema: 1,
    title: options.title,
    created: new Date().toISOString(),
    seconds: options.seconds,
    version: options.version,
    command: [...options.command],
    cohort: {
      path: cohort.path,
      fingerprint: cohort.fingerprint,
      description: cohort.kind === 'bids' ? 'BIDS directory' : 'manifest',
      patients: predictions.filter(({ yTrue }) => yTrue === 1).length,
      controls: predictions.filter(({ yTrue }) => yTrue === 0).length,
      sources: new Set(predictions.map(({ source }) => source)).size,
    },
    modality: record.modality,
    network: describeSpec(plan.spec),
    grid: {
      shape: [...first.grid.shape],
      spacing: voxelSizes(first.grid.affine).map((mm) => Number(mm.toFixed(3))),
    },
    brainMask: sources.join(', '),
    training: describeTraining(record),
    engine: describeEngine(record.engine),
    seed: record.seed,
    folds: record.fold.count,
    metrics: classificationMetrics(predictions, { seed: record.seed }),
    baseline: whole ? await baseline(runs, store, options) : null,
    maps: await Promise.all(maps.map((map) => mapResult(map, explained, predictions, store, record.seed))),
    cases: predictions.map((row) => caseResult(row, explained, store)),
    curves: runs.map(({ record: { fold }, events }) => curveOf(fold.index, events)),
    notes: [
      ...options.notes,
      ...new Set(runs.flatMap((run) => remarksOnStep(run.record))),
      ...contrastNotes(record, predictions, store),
    ],
  };
}

/** Of images of both contrasts: how each of them fares alone. */
function contrastNotes(
  { modality, seed }: RunRecord,
  predictions: readonly PredictionRow[],
  store: CaseStore,
): string[] {
  if (modality !== 'mixed') return [];
  return CONTRASTS.flatMap((contrast) => {
    const mine = predictions.filter((row) => store.case(row.participantId).images[contrast] !== undefined);
    if (mine.length === 0) return [];
    const { value, low, high } = classificationMetrics(mine, { seed }).accuracy;
    const interval = low === null || high === null ? '' : ` [${low.toFixed(3)}, ${high.toFixed(3)}]`;
    return [
      `Of the ${contrast} images alone: accuracy ${value?.toFixed(3) ?? 'none'}${interval} (95 % over heads), n ${mine.length}.`,
    ];
  });
}

async function baseline(
  runs: readonly FinishedRun[],
  store: CaseStore,
  options: SummaryOptions,
): Promise<Results['baseline']> {
  const smoothingMm = options.baselineFwhmMm ?? DEFAULT_FWHM_MM;
  const scored: ScoredCase[] = [];
  const folds: Fold[] = runs.map(({ record: { fold } }) => ({
    index: fold.index,
    count: fold.count,
    train: [...fold.train, ...fold.validation],
    test: fold.test,
  }));
  for (const id of new Set(folds.flatMap(({ train, test }) => [...train, ...test]))) {
    const { case: one, brain, grid } = await store.get(id);
    const channels = await store.channels(id);
    const spacing = Math.cbrt(voxelSizes(grid.affine).reduce((a, b) => a * b));
    // FWHM = 2 sqrt(2 ln 2) sigma; the last channel is FLAIR where there are two.
    const sigma = smoothingMm / (2 * Math.sqrt(2 * Math.LN2)) / spacing;
    scored.push({
      participantId: id,
      source: one.source,
      yTrue: one.group === 'fcd' ? 1 : 0,
      score: smoothedMaximum(channels[channels.length - 1].data, grid.shape, brain.data, sigma),
    });
  }
  const predictions = trivialBaseline(scored, folds);
  return { metrics: classificationMetrics(predictions, { seed: runs[0].record.seed }), smoothingMm };
}

async function mapResult(
  map: MapRequest,
  explained: readonly ExplainedCase[],
  predictions: readonly PredictionRow[],
  store: CaseStore,
  seed: number,
): Promise<MapResult> {
  const mine = explained.filter((one) => mapName(one.map) === mapName(map));
  const rows = await scoreRows(mine, store);
  const sourceOf = new Map(predictions.map((row) => [row.participantId, row.source]));
  const sourced = (scores: readonly { id: string; score: number | null }[]): MetricRecord =>
    meanScore(scores, (id) => sourceOf.get(id) as string, seed);
  const heatScore = sourced(rows.map(({ id, own }) => ({ id, score: own })));
  const untrained = sourced(mine.map((one) => ({ id: one.participantId, score: one.untrained })));
  const chance = heatScore.n > 0 && haveNull(rows) ? cohortNull(rows, { seed }) : null;
  const companions = mine.map((one) => one.scores.companions);
  return {
    ...map,
    heatScore,
    zeroMaps: rows.length - heatScore.n,
    null: chance && {
      p95: chance.p95,
      mean: mean(chance.distribution),
      p: chance.p,
      exceeds: chance.exceeds,
    },
    untrained,
    companions: {
      massFraction: meanOf(companions, (one) => one.massFraction),
      volumeFraction: meanOf(companions, (one) => one.volumeFraction),
      pointing: meanOf(companions, (one) => asNumber(one.pointing)),
      pointing5mm: meanOf(companions, (one) => asNumber(one.pointing5mm)),
      auroc: meanOf(companions, (one) => one.auroc),
      averagePrecision: meanOf(companions, (one) => one.averagePrecision),
      topDice: meanOf(companions, (one) => one.topDice),
    },
  };
}

/** Mean over the scores that exist, with an interval that takes heads, not their copies, as independent. */
function meanScore(
  scores: readonly { readonly id: string; readonly score: number | null }[],
  sourceOf: (id: string) => string,
  seed: number,
): MetricRecord {
  const scored = scores.filter((one): one is { id: string; score: number } => one.score !== null);
  const average = (items: readonly { score: number }[]): number | null =>
    items.length > 0 ? mean(items.map(({ score }) => score)) : null;
  const interval = clusterInterval(scored, ({ id }) => sourceOf(id), average, { seed });
  return {
    value: average(scored),
    low: interval?.low ?? null,
    high: interval?.high ?? null,
    n: scored.length,
    sources: new Set(scored.map(({ id }) => sourceOf(id))).size,
  };
}

/** Whether any map can be compared with a mask that is not its own: a single patient may have none that meets the brain. */
function haveNull(rows: readonly ScoreRow[]): boolean {
  return rows.some(
    ({ source, mirrored, others }) =>
      mirrored !== null || others.some((score, at) => score !== null && rows[at].source !== source),
  );
}

/** Every map against every patient's mask; masks go by voxel index where grids have one size: both are head-centred. */
async function scoreRows(explained: readonly ExplainedCase[], store: CaseStore): Promise<ScoreRow[]> {
  const masks: { id: string; roi: Mask; voxels: Int32Array }[] = [];
  for (const { participantId } of explained) {
    const { roi } = await store.get(participantId);
    if (!roi) throw new Error(`${participantId} was scored without a lesion mask.`);
    masks.push({ id: participantId, roi, voxels: maskVoxels(roi) });
  }
  const rows: ScoreRow[] = [];
  for (const { participantId, heat } of explained) {
    const { roi, brain, case: one } = await store.get(participantId);
    if (!roi) throw new Error(`${participantId} was scored without a lesion mask.`);
    rows.push(
      scoreRow({
        id: participantId,
        source: one.source,
        heat,
        roi,
        brain,
        masks: masks.map((mask) => ({
          id: mask.id,
          voxels: mask.roi.shape.join() === heat.shape.join() ? mask.voxels : onGrid(mask.roi, heat),
        })),
      }),
    );
  }
  return rows;
}

function onGrid(roi: Mask, grid: ExplainedCase['heat']): Int32Array {
  return maskVoxels(maskAbove(resample(roi, grid, 'nearest'), 0.5));
}

function caseResult(row: PredictionRow, explained: readonly ExplainedCase[], store: CaseStore): CaseResult {
  const one = store.case(row.participantId);
  const maps = explained.filter(({ participantId }) => participantId === row.participantId);
  return {
    participantId: row.participantId,
    source: row.source,
    fold: row.fold,
    yTrue: row.yTrue,
    yPred: row.yPred,
    pFcd: row.pFcd,
    image: shownImage(one, store.preparation.modality),
    roi: one.roi?.path ?? null,
    brain: one.brain ?? null,
    roiMl: maps[0]?.scores.roi.ml ?? null,
    maps: maps.map(({ map, scores, nifti }) => ({
      layer: map.layer,
      method: map.method,
      heatScore: scores.heatScores[0].score,
      nifti: nifti ?? null,
      flags: [...scores.flags],
    })),
  };
}

function curveOf(fold: number, events: readonly RunEvent[]): Results['curves'][number] {
  const epochs = new Map<number, { loss: number; validationLoss: number | null }>();
  // After a resume an epoch can appear again; what was computed last counts.
  for (const event of events) if (event.type === 'epoch') epochs.set(event.epoch, event);
  const ordered = [...epochs.entries()].sort(([a], [b]) => a - b).map(([, epoch]) => epoch);
  return {
    fold,
    loss: ordered.map(({ loss }) => loss),
    validationLoss: ordered.map(({ validationLoss }) => validationLoss),
  };
}

function describeTraining(record: RunRecord): string {
  const { training } = planOf(record, 'run.json');
  const { optimiser, epochs, batchSize, patience } = training;
  const tuning = describeFineTuning(training.fineTuning ?? NO_FINE_TUNING, epochs);
  const stopping =
    patience > 0
      ? `early stopping after ${patience} epochs without a better validation loss`
      : 'no early stopping';
  return `${epochs} epochs, batches of ${batchSize}${training.twinBatches ? ' (twins together)' : ''}, ${optimiser.kind} at ${optimiser.learningRate}, ${training.schedule.kind} schedule, ${stopping}, init ${describeInit(record.init)}${tuning.map((sentence) => `. ${sentence.replace(/\.$/, '')}`).join('')}`;
}

function meanOf(
  companions: readonly LocalisationCompanions[],
  of: (one: LocalisationCompanions) => number | null,
): number | null {
  const values = companions.map(of).filter((value): value is number => value !== null);
  return values.length > 0 ? mean(values) : null;
}

function asNumber(value: boolean | null): number | null {
  return value === null ? null : Number(value);
}

function unique(maps: readonly MapRequest[]): MapRequest[] {
  return [...new Map(maps.map((map) => [mapName(map), map])).values()];
}
