import { atOnce, awaited, type Reading } from '../engine/reading';

/** Where a piece of work stands after one of its steps. */
export interface Step {
  /** Dotted name of the layer that was computed. */
  readonly layer: string;
  readonly pass: 'forward' | 'backward';
  readonly done: number;
  readonly total: number;
}

/**
 * Work that a caller drives step by step, so that it can let the event loop turn, tell how far it is, or give up in
 * between, and that may wait for numbers: {@link atOnce}, {@link awaited} and {@link paced}. Given up or failed, it
 * frees what it holds.
 */
export type Steps<T> = Generator<Step | Reading, T, Float32Array | undefined>;

/** Does one step after the other; `between` may wait, and what it throws ends the work. */
export function paced<T>(steps: Steps<T>, between: (step: Step) => Promise<void>): Promise<T> {
  return awaited(steps, between);
}

export { atOnce, awaited };
