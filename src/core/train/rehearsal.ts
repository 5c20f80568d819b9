import * as tf from '@tensorflow/tfjs-core';
import { prepareEngine } from '../engine/choose';
import type { PreparationWatch } from '../engine/opened-engine';
import type { Shape5 } from '../engine/ops/kernels';
import type { Pass, PassOptions } from '../model/pass';

/** A network that runs batches [N, D, H, W, C]. */
interface Runs {
  run(x: tf.Tensor5D, options: PassOptions): Pass;
}

/**
 * Lets the engine get ready for training: goes forward and backward through micro-batches of these sizes, once and for
 * nothing, where the engine has to see convolutions before it can time them. Weights and statistics stay as they are.
 * @param shape of a sample, [D, H, W, C]
 */
export async function prepareTraining(
  network: Runs,
  shape: readonly number[],
  sizes: ReadonlySet<number>,
  options: PassOptions,
  watch: PreparationWatch,
): Promise<void> {
  await prepareEngine(async () => {
    for (const size of sizes) {
      const x = tf.zeros([size, ...shape] as unknown as Shape5 & number[]) as tf.Tensor5D;
      const pass = network.run(x, options);
      const gradient = tf.zerosLike(pass.output);
      const { parameters } = pass.backward(gradient, { parameters: true });
      tf.dispose([x, gradient, ...parameters.values()]);
    }
  }, watch);
}

/** What a run says while the engine's choices are timed, before the first of its `steps`. */
export const timingProgress = (steps: number, done: number, total: number) => ({
  phase: 'training' as const,
  done: 0,
  total: steps,
  secondsLeft: null,
  detail: `timing ways of computing convolutions, ${done} of ${total}`,
});

/** Sizes of the micro-batches in which batches are computed. */
export function microBatchSizes(
  batches: readonly { readonly length: number }[],
  microBatch: number,
): ReadonlySet<number> {
  const sizes = new Set<number>();
  for (const { length } of batches) {
    if (length >= microBatch) sizes.add(microBatch);
    if (length % microBatch > 0) sizes.add(length % microBatch);
  }
  return sizes;
}
