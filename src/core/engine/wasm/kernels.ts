import * as tf from '@tensorflow/tfjs-core';
import { KERNELS, convOutputShape, type ConvAttrs, type Shape5, type Triple } from '../ops/kernels';
import type { AdamAttrs, SgdAttrs } from '../ops/optimiser-step';
import type { Taps3 } from '../ops/taps';
import { BACKEND_NAME, type WasmBackend } from './backend';
import { convGeometry } from './conv-geometry';
import { addInputGradient, convolve, convolveFilterGradient, convolveInputGradient } from './convolution';
import type { Implementation, Inputs } from './implementation';
import { registerCpuKernels, runOnCpu } from './cpu-kernels';
import { adamStep, elementwise, sgdStep } from './elementwise';
import { normKernels } from './norm-kernels';
import { globalAverage, globalAverageGradient, subsample } from './pooling';
import { resample } from './resample';
import { smallKernels } from './small-kernels';
import { taskBlocks, taskGradient, taskProbabilities, type TaskShape } from './task-loss';

const shape5 = (x: tf.TensorInfo) => x.shape as unknown as Shape5;
const sizeOf = (x: tf.TensorInfo) => tf.util.sizeFromShape(x.shape);

const conv3d: Implementation = (backend, { x, filter }, attrs) => {
  const convAttrs = attrs as unknown as ConvAttrs;
  const shape = convOutputShape(x.shape, filter.shape, convAttrs);
  const y = backend.output(shape, 'float32');
  const geometry = convGeometry(x.shape, filter.shape, shape, convAttrs);
  convolve(backend.machine, geometry, backend.address(x), backend.address(filter), backend.address(y));
  return y;
};

const conv3dInputGradient: Implementation = (backend, { dy, filter }, attrs) => {
  const { inputShape } = attrs as unknown as { inputShape: Shape5 };
  const dx = backend.output(inputShape, 'float32');
  const geometry = convGeometry(inputShape, filter.shape, shape5(dy), attrs as unknown as ConvAttrs);
  const { machine } = backend;
  convolveInputGradient(machine, geometry, backend.address(dy), backend.address(filter), backend.address(dx));
  return dx;
};

const conv3dInputGradientInto: Implementation = (backend, { sum, dy, filter }, attrs) => {
  const geometry = convGeometry(sum.shape, filter.shape, shape5(dy), attrs as unknown as ConvAttrs);
  const { machine } = backend;
  addInputGradient(machine, geometry, backend.address(dy), backend.address(filter), backend.address(sum));
  return [];
};

const conv3dFilterGradient: Implementation = (backend, { x, dy }, attrs) => {
  const { filterShape } = attrs as unknown as { filterShape: Shape5 };
  const dfilter = backend.output(filterShape, 'float32');
  const geometry = convGeometry(x.shape, filterShape, shape5(dy), attrs as unknown as ConvAttrs);
  const { machine } = backend;
  convolveFilterGradient(
    machine,
    geometry,
    backend.address(x),
    backend.address(dy),
    backend.address(dfilter),
  );
  return dfilter;
};

const globalAveragePool: Implementation = (backend, { x }) => {
  const y = backend.output([x.shape[0], x.shape[4]], 'float32');
  globalAverage(backend.machine, shape5(x), { x: backend.address(x), y: backend.address(y) });
  return y;
};

const globalAveragePoolGradient: Implementation = (backend, { dy }, attrs) => {
  const { inputShape } = attrs as unknown as { inputShape: Shape5 };
  const dx = backend.output(inputShape, 'float32');
  globalAverageGradient(backend.machine, inputShape, { x: backend.address(dx), y: backend.address(dy) });
  return dx;
};

const subsamplePad: Implementation = (backend, { x }, attrs) => {
  const { stride, channels } = attrs as unknown as { stride: Triple; channels: number };
  const [n, d, h, w] = shape5(x);
  const [od, oh, ow] = [d, h, w].map((size, a) => Math.ceil(size / stride[a]));
  const shape = [n, od, oh, ow, channels] as const;
  const y = backend.output(shape, 'float32');
  subsample(backend.machine, 'y', shape5(x), shape, stride, { x: backend.address(x), y: backend.address(y) });
  return y;
};

const subsamplePadGradient: Implementation = (backend, { dy }, attrs) => {
  const { stride, inputShape } = attrs as unknown as { stride: Triple; inputShape: Shape5 };
  const dx = backend.output(inputShape, 'float32');
  const at = { x: backend.address(dx), y: backend.address(dy) };
  subsample(backend.machine, 'dx', inputShape, shape5(dy), stride, at);
  return dx;
};

const resampled: Implementation = (backend, { x }, attrs) => {
  const { taps } = attrs as unknown as { taps: Taps3 };
  const [n, , , , c] = shape5(x);
  const shape: Shape5 = [n, taps[0].outputs, taps[1].outputs, taps[2].outputs, c];
  const y = backend.output(shape, 'float32');
  resample(backend.machine, shape5(x), shape, taps, { x: backend.address(x), y: backend.address(y) });
  return y;
};

const taskShape = (x: tf.TensorInfo, members: tf.TensorInfo): TaskShape => {
  const tasks = x.shape[4];
  return { rows: sizeOf(x) / tasks, tasks, padded: members.shape[1] };
};

const probabilities: Implementation = (backend, { z, codes, members }) => {
  const shape = taskShape(z, members);
  const p = backend.output(z.shape, 'float32');
  const sums = backend.output([taskBlocks(shape.rows), 4, shape.padded], 'float32');
  taskProbabilities(backend.machine, shape, {
    z: backend.address(z),
    p: backend.address(p),
    codes: backend.address(codes),
    members: backend.address(members),
    sums: backend.address(sums),
  });
  return [p, sums];
};

