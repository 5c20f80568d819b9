import type { PretrainingResults } from '../../protocol/pretraining';
import type { RunEvent, RunRecord } from '../../protocol/run';
import { describeEngine } from '../experiment/engine-of-run';
import { remarksOnStep } from '../experiment/step-of-run';
import { describeSpec } from '../model/spec';
import { VERSION } from '../version';
import { diceTable, meanDice, type HeadDice } from './dice';
import type { HeadStore } from './head-store';
import { pretrainingPlan } from './pretraining-run';

export interface FinishedPretraining {
  readonly record: RunRecord;
  readonly heads: readonly HeadDice[];
  readonly events: readonly RunEvent[];
}

/** What one pre-training, or its folds together, came to. */
export async function pretrainingResults(
  runs: readonly FinishedPretraining[],
  store: HeadStore,
  title: string,
): Promise<PretrainingResults> {
  const [{ record }] = runs;
  const { spec, config, tasks } = pretrainingPlan(record, 'run.json');
  const { grid } = await store.get(record.fold.train[0]);
  const { training, tasksPerStep, decoderChannels } = config;
  const { optimiser, epochs, batchSize, schedule } = training;
  const heads = runs.flatMap((run) => run.heads);
  const seconds = runs.map(({ events }) => events.find((event) => event.type === 'finished')?.seconds ?? 0);
  const at = { seed: record.seed };
  return {
    schema: 1,
    kind: 'segmentation',
    title,
    created: new Date().toISOString(),
    seconds: seconds.reduce((sum, one) => sum + one, 0),
    version: VERSION,
    command: record.command,
    tasksFile: record.cohort.path,
    data: record.cohort.fingerprint,
    heads: record.cohort.cases,
    modality: record.modality,
    network: describeSpec(spec),
    grid: { shape: [...grid.shape], spacing: [...grid.spacing] },
    training: `${epochs} epochs, batches of ${batchSize}, ${optimiser.kind} at ${optimiser.learningRate}, ${schedule.kind} schedule, ${tasksPerStep ?? 'all'} tasks a step, decoder of ${decoderChannels} channels`,
    engine: describeEngine(record.engine),
    seed: record.seed,
    folds: runs.length,
    tasks: diceTable(
      heads,
      tasks.map(({ name }) => name),
      at,
    ),
    mean: meanDice(heads, at),
    cases: runs.flatMap((run) =>
      run.heads.map(({ participantId, source, dice }) => ({
        participantId,
        source,
        fold: run.record.fold.index,
        dice: [...dice],
      })),
    ),
    curves: runs.map(({ record: { fold }, events }) => ({
      fold: fold.index,
      loss: lossByEpoch(events),
    })),
    notes: [
      ...(heads.length === 0 ? ['Nobody was held out: there is no Dice to report.'] : []),
      ...new Set(runs.flatMap((run) => remarksOnStep(run.record))),
    ],
  };
}

/** A resumed run may tell of an epoch twice: the last word counts. */
function lossByEpoch(events: readonly RunEvent[]): number[] {
  const loss: number[] = [];
  for (const event of events) if (event.type === 'epoch') loss[event.epoch] = event.loss;
  return loss;
}
