import * as tf from '@tensorflow/tfjs-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { InputError, StoppedError } from '../../../src/core/errors';
import { Network } from '../../../src/core/model/network';
import { networkSpec } from '../../../src/core/model/spec';
import { Random } from '../../../src/core/random';
import { DEFAULT_TRAINING, type TrainingConfig } from '../../../src/core/train/config';
import { fit, trainStep, type FitEvent } from '../../../src/core/train/fit';
import type { FitState } from '../../../src/core/train/fit-state';
import { balancedWeights, crossEntropy, weightOf } from '../../../src/core/train/loss';
import { Optimiser } from '../../../src/core/train/optimiser';
import { stack, type Sample } from '../../../src/core/train/sample';

const SPEC = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 });
const SHAPE = [12, 14, 10, 1] as const;

/** Noise; patients have a bright corner. */
function heads(count: number, patientEvery = 2): Sample[] {
  return Array.from({ length: count }, (_, n) => {
    const random = Random.seeded(5, 'head', n);
    const label = n % patientEvery === 0 ? 1 : 0;
    const data = Float32Array.from(
      { length: SHAPE[0] * SHAPE[1] * SHAPE[2] },
      (_, at) => random.normal() + (label === 1 && at < 200 ? 2 : 0),
    );
    return { participantId: `h${n}`, source: `h${n}`, label, data, shape: SHAPE };
  });
}

/** Nothing random but the order; plain gradient descent, so that a step shows its gradient. */
const PLAIN: TrainingConfig = {
  ...DEFAULT_TRAINING,
  epochs: 2,
  batchSize: 4,
  microBatch: 4,
  optimiser: { kind: 'sgd', learningRate: 0.05, momentum: 0, nesterov: false, weightDecay: 0 },
  augmentation: { rotation: 0, scale: 0, flip: false, intensity: 0, noise: 0 },
  patience: 0,
};

beforeAll(() => openEngine({ threads: 1 }));
afterAll(closeEngine);

const networks: Network[] = [];
function network(): Network {
  const made = new Network(SPEC, 7);
  networks.push(made);
  return made;
}
afterEach(() => {
  for (const made of networks.splice(0)) made.dispose();
});

const noHooks = { onEvent: () => {}, onCheckpoint: () => Promise.resolve() };

/** All weights and running statistics, as bits. */
function bits(of: Network): Record<string, string> {
  return Object.fromEntries(
    [...of.weights.toBorder()].map(([name, { data }]) => [name, Buffer.from(data.buffer).toString('base64')]),
  );
}

/** Gradients of a batch in one pass. */
function gradients(
  of: Network,
  batch: readonly Sample[],
  statistics: 'batch' | 'running',
  totalWeight?: number,
): Map<string, Float32Array> {
  const x = stack(
    batch.map(({ data }) => data),
    SHAPE,
  );
  const pass = of.run(x, { statistics, keepFrom: 0 });
  const labels = batch.map(({ label }) => label);
  const { gradient } = crossEntropy(pass.logits.dataSync<'float32'>(), labels, [1, 1], totalWeight);
  const dlogits = tf.tensor2d(gradient, [batch.length, 2]);
  const { parameters } = pass.backward(dlogits, { parameters: true });
  tf.dispose([x, dlogits]);
  return new Map(
    [...parameters].map(([name, tensor]) => {
      const values = of.weights.borderValues(name, tensor);
      tensor.dispose();
      return [name, values];
    }),
  );
}

function sum(parts: readonly Map<string, Float32Array>[]): Map<string, Float32Array> {
  const [first, ...rest] = parts;
  return new Map(
    [...first].map(([name, values]) => [
      name,
      values.map((value, at) => rest.reduce((all, part) => all + part.get(name)![at], value)),
    ]),
  );
}

/** Largest difference of any tensor, as a share of that tensor's largest value. */
function difference(a: Map<string, Float32Array>, b: Map<string, Float32Array>): number {
  return Math.max(
    ...[...a].map(([name, values]) => {
      const largest = Math.max(...values.map(Math.abs));
      return Math.max(...values.map((value, at) => Math.abs(value - b.get(name)![at]))) / largest;
    }),
  );
}

/** The gradient that a step of training went down: plain gradient descent at rate 1 subtracts it. */
async function steppedDown(
  batch: readonly Sample[],
  microBatch: number,
): Promise<{ by: Map<string, Float32Array>; of: Network }> {
  const of = network();
  const before = of.weights.toBorder();
  const optimiser = new Optimiser(PLAIN.optimiser, of.weights);
  await trainStep(of, optimiser, batch, 0, { ...PLAIN, microBatch }, [1, 1], 1, () =>
    Random.seeded(0, 'none'),
  );
  optimiser.dispose();
  const after = of.weights.toBorder();
  const by = new Map(
    of.weights.names.map((name) => [
      name,
      before.get(name)!.data.map((value, at) => value - after.get(name)!.data[at]),
    ]),
  );
  return { by, of };
}

