import * as tf from '@tensorflow/tfjs-core';
import {
  KERNELS,
  convOutputShape,
  outputSize,
  type ConvAttrs,
  type Shape5,
  type Triple,
} from '../ops/kernels';
import type { AdamAttrs, SgdAttrs } from '../ops/optimiser-step';
import { BACKEND_NAME, type WasmBackend } from './backend';
import { convGeometry } from './conv-geometry';
import { convolve, convolveFilterGradient, convolveInputGradient } from './convolution';
import { registerCpuKernels, runOnCpu } from './cpu-kernels';
import { adamStep, elementwise, sgdStep } from './elementwise';
import {
  applyAffine,
  applyAffineGradient,
  channelMoments,
  gradientSums,
  type AffineGradient,
  type NormShape,
} from './normalisation';
import {
  globalAverage,
  globalAverageGradient,
  maxPool,
  maxPoolGradient,
  subsample,
  type PoolWindow,
} from './pooling';

type Inputs = Record<string, tf.TensorInfo>;
type Result = tf.TensorInfo | tf.TensorInfo[];
type Implementation = (backend: WasmBackend, inputs: Inputs, attrs: tf.NamedAttrMap) => Result;

const shape5 = (x: tf.TensorInfo) => x.shape as unknown as Shape5;
const sizeOf = (x: tf.TensorInfo) => tf.util.sizeFromShape(x.shape);

/** The tensor's numbers on the JavaScript side: for the few values that exist once per channel. */
const numbers = (backend: WasmBackend, x: tf.TensorInfo) => backend.view(x) as Float32Array;

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

function normShape(x: tf.TensorInfo): NormShape {
  const channels = x.shape[x.shape.length - 1];
  return { rows: sizeOf(x) / channels, channels };
}

const batchNormTrain: Implementation = (backend, { x, gamma, beta, residual }, attrs) => {
  const { machine } = backend;
  const { epsilon, relu } = attrs as unknown as { epsilon: number; relu: boolean };
  const shape = normShape(x);
  const { mean, variance } = channelMoments(machine, shape, backend.address(x));
  const y = backend.output(x.shape, 'float32');
  const factor = numbers(backend, gamma).map((g, c) => g / Math.sqrt(variance[c] + epsilon));
  const at = {
    x: backend.address(x),
    residual: residual ? backend.address(residual) : 0,
    y: backend.address(y),
  };
  applyAffine(machine, shape, at, { mean, factor, offset: numbers(backend, beta) }, relu);
  return [y, channelTensor(backend, mean), channelTensor(backend, variance)];
};

const batchNormTrainGradient: Implementation = (backend, inputs, attrs) => {
  const { epsilon, relu, residual } = attrs as unknown as {
    epsilon: number;
    relu: boolean;
    residual: boolean;
  };
  const { x, gamma, mean, variance } = inputs;
  const shape = normShape(x);
  const at = { ...gradientAddresses(backend, inputs, relu), mean: backend.address(mean) };
  const { first, second } = gradientSums(backend.machine, shape, at);
  const inverse = Float64Array.from(numbers(backend, variance), (v) => 1 / Math.sqrt(v + epsilon));
  // dx = gamma / s * (g - mean(g) - (x - mean) / s^2 * mean(g * (x - mean))), s^2 = variance + epsilon.
  const factor = Float64Array.from(numbers(backend, gamma), (g, c) => g * inverse[c]);
  const slope = factor.map((f, c) => (f * inverse[c] ** 2 * second[c]) / shape.rows);
  const offset = factor.map((f, c) => (f * first[c]) / shape.rows);
  const affine = { mean: numbers(backend, mean), factor, slope, offset };
  const [dx, ...dresidual] = spreadGradient(backend, inputs, shape, affine, relu, residual);
  const dgamma = second.map((sum, c) => sum * inverse[c]);
  return [dx, channelTensor(backend, dgamma), channelTensor(backend, first), ...dresidual];
};

const scaleShift: Implementation = (backend, { x, scale, shift, residual }, attrs) => {
  const shape = normShape(x);
  const y = backend.output(x.shape, 'float32');
  const at = {
    x: backend.address(x),
    residual: residual ? backend.address(residual) : 0,
    y: backend.address(y),
  };
  const affine = {
    mean: new Float32Array(shape.channels),
    factor: numbers(backend, scale),
    offset: numbers(backend, shift),
  };
  applyAffine(backend.machine, shape, at, affine, Boolean(attrs.relu));
  return y;
};

