import { networkSpec, type NetworkSpec } from '../../../src/core/model/spec';
import { Network } from '../../../src/core/model/network';
import { Random } from '../../../src/core/random';
import { DEFAULT_TRAINING, type TrainingConfig } from '../../../src/core/train/config';
import { trainStep } from '../../../src/core/train/fit';
import { Optimiser } from '../../../src/core/train/optimiser';
import type { Sample } from '../../../src/core/train/sample';

const STILL = { rotation: 0, scale: 0, flip: false, intensity: 0, noise: 0 };

/** What is trained for its memory's sake. */
export interface Trial {
  readonly spec: NetworkSpec;
  readonly grid: readonly [number, number, number];
  readonly batch: number;
  readonly microBatch?: number;
  readonly optimiser?: TrainingConfig['optimiser'];
  readonly checkpointActivations?: boolean;
}

/** A network in training, and everything that a step needs. */
export class Training {
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

export const SGD = {
  kind: 'sgd',
  learningRate: 1e-3,
  momentum: 0.9,
  nesterov: false,
  weightDecay: 0,
} as const;

/** Networks of every kind, whole batches and parts of them, with and without checkpointing. */
export const TRIALS: readonly (Trial & { readonly name: string })[] = [
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
