import type { TensorInfo } from '@tensorflow/tfjs-core';

/**
 * The kernels that an engine may bring beyond tfjs-core's own. Activations are NDHWC float32, filters DHWIO. An engine
 * that lacks one of them gets a composition of tfjs-core operations instead (see the op of the same name).
 */
export const KERNELS = {
  conv3d: 'FcdConv3D',
  conv3dInputGradient: 'FcdConv3DInputGradient',
  conv3dInputGradientInto: 'FcdConv3DInputGradientInto',
  conv3dFilterGradient: 'FcdConv3DFilterGradient',
  batchNormTrain: 'FcdBatchNormTrain',
  batchNormTrainGradient: 'FcdBatchNormTrainGradient',
  scaleShift: 'FcdScaleShift',
  scaleShiftGradient: 'FcdScaleShiftGradient',
  normPool: 'FcdNormPool',
  normPoolGradient: 'FcdNormPoolGradient',
  scaleShiftPool: 'FcdScaleShiftPool',
  maxPool3d: 'FcdMaxPool3D',
  maxPool3dGradient: 'FcdMaxPool3DGradient',
  globalAveragePool: 'FcdGlobalAveragePool',
  globalAveragePoolGradient: 'FcdGlobalAveragePoolGradient',
  subsamplePad: 'FcdSubsamplePad',
  subsamplePadGradient: 'FcdSubsamplePadGradient',
  resample: 'FcdResample',
  channelSum: 'FcdChannelSum',
  foldNorm: 'FcdFoldNorm',
  foldNormGradient: 'FcdFoldNormGradient',
  moveRunning: 'FcdMoveRunning',
  crossEntropyGradient: 'FcdCrossEntropyGradient',
  taskProbabilities: 'FcdTaskProbabilities',
  taskGradient: 'FcdTaskGradient',
  addInto: 'FcdAddInto',
  sgdStep: 'FcdSgdStep',
  adamStep: 'FcdAdamStep',
} as const;

/** Kernels of engines with half precision, which nothing stands in for elsewhere. */
export const HALF_KERNELS = {
  unscale: 'FcdUnscale',
  keepHalf: 'FcdKeepHalf',
  roundHalf: 'FcdRoundHalf',
} as const;

export type Triple = readonly [number, number, number];
export type Shape5 = readonly [number, number, number, number, number];

/** Geometry of a convolution: explicit symmetric zero padding, as in PyTorch (never TensorFlow's 'same'). */
export interface ConvAttrs {
  readonly stride: Triple;
  readonly padding: Triple;
  readonly dilation: Triple;
}

