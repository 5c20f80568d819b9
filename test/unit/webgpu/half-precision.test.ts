import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cohort } from '../../../src/core/cohort/cohort';
import { makePhantomHead, phantomGrid } from '../../../src/core/cohort/phantom/head';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { InputError } from '../../../src/core/errors';
import { RunDirectory } from '../../../src/core/experiment/run-directory';
import type { GpuBackend } from '../../../src/core/engine/webgpu/backend';
import { kernelSettings } from '../../../src/core/engine/webgpu/kernels/settings';
import { gradCamSteps } from '../../../src/core/explain/gradcam';
import { diceOverlap } from '../../../src/core/intracranial/dice-overlap';
import { intracranialMask } from '../../../src/core/intracranial/shipped-head';
import { segmentationStep } from '../../../src/core/pretrain/fit-segmentation';
import type { LabelledSample } from '../../../src/core/pretrain/head-store';
import { segmentationLoss } from '../../../src/core/pretrain/segmentation-loss';
import { SegmentationNetwork } from '../../../src/core/pretrain/segmentation-network';
import { Network } from '../../../src/core/model/network';
import { awaited } from '../../../src/core/model/steps';
import { Random } from '../../../src/core/random';
import { FIT_START, parseFitState, type FitState } from '../../../src/core/train/fit-state';
import { fit, type FitEvent } from '../../../src/core/train/fit';
import { LossScaler } from '../../../src/core/train/loss-scale';
import { Optimiser } from '../../../src/core/train/optimiser';
import type { Sample } from '../../../src/core/train/sample';
import { readWeights } from '../../../src/core/weights/read-weights';
import { haveSoftwareGpu, useSoftwareGpu } from '../../software-gpu';
import {
  SPEC,
  TRAINING,
  begun,
  execute,
  outcome,
  scratchFolder,
  stoppedWhen,
  tinyCohort,
} from '../experiment/tiny';

const folder = scratchFolder();
const HALF = { engine: 'webgpu', precision: 'f16' } as const;
const SHAPE = [12, 14, 13, 1] as const;
const STOPPED = join(folder, 'elsewhere');
let cohort: Cohort;
/** A class map in half precision. */
let halfMap: Float32Array;
/** What lies inside the skull of a phantom, likewise. */
let halfInside: Uint8Array;

// Software takes seconds to compile the kernels: the engine is opened once, for all tests but the last ones.
beforeAll(async () => {
  cohort = await tinyCohort(folder);
  if (!haveSoftwareGpu('lavapipe')) return;
  useSoftwareGpu('lavapipe');
  await openEngine(HALF);
  halfMap = await mapOfFaintClass();
  halfInside = await insideOfPhantom();
  const { store } = await begun(STOPPED, { cohort });
  await stoppedWhen(new RunDirectory(STOPPED), store, (phase, done) => phase === 'training' && done === 4);
});
afterAll(closeEngine);

/** Heads of noise. */
function heads(count: number): Sample[] {
  return Array.from({ length: count }, (_, n) => {
    const random = Random.seeded(n, 'head');
    const data = Float32Array.from({ length: 12 * 14 * 13 }, () => random.normal());
    return { participantId: `h${n}`, source: `h${n}`, label: (n % 2) as 0 | 1, data, shape: SHAPE };
  });
}

/**
 * A class map where so many positions lie behind the layer, and the classifier's weights are so small, that the gradient of
 * one position is below the least number of half precision.
 */
async function mapOfFaintClass(): Promise<Float32Array> {
  const random = Random.seeded(3);
  const network = new Network(SPEC, 7);
  const [classes, channels] = network.weights.info('fc.weight').shape;
  const faint = Float32Array.from({ length: classes * channels }, (_, i) => 1e-6 * ((i % 5) - 1.5));
  network.weights.setFromBorder('fc.weight', faint);
  const x = tf.tensor5d(
    Float32Array.from({ length: 40 ** 3 }, () => random.normal()),
    [1, 40, 40, 40, 1],
  );
  try {
    const request = { layer: 'layer2', method: 'gradcam', classIndex: 1 } as const;
    return (await awaited(gradCamSteps(network, x, request))).data;
  } finally {
    x.dispose();
    network.dispose();
  }
}

async function insideOfPhantom(): Promise<Uint8Array> {
  const { flair } = makePhantomHead({ seed: 4711, subject: 1, ...phantomGrid(40) });
  const found = await intracranialMask(flair);
  if ('refused' in found) throw new Error(found.refused);
  return found.on(flair).data;
}

type Step = Extract<FitEvent, { type: 'step' }>;

