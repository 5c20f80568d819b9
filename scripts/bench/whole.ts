import * as tf from '@tensorflow/tfjs-core';
import { engineMemory, spareForScratch } from '../../src/core/engine/choose';
import { gradCamSteps } from '../../src/core/explain/gradcam';
import { forwardFlops } from '../../src/core/model/flops';
import { Network } from '../../src/core/model/network';
import { networkSpec } from '../../src/core/model/spec';
import { awaited } from '../../src/core/model/steps';
import { Random } from '../../src/core/random';
import { DEFAULT_TRAINING, type TrainingConfig } from '../../src/core/train/config';
import { passOptions, scalerOf, trainStep } from '../../src/core/train/fit';
import { Optimiser } from '../../src/core/train/optimiser';
import { FIT_START } from '../../src/core/train/fit-state';
import type { LossScaler } from '../../src/core/train/loss-scale';
import { fitStep } from '../../src/core/train/memory-need';
import { microBatchSizes, prepareTraining } from '../../src/core/train/rehearsal';
import type { Sample } from '../../src/core/train/sample';
import type { EngineRequest, WholeRequest } from './requests';

/** A network with what a training step, a prediction or a class map needs: the same calls as `fcd train` and `fcd explain`. */
export class Whole {
  private readonly network: Network;
  private readonly optimiser: Optimiser;
  private readonly samples: readonly Sample[];
  private readonly config: TrainingConfig;
  private readonly x: tf.Tensor5D;
  private readonly trains: boolean;
  /** In half precision. */
  private readonly scaler: LossScaler | undefined;
  readonly flops: number;

  constructor(request: WholeRequest, engine: Pick<EngineRequest, 'optimiser' | 'checkpointActivations'>) {
    const { arch, geometry, shortcut, width, grid, batch, kind, memory } = request;
    this.network = new Network(networkSpec({ arch, geometry, shortcut, width }), 1);
    const trains = (this.trains = kind === 'step' || kind === 'threads');
    const config: TrainingConfig = {
      ...DEFAULT_TRAINING,
      batchSize: batch,
      microBatch: request.microBatch ?? batch,
      checkpointActivations: engine.checkpointActivations,
      augmentation: { rotation: 0, scale: 0, flip: false, intensity: 0, noise: 0 },
      optimiser:
        engine.optimiser === 'sgd'
          ? { kind: 'sgd', learningRate: 1e-4, momentum: 0.9, nesterov: false, weightDecay: 0 }
          : { ...DEFAULT_TRAINING.optimiser, learningRate: 1e-5 },
    };
    const { program, weights } = this.network;
    const fits = memory !== undefined && trains;
    const fitted = fits
      ? fitStep({ program, training: config, shape: [...grid, 1], memory: engineMemory() })
      : undefined;
    if (fitted) spareForScratch(fitted.spare);
    this.config = fitted?.training ?? config;
    this.optimiser = new Optimiser(this.config.optimiser, weights);
    this.scaler = scalerOf(FIT_START);
    const random = Random.seeded(1);
    this.samples = Array.from({ length: batch }, (_, n) => ({
      participantId: `sub-${n}`,
      source: `sub-${n}`,
      label: (n % 2) as 0 | 1,
      shape: [...grid, 1] as const,
      data: Float32Array.from({ length: grid[0] * grid[1] * grid[2] }, () => random.uniform(-1, 1)),
    }));
    const first = this.samples[0];
    this.x = tf.tensor5d(first.data, [1, ...first.shape]);
    const forward = forwardFlops(program, [batch, ...grid, 1]);
    this.flops = trains ? forward.step : forward.forward;
  }

  /** Volumes computed at once, and whether activations are computed again on the way back. */
  get parts(): Pick<TrainingConfig, 'microBatch' | 'checkpointActivations'> {
    const { microBatch, checkpointActivations } = this.config;
    return { microBatch, checkpointActivations };
  }

  /** Lets a GPU time the convolutions of a step, as before a run; other engines have done so by themselves. */
  async prepare(): Promise<void> {
    if (!this.trains) return;
    const { network, config, samples } = this;
    const sizes = microBatchSizes([samples], config.microBatch);
    await prepareTraining(network, samples[0].shape, sizes, passOptions(network, config, new Set()), {});
  }

  /** @returns whether the optimiser moved: in half precision a step whose gradients overflow is left out */
  async step(): Promise<boolean> {
    const { network, optimiser, samples, config, scaler } = this;
    const rate = config.optimiser.learningRate;
    const learning = { frozen: new Set<never>(), factorOf: () => 1, scaler };
    const before = optimiser.steps;
    await trainStep(network, optimiser, samples, 0, config, [1, 1], rate, () => Random.seeded(1), learning);
    return optimiser.steps > before;
  }

  async inference(): Promise<void> {
    await awaited(this.network.predictSteps(this.x));
  }

  async gradcam(): Promise<void> {
    const request = { layer: 'layer4', method: 'gradcam', classIndex: 1 } as const;
    await awaited(gradCamSteps(this.network, this.x, request));
  }
}
