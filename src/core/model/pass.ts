import * as tf from '@tensorflow/tfjs-core';
import { addInto } from '../engine/ops/add-into';
import { addBias, biasGradient } from '../engine/ops/bias';
import {
  addConv3dInputGradient,
  conv3d,
  conv3dFilterGradient,
  conv3dInputGradient,
} from '../engine/ops/conv3d';
import { keepHalf, keepsHalf, roundHalf } from '../engine/ops/keep-half';
import type { Shape5 } from '../engine/ops/kernels';
import { linear, linearGradient } from '../engine/ops/linear';
import {
  batchNormTrain,
  batchNormTrainGradient,
  scaleShift,
  scaleShiftGradient,
  type ScaleShiftGradient,
} from '../engine/ops/norm';
import { normPool, normPoolGradient, scaleShiftPool } from '../engine/ops/norm-pool';
import {
  globalAveragePool,
  globalAveragePoolGradient,
  maxPool3d,
  maxPool3dGradient,
} from '../engine/ops/pool';
import { foldNorm, foldNormGradient, type Running } from '../engine/ops/running-norm';
import { resizeTrilinear, resizeTrilinearGradient } from '../engine/ops/resample';
import { subsamplePad, subsamplePadGradient } from '../engine/ops/shortcut';
import type { NetworkWeights } from './weights-of-network';
import {
  innerValues,
  innerValuesFromHalves,
  inputsOf,
  pieces,
  readersOf,
  type Instruction,
  type Program,
  type ValueId,
} from './program';
import { stageOf, type Stage } from './stages';
import { atOnce, type Steps } from './steps';
import type { PoolAttrs } from '../engine/ops/pool';

/** PyTorch's batch normalisation constants. */
export const NORM_EPSILON = 1e-5;
export const NORM_MOMENTUM = 0.1;

export interface PassOptions {
  /** `batch`: normalise by this batch (training). `running`: by the running statistics (evaluation). */
  readonly statistics: 'batch' | 'running';
  /** Keep what a later {@link Pass.backward} needs, for the steps behind this value; 0 keeps all, undefined nothing. */
  readonly keepFrom?: ValueId;
  /**
   * Keep only what flows from residual block to residual block, and compute the rest of a block again when the backward
   * pass comes to it (Chen et al. 2016): a third more to compute, the same gradients bit for bit.
   */
  readonly checkpointActivations?: boolean;
  /**
   * Keep grids in half precision from where the forward pass reads them last: half the memory. Convolutions in half precision read
   * the same numbers either way; gradients of normalisations are off by the rounding of what was normalised.
   */
  readonly keepHalf?: boolean;
  /**
   * Parts that do not learn: they normalise by their running statistics, whatever `statistics` says, their parameters get
   * no gradient, and the backward pass ends where nothing before it learns.
   */
  readonly frozen?: ReadonlySet<Stage>;
}

/** What a backward pass is asked for. */
export interface BackwardOptions {
  /** Gradients of the parameters behind `to` that learn. */
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
export interface BatchStatistics extends Running {
  readonly count: number;
}

type Backup =
  | { readonly kind: 'train'; readonly mean: tf.Tensor1D; readonly variance: tf.Tensor1D }
  | { readonly kind: 'eval'; readonly scale: tf.Tensor1D; readonly shift: tf.Tensor1D }
  | { readonly kind: 'indices'; readonly indices: tf.Tensor5D; readonly inputShape: Shape5 }
  | {
      readonly kind: 'evalPool';
      readonly scale: tf.Tensor1D;
      readonly shift: tf.Tensor1D;
      readonly indices: tf.Tensor5D;
    }
  | { readonly kind: 'shape'; readonly inputShape: Shape5 };

/**
 * One run of a program: forward once, backward at most once. Values are disposed as soon as nothing ahead
 * needs them, so an evaluation holds two or three activations at a time and a backward pass frees as it goes.
 */
export class Pass {
  private readonly values = new Map<ValueId, tf.Tensor>();
  private readonly backups = new Map<Instruction, Backup>();
  private readonly statistics = new Map<string, BatchStatistics>();
  /** Which steps read a value, by index. */
  private readonly readers: ReadonlyMap<ValueId, readonly number[]>;
  /** Values that are dropped on the way forward although the backward pass needs them. */
  private readonly dropped: ReadonlySet<ValueId>;
  /** Values that depend on something that learns: the others need no gradient. */
  private readonly learned: ReadonlySet<ValueId>;
  /** A block is being computed for the second time: everything in it is needed at once. */
  private again = false;

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
    this.readers = readersOf(program);
    const inner = options.keepHalf ? innerValuesFromHalves : innerValues;
    this.dropped = options.checkpointActivations ? inner(program) : new Set();
    this.learned = learnedValues(program, (step) => this.learns(step));
  }

