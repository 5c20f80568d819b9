import * as tf from '@tensorflow/tfjs-core';
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

/** Running statistics of one batch normalisation, on the host: small, and only read between steps. */
export interface RunningStatistics {
  readonly mean: Float32Array;
  readonly variance: Float32Array;
  batches: number;
}

/**
 * A network's learnable tensors (on the engine, filters DHWIO) and running statistics. At the border, names, shapes
 * and layouts are PyTorch's. Owns its tensors: dispose it.
 */
export class NetworkWeights {
  private readonly tensors = new Map<string, tf.Tensor>();
  readonly running = new Map<string, RunningStatistics>();
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
        mean: new Float32Array(channels),
        variance: new Float32Array(channels).fill(1),
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

  /** All tensors with PyTorch's names and layouts, running statistics included. */
  toBorder(): Map<string, BorderTensor> {
    const border = new Map<string, BorderTensor>();
    for (const [name, info] of this.infos)
      border.set(name, { shape: info.shape, data: this.fromEngine(info, this.get(name)) });
    for (const [name, { mean, variance }] of this.running) {
      border.set(`${name}.running_mean`, { shape: [mean.length], data: mean.slice() });
      border.set(`${name}.running_var`, { shape: [variance.length], data: variance.slice() });
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
      const running = this.running.get(statistic[1]);
      if (!running) throw new Error(`The network has no batch normalisation ${statistic[1]}.`);
      (statistic[2] === 'running_mean' ? running.mean : running.variance).set(data);
      return;
    }
    const info = this.info(name);
    this.tensors.get(name)?.dispose();
    this.tensors.set(name, this.toEngine(info, data));
  }

  /** A gradient or optimiser moment of parameter `name`, from the engine's layout to PyTorch's. */
  borderValues(name: string, tensor: tf.Tensor): Float32Array {
    return this.fromEngine(this.info(name), tensor);
  }

  /** The reverse of {@link borderValues}; the caller owns the tensor. */
  engineTensor(name: string, data: Float32Array): tf.Tensor {
    return this.toEngine(this.info(name), data);
  }

  dispose(): void {
    for (const tensor of this.tensors.values()) tensor.dispose();
    this.tensors.clear();
  }

  private toEngine(info: ParameterInfo, data: Float32Array): tf.Tensor {
    if (info.kind !== 'filter') return tf.keep(tf.tensor(data, [...info.shape], 'float32'));
    const [o, i, d, h, w] = info.shape;
    return tf.keep(tf.tensor5d(toDhwio(data, info.shape), [d, h, w, i, o], 'float32'));
  }

  private fromEngine(info: ParameterInfo, tensor: tf.Tensor): Float32Array {
    const data = tensor.dataSync<'float32'>();
    return info.kind === 'filter' ? toOidhw(data, info.shape) : data.slice();
  }
}

function zeros(info: ParameterInfo): Float32Array {
  return new Float32Array(sizeOf(info));
}

function sizeOf({ shape }: ParameterInfo): number {
  return shape.reduce((product, n) => product * n, 1);
}
