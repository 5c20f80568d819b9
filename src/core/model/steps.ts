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
 * between: {@link atOnce} and {@link paced}. Given up or failed, it frees what it holds.
 */
export type Steps<T> = Generator<Step, T, void>;

/** Does all steps without a pause. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const next = steps.next();
    if (next.done) return next.value;
  }
}

/** Does one step after the other; `between` may wait, and what it throws ends the work. */
export async function paced<T>(steps: Steps<T>, between: (step: Step) => Promise<void>): Promise<T> {
  for (;;) {
    const next = steps.next();
    if (next.done) return next.value;
    try {
      await between(next.value);
    } catch (error) {
      steps.throw(error);
      throw error;
    }
  }
}