  /** [N, classes] of a classifier; owned by the pass. */
  get logits(): tf.Tensor2D {
    return this.output as tf.Tensor2D;
  }

  /** What the last step made; owned by the pass. */
  get output(): tf.Tensor {
    const { instructions } = this.program;
    return this.value(instructions[instructions.length - 1].to);
  }

  private *forwardSteps(): Steps<void> {
    const { instructions } = this.program;
    for (const [index, step] of instructions.entries()) {
      this.values.set(step.to, this.forwardStep(step));
      for (const id of inputsOf(step))
        if (this.readers.get(id)?.at(-1) === index)
          if (this.kept(id)) this.halve(id);
          else this.release(id);
      yield { layer: step.name, pass: 'forward', done: index + 1, total: instructions.length };
    }
  }

  /** A value that was kept; owned by the pass. */
  value(id: ValueId): tf.Tensor {
    const value = this.values.get(id);
    if (!value) throw new Error(`Value ${id} was not kept.`);
    return value;
  }

  /** Batch statistics of every batch normalisation that ran in training mode; owned by the pass. */
  batchStatistics(): ReadonlyMap<string, BatchStatistics> {
    return this.statistics;
  }

  /** Pulls the gradient of the output back. Frees activations on the way; can be called once. */
  backward(doutput: tf.Tensor, options: BackwardOptions): BackwardResult {
    return atOnce(this.backwardSteps(doutput, options));
  }

