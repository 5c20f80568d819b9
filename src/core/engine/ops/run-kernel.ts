import * as tf from '@tensorflow/tfjs-core';
import type { KernelName } from './kernels';

/** Whether the current engine brings this kernel itself. */
export function hasKernel(name: KernelName): boolean {
  return tf.getKernel(name, tf.getBackend()) !== undefined;
}

type Attributes = Readonly<Record<string, number | boolean | string | readonly number[] | undefined>>;

/** Runs a kernel of ours that has one output. */
export function runKernel<T extends tf.Tensor>(
  name: KernelName,
  inputs: Readonly<Record<string, tf.Tensor | undefined>>,
  attrs: Attributes | object = {},
): T {
  return tf.engine().runKernel<T>(name, present(inputs), { ...attrs } as tf.NamedAttrMap);
}

/** Runs a kernel of ours that has several outputs (or none). */
export function runKernelMany(
  name: KernelName,
  inputs: Readonly<Record<string, tf.Tensor | undefined>>,
  attrs: Attributes | object = {},
): tf.Tensor[] {
  return tf.engine().runKernel<tf.Tensor[]>(name, present(inputs), { ...attrs } as tf.NamedAttrMap);
}

function present(inputs: Readonly<Record<string, tf.Tensor | undefined>>): tf.NamedTensorMap {
  const given: tf.NamedTensorMap = {};
  for (const [key, tensor] of Object.entries(inputs)) if (tensor) given[key] = tensor;
  return given;
}
