import * as tf from '@tensorflow/tfjs-core';
import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import { BACKEND_NAME, type WasmBackend } from './backend';

type Inputs = tf.NamedTensorInfoMap | tf.TensorInfo[];

/** tfjs's own JavaScript backend, holding views for the length of one kernel. */
class Stage extends MathBackendCPU {
  /** Like the original, without its advice on the console to install another backend. */
  override write(values: tf.BackendValues, _shape: number[], dtype: tf.DataType): object {
    const dataId = {};
    this.data.set(dataId, { values, dtype, refCount: 1 });
    return dataId;
  }
}

/** So many elements go in or out before a kernel in JavaScript is worth a word. */
const MUCH = 100_000;

let stage: Stage | undefined;

/**
 * Serves every tfjs-core kernel that the engine does not bring itself with the JavaScript kernel of
 * `@tensorflow/tfjs-backend-cpu`, on views of the engine's memory; results are copied in.
 * @param own names of the engine's kernels, left alone
 */
export function registerCpuKernels(own: ReadonlySet<string>): void {
  for (const config of tf.getKernelsForBackend('cpu'))
    if (!own.has(config.kernelName))
      tf.registerKernel({
        kernelName: config.kernelName,
        backendName: BACKEND_NAME,
        kernelFunc: ({ inputs, attrs, backend }) => {
          const on = backend as WasmBackend;
          return on.noted(config.kernelName, () => runOnCpu(config.kernelName, on, inputs, attrs));
        },
      });
}

/** Runs one JavaScript kernel on tensors of the engine. */
export function runOnCpu(
  kernelName: string,
  backend: WasmBackend,
  inputs: Inputs,
  attrs: tf.NamedAttrMap | undefined,
): tf.TensorInfo | tf.TensorInfo[] {
  const kernel = tf.getKernel(kernelName, 'cpu');
  if (!kernel) throw new Error(`No engine has a kernel "${kernelName}".`);
  stage ??= new Stage();
  const on = stage;
  const staged: tf.TensorInfo[] = [];
  let most = 0;
  const enter = (x: tf.TensorInfo | undefined) => {
    if (!x) return undefined;
    const info = { ...x, dataId: on.write(backend.view(x) as tf.BackendValues, x.shape, x.dtype) };
    staged.push(info);
    most = Math.max(most, tf.util.sizeFromShape(x.shape));
    return info;
  };
  const leave = (x: tf.TensorInfo): tf.TensorInfo => {
    const values = on.data.get(x.dataId).values as tf.BackendValues;
    const dataId = backend.write(values, x.shape, x.dtype);
    most = Math.max(most, tf.util.sizeFromShape(x.shape));
    on.disposeData(x.dataId);
    return { dataId, shape: x.shape, dtype: x.dtype };
  };
  try {
    const entered = Array.isArray(inputs)
      ? inputs.map(enter)
      : Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, enter(x)]));
    const result = kernel.kernelFunc({
      inputs: entered as tf.NamedTensorInfoMap,
      attrs: attrs ?? {},
      backend: on,
    });
    const left = Array.isArray(result) ? result.map(leave) : leave(result);
    if (most > MUCH) backend.fallsBack(kernelName);
    return left;
  } finally {
    for (const info of staged) on.disposeData(info.dataId);
  }
}
