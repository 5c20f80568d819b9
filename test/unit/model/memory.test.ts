import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, engineMemory, openEngine, resetEnginePeak } from '../../../src/core/engine/choose';
import { predictionBytes, trainingBytes } from '../../../src/core/model/memory';
import { Network } from '../../../src/core/model/network';
import { networkSpec } from '../../../src/core/model/spec';
import { TRIALS, Training } from './training-in-memory';

describe('memory', () => {
  beforeAll(() => openEngine({ module: 'simd128-strict', threads: 2 }));
  afterAll(closeEngine);

  it.each(TRIALS)('of a step is foreseen within a tenth: $name', async (trial) => {
    const before = engineMemory()!.inUse;
    const training = new Training(trial);
    await training.step();
    resetEnginePeak();
    await training.step();
    const measured = engineMemory()!.peak - before;
    const { microBatch, batchSize, checkpointActivations, optimiser } = training.config;
    const foreseen = trainingBytes(
      training.network.program,
      [microBatch, ...trial.grid, trial.spec.inChannels],
      {
        moments: optimiser.kind === 'sgd' ? 1 : 2,
        accumulates: microBatch < batchSize,
        checkpointActivations,
      },
    );
    training.dispose();
    expect(Math.abs(foreseen / measured - 1), `foreseen ${foreseen}, measured ${measured}`).toBeLessThan(0.1);
    expect(engineMemory()!.inUse, 'nothing leaks').toBe(before);
  });

  it.each(TRIALS.slice(0, 4))(
    'of a prediction is foreseen within a tenth: $name',
    ({ spec, grid, batch }) => {
      const before = engineMemory()!.inUse;
      const network = new Network(spec, 3);
      const x = tf.zeros([batch, ...grid, spec.inChannels]) as tf.Tensor5D;
      resetEnginePeak();
      network.predict(x);
      const measured = engineMemory()!.peak - before;
      const foreseen = predictionBytes(network.program, x.shape);
      expect(Math.abs(foreseen / measured - 1), `foreseen ${foreseen}, measured ${measured}`).toBeLessThan(
        0.1,
      );
      tf.dispose(x);
      network.dispose();
    },
  );

  it('does not grow over thirty steps', async () => {
    const training = new Training({
      spec: networkSpec({ arch: 'resnet18', width: 0.125 }),
      grid: [24, 24, 24],
      batch: 3,
      microBatch: 2,
    });
    const held = () => [engineMemory()!.inUse, engineMemory()!.reserved, tf.memory().numTensors];
    await training.step();
    await training.step();
    const after2 = held();
    for (let i = 0; i < 28; i++) {
      await training.step();
      expect(held()).toEqual(after2);
    }
    training.dispose();
  });
});

/** One after the other: there is one memory. */
async function withAndWithout<T>(
  work: (checkpointActivations: boolean) => Promise<T>,
): Promise<[plain: T, checkpointed: T]> {
  return [await work(false), await work(true)];
}

describe('activation checkpointing', () => {
  beforeAll(() => openEngine({ threads: 2 }));
  afterAll(closeEngine);

  it.each(['A', 'A-detached', 'B'] as const)(
    'changes no bit of the weights, shortcut %s',
    async (shortcut) => {
      const [plain, checkpointed] = await withAndWithout(async (checkpointActivations) => {
        const training = new Training({
          spec: networkSpec({ arch: shortcut === 'B' ? 'resnet50' : 'resnet18', shortcut, width: 0.125 }),
          grid: [24, 20, 28],
          batch: 2,
          checkpointActivations,
        });
        const losses = [await training.step(), await training.step(), await training.step()];
        const weights = training.weights();
        training.dispose();
        return { losses, weights };
      });
      expect(checkpointed.losses).toEqual(plain.losses);
      expect(checkpointed.weights === plain.weights).toBe(true);
    },
  );

  it('holds much less', async () => {
    const [plain, checkpointed] = await withAndWithout(async (checkpointActivations) => {
      const training = new Training({
        spec: networkSpec({ arch: 'resnet50', geometry: 'medicalnet', width: 0.125 }),
        grid: [64, 64, 64],
        batch: 4,
        checkpointActivations,
      });
      await training.step();
      resetEnginePeak();
      await training.step();
      const { peak } = engineMemory()!;
      training.dispose();
      return peak;
    });
    expect(checkpointed).toBeLessThan(0.6 * plain);
  });
});
