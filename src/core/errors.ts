/**
 * Something a person can mend: a wrong file, field or flag. The message is a sentence that says what was wrong,
 * where (file, field, index) and what to do; it is shown as it is, without a stack.
 */
export class InputError extends Error {
  override readonly name = 'InputError';

  constructor(
    message: string,
    options?: ErrorOptions & {
      /** Where in a text file the faults are, each with its own sentence; the message tells the same in one. */
      readonly places?: readonly Place[];
    },
  ) {
    super(message, options);
    this.places = options?.places ?? [];
  }

  readonly places: readonly Place[];
}

/** A fault at a line of a text file. */
export interface Place {
  readonly file: string;
  /** 1-based. */
  readonly line: number;
  readonly message: string;
}

/** An InputError about one line of a file. */
export function faultAt(file: string, line: number, message: string): InputError {
  return new InputError(`${file}, line ${line}: ${message}`, { places: [{ file, line, message }] });
}

/** The person stopped the work; what was done so far is on disk and can be resumed. Exit code 130. */
export class StoppedError extends Error {
  override readonly name = 'StoppedError';
}

/** Message of anything thrown, for sentences that quote a cause. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