describe('gradient accumulation', () => {
  const batch = heads(6);
  const total = weightOf(
    batch.map(({ label }) => label),
    [1, 1],
  );
  const parts = [batch.slice(0, 2), batch.slice(2, 4), batch.slice(4)];

  it('adds up to the gradient of the whole batch where batch norm uses running statistics', () => {
    const of = network();
    const whole = gradients(of, batch, 'running');
    const summed = sum(parts.map((part) => gradients(of, part, 'running', total)));
    expect(difference(whole, summed)).toBeLessThan(1e-5);
  });

  it('in training normalises every part by itself, as the configuration says: another gradient than in one go', async () => {
    const of = network();
    const expected = sum(parts.map((part) => gradients(of, part, 'batch', total)));
    const inParts = (await steppedDown(batch, 2)).by;
    expect(difference(expected, inParts)).toBeLessThan(1e-3);
    const inOneGo = (await steppedDown(batch, 6)).by;
    expect(difference(gradients(of, batch, 'batch'), inOneGo)).toBeLessThan(1e-3);
    expect(difference(inParts, inOneGo)).toBeGreaterThan(0.01);
  });

  it('moves the running statistics once for every part', async () => {
    expect((await steppedDown(batch, 2)).of.weights.runningOf('bn1').batches).toBe(3);
    expect((await steppedDown(batch, 6)).of.weights.runningOf('bn1').batches).toBe(1);
  });

  it('leaves no tensors behind', async () => {
    const of = network();
    const optimiser = new Optimiser(PLAIN.optimiser, of.weights);
    const before = tf.memory().numTensors;
    await trainStep(of, optimiser, batch, 0, { ...PLAIN, microBatch: 4 }, [1, 1], 1, () =>
      Random.seeded(0, 'none'),
    );
    expect(tf.memory().numTensors).toBe(before);
    optimiser.dispose();
  });
});

describe('the loss of a fit', () => {
  it('weighs the rarer class up, and does not where that is switched off', async () => {
    // Two patients among eight, all in one batch.
    const train = heads(8, 4);
    for (const classBalanced of [true, false]) {
      const of = network();
      const first: number[] = [];
      const config = { ...PLAIN, epochs: 1, batchSize: 8, microBatch: 8, classBalanced };
      const x = stack(
        train.map(({ data }) => data),
        SHAPE,
      );
      const pass = of.run(x, { statistics: 'batch' });
      const logits = pass.logits.dataSync<'float32'>().slice();
      pass.dispose();
      x.dispose();
      const labels = train.map(({ label }) => label);
      const weights = classBalanced ? balancedWeights(labels, 2) : [1, 1];
      const { loss } = crossEntropy(logits, labels, weights);
      await fit(of, { train, validation: [], leftRight: 0 }, config, 1, {
        ...noHooks,
        onEvent: (event) => {
          if (event.type === 'step') first.push(event.loss);
        },
      });
      expect(first).toHaveLength(1);
      expect(first[0]).toBeCloseTo(loss, 4);
    }
    expect(
      balancedWeights(
        train.map(({ label }) => label),
        2,
      ),
    ).toEqual([8 / 12, 2]);
  });

  it('falls: a network learns what is easy', async () => {
    const losses: number[] = [];
    const config: TrainingConfig = { ...PLAIN, epochs: 8, optimiser: DEFAULT_TRAINING.optimiser };
    await fit(network(), { train: heads(12), validation: [], leftRight: 0 }, config, 3, {
      ...noHooks,
      onEvent: (event) => {
        if (event.type === 'epoch') losses.push(event.loss);
      },
    });
    expect(losses).toHaveLength(8);
    expect(losses[7]).toBeLessThan(0.3 * losses[0]);
  });

  it('that is no number any more ends the fit with a sentence; what was stored is sound', async () => {
    const config = { ...PLAIN, optimiser: { ...PLAIN.optimiser, learningRate: 10 ** 30 } } as TrainingConfig;
    const stored: FitState[] = [];
    const going = fit(network(), { train: heads(8), validation: [], leftRight: 0 }, config, 1, {
      ...noHooks,
      onCheckpoint: (_kind, state) => {
        stored.push(state);
        return Promise.resolve();
      },
    });
    await expect(going).rejects.toThrow(InputError);
    await expect(going).rejects.toThrow(/training has diverged.*lower learning rate.*--lr/);
    expect(stored).toEqual([]);
  });

  it('that is no number because of an image names the image', async () => {
    const train = heads(4);
    train[2].data[77] = NaN;
    const going = fit(network(), { train, validation: [], leftRight: 0 }, PLAIN, 1, noHooks);
    await expect(going).rejects.toThrow(/the prepared image of h2 holds values that are not finite/);
  });
});