/**
 * FcdConv3D: inputs {x: [N,D,H,W,Ci], filter: [kd,kh,kw,Ci,Co]} -> [N,OD,OH,OW,Co].
 * FcdConv3DInputGradient: inputs {dy, filter}, attrs ConvAttrs & {inputShape: Shape5} -> dx.
 * FcdConv3DInputGradientInto: inputs {sum: like dx, dy, filter}, attrs ConvAttrs: sum += dx IN PLACE. -> [].
 * FcdConv3DFilterGradient: inputs {x, dy}, attrs ConvAttrs & {filterShape: Shape5} -> dfilter.
 *
 * FcdBatchNormTrain: inputs {x: [N,D,H,W,C], gamma: [C], beta: [C], residual?: same as x},
 *   attrs {epsilon, relu: boolean, overwrite?: boolean} -> [y, mean: [C], variance: [C] (biased)];
 *   y = act(gamma * (x - mean) / sqrt(variance + epsilon) + beta + residual), with `overwrite` perhaps in x's memory.
 * FcdBatchNormTrainGradient: inputs {dy, x, y, gamma, beta?, mean, variance},
 *   attrs {epsilon, relu, residual: boolean, overwrite?: boolean}
 *   -> [dx, dgamma, dbeta] and, when `residual`, dresidual (= dy masked by y > 0 when `relu`). With `overwrite` dx may
 *   take the memory of x, and dresidual that of dy: the caller reads neither afterwards.
 *
 * FcdScaleShift: inputs {x, scale: [C], shift: [C], residual?}, attrs {relu, overwrite?: boolean}
 *   -> act(x * scale + shift + residual), with `overwrite` perhaps in the memory of x.
 * FcdScaleShiftGradient: inputs {dy, x, y, scale}, attrs {relu, residual: boolean}
 *   -> [dx, dscale, dshift] and, when `residual`, dresidual.
 *
 * FcdMaxPool3D: inputs {x}, attrs {size: Triple, stride: Triple, padding: Triple} -> [y, indices: int32 like y].
 *   Padding counts as -infinity. `indices` holds the flat spatial position (d*H + h)*W + w of the FIRST maximum in
 *   d, h, w order (PyTorch's tie rule).
 * FcdMaxPool3DGradient: inputs {dy, indices}, attrs {inputShape: Shape5, size, stride, padding as above}
 *   -> dx (sums where windows overlap, in d, h, w order of the windows).
 *
 * FcdNormPool: batch normalisation in training, ReLU and max pooling in one; what is pooled is never written down.
 *   inputs {x, gamma, beta}, attrs {epsilon, size, stride, padding} -> [y, indices, mean, variance];
 *   indices are -1 where y is 0, through which no gradient passes.
 * FcdNormPoolGradient: inputs {dy, x, indices, gamma, mean, variance},
 *   attrs {epsilon, size, stride, padding, overwrite?: boolean} -> [dx, dgamma, dbeta]; `overwrite` as above.
 * FcdScaleShiftPool: the same with running statistics: inputs {x, scale, shift}, attrs {size, stride, padding} -> y.
 *   An engine may leave these three to compositions for channel numbers that it cannot take (see ops/norm-pool.ts).
 *
 * FcdGlobalAveragePool: inputs {x: [N,D,H,W,C]} -> [N,C].
 * FcdGlobalAveragePoolGradient: inputs {dy: [N,C]}, attrs {inputShape: Shape5} -> dx.
 *
 * FcdSubsamplePad (shortcut A): inputs {x}, attrs {stride: Triple, channels: number}
 *   -> x at every stride-th voxel, zero channels appended up to `channels`.
 * FcdSubsamplePadGradient: inputs {dy}, attrs {inputShape: Shape5, stride: Triple} -> dx.
 *
 * FcdResample: inputs {x: [N,D,H,W,C]}, attrs {taps: Taps3 (ops/taps.ts)} -> [N, outputs of the three axes, C]: sparse
 *   linear maps along depth, height and width (trilinear resizing, average pooling, their gradients).
 *
 * FcdChannelSum: inputs {x: [..., C]} -> [C], summed over all other axes.
 *
 * FcdFoldNorm: inputs {gamma, beta, mean, variance: all [C]}, attrs {epsilon} -> [scale, shift]; see ops/running-norm.ts.
 * FcdFoldNormGradient: inputs {dscale, dshift, mean, variance}, attrs {epsilon} -> dgamma.
 * FcdMoveRunning: inputs {running, batch: [C]}, attrs {momentum, factor}: running += momentum * (batch * factor -
 *   running) IN PLACE. -> [].
 *
 * FcdCrossEntropyGradient: inputs {logits: [N, classes]}, attrs {labels, weights: N numbers each} -> dlogits.
 *
 * FcdTaskProbabilities: inputs {z: [N,D,H,W,T], codes: int32 [N*D*H*W], members: [codes, T rounded up to 4]}
 *   -> [p = sigmoid(z), sums: [blocks, 4, T rounded up to 4]]; see ops/task-loss.ts.
 * FcdTaskGradient: inputs {p, codes, members, factors: [3, T rounded up to 4]}: the gradient IN PLACE of p. -> [].
 *
 * FcdUnscale (HALF_KERNELS): inputs {gradient, found: int32 [1]}, attrs {factor}: gradient *= factor IN PLACE,
 *   and found becomes 1 where a value of the gradient was infinite or not a number. -> [].
 *
 * FcdAddInto: inputs {sum, term}: sum += term IN PLACE. -> [].
 *
 * FcdSgdStep: inputs {value, gradient, velocity}, attrs {learningRate, momentum, weightDecay, nesterov: boolean}:
 *   IN PLACE on value and velocity, PyTorch's rule (g += wd * value; v = momentum * v + g; value -= lr * v). -> [].
 * FcdAdamStep: inputs {value, gradient, m, v}, attrs {learningRate, beta1, beta2, epsilon, weightDecay,
 *   decoupled: boolean, step: number (1-based)}: IN PLACE on value, m, v, PyTorch's Adam / AdamW. -> [].
 */
export type KernelName =
  (typeof KERNELS)[keyof typeof KERNELS] | (typeof HALF_KERNELS)[keyof typeof HALF_KERNELS];

/** Output size of a convolution or pooling window along one axis (PyTorch's rule). */
export function outputSize(
  input: number,
  size: number,
  stride: number,
  padding: number,
  dilation = 1,
): number {
  return Math.floor((input + 2 * padding - dilation * (size - 1) - 1) / stride) + 1;
}

/** Shape [N,OD,OH,OW,Co] of a convolution's output. */
export function convOutputShape(x: readonly number[], filter: readonly number[], attrs: ConvAttrs): Shape5 {
  const size = (axis: number) =>
    outputSize(x[axis + 1], filter[axis], attrs.stride[axis], attrs.padding[axis], attrs.dilation[axis]);
  return [x[0], size(0), size(1), size(2), filter[4]];
}

/** What a kernel is called with, once tensors are unwrapped. */
export type KernelInputs = Readonly<Record<string, TensorInfo>>;