/** A fit of three steps an epoch; what it told, where it stood at each checkpoint, and the weights it began and ended with. */
async function fitted(start: Partial<FitState>, epochs = 1) {
  const network = new Network(SPEC, 7);
  const weights = async () =>
    new Map([...(await network.weights.readBorder())].map(([name, { data }]) => [name, data.slice()]));
  const began = await weights();
  const steps: Step[] = [];
  const states: FitState[] = [];
  try {
    await fit(
      network,
      { train: heads(6), validation: [], leftRight: 0 },
      { ...TRAINING, epochs, batchSize: 2, microBatch: 2 },
      5,
      {
        onEvent: (event) => event.type === 'step' && steps.push(event),
        onCheckpoint: async (_, state) => void states.push(state),
      },
      { state: { ...FIT_START, ...start }, restore: () => {} },
    );
    return { steps, states, began, ended: await weights() };
  } finally {
    network.dispose();
  }
}

describe.runIf(haveSoftwareGpu('lavapipe'))('training in half precision', () => {
  it('leaves out steps whose gradients overflow and halves the scale, until they do not', async () => {
    const before = tf.memory().numTensors;
    const { steps, states } = await fitted({ lossScale: { scale: 2 ** 24, goodSteps: 3 } }, 4);
    expect(steps[0]).toMatchObject({ lossScale: 2 ** 24, skipped: true });
    const first = steps.findIndex(({ skipped }) => !skipped);
    expect(first).toBeGreaterThan(1);
    expect(steps.slice(0, first + 1).map(({ lossScale }) => lossScale)).toEqual(
      Array.from({ length: first + 1 }, (_, n) => 2 ** (24 - n)),
    );
    expect(states.at(-1)).toMatchObject({
      epoch: 4,
      optimiserSteps: steps.filter(({ skipped }) => !skipped).length,
      lossScale: { scale: 2 ** (24 - steps.filter(({ skipped }) => skipped).length) },
    });
    expect(tf.memory().numTensors, 'tensors left behind').toBe(before);
  });

  it('changes no weight in a step that is left out; statistics move, as the batch was seen', async () => {
    const { steps, began, ended } = await fitted({ lossScale: { scale: 2 ** 60, goodSteps: 0 } });
    expect(steps.every(({ skipped }) => skipped)).toBe(true);
    for (const [name, values] of began)
      if (/running|batches/.test(name)) expect(ended.get(name), name).not.toEqual(values);
      else expect(ended.get(name), name).toEqual(values);
  });

  it('ends with a sentence where gradients are no numbers whatever the scale', async () => {
    const scaler = new LossScaler({ scale: 2, goodSteps: 0 });
    const gradients = new Map([['a', tf.tensor1d([1, Infinity])]]);
    expect(await scaler.accepts(gradients)).toBe(false);
    expect(scaler.now).toEqual({ scale: 1, goodSteps: 0 });
    const ending = scaler.accepts(gradients);
    await expect(ending).rejects.toThrow(InputError);
    await expect(ending).rejects.toThrow(/training has diverged.*--lr.*--precision f32/);
    tf.dispose([...gradients.values()]);
  });

  it('is recorded with the run, and a run that goes on ends in the same bits, scale included', async () => {
    const { directory: whole, store } = await begun(join(folder, 'whole'), { cohort });
    await execute(whole, store);
    const expected = await outcome(whole);
    expect((await whole.record()).engine).toMatchObject({ name: 'webgpu', precision: 'f16' });
    const stepEvents = whole.events().flatMap((event) => (event.type === 'step' ? [event] : []));
    expect(stepEvents[0]).toMatchObject({ lossScale: 2 ** 16 });

    const path = join(folder, 'stopped');
    const again = await begun(path, { cohort });
    for (const step of [2, 7]) {
      expect(
        await stoppedWhen(
          new RunDirectory(path),
          again.store,
          (phase, done) => phase === 'training' && done === step,
        ),
      ).toBe(true);
    }
    const directory = new RunDirectory(path);
    const { metadata } = await readWeights(directory.checkpoint('last'));
    const skipped = stepEvents.slice(0, 7).filter((event) => event.skipped).length;
    expect(parseFitState(metadata.state, 'last').lossScale?.scale).toBe(2 ** (16 - skipped));
    await execute(directory, again.store);
    expect(await outcome(directory)).toEqual(expected);
  });
});

