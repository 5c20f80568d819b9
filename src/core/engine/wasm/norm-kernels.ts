import * as tf from '@tensorflow/tfjs-core';
import { KERNELS, outputSize, type Shape5 } from '../ops/kernels';
import type { WasmBackend } from './backend';
import type { Implementation, Inputs } from './implementation';
import {
  applyAffine,
  applyAffineGradient,
  channelMoments,
  channelSums,
  gradientSums,
  type Affine,
  type AffineGradient,
  type ChannelSums,
  type Mask,
  type NormShape,
} from './normalisation';
import { affineMaxPool, maxPool, maxPoolGradient, pooledGradientSums, type PoolWindow } from './pooling';

interface NormAttrs {
  readonly epsilon: number;
  readonly relu: boolean;
  readonly residual: boolean;
  readonly overwrite?: boolean;
}

const shape5 = (x: tf.TensorInfo) => x.shape as unknown as Shape5;

/** The tensor's numbers on the JavaScript side: for the few values that exist once per channel. */
const numbers = (backend: WasmBackend, x: tf.TensorInfo) => backend.view(x) as Float32Array;

function normShape(x: tf.TensorInfo): NormShape {
  const channels = x.shape[x.shape.length - 1];
  return { rows: tf.util.sizeFromShape(x.shape) / channels, channels };
}

function channelTensor(backend: WasmBackend, values: ArrayLike<number>): tf.TensorInfo {
  const info = backend.output([values.length], 'float32');
  numbers(backend, info).set(values);
  return info;
}

/** x's own memory where it may be overwritten, else new. */
function successor(backend: WasmBackend, x: tf.TensorInfo, overwrite: boolean | undefined): tf.TensorInfo {
  return overwrite ? backend.alias(x, x.shape) : backend.output(x.shape, 'float32');
}

/** What training's normalisation multiplies with; forward and backward must come to the same bits. */
function normFactor(gamma: Float32Array, variance: Float32Array, epsilon: number): Float32Array {
  const factor = new Float32Array(gamma.length);
  for (let c = 0; c < factor.length; c++) factor[c] = gamma[c] / Math.sqrt(variance[c] + epsilon);
  return factor;
}

const batchNormTrain: Implementation = (backend, { x, gamma, beta, residual }, attrs) => {
  const { machine } = backend;
  const { epsilon, relu, overwrite } = attrs as unknown as NormAttrs;
  const shape = normShape(x);
  const { mean, variance } = channelMoments(machine, shape, backend.address(x));
  const y = successor(backend, x, overwrite);
  const at = {
    x: backend.address(x),
    residual: residual ? backend.address(residual) : 0,
    y: backend.address(y),
  };
  const factor = normFactor(numbers(backend, gamma), variance, epsilon);
  applyAffine(machine, shape, at, { mean, factor, offset: numbers(backend, beta) }, relu);
  return [y, channelTensor(backend, mean), channelTensor(backend, variance)];
};

const batchNormTrainGradient: Implementation = (backend, inputs, attrs) => {
  const { machine } = backend;
  const { epsilon, relu, residual, overwrite } = attrs as unknown as NormAttrs;
  const { dy, x, gamma, beta } = inputs;
  const shape = normShape(x);
  const mean = numbers(backend, inputs.mean);
  const factor = normFactor(numbers(backend, gamma), numbers(backend, inputs.variance), epsilon);
  const dresidual = residual ? successor(backend, dy, overwrite) : undefined;
  const at = {
    x: backend.address(x),
    dy: backend.address(dy),
    g: dresidual ? backend.address(dresidual) : 0,
  };
  // Without a residual the result says no more than x does; with one, g is kept anyway.
  const mask: Mask = {
    y: relu ? backend.address(inputs.y) : 0,
    again: relu && beta && !residual ? { factor, shift: numbers(backend, beta) } : undefined,
  };
  const sums = gradientSums(machine, shape, at, mean, mask);
  const { affine, dgamma } = normGradient(backend, inputs, sums, shape.rows, epsilon, factor);
  const dx = successor(backend, x, overwrite);
  const masked = dresidual
    ? { from: { ...at, dy: at.g, dresidual: 0 }, by: { y: 0 } }
    : { from: { ...at, dresidual: 0 }, by: mask };
  applyAffineGradient(machine, shape, { ...masked.from, dx: backend.address(dx) }, affine, masked.by);
  const outputs = [dx, channelTensor(backend, dgamma), channelTensor(backend, sums.first)];
  return dresidual ? [...outputs, dresidual] : outputs;
};

