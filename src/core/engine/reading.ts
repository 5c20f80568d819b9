import type * as tf from '@tensorflow/tfjs-core';

/**
 * Numbers that work on the engine waits for. Some engines can only be read asynchronously: so the work asks, and
 * whoever drives it answers ({@link atOnce}, {@link awaited}).
 */
export class Reading {
  constructor(readonly tensor: tf.Tensor) {}
}

/** Work that reads tensors. */
export type Reads<T> = Generator<Reading, T, Float32Array | undefined>;

/**
 * The numbers of a float tensor, which stays the caller's: not to be written to, and not to be kept, for they may be the
 * engine's own. For use as `yield* read(x)`.
 */
export function* read(tensor: tf.Tensor): Reads<Float32Array> {
  const values = yield new Reading(tensor);
  if (!values) throw new Error('Whoever drives this work must answer its readings.');
  return values;
}

type Work<Y, T> = Generator<Reading | Y, T, Float32Array | undefined>;

/** Does all work without a pause. @throws Error on an engine that can only be read asynchronously, when it is read */
export function atOnce<Y, T>(work: Work<Y, T>): T {
  let answer: Float32Array | undefined;
  for (;;) {
    const next = work.next(answer);
    if (next.done) return next.value;
    answer = undefined;
    if (!(next.value instanceof Reading)) continue;
    try {
      answer = next.value.tensor.dataSync<'float32'>();
    } catch (error) {
      work.throw(error);
      throw error;
    }
  }
}

/**
 * Does all work, waiting only for what it reads.
 * @param between is awaited at what is no reading, and what it throws ends the work
 */
export async function awaited<Y, T>(work: Work<Y, T>, between?: (at: Y) => Promise<void>): Promise<T> {
  let answer: Float32Array | undefined;
  for (;;) {
    const next = work.next(answer);
    if (next.done) return next.value;
    answer = undefined;
    try {
      if (next.value instanceof Reading) answer = await next.value.tensor.data<'float32'>();
      else await between?.(next.value);
    } catch (error) {
      work.throw(error);
      throw error;
    }
  }
}
