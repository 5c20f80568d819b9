import * as tf from '@tensorflow/tfjs-core';
import { KERNELS, outputSize, type Shape5 } from '../ops/kernels';
import type { WasmBackend } from './backend';
import type { Implementation, Inputs } from './implementation';
import {
  addedUp,
  applyAffine,
  applyAffineGradient,
  channelMoments,
  channelSums,
  gradientSums,
  normFactor,
  normGradient,
  withZeros,
  type Affine,
  type AffineGradient,
  type BlockSums,
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
  const info = perChannel(backend, values.length);
  numbers(backend, info).set(values);
  return info;
}

/** A tensor of one number per channel, for a kernel to fill. */
function perChannel(backend: WasmBackend, channels: number): tf.TensorInfo {
  return backend.output([channels], 'float32');
}

/** x's own memory where it may be overwritten, else new. */
function successor(backend: WasmBackend, x: tf.TensorInfo, overwrite: boolean | undefined): tf.TensorInfo {
  return overwrite ? backend.alias(x, x.shape) : backend.output(x.shape, 'float32');
}

/** Lends the coefficients that normalise x by its own statistics, which are returned. */
function normalised(
  backend: WasmBackend,
  { x, gamma, beta }: Inputs,
  epsilon: number,
  use: (affine: Affine) => void,
): [mean: tf.TensorInfo, variance: tf.TensorInfo] {
  const { machine } = backend;
  const shape = normShape(x);
  const statistics = [perChannel(backend, shape.channels), perChannel(backend, shape.channels)] as const;
  const [mean, variance] = statistics.map((info) => backend.address(info));
  channelMoments(machine, shape, backend.address(x), { mean, variance });
  machine.heap.withScratch([shape.channels * 4], (factor) => {
    normFactor(machine, shape.channels, backend.address(gamma), variance, epsilon, factor);
    use({ mean, factor, offset: backend.address(beta) });
  });
  return [...statistics];
}

const batchNormTrain: Implementation = (backend, inputs, attrs) => {
  const { x, residual } = inputs;
  const { epsilon, relu, overwrite } = attrs as unknown as NormAttrs;
  const y = successor(backend, x, overwrite);
  const at = {
    x: backend.address(x),
    residual: residual ? backend.address(residual) : 0,
    y: backend.address(y),
  };
  const [mean, variance] = normalised(backend, inputs, epsilon, (affine) =>
    applyAffine(backend.machine, normShape(x), at, affine, relu),
  );
  return [y, mean, variance];
};

const batchNormTrainGradient: Implementation = (backend, inputs, attrs) => {
  const { machine } = backend;
  const { epsilon, relu, residual, overwrite } = attrs as unknown as NormAttrs;
  const { dy, x, beta } = inputs;
  const shape = normShape(x);
  const dresidual = residual ? successor(backend, dy, overwrite) : undefined;
  const dx = successor(backend, x, overwrite);
  const at = {
    x: backend.address(x),
    dy: backend.address(dy),
    g: dresidual ? backend.address(dresidual) : 0,
  };
  const gradients = normGradients(backend, inputs, epsilon, (affine, gradientOf) => {
    // Without a residual the result says no more than x does; with one, g is kept anyway.
    const mask: Mask = {
      y: relu ? backend.address(inputs.y) : 0,
      again: relu && beta && !residual ? { factor: affine.factor, shift: backend.address(beta) } : undefined,
    };
    gradientSums(machine, shape, at, affine.mean, mask, gradientOf);
    const masked = dresidual
      ? { from: { ...at, dy: at.g, dresidual: 0 }, by: { y: 0 } }
      : { from: { ...at, dresidual: 0 }, by: mask };
    applyAffineGradient(machine, shape, { ...masked.from, dx: backend.address(dx) }, affine, masked.by);
  });
  return dresidual ? [dx, ...gradients, dresidual] : [dx, ...gradients];
};

/**
 * Lends the coefficients of the gradient of x, of which `use` has those that come from sums computed before it reads
 * them. The gradients of gamma and beta are returned.
 */