/** dx = gamma / s * (g - mean(g) - (x - mean) / s^2 * mean(g * (x - mean))), s^2 = variance + epsilon. */
function normGradient(
  backend: WasmBackend,
  inputs: Inputs,
  { first, second }: ChannelSums,
  rows: number,
  epsilon: number,
  factor: Float32Array,
): { affine: AffineGradient; dgamma: Float64Array } {
  const variance = numbers(backend, inputs.variance);
  const channels = factor.length;
  const slope = new Float64Array(channels);
  const offset = new Float64Array(channels);
  const dgamma = new Float64Array(channels);
  for (let c = 0; c < channels; c++) {
    slope[c] = (factor[c] * second[c]) / (variance[c] + epsilon) / rows;
    offset[c] = (factor[c] * first[c]) / rows;
    dgamma[c] = second[c] / Math.sqrt(variance[c] + epsilon);
  }
  return { affine: { mean: numbers(backend, inputs.mean), factor, slope, offset }, dgamma };
}

const scaleShift: Implementation = (backend, { x, scale, shift, residual }, attrs) => {
  const { relu, overwrite } = attrs as unknown as NormAttrs;
  const y = successor(backend, x, overwrite);
  const at = {
    x: backend.address(x),
    residual: residual ? backend.address(residual) : 0,
    y: backend.address(y),
  };
  applyAffine(backend.machine, normShape(x), at, runningAffine(backend, scale, shift), relu);
  return y;
};

function runningAffine(backend: WasmBackend, scale: tf.TensorInfo, shift: tf.TensorInfo): Affine {
  const factor = numbers(backend, scale);
  return { mean: new Float32Array(factor.length), factor, offset: numbers(backend, shift) };
}

const scaleShiftGradient: Implementation = (backend, { dy, x, y, scale }, attrs) => {
  const { relu, residual } = attrs as unknown as NormAttrs;
  const shape = normShape(x);
  const none = new Float32Array(shape.channels);
  const dx = backend.output(x.shape, 'float32');
  const dresidual = residual ? backend.output(x.shape, 'float32') : undefined;
  const at = { x: backend.address(x), dy: backend.address(dy), g: 0 };
  const mask = { y: relu ? backend.address(y) : 0 };
  const { first, second } = gradientSums(backend.machine, shape, at, none, mask);
  applyAffineGradient(
    backend.machine,
    shape,
    { ...at, dx: backend.address(dx), dresidual: dresidual ? backend.address(dresidual) : 0 },
    { mean: none, factor: numbers(backend, scale), slope: none, offset: none },
    mask,
  );
  const outputs = [dx, channelTensor(backend, second), channelTensor(backend, first)];
  return dresidual ? [...outputs, dresidual] : outputs;
};

/** y and the indices of a pooling of x, unfilled. */
function pooled(backend: WasmBackend, x: tf.TensorInfo, window: PoolWindow) {
  const [n, d, h, w, c] = shape5(x);
  const out = [d, h, w].map((size, a) =>
    outputSize(size, window.size[a], window.stride[a], window.padding[a]),
  );
  const shape: Shape5 = [n, out[0], out[1], out[2], c];
  const y = backend.output(shape, 'float32');
  const indices = backend.output(shape, 'int32');
  const at = { x: backend.address(x), y: backend.address(y), indices: backend.address(indices) };
  return { shape, y, indices, at };
}

