import * as tf from '@tensorflow/tfjs-core';
import { adamStep, sgdStep } from '../engine/ops/optimiser-step';
import { stageOf } from '../model/stages';
import { atOnce, awaited, type Reads } from '../engine/reading';
import type { BorderTensor, NetworkWeights } from '../model/weights-of-network';
import type { OptimiserConfig } from './config';

/**
 * SGD with momentum, Adam or AdamW over a network's parameters, by PyTorch's rules. Owns its moments: dispose it.
 */
export class Optimiser {
  private readonly moments: readonly Map<string, tf.Tensor>[];
  /** Steps taken. */
  steps = 0;
  /** Steps that each parameter took part in: a frozen one takes none, and corrects its moments' bias by its own count. */
  private readonly taken: Map<string, number>;

  constructor(
    private readonly config: OptimiserConfig,
    private readonly weights: NetworkWeights,
  ) {
    this.taken = new Map(weights.names.map((name) => [name, 0]));
    this.moments = this.momentNames.map(
      () =>
        new Map(
          weights.names.map((name): [string, tf.Tensor] => [name, tf.keep(tf.zerosLike(weights.get(name)))]),
        ),
    );
  }

  /**
   * One step at the given learning rate; parameters without a gradient stay as they are, moments included. Takes over and
   * disposes the gradients.
   * @param factorOf factor of a parameter's learning rate, as PyTorch's parameter groups have it
   */
  step(
    gradients: ReadonlyMap<string, tf.Tensor>,
    rate: number,
    factorOf: (name: string) => number = () => 1,
  ): void {
    this.steps++;
    for (const [name, gradient] of gradients) {
      const value = this.weights.get(name);
      const learningRate = rate * factorOf(name);
      const step = (this.taken.get(name) ?? 0) + 1;
      this.taken.set(name, step);
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
          step,
        });
        this.weights.replace(name, next.value);
        this.moments[0].set(name, next.m);
        this.moments[1].set(name, next.v);
      }
      gradient.dispose();
    }
  }

  /** {@link readBorder}, on an engine that reads at once. */
  toBorder(): Map<string, BorderTensor> {
    return atOnce(this.border());
  }

  /** The moments by file name (`optimizer.<moment>.<parameter>`), in PyTorch's layout. */
  readBorder(): Promise<Map<string, BorderTensor>> {
    return awaited(this.border());
  }

  private *border(): Reads<Map<string, BorderTensor>> {
    const border = new Map<string, BorderTensor>();
    for (const [i, moment] of this.momentNames.entries())
      for (const [name, tensor] of this.moments[i])
        border.set(`optimizer.${moment}.${name}`, {
          shape: this.weights.info(name).shape,
          data: yield* this.weights.borderReads(name, tensor),
        });
    return border;
  }

  /** Steps of the parts of the network that took part in fewer than all, by part; empty where none was ever frozen. */
  get partSteps(): Record<string, number> {
    const parts: Record<string, number> = {};
    for (const [name, taken] of this.taken) if (taken !== this.steps) parts[stageOf(name)] = taken;
    return parts;
  }

  /**
   * Restores what {@link readBorder} gave; `read` returns the values stored under a name.
   * @param partSteps as {@link partSteps} gave them
   */
  restore(
    read: (name: string) => Float32Array,
    steps: number,
    partSteps: Readonly<Record<string, number>> = {},
  ): void {
    this.momentNames.forEach((moment, i) => {
      for (const name of this.weights.names) {
        this.moment(i, name).dispose();
        this.moments[i].set(name, this.weights.engineTensor(name, read(`optimizer.${moment}.${name}`)));
      }
    });
    this.steps = steps;
    for (const name of this.weights.names) this.taken.set(name, partSteps[stageOf(name)] ?? steps);
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
