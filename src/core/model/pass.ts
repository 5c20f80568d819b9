import * as tf from '@tensorflow/tfjs-core';
import { conv3d, conv3dFilterGradient, conv3dInputGradient } from '../engine/ops/conv3d';
import type { Shape5 } from '../engine/ops/kernels';
import { linear, linearGradient } from '../engine/ops/linear';
import { batchNormTrain, batchNormTrainGradient, scaleShift, scaleShiftGradient } from '../engine/ops/norm';
import {
  globalAveragePool,
  globalAveragePoolGradient,
  maxPool3d,
  maxPool3dGradient,
} from '../engine/ops/pool';
import { subsamplePad, subsamplePadGradient } from '../engine/ops/shortcut';
import type { NetworkWeights } from './weights-of-network';
import type { Instruction, Program, ValueId } from './program';
import { atOnce, type Steps } from './steps';

/** PyTorch's batch normalisation constants. */
export const NORM_EPSILON = 1e-5;
export const NORM_MOMENTUM = 0.1;

export interface PassOptions {
  /** `batch`: normalise by this batch (training). `running`: by the running statistics (evaluation). */
  readonly statistics: 'batch' | 'running';
  /** Keep what a later {@link Pass.backward} needs, for the steps behind this value; 0 keeps all, undefined nothing. */
  readonly keepFrom?: ValueId;
}

/** What a backward pass is asked for. */
export interface BackwardOptions {
  /** Gradients of the parameters behind `to`. */
  readonly parameters: boolean;
  /** Stop at this value and return its gradient. */
  readonly to?: ValueId;
}

export interface BackwardResult {
  /** By parameter name, in the engine's layout; the caller owns the tensors. */
  readonly parameters: Map<string, tf.Tensor>;
  /** Gradient of the value asked for; the caller owns it. */
  readonly value?: tf.Tensor;
}

/** Mean and biased variance of one batch normalisation over this batch, and how many numbers went into each. */
export interface BatchStatistics {
  readonly mean: Float32Array;
  readonly variance: Float32Array;
  readonly count: number;
}

type Backup =
  | { readonly kind: 'train'; readonly mean: tf.Tensor1D; readonly variance: tf.Tensor1D }
  | { readonly kind: 'eval'; readonly scale: tf.Tensor1D; readonly shift: tf.Tensor1D }
  | { readonly kind: 'indices'; readonly indices: tf.Tensor5D; readonly inputShape: Shape5 }
  | { readonly kind: 'shape'; readonly inputShape: Shape5 };

/**
 * One run of a program: forward once, backward at most once. Values are disposed as soon as nothing ahead
 * needs them, so an evaluation holds two or three activations at a time and a backward pass frees as it goes.
 */
export class Pass {
  private readonly values = new Map<ValueId, tf.Tensor>();
  private readonly backups = new Map<Instruction, Backup>();
  private readonly statistics = new Map<
    string,
    { mean: tf.Tensor1D; variance: tf.Tensor1D; count: number }
  >();

  /** Runs a program forward, step by step. @param x [N, D, H, W, C]; stays the caller's. */
  static *forward(
    program: Program,
    weights: NetworkWeights,
    x: tf.Tensor5D,
    options: PassOptions,
  ): Steps<Pass> {
    const pass = new Pass(program, weights, x, options);
    let whole = false;
    try {
      yield* pass.forwardSteps();
      whole = true;
      return pass;
    } finally {
      if (!whole) pass.dispose();
    }
  }

  private constructor(
    private readonly program: Program,
    private readonly weights: NetworkWeights,
    private readonly x: tf.Tensor5D,
    private readonly options: PassOptions,
  ) {
    this.values.set(0, x);
  }

  /** [N, classes]; owned by the pass. */
  get logits(): tf.Tensor2D {
    const { instructions } = this.program;
    return this.value(instructions[instructions.length - 1].to) as tf.Tensor2D;
  }

  private *forwardSteps(): Steps<void> {
    const { instructions } = this.program;
    const lastUse = lastUses(this.program);
    for (const [index, step] of instructions.entries()) {
      this.values.set(step.to, this.forwardStep(step));
      for (const id of inputsOf(step)) if (lastUse.get(id) === index && !this.kept(id)) this.release(id);
      yield { layer: step.name, pass: 'forward', done: index + 1, total: instructions.length };
    }
  }

