import type * as tf from '@tensorflow/tfjs-core';
import type { GpuBackend } from '../backend';

export type Inputs = Readonly<Record<string, tf.TensorInfo>>;

/** A kernel on the GPU: takes tensors of this backend, records commands and returns new tensors or none. */
export type Implementation = (
  backend: GpuBackend,
  inputs: Inputs,
  attrs: Readonly<Record<string, unknown>>,
) => tf.TensorInfo | tf.TensorInfo[];

export const sizeOf = ({ shape }: tf.TensorInfo): number => shape.reduce((a, b) => a * b, 1);

/** The same data for one more owner: what a kernel returns that worked in an input's memory. */
export function sameMemory(backend: GpuBackend, x: tf.TensorInfo): tf.TensorInfo {
  backend.incRef(x.dataId);
  return { dataId: x.dataId, shape: [...x.shape], dtype: x.dtype };
}

/** A tensor with these numbers; whoever makes it disposes of it. */
export function table(backend: GpuBackend, values: Float32Array | Int32Array): tf.TensorInfo {
  const dtype = values instanceof Float32Array ? 'float32' : 'int32';
  return backend.makeTensorInfo([values.length], dtype, values);
}
