import type * as tf from '@tensorflow/tfjs-core';
import { moveRunning } from '../engine/ops/running-norm';
import { read } from '../engine/reading';
import { NORM_MOMENTUM, Pass, type BatchStatistics, type PassOptions } from './pass';
import { buildProgram, programWithLayer, type Program, type ValueId } from './program';
import { atOnce, type Steps } from './steps';
import { NetworkWeights } from './weights-of-network';
import type { NetworkSpec } from './spec';

/** A 3D ResNet with its weights. Owns tensors: dispose it. */
export class Network {
  readonly program: Program;
  readonly weights: NetworkWeights;

  /** Freshly initialised from the seed; `zeros` where a file's values are about to take all places. */
  constructor(
    readonly spec: NetworkSpec,
    seed: number | 'zeros',
  ) {
    this.program = buildProgram(spec, { fused: true });
    this.weights = new NetworkWeights(this.program, seed);
  }

  /** Runs a batch [N, D, H, W, C] (the caller keeps x). Dispose the pass, or run it backward, which frees it. */
  run(x: tf.Tensor5D, options: PassOptions): Pass {
    return atOnce(Pass.forward(this.program, this.weights, x, options));
  }

  /**
   * Runs a batch such that the named layer's output is kept and gradients can be pulled back to it.
   * @throws InputError that lists the layers when there is no such layer
   */
  runKeeping(
    layer: string,
    x: tf.Tensor5D,
    statistics: PassOptions['statistics'],
  ): { pass: Pass; value: ValueId } {
    return atOnce(this.keepingSteps(layer, x, statistics));
  }

  /** {@link runKeeping}, step by step. */
  *keepingSteps(
    layer: string,
    x: tf.Tensor5D,
    statistics: PassOptions['statistics'],
  ): Steps<{ pass: Pass; value: ValueId }> {
    const { program, value } = programWithLayer(this.spec, layer);
    const pass = yield* Pass.forward(program, this.weights, x, { statistics, keepFrom: value });
    return { pass, value };
  }

  /** Logits of a batch in evaluation mode, row-major [N, classes]. */
  predict(x: tf.Tensor5D): Float32Array {
    return atOnce(this.predictSteps(x));
  }

  /** {@link predict}, step by step. */
  *predictSteps(x: tf.Tensor5D): Steps<Float32Array> {
    const pass = yield* Pass.forward(this.program, this.weights, x, { statistics: 'running' });
    try {
      return (yield* read(pass.logits)).slice();
    } finally {
      pass.dispose();
    }
  }

  /** Moves the running statistics by PyTorch's rule: momentum 0.1, unbiased variance. */
  updateRunning(batch: ReadonlyMap<string, BatchStatistics>): void {
    updateRunning(this.weights, batch);
  }

  dispose(): void {
    this.weights.dispose();
  }
}

/** Moves running statistics by PyTorch's rule: momentum 0.1, unbiased variance. */
export function updateRunning(weights: NetworkWeights, batch: ReadonlyMap<string, BatchStatistics>): void {
  for (const [name, { mean, variance, count }] of batch) {
    const running = weights.runningOf(name);
    const unbias = count > 1 ? count / (count - 1) : 1;
    running.mean = moveRunning(running.mean, mean, NORM_MOMENTUM, 1);
    running.variance = moveRunning(running.variance, variance, NORM_MOMENTUM, unbias);
    running.batches++;
  }
}