/** By how much one step of gradient descent at rate 1 moves a segmentation network: its gradient. */
async function segmentationStepped(scaler?: LossScaler): Promise<Float32Array> {
  const network = new SegmentationNetwork(SPEC, { tasks: ['a', 'b'], channels: 4 }, 3);
  const descent = { kind: 'sgd', learningRate: 1, momentum: 0, nesterov: false, weightDecay: 0 } as const;
  const still = { rotation: 0, scale: 0, flip: false, intensity: 0, noise: 0 };
  const training = { ...TRAINING, batchSize: 2, microBatch: 1, optimiser: descent, augmentation: still };
  const optimiser = new Optimiser(descent, network.weights);
  const read = async () => {
    const border = await network.weights.readBorder();
    return Float32Array.from(network.weights.names.flatMap((name) => [...(border.get(name)?.data ?? [])]));
  };
  try {
    const before = await read();
    const batch = heads(2).map(({ data, ...rest }, n) => ({
      ...rest,
      data,
      codes: Uint16Array.from(data, (value) => (value > n ? 1 : 0)),
    })) as unknown as LabelledSample[];
    const targets = { members: Uint8Array.from([0, 1, 1, 0]), leftRight: 0 as const };
    await segmentationStep(
      network,
      optimiser,
      batch,
      targets,
      { training, tasksPerStep: null, decoderChannels: 4 },
      [0, 1],
      1,
      () => Random.seeded(1),
      scaler,
    );
    const after = await read();
    return before.map((value, i) => value - after[i]);
  } finally {
    optimiser.dispose();
    network.dispose();
  }
}

describe.runIf(haveSoftwareGpu('lavapipe'))('half precision', () => {
  it('takes the scale of a segmentation loss off before the step', async () => {
    const length = (values: Float32Array) => Math.hypot(...values);
    const half = await segmentationStepped(new LossScaler({ scale: 2 ** 10, goodSteps: 0 }));
    const settings = kernelSettings(tf.backend() as GpuBackend);
    settings.precision = 'f32';
    const single = await segmentationStepped().finally(() => (settings.precision = 'f16'));
    expect(length(single)).toBeGreaterThan(0);
    expect(length(half.map((value, i) => value - single[i])) / length(single)).toBeLessThan(0.1);
  });

  it('scales the gradient of segmentation exactly', async () => {
    const logits = tf.randomNormal([1, 4, 3, 2, 3], 0, 1, 'float32', 5) as tf.Tensor5D;
    const targets = {
      codes: Uint16Array.from({ length: 24 }, (_, i) => i % 3),
      members: Uint8Array.from([0, 0, 0, 1, 0, 1, 0, 1, 1]),
    };
    const plain = await segmentationLoss(logits, targets, [0, 2], 0.5);
    const scaled = await segmentationLoss(logits, targets, [0, 2], 0.5, 1024);
    expect(scaled.loss).toBe(plain.loss);
    const [a, b] = await Promise.all([plain.gradient.data(), scaled.gradient.data()]);
    expect(a.some((value) => value !== 0)).toBe(true);
    expect([...b]).toEqual([...a].map((value) => value * 1024));
    tf.dispose([logits, plain.gradient, scaled.gradient]);
  });
});

describe.runIf(haveSoftwareGpu('lavapipe'))('half precision beside single precision on the processor', () => {
  beforeAll(async () => {
    await openEngine({ engine: 'wasm', threads: 1 });
  });

  it('gives class maps whose gradients would vanish in it', async () => {
    const single = await mapOfFaintClass();
    const largest = Math.max(...single);
    expect(largest).toBeGreaterThan(0);
    halfMap.forEach((value, i) => expect(Math.abs(value - single[i]) / largest).toBeLessThan(2e-2));
  });

  it('makes the same brain masks, but for voxels on their rim', async () => {
    const single = await insideOfPhantom();
    expect(diceOverlap(halfInside, single)).toBeGreaterThan(0.99);
  });

  it('lets a run go on without it, which is said', async () => {
    const { store } = await begun(join(folder, 'same-cases'), { cohort });
    const directory = new RunDirectory(STOPPED);
    expect((await directory.record()).engine).toMatchObject({ name: 'webgpu', precision: 'f16' });
    await execute(directory, store);
    expect((await directory.record()).engine).toMatchObject({ name: 'wasm', precision: 'f32' });
    expect(directory.events().flatMap((event) => (event.type === 'warning' ? event.message : []))).toEqual([
      expect.stringMatching(
        /began with the engine webgpu \(llvmpipe.*\) in half precision and goes on with the engine wasm .*to the rounding of half precision/,
      ),
    ]);
    const { metadata } = await readWeights(directory.checkpoint('last'));
    expect(parseFitState(metadata.state, 'last').lossScale).toBeUndefined();
  });
});
