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
