import * as tf from '@tensorflow/tfjs-core';
import { atOnce, awaited, read, type Reads } from '../engine/reading';
import type { ExpectedTensor } from '../weights/load-report';
import { toDhwio, toOidhw } from './filter-layout';
import { initialValues } from './initialise';
import type { ParameterInfo, Program } from './program';

/** A tensor at the border: PyTorch's name, shape and layout, float32. */
export interface BorderTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Names and shapes, in PyTorch's terms, of all tensors that a file may bring for a program, running statistics included. */
export function expectedTensors({ parameters, norms }: Program): ExpectedTensor[] {
  const expected = parameters.map(({ name, shape }) => ({ name, shape }));
  for (const [name, channels] of norms)
    for (const suffix of ['running_mean', 'running_var'])
      expected.push({ name: `${name}.${suffix}`, shape: [channels] });
  return expected;
}

/** Running statistics of one batch normalisation, [C] each, on the engine: a training step moves them without waiting. */
export interface RunningStatistics {
  mean: tf.Tensor1D;
  variance: tf.Tensor1D;
  /** That moved them. */
  batches: number;
}

/**
 * A network's learnable tensors (filters DHWIO) and running statistics, on the engine. At the border, names, shapes
 * and layouts are PyTorch's. Owns its tensors: dispose it.
 */
export class NetworkWeights {
  private readonly tensors = new Map<string, tf.Tensor>();
  private readonly running = new Map<string, RunningStatistics>();
  private readonly infos = new Map<string, ParameterInfo>();

  constructor(
    private readonly program: Program,
    seed: number | 'zeros',
  ) {
    const inputs = program.parameters.find((p) => p.name === 'fc.weight')?.shape[1] ?? 1;
    for (const info of program.parameters) {
      this.infos.set(info.name, info);
      const values = seed === 'zeros' ? zeros(info) : initialValues(info, inputs, seed);
      this.tensors.set(info.name, this.toEngine(info, values));
    }
    for (const [name, channels] of program.norms)
      this.running.set(name, {
        mean: tf.keep(tf.tensor1d(new Float32Array(channels))),
        variance: tf.keep(tf.tensor1d(new Float32Array(channels).fill(1))),
        batches: 0,
      });
  }

  get names(): string[] {
    return [...this.infos.keys()];
  }

  info(name: string): ParameterInfo {
    const info = this.infos.get(name);
    if (!info) throw new Error(`The network has no parameter ${name}.`);
    return info;
  }

  /** The engine's tensor; filters are DHWIO. It stays owned by this object. */
  get<T extends tf.Tensor = tf.Tensor>(name: string): T {
    const tensor = this.tensors.get(name);
    if (!tensor) throw new Error(`The network has no parameter ${name}.`);
    return tensor as T;
  }

  /** Running statistics of a batch normalisation. @throws Error where the network has none of this name */
  runningOf(name: string): RunningStatistics {
    const running = this.running.get(name);
    if (!running) throw new Error(`The network has no batch normalisation ${name}.`);
    return running;
  }

  /** Takes over a tensor an optimiser made; the former one, if another, is the optimiser's to dispose. */
  replace(name: string, tensor: tf.Tensor): void {
    this.tensors.set(name, tensor);
  }

  /** Number of learnable values. */
  get size(): number {
    let size = 0;
    for (const info of this.infos.values()) size += sizeOf(info);
    return size;
  }

  /** {@link readBorder}, on an engine that reads at once. */
  toBorder(): Map<string, BorderTensor> {
    return atOnce(this.border());
  }

  /** All tensors with PyTorch's names and layouts, running statistics included. */
  readBorder(): Promise<Map<string, BorderTensor>> {
    return awaited(this.border());
  }

  private *border(): Reads<Map<string, BorderTensor>> {
    const border = new Map<string, BorderTensor>();
    for (const [name, info] of this.infos)
      border.set(name, { shape: info.shape, data: yield* this.fromEngine(info, this.get(name)) });
    for (const [name, { mean, variance }] of this.running) {
      border.set(`${name}.running_mean`, { shape: mean.shape, data: (yield* read(mean)).slice() });
      border.set(`${name}.running_var`, { shape: variance.shape, data: (yield* read(variance)).slice() });
    }
    return border;
  }

  /** {@link expectedTensors} of this network. */
  expected(): ExpectedTensor[] {
    return expectedTensors(this.program);
  }

  /** Sets one tensor from its values in PyTorch's layout. The name and the size must be the network's. */
  setFromBorder(name: string, data: Float32Array): void {
    const statistic = /^(.*)\.(running_mean|running_var)$/.exec(name);
    if (statistic) {
      const running = this.runningOf(statistic[1]);
      const which = statistic[2] === 'running_mean' ? 'mean' : 'variance';
      const { shape } = running[which];
      running[which].dispose();
      running[which] = tf.keep(tf.tensor1d(data.slice(0, shape[0])));
      return;
    }
    const info = this.info(name);
    this.tensors.get(name)?.dispose();
    this.tensors.set(name, this.toEngine(info, data));
  }

  /** A gradient or optimiser moment of parameter `name`, from the engine's layout to PyTorch's. */
  borderValues(name: string, tensor: tf.Tensor): Float32Array {
    return atOnce(this.borderReads(name, tensor));
  }

  /** {@link borderValues}, on whichever engine. */
  borderReads(name: string, tensor: tf.Tensor): Reads<Float32Array> {
    return this.fromEngine(this.info(name), tensor);
  }

  /** The reverse of {@link borderValues}; the caller owns the tensor. */
  engineTensor(name: string, data: Float32Array): tf.Tensor {
    return this.toEngine(this.info(name), data);
  }

  dispose(): void {
    for (const tensor of this.tensors.values()) tensor.dispose();
    for (const { mean, variance } of this.running.values()) tf.dispose([mean, variance]);
    this.tensors.clear();
    this.running.clear();
  }

  private toEngine(info: ParameterInfo, data: Float32Array): tf.Tensor {
    if (info.kind !== 'filter') return tf.keep(tf.tensor(data, [...info.shape], 'float32'));
    const [o, i, d, h, w] = info.shape;
    return tf.keep(tf.tensor5d(toDhwio(data, info.shape), [d, h, w, i, o], 'float32'));
  }

  private *fromEngine(info: ParameterInfo, tensor: tf.Tensor): Reads<Float32Array> {
    const data = yield* read(tensor);
    return info.kind === 'filter' ? toOidhw(data, info.shape) : data.slice();
  }
}

function zeros(info: ParameterInfo): Float32Array {
  return new Float32Array(sizeOf(info));
}

function sizeOf({ shape }: ParameterInfo): number {
  return shape.reduce((product, n) => product * n, 1);
}