const scaleShiftGradient: Implementation = (backend, inputs, attrs) => {
  const { relu, residual } = attrs as unknown as { relu: boolean; residual: boolean };
  const shape = normShape(inputs.x);
  const none = new Float32Array(shape.channels);
  const { first, second } = backend.machine.heap.withScratch([shape.channels * 4], (mean) => {
    backend.machine.heap.float32(mean, shape.channels).fill(0);
    return gradientSums(backend.machine, shape, { ...gradientAddresses(backend, inputs, relu), mean });
  });
  const affine = { mean: none, factor: numbers(backend, inputs.scale), slope: none, offset: none };
  const [dx, ...dresidual] = spreadGradient(backend, inputs, shape, affine, relu, residual);
  return [dx, channelTensor(backend, second), channelTensor(backend, first), ...dresidual];
};

function gradientAddresses(backend: WasmBackend, { x, dy, y }: Inputs, relu: boolean) {
  return { x: backend.address(x), dy: backend.address(dy), y: relu ? backend.address(y) : 0 };
}

/** dx and, where asked for, dresidual. */
function spreadGradient(
  backend: WasmBackend,
  inputs: Inputs,
  shape: NormShape,
  affine: AffineGradient,
  relu: boolean,
  residual: boolean,
): tf.TensorInfo[] {
  const dx = backend.output(inputs.x.shape, 'float32');
  const dresidual = residual ? backend.output(inputs.x.shape, 'float32') : undefined;
  applyAffineGradient(
    backend.machine,
    shape,
    {
      ...gradientAddresses(backend, inputs, relu),
      dx: backend.address(dx),
      dresidual: dresidual ? backend.address(dresidual) : 0,
    },
    affine,
  );
  return dresidual ? [dx, dresidual] : [dx];
}

function channelTensor(backend: WasmBackend, values: Float64Array): tf.TensorInfo {
  const info = backend.output([values.length], 'float32');
  numbers(backend, info).set(values);
  return info;
}

const maxPool3d: Implementation = (backend, { x }, attrs) => {
  const window = attrs as unknown as PoolWindow;
  const [n, d, h, w, c] = shape5(x);
  const out = [d, h, w].map((size, a) =>
    outputSize(size, window.size[a], window.stride[a], window.padding[a]),
  );
  const shape = [n, out[0], out[1], out[2], c] as const;
  const y = backend.output(shape, 'float32');
  const indices = backend.output(shape, 'int32');
  const at = { x: backend.address(x), y: backend.address(y), indices: backend.address(indices) };
  maxPool(backend.machine, shape5(x), shape, window, at);
  return [y, indices];
};

const maxPool3dGradient: Implementation = (backend, { dy, indices }, attrs) => {
  const { inputShape } = attrs as unknown as { inputShape: Shape5 };
  const dx = backend.output(inputShape, 'float32');
  const at = { x: backend.address(dx), y: backend.address(dy), indices: backend.address(indices) };
  maxPoolGradient(backend.machine, inputShape, dy.shape, at);
  return dx;
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
  [KERNELS.conv3dFilterGradient]: conv3dFilterGradient,
  [KERNELS.batchNormTrain]: batchNormTrain,
  [KERNELS.batchNormTrainGradient]: batchNormTrainGradient,
  [KERNELS.scaleShift]: scaleShift,
  [KERNELS.scaleShiftGradient]: scaleShiftGradient,
  [KERNELS.maxPool3d]: maxPool3d,
  [KERNELS.maxPool3dGradient]: maxPool3dGradient,
  [KERNELS.globalAveragePool]: globalAveragePool,
  [KERNELS.globalAveragePoolGradient]: globalAveragePoolGradient,
  [KERNELS.subsamplePad]: subsamplePad,
  [KERNELS.subsamplePadGradient]: subsamplePadGradient,
  [KERNELS.sgdStep]: sgd,
  [KERNELS.adamStep]: adam,
  [tf.Add]: binary(tf.Add, 'add'),
  [tf.Multiply]: binary(tf.Multiply, 'multiply'),
  [tf.Relu]: relu,
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
        implementation(backend as WasmBackend, inputs as Inputs, attrs ?? {}),
    });
  registerCpuKernels(new Set(Object.keys(IMPLEMENTATIONS)));
}
