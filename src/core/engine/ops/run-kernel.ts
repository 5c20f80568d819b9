import * as tf from '@tensorflow/tfjs-core';
import type { KernelName } from './kernels';

/** An engine that says when an operation has to be composed of tfjs-core's, for it has no kernel for it. */
interface TellsFallbacks {
  fallsBack(kernel: string): void;
}

/** Whether the current engine brings this kernel itself; it hears where it does not, for a composition serves then. */
export function hasKernel(name: KernelName): boolean {
  const engine = tf.engine();
  if (tf.getKernel(name, engine.backendName)) return true;
  const backend = engine.backend as tf.KernelBackend & Partial<TellsFallbacks>;
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
  return run(name, inputs, attrs)[0] as T;
}

/** Runs a kernel of ours that has several outputs (or none). */
export function runKernelMany(
  name: KernelName,
  inputs: Readonly<Record<string, tf.Tensor | undefined>>,
  attrs: Attributes | object = {},
): tf.Tensor[] {
  return run(name, inputs, attrs);
}

/**
 * Straight to the kernel. tfjs-core's own way there keeps a tape and a profile, for which a step's hundreds of kernels
 * wait each time: it is gone only where somebody wants one of them.
 */
function run(
  name: KernelName,
  inputs: Readonly<Record<string, tf.Tensor | undefined>>,
  attrs: Attributes | object,
): tf.Tensor[] {
  const engine = tf.engine();
  const given = present(inputs);
  const { gradientDepth, profiling } = engine.state;
  if (gradientDepth > 0 || profiling)
    return asList(engine.runKernel<tf.Tensor | tf.Tensor[]>(name, given, { ...attrs } as tf.NamedAttrMap));
  const kernel = tf.getKernel(name, engine.backendName);
  if (!kernel) throw new Error(`The engine ${engine.backendName} has no kernel ${name}.`);
  const outputs = kernel.kernelFunc({
    inputs: given,
    attrs: attrs as tf.NamedAttrMap,
    backend: engine.backend,
  });
  return asList(outputs).map((output) => engine.makeTensorFromTensorInfo(output));
}

function asList<T>(outputs: T | T[]): T[] {
  return Array.isArray(outputs) ? outputs : [outputs];
}

function present(inputs: Readonly<Record<string, tf.Tensor | undefined>>): tf.NamedTensorMap {
  const given: tf.NamedTensorMap = {};
  for (const key in inputs) {
    const tensor = inputs[key];
    if (tensor) given[key] = tensor;
  }
  return given;
}
