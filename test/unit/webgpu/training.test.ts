import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import type { EngineOptions } from '../../../src/core/engine/engine';
import { Network } from '../../../src/core/model/network';
import { networkSpec } from '../../../src/core/model/spec';
import { Random } from '../../../src/core/random';
import { DEFAULT_TRAINING, type TrainingConfig } from '../../../src/core/train/config';
import { fit } from '../../../src/core/train/fit';
import { predictSamples, type Sample } from '../../../src/core/train/sample';
import { haveSoftwareGpu, useSoftwareGpu } from '../../software-gpu';

const SHAPE = [14, 12, 13, 1] as const;
const CONFIG: TrainingConfig = {
  ...DEFAULT_TRAINING,
  epochs: 4,
  batchSize: 4,
  microBatch: 2,
  patience: 0,
  optimiser: { kind: 'sgd', learningRate: 0.02, momentum: 0.9, nesterov: false, weightDecay: 1e-3 },
};

/** Heads of noise; a patient's has a bright block. */
function heads(count: number): Sample[] {
  return Array.from({ length: count }, (_, n) => {
    const random = Random.seeded(n, 'head');
    const label = (n % 2) as 0 | 1;
    const data = Float32Array.from({ length: 14 * 12 * 13 }, () => random.normal());
    if (label === 1)
      for (let d = 3; d < 8; d++)
        for (let h = 3; h < 8; h++) for (let w = 3; w < 8; w++) data[(d * 12 + h) * 13 + w] += 2;
    return { participantId: `h${n}`, source: `h${n}`, label, data, shape: SHAPE };
  });
}

interface Trained {
  readonly losses: readonly number[];
  readonly logits: readonly (readonly number[])[];
}

async function trained(engine: EngineOptions, checkpointActivations = false): Promise<Trained> {
  await openEngine(engine);
  const before = tf.memory().numTensors;
  const network = new Network(networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 }), 7);
  const losses: number[] = [];
  try {
    await fit(
      network,
      { train: heads(8), validation: [], leftRight: 0 },
      { ...CONFIG, checkpointActivations },
      5,
      {
        onEvent: (event) => event.type === 'step' && losses.push(event.loss),
        onCheckpoint: async () => {},
      },
    );
    return { losses, logits: await predictSamples(network, heads(6), 3) };
  } finally {
    network.dispose();
    expect(tf.memory().numTensors, 'tensors left behind').toBe(before);
    await closeEngine();
  }
}

describe.runIf(haveSoftwareGpu('lavapipe'))('training on the engine webgpu', () => {
  useSoftwareGpu('lavapipe');

  it('goes down the same curve as on the engine wasm from the same seed', async () => {
    const wasm = await trained({ engine: 'wasm', threads: 1 });
    expect(wasm.losses).toHaveLength(8);
    expect(wasm.losses.at(-1)).toBeLessThan(wasm.losses[0]);
    const webgpu = await trained({ engine: 'webgpu' });
    webgpu.losses.forEach((loss, step) =>
      expect(Math.abs(loss / wasm.losses[step] - 1), `step ${step + 1}`).toBeLessThan(1e-4),
    );
    webgpu.logits.flat().forEach((logit, i) => expect(logit).toBeCloseTo(wasm.logits.flat()[i], 3));
  });

  it('gives the same numbers again, and with checkpointed activations', async () => {
    const first = await trained({ engine: 'webgpu' });
    expect(await trained({ engine: 'webgpu' })).toEqual(first);
    expect(await trained({ engine: 'webgpu' }, true)).toEqual(first);
  });
});
