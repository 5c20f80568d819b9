import { appendFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cohort } from '../../../src/core/cohort/cohort';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { InputError } from '../../../src/core/errors';
import { RunDirectory } from '../../../src/core/experiment/run-directory';
import type { TrainingConfig } from '../../../src/core/train/config';
import { readWeights } from '../../../src/core/weights/read-weights';
import {
  ADAM,
  ADAMW,
  SGD,
  TRAINING,
  begun,
  execute,
  outcome,
  scratchFolder,
  stoppedWhen,
  tinyCohort,
} from './tiny';

const folder = scratchFolder();
let cohort: Cohort;
let number = 0;
const fresh = (): string => join(folder, `run-${++number}`);

beforeAll(async () => {
  await openEngine({ threads: 1 });
  cohort = await tinyCohort(folder);
});
afterAll(closeEngine);

/** What the run comes to that nobody stops. */
async function unstopped(training: TrainingConfig): Promise<Record<string, string>> {
  const { directory, store } = await begun(fresh(), { cohort, training });
  await execute(directory, store);
  return outcome(directory);
}

/** The same run, stopped behind each of these training steps and gone on with every time by a new start. */
async function stopped(training: TrainingConfig, ...steps: readonly number[]): Promise<RunDirectory> {
  const path = fresh();
  const { store } = await begun(path, { cohort, training });
  for (const step of steps) {
    const was = await stoppedWhen(
      new RunDirectory(path),
      store,
      (phase, done) => phase === 'training' && done === step,
    );
    expect(was, `stopped behind step ${step}`).toBe(true);
  }
  const directory = new RunDirectory(path);
  await execute(directory, store);
  return directory;
}

const kinds = (directory: RunDirectory): string[] => directory.events().map(({ type }) => type);

describe('a run that was stopped and goes on ends in the same bits', () => {
  // Three steps an epoch, nine in all.
  const places: Readonly<Record<string, readonly number[]>> = {
    'in the first epoch': [1],
    "at an epoch's end": [3],
    'in the last epoch': [8],
    'behind its last step': [9],
    twice: [2, 7],
    'twice within one epoch': [4, 5],
  };

  describe.each([
    { optimiser: ADAM, called: 'Adam', at: Object.keys(places) },
    { optimiser: SGD, called: 'SGD with momentum', at: ['twice'] },
    { optimiser: ADAMW, called: 'AdamW', at: ['twice'] },
  ])('$called', ({ optimiser, at }) => {
    const training = { ...TRAINING, optimiser };
    let expected: Record<string, string>;
    beforeAll(async () => {
      expected = await unstopped(training);
    });

    it.each(at)('stopped %s', async (place) => {
      const steps = places[place];
      const directory = await stopped(training, ...steps);
      expect(await outcome(directory)).toEqual(expected);
      const events = directory.events();
      expect(events.filter(({ type }) => type === 'stopped')).toHaveLength(steps.length);
      expect(events.filter(({ type }) => type === 'finished')).toHaveLength(1);
      // No step is done twice, none is left out.
      const done = events.flatMap((event) => (event.type === 'step' ? [`${event.epoch}/${event.step}`] : []));
      expect(done).toEqual([0, 1, 2].flatMap((epoch) => [1, 2, 3].map((step) => `${epoch}/${step}`)));
    });
  });

  it('with frozen parts that thaw in turns, stopped at the border of an epoch and around it', async () => {
    const training: TrainingConfig = {
      ...TRAINING,
      fineTuning: {
        encoderFactor: 0.1,
        decayPerStage: 0.5,
        freeze: ['stem', 'layer1', 'layer2', 'layer3'],
        unfreezeEvery: 1,
      },
    };
    const expected = await unstopped(training);
    expect(expected.last).not.toBe((await unstopped(TRAINING)).last);
    const directory = await stopped(training, 3, 4, 6);
    expect(await outcome(directory)).toEqual(expected);
    // Parts that thawed later have taken fewer steps, and correct the bias of their moments by their own.
    const { metadata } = await readWeights(directory.checkpoint('last'));
    expect(JSON.parse(metadata.state)).toMatchObject({
      optimiserSteps: 9,
      partSteps: { stem: 0, layer1: 0, layer2: 3, layer3: 6 },
    });
    expect((await directory.record()).training).toMatchObject({ fineTuning: training.fineTuning });
  });

  it('with early stopping on an inner split, stopped before and after its best epoch', async () => {
    // So high a rate that the validation loss gets worse soon, and patience ends the run before its last epoch.
    const training: TrainingConfig = {
      ...TRAINING,
      epochs: 12,
      patience: 2,
      validationFraction: 0.25,
      optimiser: { ...SGD, learningRate: 0.3 },
    };
    const { directory: whole, store } = await begun(fresh(), { cohort, training });
    await execute(whole, store);
    const epochs = whole.events().filter((event) => event.type === 'epoch');
    const best = epochs.findLastIndex((event) => event.best);
    expect(epochs).toHaveLength(best + 3);
    expect(epochs.length).toBeLessThan(12);
    const expected = await outcome(whole);
    expect(expected.best).not.toBe(expected.last);

    const perEpoch = 2;
    for (const steps of [
      [1],
      [perEpoch * (best + 1)],
      [perEpoch * (best + 1) + 1],
      [perEpoch * epochs.length - 1],
    ])
      expect(await outcome(await stopped(training, ...steps)), `behind ${steps.join()}`).toEqual(expected);
  });

  it('stopped while it reads, predicts or explains', async () => {
    const expected = await unstopped(TRAINING);
    for (const at of ['reading', 'predicting', 'explaining']) {
      const path = fresh();
      const { store } = await begun(path, { cohort });
      expect(await stoppedWhen(new RunDirectory(path), store, (phase) => phase === at), at).toBe(true);
      const directory = new RunDirectory(path);
      await execute(directory, store);
      expect(await outcome(directory), at).toEqual(expected);
    }
  });
});