  /** A value that was kept; owned by the pass. */
  value(id: ValueId): tf.Tensor {
    const value = this.values.get(id);
    if (!value) throw new Error(`Value ${id} was not kept.`);
    return value;
  }

  /** Batch statistics of every batch normalisation that ran in training mode. */
  batchStatistics(): Map<string, BatchStatistics> {
    const read = new Map<string, BatchStatistics>();
    for (const [name, { mean, variance, count }] of this.statistics)
      read.set(name, { mean: mean.dataSync<'float32'>(), variance: variance.dataSync<'float32'>(), count });
    return read;
  }

  /** Pulls `dlogits` [N, classes] back. Frees activations on the way; can be called once. */
  backward(dlogits: tf.Tensor2D, options: BackwardOptions): BackwardResult {
    return atOnce(this.backwardSteps(dlogits, options));
  }

  /** {@link backward}, step by step. Where it is given up, the pass still has to be disposed. */
  *backwardSteps(dlogits: tf.Tensor2D, options: BackwardOptions): Steps<BackwardResult> {
    const { instructions } = this.program;
    const last = instructions[instructions.length - 1].to;
    const gradients = new Map<ValueId, tf.Tensor>([[last, tf.clone(dlogits)]]);
    const parameters = new Map<string, tf.Tensor>();
    const to = options.to ?? -1;
    const steps = instructions.filter((step) => step.to > to).reverse();
    let whole = false;
    try {
      for (const [index, step] of steps.entries()) {
        const dy = gradients.get(step.to);
        if (dy) {
          this.backwardStep(step, dy, gradients, parameters, options);
          gradients.delete(step.to);
          dy.dispose();
        }
        this.release(step.to);
        yield { layer: step.name, pass: 'backward', done: index + 1, total: steps.length };
      }
      whole = true;
    } finally {
      for (const [id, gradient] of gradients) if (!whole || id !== to) gradient.dispose();
      if (!whole) tf.dispose([...parameters.values()]);
    }
    this.dispose();
    return { parameters, value: gradients.get(to) };
  }

  /** Frees everything that the pass still holds. */
  dispose(): void {
    for (const id of [...this.values.keys()]) this.release(id);
    for (const backup of this.backups.values()) disposeBackup(backup);
    for (const { mean, variance } of this.statistics.values()) tf.dispose([mean, variance]);
    this.backups.clear();
    this.statistics.clear();
  }

  private kept(id: ValueId): boolean {
    const { keepFrom } = this.options;
    return keepFrom !== undefined && id >= keepFrom;
  }

  private keeps(step: Instruction): boolean {
    const { keepFrom } = this.options;
    return keepFrom !== undefined && step.to > keepFrom;
  }

  private release(id: ValueId): void {
    const value = this.values.get(id);
    this.values.delete(id);
    if (value && value !== this.x) value.dispose();
  }

  private backUp(step: Instruction, backup: Backup): void {
    if (this.keeps(step)) this.backups.set(step, backup);
    else disposeBackup(backup);
  }

  private forwardStep(step: Instruction): tf.Tensor {
    const x = this.value(step.from);
    switch (step.op) {
      case 'conv':
        return conv3d(x as tf.Tensor5D, this.weights.get<tf.Tensor5D>(`${step.name}.weight`), step.attrs);
      case 'norm':
        return this.forwardNorm(step, x as tf.Tensor5D);
      case 'join': {
        const [scale, shift] = identityScale(x.shape[4] as number);
        const y = scaleShift(x as tf.Tensor5D, scale, shift, this.residual(step), step.relu);
        this.backUp(step, { kind: 'eval', scale, shift });
        return y;
      }
      case 'maxpool': {
        const { y, indices } = maxPool3d(x as tf.Tensor5D, step.attrs);
        this.backUp(step, { kind: 'indices', indices, inputShape: x.shape as unknown as Shape5 });
        return y;
      }
      case 'subsample':
        this.backUp(step, { kind: 'shape', inputShape: x.shape as unknown as Shape5 });
        return subsamplePad(x as tf.Tensor5D, step.stride, step.channels);
      case 'average':
        this.backUp(step, { kind: 'shape', inputShape: x.shape as unknown as Shape5 });
        return globalAveragePool(x as tf.Tensor5D);
      case 'linear':
        return linear(
          x as tf.Tensor2D,
          this.weights.get<tf.Tensor2D>('fc.weight'),
          this.weights.get<tf.Tensor1D>('fc.bias'),
        );
    }
  }