function normGradients(
  backend: WasmBackend,
  { x, gamma, ...inputs }: Inputs,
  epsilon: number,
  use: (affine: AffineGradient, gradientOf: (sums: BlockSums) => void) => void,
): [dgamma: tf.TensorInfo, dbeta: tf.TensorInfo] {
  const { machine } = backend;
  const shape = normShape(x);
  const { channels } = shape;
  const [mean, variance] = [inputs.mean, inputs.variance].map((info) => backend.address(info));
  const gradients = [perChannel(backend, channels), perChannel(backend, channels)] as const;
  const [dgamma, dbeta] = gradients.map((info) => backend.address(info));
  const bytes = channels * 4;
  machine.heap.withScratch([bytes, bytes, bytes], (factor, slope, offset) => {
    normFactor(machine, channels, backend.address(gamma), variance, epsilon, factor);
    const to = { slope, offset, dgamma, dbeta };
    use({ mean, factor, slope, offset }, (sums) =>
      normGradient(machine, shape, sums, { factor, variance }, epsilon, to),
    );
  });
  return [...gradients];
}

const scaleShift: Implementation = (backend, { x, scale, shift, residual }, attrs) => {
  const { relu, overwrite } = attrs as unknown as NormAttrs;
  const y = successor(backend, x, overwrite);
  const at = {
    x: backend.address(x),
    residual: residual ? backend.address(residual) : 0,
    y: backend.address(y),
  };
  const shape = normShape(x);
  const [factor, offset] = [backend.address(scale), backend.address(shift)];
  withZeros(backend.machine, shape.channels, (mean) =>
    applyAffine(backend.machine, shape, at, { mean, factor, offset }, relu),
  );
  return y;
};

const scaleShiftGradient: Implementation = (backend, { dy, x, y, scale }, attrs) => {
  const { relu, residual } = attrs as unknown as NormAttrs;
  const { machine } = backend;
  const shape = normShape(x);
  const dx = backend.output(x.shape, 'float32');
  const dresidual = residual ? backend.output(x.shape, 'float32') : undefined;
  const at = { x: backend.address(x), dy: backend.address(dy), g: 0 };
  const mask = { y: relu ? backend.address(y) : 0 };
  const { first, second } = withZeros(machine, shape.channels, (none) => {
    const sums = gradientSums(machine, shape, at, none, mask, (blocks) =>
      addedUp(machine, shape.channels, blocks),
    );
    applyAffineGradient(
      machine,
      shape,
      { ...at, dx: backend.address(dx), dresidual: dresidual ? backend.address(dresidual) : 0 },
      { mean: none, factor: backend.address(scale), slope: none, offset: none },
      mask,
    );
    return sums;
  });
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

const normPool: Implementation = (backend, inputs, attrs) => {
  const { x } = inputs;
  const { epsilon, ...window } = attrs as unknown as PoolWindow & { epsilon: number };
  const { shape, y, indices, at } = pooled(backend, x, window);
  const [mean, variance] = normalised(backend, inputs, epsilon, (affine) =>
    affineMaxPool(backend.machine, shape5(x), shape, window, at, affine),
  );
  return [y, indices, mean, variance];
};

const normPoolGradient: Implementation = (backend, inputs, attrs) => {
  const { epsilon, overwrite, ...window } = attrs as unknown as PoolWindow & {
    epsilon: number;
    overwrite?: boolean;
  };
  const { machine } = backend;
  const { dy, x, indices } = inputs;
  const dx = successor(backend, x, overwrite);
  const at = {
    x: backend.address(x),
    dy: backend.address(dy),
    indices: backend.address(indices),
  };
  const gradients = normGradients(backend, inputs, epsilon, (affine, gradientOf) => {
    pooledGradientSums(machine, shape5(x), shape5(dy), at, affine.mean, gradientOf);
    const to = { ...at, dx: backend.address(dx) };
    maxPoolGradient(machine, shape5(x), shape5(dy), window, to, { x: at.x, affine });
  });
  return [dx, ...gradients];
};

const scaleShiftPool: Implementation = (backend, { x, scale, shift }, attrs) => {
  const window = attrs as unknown as PoolWindow;
  const { machine } = backend;
  const { shape, y, indices, at } = pooled(backend, x, window);
  const [factor, offset] = [backend.address(scale), backend.address(shift)];
  withZeros(machine, shape[4], (mean) =>
    affineMaxPool(machine, shape5(x), shape, window, at, { mean, factor, offset }),
  );
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
