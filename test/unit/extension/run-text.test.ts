import { describe, expect, it } from 'vitest';
import type { RunEvent } from '../../../src/protocol/run';
import type { RunSnapshot } from '../../../src/extension/runs/follow-run';
import { groupRuns, type ExperimentGroup } from '../../../src/extension/runs/run-groups';
import { advance, NOTHING_YET } from '../../../src/extension/runs/run-progress';
import type { RunState } from '../../../src/extension/runs/run-state';
import {
  duration,
  experimentDescription,
  namesakes,
  runDescription,
  runFacts,
  secondsLeft,
} from '../../../src/extension/runs/run-text';
import { madeUpRecord, started, step, timed } from './made-up-run';

function snapshot(
  state: RunState,
  events: readonly Parameters<typeof timed>[0][],
  changes: Partial<RunSnapshot> = {},
): RunSnapshot {
  const told: RunEvent[] = events.map(timed);
  return {
    path: '/runs/one',
    record: madeUpRecord(),
    fault: undefined,
    progress: told.reduce(advance, NOTHING_YET),
    state,
    process: undefined,
    life: 'unknown',
    outcome: undefined,
    heldOut: undefined,
    hasReport: false,
    unreadable: 0,
    ...changes,
  };
}

function experiment(runs: readonly RunSnapshot[]): ExperimentGroup {
  const [row] = groupRuns(runs, () => undefined);
  if (row.kind !== 'experiment') throw new Error('These runs are no experiment.');
  return row;
}

function fold(index: number, state: RunState, events: readonly Parameters<typeof timed>[0][]): RunSnapshot {
  const record = madeUpRecord({ fold: { index, count: 3, train: [], validation: [], test: [] } });
  return snapshot(state, events, { path: `/x/runs/fold-${index + 1}`, record });
}

const validated = {
  type: 'epoch',
  epoch: 0,
  loss: 0.61,
  validationLoss: 0.7,
  validationAccuracy: 0.75,
  best: true,
} as const;

describe('the row of a run', () => {
  it('tells epoch, time left, loss and metric while it runs', () => {
    const run = snapshot('running', [started, step(0, 2), validated, step(1, 1, 95)]);
    expect(runDescription(run)).toBe('epoch 2/3 · 2 min left · loss 0.500 · validation accuracy 0.750');
  });

  it('tells Dice of a pre-training, and what it learned to segment', () => {
    const dice = { value: 0.8123, low: 0.79, high: 0.83, n: 8, sources: 8 };
    const outcome = { title: 't', folds: 1, accuracy: null, auc: null, heatScore: null, dice };
    const tasks = [
      { name: 'caudate', labels: [1] },
      { name: 'putamen', labels: [2] },
    ];
    const segmentation = { tasksFile: '/t.json', tasks, tasksPerStep: null, decoderChannels: 16 };
    const run = snapshot('finished', [started], { outcome, record: madeUpRecord({ segmentation }) });
    expect(runDescription(run)).toBe('Dice 0.81 (n 8)');
    const facts = Object.fromEntries(runFacts(run));
    expect(facts['Mean Dice over tasks, held-out heads']).toBe(
      '0.812 (95 % interval 0.790 to 0.830), 8 heads',
    );
    expect(facts['Learns to segment']).toBe('2 structures: caudate, putamen');
    expect(facts).not.toHaveProperty('Held-out accuracy');
  });

  it('tells each fact once, and counts one of a kind as one', () => {
    const metric = { value: 0.973, low: null, high: null, n: 1, sources: 1 };
    const outcome = { title: 't', folds: 1, accuracy: metric, auc: metric, heatScore: metric, dice: null };
    const facts = runFacts(snapshot('finished', [started], { outcome }));
    const names = facts.map(([name]) => name);
    expect(namesakes(names)).toEqual(new Set());
    expect(new Map(facts).get('Mean Heat-Score (roi/brain, chance 1)')).toBe('0.973, 1 map');
    expect(new Map(facts).get('Held-out accuracy')).toBe('0.973, 1 case');
  });

  it('is told apart by its folder where others have its name', () => {
    expect(namesakes(['a', 'b', 'a', 'c', 'c', 'c'])).toEqual(new Set(['a', 'c']));
  });

  it('tells what it does when it does not train', () => {
    const run = snapshot('running', [{ type: 'phase', phase: 'reading', done: 3, total: 10 }]);
    expect(runDescription(run)).toBe('reading heads 3/10');
  });

  it('tells that it can be resumed after it was stopped or lost', () => {
    const stopped = snapshot('stopped', [started, step(1, 1), { type: 'stopped', epoch: 1, step: 1 }]);
    expect(runDescription(stopped)).toBe('stopped · epoch 2/3 · loss 0.500 · can be resumed');
    expect(runDescription(snapshot('lost', [started, step(1, 1)]))).toMatch(/^lost .* can be resumed$/);
  });

  it('tells why it failed', () => {
    const run = snapshot('failed', [started, { type: 'failed', message: 'The loss is NaN.' }]);
    expect(runDescription(run)).toBe('failed · The loss is NaN.');
  });

  it('tells its held-out accuracy and of how many cases when it is finished', () => {
    const events = [
      started,
      step(2, 2),
      { ...validated, epoch: 2 },
      { type: 'finished', epochs: 3, seconds: 9 },
    ] as const;
    const run = snapshot('finished', events, { heldOut: { right: 3, n: 4 } });
    expect(runDescription(run)).toBe('accuracy 0.75 (n 4) · 3 epochs · loss 0.610');
  });
});