describe('the same seed and plan', () => {
  const config: TrainingConfig = {
    ...DEFAULT_TRAINING,
    epochs: 5,
    batchSize: 3,
    microBatch: 2,
    patience: 0,
  };
  /** Twenty steps. */
  async function trained(seed: number): Promise<Record<string, string>> {
    const of = new Network(SPEC, seed);
    const losses: number[] = [];
    await fit(of, { train: heads(12), validation: [], leftRight: 0 }, config, seed, {
      ...noHooks,
      onEvent: (event) => {
        if (event.type === 'step') losses.push(event.loss);
      },
    });
    expect(losses).toHaveLength(20);
    const made = { ...bits(of), losses: losses.join() };
    of.dispose();
    return made;
  }

  it('give bit-identical weights after 20 steps, on one thread and on two; another seed gives others', async () => {
    const { module } = await openEngine({ threads: 1 });
    const first = await trained(11);
    expect(await trained(11)).toEqual(first);
    expect(await trained(12)).not.toEqual(first);
    await openEngine({ threads: 2, module });
    expect(await trained(11)).toEqual(first);
    await openEngine({ threads: 1, module });
  });
});

describe('early stopping', () => {
  it('keeps the weights of the best epoch and gives up after as many epochs without a better one', async () => {
    const of = network();
    const config: TrainingConfig = {
      ...PLAIN,
      epochs: 40,
      patience: 2,
      optimiser: { ...PLAIN.optimiser, learningRate: 0.5 } as TrainingConfig['optimiser'],
    };
    const epochs: Extract<FitEvent, { type: 'epoch' }>[] = [];
    const stored: { kind: string; weights: Record<string, string>; epoch: number }[] = [];
    const all = heads(12);
    const state = await fit(
      of,
      { train: all.slice(0, 8), validation: all.slice(8), leftRight: 0 },
      config,
      2,
      {
        onEvent: (event) => {
          if (event.type === 'epoch') epochs.push(event);
        },
        onCheckpoint: (kind, { epoch }) => {
          stored.push({ kind, epoch, weights: bits(of) });
          return Promise.resolve();
        },
      },
    );
    const losses = epochs.map(({ validationLoss }) => validationLoss as number);
    const least = losses.indexOf(Math.min(...losses));
    expect(epochs.length).toBeLessThan(40);
    expect(epochs).toHaveLength(least + 3);
    expect(state).toMatchObject({ epoch: least + 3, bestLoss: losses[least], sinceBest: 2 });
    // "best" was stored whenever the loss fell below all before, last in the best epoch.
    const improved = losses.flatMap((loss, at) =>
      loss < Math.min(Infinity, ...losses.slice(0, at)) ? [at] : [],
    );
    expect(stored.filter(({ kind }) => kind === 'best').map(({ epoch }) => epoch - 1)).toEqual(improved);
    expect(stored.filter(({ kind }) => kind === 'last').map(({ epoch }) => epoch - 1)).toEqual(
      losses.map((_, at) => at),
    );
    const best = stored.findLast(({ kind }) => kind === 'best');
    expect(best?.weights).toEqual(
      stored.find(({ kind, epoch }) => kind === 'last' && epoch === least + 1)?.weights,
    );
    expect(best?.weights).not.toEqual(bits(of));
  });
});

describe('a fit that is asked to stop', () => {
  it('stops at the next step boundary, behind a checkpoint of just that place', async () => {
    const of = network();
    const controller = new AbortController();
    const stored: FitState[] = [];
    const going = fit(of, { train: heads(12), validation: [], leftRight: 0 }, PLAIN, 1, {
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === 'step' && event.step === 2) controller.abort();
      },
      onCheckpoint: (_kind, state) => {
        stored.push(state);
        return Promise.resolve();
      },
    });
    await expect(going).rejects.toThrow(StoppedError);
    await expect(going).rejects.toThrow('Stopped in epoch 1 after step 2 of 3.');
    expect(stored).toHaveLength(1);
    expect(stored[0]).toMatchObject({ epoch: 0, step: 2, optimiserSteps: 2 });
  });
});