  private forwardNorm(step: Instruction & { op: 'norm' }, x: tf.Tensor5D): tf.Tensor5D {
    const gamma = this.weights.get<tf.Tensor1D>(`${step.name}.weight`);
    const beta = this.weights.get<tf.Tensor1D>(`${step.name}.bias`);
    if (this.options.statistics === 'batch') {
      const { y, mean, variance } = batchNormTrain(x, gamma, beta, this.residual(step), {
        epsilon: NORM_EPSILON,
        relu: step.relu,
      });
      this.statistics.set(step.name, { mean, variance, count: x.size / x.shape[4] });
      return y;
    }
    const [scale, shift] = this.runningScale(step.name, gamma, beta);
    const y = scaleShift(x, scale, shift, this.residual(step), step.relu);
    this.backUp(step, { kind: 'eval', scale, shift });
    return y;
  }

  private residual(step: { readonly residual?: ValueId }): tf.Tensor5D | undefined {
    return step.residual === undefined ? undefined : (this.value(step.residual) as tf.Tensor5D);
  }

  /** Running statistics folded into one multiplication and one addition per channel. */
  private runningScale(name: string, gamma: tf.Tensor1D, beta: tf.Tensor1D): [tf.Tensor1D, tf.Tensor1D] {
    const running = this.weights.running.get(name);
    if (!running) throw new Error(`No running statistics for ${name}.`);
    const g = gamma.dataSync<'float32'>();
    const b = beta.dataSync<'float32'>();
    const scale = running.variance.map((variance, c) => g[c] / Math.sqrt(variance + NORM_EPSILON));
    const shift = running.mean.map((mean, c) => b[c] - mean * scale[c]);
    return [tf.tensor1d(scale), tf.tensor1d(shift)];
  }

  private backwardStep(
    step: Instruction,
    dy: tf.Tensor,
    gradients: Map<ValueId, tf.Tensor>,
    parameters: Map<string, tf.Tensor>,
    options: BackwardOptions,
  ): void {
    const wanted = (id: ValueId) => id >= (options.to ?? 1);
    const add = (id: ValueId, gradient: tf.Tensor | undefined) => {
      if (!gradient) return;
      const sum = gradients.get(id);
      if (!wanted(id)) return gradient.dispose();
      gradients.set(id, sum ? tf.add(sum, gradient) : gradient);
      if (sum) tf.dispose([sum, gradient]);
    };
    switch (step.op) {
      case 'conv': {
        // A shortcut's convolution may read a value from before the one asked for: nothing is wanted of it then.
        if (!options.parameters && !wanted(step.from)) return;
        const name = `${step.name}.weight`;
        const filter = this.weights.get<tf.Tensor5D>(name);
        const x = this.value(step.from) as tf.Tensor5D;
        const dy5 = dy as tf.Tensor5D;
        if (options.parameters) parameters.set(name, conv3dFilterGradient(x, dy5, step.attrs, filter.shape));
        if (wanted(step.from)) add(step.from, conv3dInputGradient(dy5, filter, step.attrs, x.shape));
        return;
      }
      case 'norm':
        return this.backwardNorm(step, dy as tf.Tensor5D, add, parameters, options);
      case 'join': {
        const { scale } = this.backup(step, 'eval');
        const { dx, dscale, dshift, dresidual } = scaleShiftGradient(
          dy as tf.Tensor5D,
          this.value(step.from) as tf.Tensor5D,
          this.value(step.to) as tf.Tensor5D,
          scale,
          { relu: step.relu, residual: step.residual !== undefined },
        );
        tf.dispose([dscale, dshift]);
        add(step.from, dx);
        if (step.residual !== undefined) add(step.residual, dresidual);
        return;
      }
      case 'maxpool': {
        const { indices, inputShape } = this.backup(step, 'indices');
        return add(step.from, maxPool3dGradient(dy as tf.Tensor5D, indices, inputShape));
      }
      case 'subsample':
        if (step.detached) return;
        return add(
          step.from,
          subsamplePadGradient(dy as tf.Tensor5D, step.stride, this.backup(step, 'shape').inputShape),
        );
      case 'average':
        return add(
          step.from,
          globalAveragePoolGradient(dy as tf.Tensor2D, this.backup(step, 'shape').inputShape),
        );
      case 'linear': {
        const weight = this.weights.get<tf.Tensor2D>('fc.weight');
        const { dx, dweight, dbias } = linearGradient(
          dy as tf.Tensor2D,
          this.value(step.from) as tf.Tensor2D,
          weight,
        );
        if (options.parameters) {
          parameters.set('fc.weight', dweight);
          parameters.set('fc.bias', dbias);
        } else tf.dispose([dweight, dbias]);
        return add(step.from, dx);
      }
    }
  }