  /** {@link backward}, step by step. Where it is given up, the pass still has to be disposed. */
  *backwardSteps(doutput: tf.Tensor, options: BackwardOptions): Steps<BackwardResult> {
    const { instructions } = this.program;
    const last = instructions[instructions.length - 1].to;
    const gradients = new Map<ValueId, tf.Tensor>([[last, tf.clone(doutput)]]);
    const parameters = new Map<string, tf.Tensor>();
    const to = options.to ?? -1;
    // Where gradients are wanted of parameters alone, nothing is to be done for what does not depend on any.
    const steps = instructions
      .filter((step) => step.to > to && (options.to !== undefined || this.learned.has(step.to)))
      .reverse();
    const piece = pieces(this.program);
    let whole = false;
    try {
      for (const [index, step] of steps.entries()) {
        const place = instructions.indexOf(step);
        if (piece[place] !== piece[place + 1]) this.computeAgain(piece.indexOf(piece[place]), place);
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

  /** Computes again what was dropped of the piece of steps from `first` to `last`. */
  private computeAgain(first: number, last: number): void {
    if (this.dropped.size === 0) return;
    this.again = true;
    const made: ValueId[] = [];
    for (const step of this.program.instructions.slice(first, last + 1))
      if (!this.values.has(step.to) && this.values.has(step.from)) {
        this.values.set(step.to, this.forwardStep(step));
        made.push(step.to);
      }
    // What they would be had they been kept: checkpointing changes no bit. In single precision gradients take their memory.
    for (const id of made) if (this.liesInHalf(id)) roundHalf(this.value(id));
    this.again = false;
  }

  /** Lets a value that the forward pass reads no more lie in half precision. */
  private halve(id: ValueId): void {
    if (!this.liesInHalf(id)) return;
    const value = this.value(id);
    this.values.set(id, keepHalf(value));
    value.dispose();
  }

  /** Whether a value is one that is kept in half precision. */
  private liesInHalf(id: ValueId): boolean {
    const value = this.values.get(id);
    return this.options.keepHalf === true && value !== undefined && value !== this.x && keepsHalf(value);
  }

  /** Whether the parameters of a step, if it has any, learn. */
  private learns({ name }: Instruction): boolean {
    return !this.options.frozen?.has(stageOf(name));
  }

  /** Which statistics a normalisation goes by. */
  private statisticsOf(step: Instruction): PassOptions['statistics'] {
    return this.learns(step) ? this.options.statistics : 'running';
  }

  private kept(id: ValueId): boolean {
    const { keepFrom } = this.options;
    if (keepFrom === undefined || id < keepFrom) return false;
    return this.again || id === keepFrom || !this.dropped.has(id);
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
    const former = this.backups.get(step);
    if (former) disposeBackup(former);
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
      case 'resize': {
        const [, d, h, w] = this.value(step.like).shape;
        this.backUp(step, { kind: 'shape', inputShape: x.shape as unknown as Shape5 });
        return resizeTrilinear(x as tf.Tensor5D, [d, h, w]);
      }
      case 'bias':
        return addBias(x as tf.Tensor5D, this.weights.get<tf.Tensor1D>(`${step.name}.bias`));
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
    if (step.pool) return this.forwardPooledNorm(step, step.pool, x, gamma, beta);
    if (this.statisticsOf(step) === 'batch') {
      const overwrite = this.isReadOnce(step.from) && !this.kept(step.from);
      const { y, mean, variance } = batchNormTrain(x, gamma, beta, this.residual(step), {
        epsilon: NORM_EPSILON,
        relu: step.relu,
        overwrite,
      });
      this.note(step.name, { mean, variance, count: x.size / x.shape[4] });
      return y;
    }
    const [scale, shift] = this.runningScale(step.name, gamma, beta);
    const overwrite = this.isReadOnce(step.from) && !this.kept(step.from);
    const y = scaleShift(x, scale, shift, this.residual(step), step.relu, { overwrite });
    this.backUp(step, { kind: 'eval', scale, shift });
    return y;
  }

  private forwardPooledNorm(
    step: Instruction & { op: 'norm' },
    window: PoolAttrs,
    x: tf.Tensor5D,
    gamma: tf.Tensor1D,
    beta: tf.Tensor1D,
  ): tf.Tensor5D {
    if (this.statisticsOf(step) === 'batch') {
      const { y, indices, mean, variance } = normPool(x, gamma, beta, NORM_EPSILON, window);
      this.backUp(step, { kind: 'indices', indices, inputShape: x.shape });
      this.note(step.name, { mean, variance, count: x.size / x.shape[4] });
      return y;
    }
    const [scale, shift] = this.runningScale(step.name, gamma, beta);
    if (!this.keeps(step)) {
      const y = scaleShiftPool(x, scale, shift, window);
      tf.dispose([scale, shift]);
      return y;
    }
    const normal = scaleShift(x, scale, shift, undefined, true);
    const { y, indices } = maxPool3d(normal, window);
    normal.dispose();
    this.backUp(step, { kind: 'evalPool', scale, shift, indices });
    return y;
  }

  private note(name: string, batch: BatchStatistics): void {
    const former = this.statistics.get(name);
    if (former) tf.dispose([former.mean, former.variance]);
    this.statistics.set(name, batch);
  }

  /** Whether one step alone reads a value, and the value is ours. */
  private isReadOnce(id: ValueId): boolean {
    return id !== 0 && this.readers.get(id)?.length === 1;
  }

  private residual(step: { readonly residual?: ValueId }): tf.Tensor5D | undefined {
    return step.residual === undefined ? undefined : (this.value(step.residual) as tf.Tensor5D);
  }

  /** Running statistics folded into one multiplication and one addition per channel. */
  private runningScale(name: string, gamma: tf.Tensor1D, beta: tf.Tensor1D): [tf.Tensor1D, tf.Tensor1D] {
    return foldNorm(gamma, beta, this.weights.runningOf(name), NORM_EPSILON);
  }

  private backwardStep(
    step: Instruction,
    dy: tf.Tensor,
    gradients: Map<ValueId, tf.Tensor>,
    parameters: Map<string, tf.Tensor>,
    options: BackwardOptions,
  ): void {
    const wanted = (id: ValueId) => (options.to === undefined ? this.learned.has(id) : id >= options.to);
    const parametersWanted = options.parameters && this.learns(step);
    const add = (id: ValueId, gradient: tf.Tensor | undefined) => {
      if (!gradient) return;
      const sum = gradients.get(id);
      if (!wanted(id)) return gradient.dispose();
      gradients.set(id, sum ? addInto(sum, gradient) : gradient);
    };
    switch (step.op) {
      case 'conv': {
        // A shortcut's convolution may read a value from before the one asked for: nothing is wanted of it then.
        if (!parametersWanted && !wanted(step.from)) return;
        const name = `${step.name}.weight`;
        const filter = this.weights.get<tf.Tensor5D>(name);
        const x = this.value(step.from) as tf.Tensor5D;
        const dy5 = dy as tf.Tensor5D;
        if (parametersWanted) parameters.set(name, conv3dFilterGradient(x, dy5, step.attrs, filter.shape));
        if (!wanted(step.from)) return;
        const sum = gradients.get(step.from) as tf.Tensor5D | undefined;
        const dx = sum
          ? addConv3dInputGradient(sum, dy5, filter, step.attrs)
          : conv3dInputGradient(dy5, filter, step.attrs, x.shape);
        gradients.set(step.from, dx);
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
        return add(step.from, maxPool3dGradient(dy as tf.Tensor5D, indices, inputShape, step.attrs));
      }
      case 'subsample':
        if (step.detached) return;
        return add(
          step.from,
          subsamplePadGradient(dy as tf.Tensor5D, step.stride, this.backup(step, 'shape').inputShape),
        );
      case 'resize':
        return add(
          step.from,
          resizeTrilinearGradient(dy as tf.Tensor5D, this.backup(step, 'shape').inputShape),
        );
      case 'bias':
        if (options.parameters) parameters.set(`${step.name}.bias`, biasGradient(dy as tf.Tensor5D));
        return add(step.from, tf.clone(dy));
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
        if (parametersWanted) {
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
    if (this.statisticsOf(step) === 'batch') {
      const statistics = this.statistics.get(step.name);
      if (!statistics) throw new Error(`No batch statistics for ${step.name}.`);
      const gamma = this.weights.get<tf.Tensor1D>(gammaName);
      const beta = this.weights.get<tf.Tensor1D>(betaName);
      // Nobody reads a convolution's result again, unless it was asked for.
      const overwrite = this.isReadOnce(step.from) && step.from !== options.to;
      if (step.pool) {
        const { indices } = this.backup(step, 'indices');
        const result = { indices, ...statistics };
        const attrs = { ...step.pool, epsilon: NORM_EPSILON, overwrite };
        ({ dx, dgamma, dbeta } = normPoolGradient(dy, x, gamma, beta, result, attrs));
      } else {
        const attrs = { epsilon: NORM_EPSILON, relu: step.relu, residual, overwrite };
        ({ dx, dgamma, dbeta, dresidual } = batchNormTrainGradient(dy, x, y, gamma, beta, statistics, attrs));
      }
    } else {
      const gradient = step.pool
        ? this.evaluatedPoolGradient(step, step.pool, dy, x)
        : scaleShiftGradient(dy, x, y, this.backup(step, 'eval').scale, { relu: step.relu, residual });
      ({ dx, dresidual, dshift: dbeta } = gradient);
      dgamma = this.gammaGradient(step.name, gradient.dscale, dbeta);
    }
    if (options.parameters && this.learns(step)) {
      parameters.set(gammaName, dgamma);
      parameters.set(betaName, dbeta);
    } else tf.dispose([dgamma, dbeta]);
    if (step.residual !== undefined) add(step.residual, dresidual);
    add(step.from, dx);
  }

  /** The normalised and rectified grid was not kept: it is computed anew. */
  private evaluatedPoolGradient(
    step: Instruction & { op: 'norm' },
    window: PoolAttrs,
    dy: tf.Tensor5D,
    x: tf.Tensor5D,
  ): ScaleShiftGradient {
    const { scale, shift, indices } = this.backup(step, 'evalPool');
    const normal = scaleShift(x, scale, shift, undefined, true);
    const spread = maxPool3dGradient(dy, indices, x.shape, window);
    const gradient = scaleShiftGradient(spread, x, normal, scale, { relu: true, residual: false });
    tf.dispose([normal, spread]);
    return gradient;
  }

  /** scale = gamma / sd and shift = beta - mean * scale, hence dgamma = (dscale - mean * dshift) / sd. */
  private gammaGradient(name: string, dscale: tf.Tensor1D, dshift: tf.Tensor1D): tf.Tensor1D {
    const dgamma = foldNormGradient(dscale, dshift, this.weights.runningOf(name), NORM_EPSILON);
    dscale.dispose();
    return dgamma;
  }

  private backup<K extends Backup['kind']>(step: Instruction, kind: K): Extract<Backup, { kind: K }> {
    const backup = this.backups.get(step);
    if (backup?.kind !== kind) throw new Error(`Layer ${step.name} was not kept for a backward pass.`);
    return backup as Extract<Backup, { kind: K }>;
  }
}

/** Values that depend on the parameters of a step that learns. */
function learnedValues(program: Program, learns: (step: Instruction) => boolean): Set<ValueId> {
  const learned = new Set<ValueId>();
  for (const step of program.instructions) {
    const own = step.op === 'conv' || step.op === 'norm' || step.op === 'linear';
    if ((own && learns(step)) || inputsOf(step).some((id) => learned.has(id))) learned.add(step.to);
  }
  return learned;
}

function identityScale(channels: number): [tf.Tensor1D, tf.Tensor1D] {
  return [tf.ones([channels]) as tf.Tensor1D, tf.zeros([channels]) as tf.Tensor1D];
}

function disposeBackup(backup: Backup): void {
  if (backup.kind === 'eval') tf.dispose([backup.scale, backup.shift]);
  else if (backup.kind === 'evalPool') tf.dispose([backup.scale, backup.shift, backup.indices]);
  else if (backup.kind === 'indices') backup.indices.dispose();
}
