import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../../errors';
import type { Machine } from './machine';

export const BACKEND_NAME = 'fcd-wasm';

/** What lies behind a DataId: a block of the engine's memory, or strings on the JavaScript side. */
interface Stored {
  readonly dtype: tf.DataType;
  readonly length: number;
  readonly address: number;
  readonly strings?: Uint8Array[];
  references: number;
}

export type Values = Float32Array | Int32Array | Uint8Array;

/** tfjs-core's tensors in the engine's memory. Reading copies out, writing copies in. */
export class WasmBackend extends tf.KernelBackend {
  private readonly stored: tf.DataStorage<Stored>;

  private readonly fallbacks = new Set<string>();

  /** @param onFallback hears once by name of kernels that JavaScript serves */
  constructor(
    readonly machine: Machine,
    private readonly onFallback?: (kernel: string) => void,
  ) {
    super();
    this.stored = new tf.DataStorage(this, tf.engine());
  }

  /** A kernel with much to do was served by JavaScript. */
  fallsBack(kernel: string): void {
    if (this.fallbacks.has(kernel)) return;
    this.fallbacks.add(kernel);
    this.onFallback?.(kernel);
  }

  /** Runs an operation, noting its time where somebody asked for that. */
  noted<T>(operation: string, run: () => T): T {
    const { profile } = this.machine.pool;
    return profile ? profile.operation(operation, run) : run();
  }

  /** A tensor of undefined contents, for a kernel to fill. */
  output(shape: readonly number[], dtype: tf.DataType): tf.TensorInfo {
    const dataId = {};
    const length = tf.util.sizeFromShape([...shape]);
    const address = this.machine.heap.allocate(length * bytesPer(dtype));
    this.stored.set(dataId, { dtype, length, address, references: 1 });
    return { dataId, shape: [...shape], dtype };
  }

  /** The same data under another shape: the memory is shared and counted. */
  alias(x: tf.TensorInfo, shape: readonly number[]): tf.TensorInfo {
    this.incRef(x.dataId);
    return { dataId: x.dataId, shape: [...shape], dtype: x.dtype };
  }

  /** Where a tensor's numbers begin. */
  address(x: tf.TensorInfo): number {
    return this.stored.get(x.dataId).address;
  }

  /** A tensor's numbers where they lie: valid until it is disposed of. */
  view(x: { readonly dataId: object }): Values | Uint8Array[] {
    const { dtype, length, address, strings } = this.stored.get(x.dataId);
    const { heap } = this.machine;
    if (strings) return strings;
    if (dtype === 'float32') return heap.float32(address, length) as Float32Array;
    if (dtype === 'int32') return heap.int32(address, length) as Int32Array;
    return heap.uint8(address, length) as Uint8Array;
  }

  override write(values: tf.BackendValues, shape: number[], dtype: tf.DataType): object {
    const dataId = {};
    this.move(dataId, values, shape, dtype, 1);
    return dataId;
  }

  override move(
    dataId: object,
    values: tf.BackendValues,
    _shape: number[],
    dtype: tf.DataType,
    refCount: number,
  ): void {
    if (dtype === 'string') {
      const strings = values as Uint8Array[];
      this.stored.set(dataId, { dtype, length: strings.length, address: 0, strings, references: refCount });
      return;
    }
    const bytes = bytesPer(dtype);
    const { length } = values;
    const address = this.machine.heap.allocate(length * bytes);
    this.stored.set(dataId, { dtype, length, address, references: refCount });
    (this.view({ dataId }) as Values).set(values as Values);
  }

  override readSync(dataId: object): tf.BackendValues {
    return this.view({ dataId }).slice() as tf.BackendValues;
  }

  override read(dataId: object): Promise<tf.BackendValues> {
    return Promise.resolve(this.readSync(dataId));
  }

  override refCount(dataId: object): number {
    return this.stored.has(dataId) ? this.stored.get(dataId).references : 0;
  }

  override incRef(dataId: object): void {
    this.stored.get(dataId).references++;
  }

  override disposeData(dataId: object, force = false): boolean {
    if (!this.stored.has(dataId)) return true;
    const data = this.stored.get(dataId);
    data.references--;
    if (!force && data.references > 0) return false;
    if (!data.strings) this.machine.heap.release(data.address);
    this.stored.delete(dataId);
    return true;
  }

  override numDataIds(): number {
    return this.stored.numDataIds();
  }

  override memory(): { unreliable: boolean } {
    return { unreliable: false };
  }

  override floatPrecision(): 16 | 32 {
    return 32;
  }

  override time(compute: () => void): Promise<{ kernelMs: number }> {
    const start = performance.now();
    compute();
    return Promise.resolve({ kernelMs: performance.now() - start });
  }

  override dispose(): void {
    // Threads and memory belong to the machine, which whoever opened it closes.
  }
}

function bytesPer(dtype: tf.DataType): number {
  if (dtype === 'float32' || dtype === 'int32') return 4;
  if (dtype === 'bool') return 1;
  throw new InputError(`The wasm engine holds no tensors of type ${dtype}.`);
}