const maxPool3d: Implementation = (backend, { x }, attrs) => {
  const window = attrs as unknown as PoolWindow;
  const { shape, y, indices, at } = pooled(backend, x, window);
  maxPool(backend.machine, shape5(x), shape, window, at);
  return [y, indices];
};

const maxPool3dGradient: Implementation = (backend, { dy, indices }, attrs) => {
  const { inputShape, ...window } = attrs as unknown as PoolWindow & { inputShape: Shape5 };
  const dx = backend.output(inputShape, 'float32');
  const at = { dx: backend.address(dx), dy: backend.address(dy), indices: backend.address(indices) };
  maxPoolGradient(backend.machine, inputShape, shape5(dy), window, at);
  return dx;
};

const normPool: Implementation = (backend, { x, gamma, beta }, attrs) => {
  const { epsilon, ...window } = attrs as unknown as PoolWindow & { epsilon: number };
  const { mean, variance } = channelMoments(backend.machine, normShape(x), backend.address(x));
  const { shape, y, indices, at } = pooled(backend, x, window);
  const factor = normFactor(numbers(backend, gamma), variance, epsilon);
  affineMaxPool(backend.machine, shape5(x), shape, window, at, {
    mean,
    factor,
    offset: numbers(backend, beta),
  });
  return [y, indices, channelTensor(backend, mean), channelTensor(backend, variance)];
};

const normPoolGradient: Implementation = (backend, inputs, attrs) => {
  const { epsilon, overwrite, ...window } = attrs as unknown as PoolWindow & {
    epsilon: number;
    overwrite?: boolean;
  };
  const { machine } = backend;
  const { dy, x, indices, gamma } = inputs;
  const { rows } = normShape(x);
  const at = {
    x: backend.address(x),
    dy: backend.address(dy),
    indices: backend.address(indices),
  };
  const sums = pooledGradientSums(machine, shape5(x), shape5(dy), at, numbers(backend, inputs.mean));
  const factor = normFactor(numbers(backend, gamma), numbers(backend, inputs.variance), epsilon);
  const { affine, dgamma } = normGradient(backend, inputs, sums, rows, epsilon, factor);
  const dx = successor(backend, x, overwrite);
  maxPoolGradient(
    machine,
    shape5(x),
    shape5(dy),
    window,
    { ...at, dx: backend.address(dx) },
    { x: at.x, affine },
  );
  return [dx, channelTensor(backend, dgamma), channelTensor(backend, sums.first)];
};

const scaleShiftPool: Implementation = (backend, { x, scale, shift }, attrs) => {
  const window = attrs as unknown as PoolWindow;
  const { shape, y, indices, at } = pooled(backend, x, window);
  affineMaxPool(backend.machine, shape5(x), shape, window, at, runningAffine(backend, scale, shift));
  backend.disposeData(indices.dataId);
  return y;
};

const channelSum: Implementation = (backend, { x }) => {
  return channelTensor(backend, channelSums(backend.machine, normShape(x), backend.address(x)));
};

/** Normalisation, rectification and pooling, alone and in one. */
export const normKernels: Readonly<Record<string, Implementation>> = {
  [KERNELS.batchNormTrain]: batchNormTrain,
  [KERNELS.batchNormTrainGradient]: batchNormTrainGradient,
  [KERNELS.scaleShift]: scaleShift,
  [KERNELS.scaleShiftGradient]: scaleShiftGradient,
  [KERNELS.maxPool3d]: maxPool3d,
  [KERNELS.maxPool3dGradient]: maxPool3dGradient,
  [KERNELS.normPool]: normPool,
  [KERNELS.normPoolGradient]: normPoolGradient,
  [KERNELS.scaleShiftPool]: scaleShiftPool,
  [KERNELS.channelSum]: channelSum,
};
