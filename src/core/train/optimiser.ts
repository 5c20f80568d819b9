import * as tf from '@tensorflow/tfjs-core';
import { adamStep, sgdStep } from '../engine/ops/optimiser-step';
import type { NetworkWeights } from '../model/weights-of-network';
import type { OptimiserConfig } from './config';

/**
 * SGD with momentum, Adam or AdamW over a network's parameters, by PyTorch's rules. Owns its moments: dispose it.
 */
export class Optimiser {
  private readonly moments: readonly Map<string, tf.Tensor>[];
  /** Steps taken. */
  steps = 0;

  constructor(
    private readonly config: OptimiserConfig,
    private readonly weights: NetworkWeights,
  ) {
    this.moments = this.momentNames.map(
      () =>
        new Map(
          weights.names.map((name): [string, tf.Tensor] => [name, tf.keep(tf.zerosLike(weights.get(name)))]),
        ),
    );
  }

  /** One step at the given learning rate. Takes over and disposes the gradients. */
  step(gradients: ReadonlyMap<string, tf.Tensor>, learningRate: number): void {
    this.steps++;
    for (const [name, gradient] of gradients) {
      const value = this.weights.get(name);
      if (this.config.kind === 'sgd') {
        const { momentum, weightDecay, nesterov } = this.config;
        const next = sgdStep(value, gradient, this.moment(0, name), {
          learningRate,
          momentum,
          weightDecay,
          nesterov,
        });
        this.weights.replace(name, next.value);
        this.moments[0].set(name, next.velocity);
      } else {
        const { kind, beta1, beta2, epsilon, weightDecay } = this.config;
        const next = adamStep(value, gradient, this.moment(0, name), this.moment(1, name), {
          learningRate,
          beta1,
          beta2,
          epsilon,
          weightDecay,
          decoupled: kind === 'adamw',
          step: this.steps,
        });
        this.weights.replace(name, next.value);
        this.moments[0].set(name, next.m);
        this.moments[1].set(name, next.v);
      }
      gradient.dispose();
    }
  }

  /** The moments by file name (`optimizer.<moment>.<parameter>`), in PyTorch's layout. */
  toBorder(): Map<string, { shape: readonly number[]; data: Float32Array }> {
    const border = new Map<string, { shape: readonly number[]; data: Float32Array }>();
    this.momentNames.forEach((moment, i) => {
      for (const [name, tensor] of this.moments[i])
        border.set(`optimizer.${moment}.${name}`, {
          shape: this.weights.info(name).shape,
          data: this.weights.borderValues(name, tensor),
        });
    });
    return border;
  }

  /** Restores what {@link toBorder} gave; `read` returns the values stored under a name. */
  restore(read: (name: string) => Float32Array, steps: number): void {
    this.momentNames.forEach((moment, i) => {
      for (const name of this.weights.names) {
        this.moment(i, name).dispose();
        this.moments[i].set(name, this.weights.engineTensor(name, read(`optimizer.${moment}.${name}`)));
      }
    });
    this.steps = steps;
  }

  dispose(): void {
    for (const moment of this.moments) for (const tensor of moment.values()) tensor.dispose();
  }

  private get momentNames(): readonly string[] {
    return this.config.kind === 'sgd' ? ['velocity'] : ['m', 'v'];
  }

  private moment(index: number, name: string): tf.Tensor {
    const tensor = this.moments[index].get(name);
    if (!tensor) throw new Error(`The optimiser knows no parameter ${name}.`);
    return tensor;
  }
}
