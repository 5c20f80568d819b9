import * as tf from '@tensorflow/tfjs-core';
import { HALF_KERNELS } from './kernels';

/** So many elements lie side by side in half precision. */
const LANES = 4;

/** Whether the engine keeps a tensor of this shape in half precision: a grid, whose channels come in fours. */
export const keepsHalf = ({ shape }: tf.Tensor): boolean =>
  shape.length === 5 &&
  (shape[4] as number) % LANES === 0 &&
  tf.getKernel(HALF_KERNELS.keepHalf, tf.getBackend()) !== undefined;

/**
 * A copy of x that lies in half precision: half the memory, each number off by at most 2^-11 of itself, and infinite beyond
 * 65504. Kernels of the engine read it as they read x; tfjs-core's own, and people, cannot.
 */
export function keepHalf<T extends tf.Tensor>(x: T): T {
  return run(HALF_KERNELS.keepHalf, x) as T;
}

/** Rounds x, in its memory, as {@link keepHalf} does. */
export function roundHalf(x: tf.Tensor): void {
  run(HALF_KERNELS.roundHalf, x);
}

function run(name: string, x: tf.Tensor): tf.Tensor | undefined {
  const engine = tf.engine();
  const kernel = tf.getKernel(name, engine.backendName);
  if (!kernel) throw new Error(`The engine ${engine.backendName} keeps nothing in half precision.`);
  const made = kernel.kernelFunc({ inputs: { x }, backend: engine.backend });
  return Array.isArray(made) ? undefined : engine.makeTensorFromTensorInfo(made);
}
