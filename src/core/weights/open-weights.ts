import { unfilled } from './byte-source';
import type { Dtype, NamedTensor, TensorFile, TensorFormat } from './tensors';

/** A tensor before its values are read. */
export interface TensorInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

/**
 * A weights file that is open: what is in it is known and checked against the file's size, values are read one tensor
 * at a time, so that a large file costs little more memory than its largest tensor.
 */
export interface OpenWeights {
  readonly format: TensorFormat;
  /** By name; in the state dict's order (torch) or in the order of their bytes (safetensors). */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** As in {@link TensorFile}. */
  readonly metadata: Readonly<Record<string, string>>;
  /** As in {@link TensorFile}; what is odd about the values is added when they have been read. */
  readonly warnings: string[];
  /**
   * The tensors asked for, each once, in the order that reads the file best. Ends in an {@link InputError} where the
   * file is damaged: only after the last value is it certain that all were right, so nobody should keep what came before.
   */
  values(options?: ValueOptions): AsyncGenerator<NamedTensor, void>;
}

export interface ValueOptions {
  /** Names; all where it is left out. */
  readonly only?: ReadonlySet<string>;
  /**
   * The arrays are only lent, until the next tensor is asked for: one buffer serves all of them. Otherwise each tensor
   * owns its array.
   */
  readonly lent?: boolean;
}

/** Where the bytes of the next tensors go: each into memory of its own, or all into one buffer, one after the other. */
export type Memory = (length: number) => Uint8Array;

/** @param largest bytes of the largest of them, so that a lent buffer is made once; an estimate that is too small costs time only */
export function memoryFor({ lent = false }: ValueOptions, largest: number): Memory {
  if (!lent) return unfilled;
  let buffer: Uint8Array | undefined;
  return (length) => {
    if (buffer === undefined || buffer.length < length) buffer = unfilled(Math.max(length, largest));
    return buffer.subarray(0, length);
  };
}

/** The largest of some sizes, 0 where there are none. */
export function largest<T>(items: Iterable<T>, sizeOf: (item: T) => number): number {
  let most = 0;
  for (const item of items) most = Math.max(most, sizeOf(item));
  return most;
}

/**
 * Readings under way beside the one that is looked at. Most of their time are page faults, which another thread has while
 * this one compares checksums; between two convolutions there are half a dozen small tensors, so a few are not enough.
 */
const AHEAD = 24;

/** Runs readings and gives their results in order. Where they do not share memory, the next are read along. */
export async function* inTurn<T>(
  readings: Iterable<() => Promise<T>>,
  { lent = false }: ValueOptions,
): AsyncGenerator<T, void> {
  const begun: Promise<T>[] = [];
  try {
    for (const reading of readings) {
      const result = reading();
      void result.catch(() => {}); // thrown when its turn comes, if it comes
      begun.push(result);
      const [first] = begun;
      if (begun.length > (lent ? 0 : AHEAD)) {
        void begun.shift();
        yield await first;
      }
    }
    for (let next = begun.shift(); next !== undefined; next = begun.shift()) yield await next;
  } finally {
    await Promise.allSettled(begun); // the file must not be closed under a reading
  }
}

/** All tensors of an open file at once, in its order. */
export async function readAll(open: OpenWeights): Promise<TensorFile> {
  const found = new Map<string, NamedTensor>();
  for await (const tensor of open.values()) found.set(tensor.name, tensor);
  const tensors = new Map<string, NamedTensor>();
  for (const name of open.tensors.keys()) {
    const tensor = found.get(name);
    if (tensor === undefined) throw new Error(`The values of ${name} were not read.`);
    tensors.set(name, tensor);
  }
  return { format: open.format, tensors, metadata: { ...open.metadata }, warnings: open.warnings };
}