describe('the tooltip of a run', () => {
  it('says of each number what it is', () => {
    const facts = new Map(runFacts(snapshot('running', [started, step(0, 2), validated, step(1, 1, 95)])));
    expect(facts.get('Loss of the last step')).toBe('0.500');
    expect(facts.get('Mean loss of the last epoch')).toBe('0.610');
    expect(facts.get('Validation accuracy')).toBe('0.750');
    expect(facts.get('Least validation loss in')).toBe('epoch 1');
    expect(facts.get('Fold')).toBe('1 of 5: 1 to train, 1 to validate, 2 held out');
    expect(facts.get('Engine')).toBe('wasm simd256, 2 threads, Node v24.0.0');
  });

  it('leaves out what is not known', () => {
    const facts = new Map(runFacts(snapshot('starting', [])));
    expect(facts.has('Loss of the last step')).toBe(false);
    expect(facts.has('Held-out accuracy')).toBe(false);
  });
});

describe('the time left of a cross-validation', () => {
  it('adds the mean of the finished folds for each that has not begun', () => {
    const done = fold(0, 'finished', [started, { type: 'finished', epochs: 3, seconds: 60 }]);
    const group = experiment([done, fold(1, 'running', [started, step(0, 1, 50)])]);
    expect(secondsLeft(group)).toBe(50 + 60);
    expect(experimentDescription(group)).toBe('fold 2/3 · 2 min left');
  });

  it('goes by the fold at hand where none is finished: 10 s for 5 of 6 steps are 12 s a fold', () => {
    expect(secondsLeft(experiment([fold(0, 'running', [started, step(0, 1, 10)])]))).toBeCloseTo(10 + 2 * 12);
  });

  it('is not told before there is anything to go by', () => {
    expect(secondsLeft(experiment([fold(0, 'running', [started, step(0, 1, null)])]))).toBeNull();
  });
});

describe('an experiment', () => {
  it('that was stopped between folds can be resumed', () => {
    const group = experiment([
      fold(0, 'finished', [started, { type: 'finished', epochs: 3, seconds: 60 }]),
      fold(1, 'stopped', [started, step(0, 1), { type: 'stopped', epoch: 0, step: 1 }]),
    ]);
    expect(group.state).toBe('stopped');
    expect(experimentDescription(group)).toBe('stopped · 1 of 3 folds done · can be resumed');
  });
});

describe('durations', () => {
  it.each([
    [0.4, '0 s'],
    [59.6, '1 min'],
    [95, '2 min'],
    [3600, '1 h 0 min'],
    [7500, '2 h 5 min'],
  ])('%d s is %s', (seconds, text) => expect(duration(seconds)).toBe(text));
});
