import * as tf from '@tensorflow/tfjs-core';
import type { KernelName } from './kernels';

/** An engine that says when an operation has to be composed of tfjs-core's, for it has no kernel for it. */
interface TellsFallbacks {
  fallsBack(kernel: string): void;
}

/** Whether the current engine brings this kernel itself; it hears where it does not, for a composition serves then. */
export function hasKernel(name: KernelName): boolean {
  if (tf.getKernel(name, tf.getBackend())) return true;
  const backend = tf.backend() as tf.KernelBackend & Partial<TellsFallbacks>;
  backend.fallsBack?.(name);
  return false;
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