  private backwardNorm(
    step: Instruction & { op: 'norm' },
    dy: tf.Tensor5D,
    add: (id: ValueId, gradient: tf.Tensor | undefined) => void,
    parameters: Map<string, tf.Tensor>,
    options: BackwardOptions,
  ): void {
    const x = this.value(step.from) as tf.Tensor5D;
    const y = this.value(step.to) as tf.Tensor5D;
    const residual = step.residual !== undefined;
    const gammaName = `${step.name}.weight`;
    const betaName = `${step.name}.bias`;
    let dgamma: tf.Tensor1D;
    let dbeta: tf.Tensor1D;
    let dx: tf.Tensor5D;
    let dresidual: tf.Tensor5D | undefined;
    if (this.options.statistics === 'batch') {
      const statistics = this.statistics.get(step.name);
      if (!statistics) throw new Error(`No batch statistics for ${step.name}.`);
      const gamma = this.weights.get<tf.Tensor1D>(gammaName);
      ({ dx, dgamma, dbeta, dresidual } = batchNormTrainGradient(
        dy,
        x,
        y,
        gamma,
        statistics.mean,
        statistics.variance,
        {
          epsilon: NORM_EPSILON,
          relu: step.relu,
          residual,
        },
      ));
    } else {
      const { scale } = this.backup(step, 'eval');
      const gradient = scaleShiftGradient(dy, x, y, scale, { relu: step.relu, residual });
      ({ dx, dresidual, dshift: dbeta } = gradient);
      dgamma = this.gammaGradient(step.name, gradient.dscale, dbeta);
    }
    if (options.parameters) {
      parameters.set(gammaName, dgamma);
      parameters.set(betaName, dbeta);
    } else tf.dispose([dgamma, dbeta]);
    if (step.residual !== undefined) add(step.residual, dresidual);
    add(step.from, dx);
  }

  /** scale = gamma / sd and shift = beta - mean * scale, hence dgamma = (dscale - mean * dshift) / sd. */
  private gammaGradient(name: string, dscale: tf.Tensor1D, dshift: tf.Tensor1D): tf.Tensor1D {
    const running = this.weights.running.get(name);
    if (!running) throw new Error(`No running statistics for ${name}.`);
    const shift = dshift.dataSync<'float32'>();
    const dgamma = dscale
      .dataSync<'float32'>()
      .map((d, c) => (d - running.mean[c] * shift[c]) / Math.sqrt(running.variance[c] + NORM_EPSILON));
    dscale.dispose();
    return tf.tensor1d(dgamma);
  }

  private backup<K extends Backup['kind']>(step: Instruction, kind: K): Extract<Backup, { kind: K }> {
    const backup = this.backups.get(step);
    if (backup?.kind !== kind) throw new Error(`Layer ${step.name} was not kept for a backward pass.`);
    return backup as Extract<Backup, { kind: K }>;
  }
}

function inputsOf(step: Instruction): ValueId[] {
  const residual = step.op === 'norm' || step.op === 'join' ? step.residual : undefined;
  return residual === undefined ? [step.from] : [step.from, residual];
}

function lastUses(program: Program): Map<ValueId, number> {
  const last = new Map<ValueId, number>();
  program.instructions.forEach((step, index) => {
    for (const id of inputsOf(step)) last.set(id, index);
  });
  return last;
}

function identityScale(channels: number): [tf.Tensor1D, tf.Tensor1D] {
  return [tf.ones([channels]) as tf.Tensor1D, tf.zeros([channels]) as tf.Tensor1D];
}

function disposeBackup(backup: Backup): void {
  if (backup.kind === 'eval') tf.dispose([backup.scale, backup.shift]);
  else if (backup.kind === 'indices') backup.indices.dispose();
}
