/**
 * Something a person can mend: a wrong file, field or flag. The message is a sentence that says what was wrong,
 * where (file, field, index) and what to do; it is shown as it is, without a stack.
 */
export class InputError extends Error {
  override readonly name = 'InputError';
}

/** The person stopped the work; what was done so far is on disk and can be resumed. Exit code 130. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError';
}

/** Message of anything thrown, for sentences that quote a cause. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
