import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, engineMemory, openEngine, resetEnginePeak } from '../../../src/core/engine/choose';
import { predictionBytes, trainingBytes } from '../../../src/core/model/memory';
import { Network } from '../../../src/core/model/network';
import { networkSpec, type NetworkSpec } from '../../../src/core/model/spec';
import { Random } from '../../../src/core/random';
import { DEFAULT_TRAINING, type TrainingConfig } from '../../../src/core/train/config';
import { trainStep } from '../../../src/core/train/fit';
import { Optimiser } from '../../../src/core/train/optimiser';
import type { Sample } from '../../../src/core/train/sample';

const STILL = { rotation: 0, scale: 0, flip: false, intensity: 0, noise: 0 };

interface Trial {
  readonly spec: NetworkSpec;
  readonly grid: readonly [number, number, number];
  readonly batch: number;
  readonly microBatch?: number;
  readonly optimiser?: TrainingConfig['optimiser'];
  readonly checkpointActivations?: boolean;
}

/** A network in training, and everything that a step needs. */
class Training {
  readonly network: Network;
  readonly config: TrainingConfig;
  private readonly optimiser: Optimiser;
  private readonly samples: Sample[];

  constructor({ spec, grid, batch, microBatch, optimiser, checkpointActivations }: Trial) {
    this.network = new Network(spec, 3);
    this.config = {
      ...DEFAULT_TRAINING,
      batchSize: batch,
      microBatch: microBatch ?? batch,
      augmentation: STILL,
      checkpointActivations: checkpointActivations ?? false,
      optimiser: optimiser ?? DEFAULT_TRAINING.optimiser,
    };
    this.optimiser = new Optimiser(this.config.optimiser, this.network.weights);
    const random = Random.seeded(4);
    const size = grid[0] * grid[1] * grid[2] * spec.inChannels;
    this.samples = Array.from({ length: batch }, (_, n) => ({
      participantId: `sub-${n}`,
      source: `sub-${n}`,
      label: (n % 2) as 0 | 1,
      shape: [...grid, spec.inChannels] as const,
      data: Float32Array.from({ length: size }, () => random.normal()),
    }));
  }

  step(): Promise<number> {
    const { network, optimiser, samples, config } = this;
    return trainStep(network, optimiser, samples, 0, config, [1, 1], 1e-3, () => Random.seeded(1));
  }

  /** Bits of all weights. */
  weights(): string {
    return [...this.network.weights.toBorder().values()]
      .map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64'))
      .join();
  }

  dispose(): void {
    this.network.dispose();
    this.optimiser.dispose();
  }
}

const SGD = { kind: 'sgd', learningRate: 1e-3, momentum: 0.9, nesterov: false, weightDecay: 0 } as const;

const TRIALS: readonly (Trial & { readonly name: string })[] = [
  {
    name: 'ResNet-18 paper',
    spec: networkSpec({ arch: 'resnet18', width: 0.5 }),
    grid: [40, 36, 44],
    batch: 2,
  },
  {
    name: 'ResNet-18 medicalnet, SGD, one volume at a time',
    spec: networkSpec({ arch: 'resnet18', geometry: 'medicalnet', width: 0.25 }),
    grid: [48, 48, 40],
    batch: 3,
    microBatch: 1,
    optimiser: SGD,
  },
  {
    name: 'ResNet-50 paper',
    spec: networkSpec({ arch: 'resnet50', width: 0.25 }),
    grid: [32, 40, 32],
    batch: 2,
  },
  {
    name: 'ResNet-10 compact, two channels',
    spec: networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.25, inChannels: 2 }),
    grid: [40, 48, 40],
    batch: 4,
  },
  {
    name: 'ResNet-18 paper, checkpointed',
    spec: networkSpec({ arch: 'resnet18', width: 0.25 }),
    grid: [64, 64, 64],
    batch: 2,
    checkpointActivations: true,
  },
  {
    name: 'ResNet-34 monai, shortcut B, checkpointed',
    spec: networkSpec({ arch: 'resnet34', geometry: 'monai', shortcut: 'B', width: 0.125 }),
    grid: [36, 32, 40],
    batch: 2,
    checkpointActivations: true,
  },
];

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