describe('what a crash leaves', () => {
  it('a torn last line of events.jsonl is cut off, and every line is whole again', async () => {
    const expected = await unstopped(TRAINING);
    const path = fresh();
    const { store } = await begun(path, { cohort });
    await stoppedWhen(new RunDirectory(path), store, (phase, done) => phase === 'training' && done === 4);
    const events = join(path, 'events.jsonl');
    appendFileSync(events, '{"time":"2026-01-01T00:00:00.000Z","type":"st');
    expect(kinds(new RunDirectory(path))).not.toContain('finished');
    const directory = new RunDirectory(path);
    await execute(directory, store);
    const lines = readFileSync(events, 'utf8').trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { type: string }).type)).toEqual(kinds(directory));
    expect(await outcome(directory)).toEqual(expected);
  });

  it('a line that is damaged within the file is an error that names file and line', async () => {
    const path = fresh();
    const { directory, store } = await begun(path, { cohort });
    await stoppedWhen(directory, store, (phase, done) => phase === 'training' && done === 2);
    const events = join(path, 'events.jsonl');
    const lines = readFileSync(events, 'utf8').split('\n');
    lines[1] = lines[1].slice(0, 30);
    writeFileSync(events, lines.join('\n'));
    const going = execute(new RunDirectory(path), store);
    await expect(going).rejects.toThrow(InputError);
    await expect(going).rejects.toThrow(/events\.jsonl is damaged: line 2/);
  });

  it('temporary files of a write that was cut off are swept away, and nobody reads them', async () => {
    const path = fresh();
    const { store } = await begun(path, { cohort });
    await stoppedWhen(new RunDirectory(path), store, (phase, done) => phase === 'training' && done === 2);
    const left = `${new RunDirectory(path).checkpoint('last')}.123.4.tmp`;
    writeFileSync(left, 'half of a checkpoint');
    const directory = new RunDirectory(path);
    await execute(directory, store);
    expect(directory.has(left)).toBe(false);
  });

  it('a cut-off last checkpoint is a sentence that names it and says what to do', async () => {
    const path = fresh();
    const { directory, store } = await begun(path, { cohort });
    await stoppedWhen(directory, store, (phase, done) => phase === 'training' && done === 4);
    const checkpoint = directory.checkpoint('last');
    const whole = readFileSync(checkpoint);
    for (const length of [0, 7, 1000, whole.length - 1]) {
      truncateSync(checkpoint, length);
      const going = execute(new RunDirectory(path), store);
      await expect(going, `${length} bytes`).rejects.toThrow(InputError);
      await expect(going, `${length} bytes`).rejects.toThrow(checkpoint);
      await expect(going, `${length} bytes`).rejects.toThrow(/remove it/i);
      writeFileSync(checkpoint, whole);
    }
  });

  it('without its last checkpoint a run begins anew, says so, and comes to the same bits', async () => {
    const expected = await unstopped(TRAINING);
    const path = fresh();
    const { store } = await begun(path, { cohort });
    await stoppedWhen(new RunDirectory(path), store, (phase, done) => phase === 'training' && done === 7);
    rmSync(join(path, 'checkpoints'), { recursive: true });
    const directory = new RunDirectory(path);
    await execute(directory, store);
    expect(await outcome(directory)).toEqual(expected);
    expect(kinds(directory).filter((type) => type === 'started')).toHaveLength(2);
    expect(directory.events().flatMap((event) => (event.type === 'warning' ? event.message : []))).toEqual([
      expect.stringMatching(/no last checkpoint .*lost\. It begins anew\./),
    ]);
  });
});

describe('a finished run', () => {
  it('is only evaluated when it is executed again', async () => {
    const { directory, store } = await begun(fresh(), { cohort });
    await execute(directory, store);
    const expected = await outcome(directory);
    const before = kinds(directory);
    await execute(new RunDirectory(directory.path), store);
    expect(await outcome(directory)).toEqual(expected);
    expect(kinds(directory)).toEqual(before);
  });

  it('needs no last checkpoint for that: people remove it to save space', async () => {
    const { directory, store } = await begun(fresh(), { cohort });
    await execute(directory, store);
    const expected = await outcome(directory);
    const before = kinds(directory);
    rmSync(join(directory.path, 'checkpoints', 'last'), { recursive: true });
    await execute(new RunDirectory(directory.path), store);
    expect(kinds(directory)).toEqual(before);
    expect(directory.has(directory.checkpoint('last'))).toBe(false);
    expect(readFileSync(directory.checkpoint('best')).toString('base64')).toBe(expected.best);
    expect(readFileSync(join(directory.path, 'predictions.csv'), 'utf8')).toBe(expected['predictions.csv']);
  });
});