const probabilityGradient: Implementation = (backend, { p, codes, members, factors }) => {
  taskGradient(backend.machine, taskShape(p, members), {
    p: backend.address(p),
    codes: backend.address(codes),
    members: backend.address(members),
    factors: backend.address(factors),
  });
  return [];
};

const addInto: Implementation = (backend, { sum, term }) => {
  const [a, b] = [backend.address(sum), backend.address(term)];
  elementwise(backend.machine, 'add', sizeOf(sum), { a, b, result: a });
  return [];
};

const sgd: Implementation = (backend, { value, gradient, velocity }, attrs) => {
  const at = {
    value: backend.address(value),
    gradient: backend.address(gradient),
    velocity: backend.address(velocity),
  };
  sgdStep(backend.machine, sizeOf(value), at, attrs as unknown as SgdAttrs);
  return [];
};

const adam: Implementation = (backend, { value, gradient, m, v }, attrs) => {
  const at = {
    value: backend.address(value),
    gradient: backend.address(gradient),
    m: backend.address(m),
    v: backend.address(v),
  };
  adamStep(backend.machine, sizeOf(value), at, attrs as unknown as AdamAttrs);
  return [];
};

/** Add and Multiply of float tensors of one shape; broadcasting is left to the JavaScript kernel. */
function binary(name: string, kernel: 'add' | 'multiply'): Implementation {
  return (backend, inputs, attrs) => {
    const { a, b } = inputs;
    const same = a.dtype === 'float32' && b.dtype === 'float32' && tf.util.arraysEqual(a.shape, b.shape);
    if (!same) return runOnCpu(name, backend, inputs, attrs);
    const result = backend.output(a.shape, 'float32');
    const at = { a: backend.address(a), b: backend.address(b), result: backend.address(result) };
    elementwise(backend.machine, kernel, sizeOf(a), at);
    return result;
  };
}

const relu: Implementation = (backend, inputs, attrs) => {
  const { x } = inputs;
  if (x.dtype !== 'float32') return runOnCpu(tf.Relu, backend, inputs, attrs);
  const result = backend.output(x.shape, 'float32');
  const at = { a: backend.address(x), b: 0, result: backend.address(result) };
  elementwise(backend.machine, 'relu', sizeOf(x), at);
  return result;
};

/** One write over the memory, which no thread would make faster. */
const zerosLike: Implementation = (backend, inputs, attrs) => {
  const { x } = inputs;
  if (x.dtype !== 'float32') return runOnCpu(tf.ZerosLike, backend, inputs, attrs);
  const result = backend.output(x.shape, 'float32');
  (backend.view(result) as Float32Array).fill(0);
  return result;
};

const identity: Implementation = (backend, { x }) => backend.alias(x, x.shape);

const cast: Implementation = (backend, inputs, attrs) =>
  attrs.dtype === inputs.x.dtype
    ? backend.alias(inputs.x, inputs.x.shape)
    : runOnCpu(tf.Cast, backend, inputs, attrs);

const reshape: Implementation = (backend, { x }, attrs) =>
  backend.alias(x, tf.util.inferFromImplicitShape(attrs.shape as number[], sizeOf(x)));

const expandDims: Implementation = (backend, { input }, attrs) => {
  const dim = attrs.dim as number;
  const shape = [...input.shape];
  shape.splice(dim < 0 ? input.shape.length + dim + 1 : dim, 0, 1);
  return backend.alias(input, shape);
};

const IMPLEMENTATIONS: Readonly<Record<string, Implementation>> = {
  [KERNELS.conv3d]: conv3d,
  [KERNELS.conv3dInputGradient]: conv3dInputGradient,
  [KERNELS.conv3dInputGradientInto]: conv3dInputGradientInto,
  [KERNELS.conv3dFilterGradient]: conv3dFilterGradient,
  ...normKernels,
  ...smallKernels,
  [KERNELS.globalAveragePool]: globalAveragePool,
  [KERNELS.globalAveragePoolGradient]: globalAveragePoolGradient,
  [KERNELS.subsamplePad]: subsamplePad,
  [KERNELS.subsamplePadGradient]: subsamplePadGradient,
  [KERNELS.resample]: resampled,
  [KERNELS.taskProbabilities]: probabilities,
  [KERNELS.taskGradient]: probabilityGradient,
  [KERNELS.addInto]: addInto,
  [KERNELS.sgdStep]: sgd,
  [KERNELS.adamStep]: adam,
  [tf.Add]: binary(tf.Add, 'add'),
  [tf.Multiply]: binary(tf.Multiply, 'multiply'),
  [tf.Relu]: relu,
  [tf.ZerosLike]: zerosLike,
  [tf.Identity]: identity,
  [tf.Cast]: cast,
  [tf.Reshape]: reshape,
  [tf.ExpandDims]: expandDims,
};

let registered = false;

/** Registers the engine's kernels with tfjs-core, once per process. */
export function registerKernels(): void {
  if (registered) return;
  registered = true;
  for (const [kernelName, implementation] of Object.entries(IMPLEMENTATIONS))
    tf.registerKernel({
      kernelName,
      backendName: BACKEND_NAME,
      kernelFunc: ({ inputs, attrs, backend }) =>
        (backend as WasmBackend).noted(kernelName, () =>
          implementation(backend as WasmBackend, inputs as Inputs, attrs ?? {}),
        ),
    });
  registerCpuKernels(new Set(Object.keys(IMPLEMENTATIONS)));
}
