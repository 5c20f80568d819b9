import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../errors';
import { currentEngine } from '../engine/choose';
import { read } from '../engine/reading';
import type { Network } from '../model/network';
import { atOnce, type Steps } from '../model/steps';

/**
 * `gradcam`: activations weighted by the mean gradient of their channel (Selvaraju et al. 2017).
 * `hirescam`: activations times their own gradients, summed over channels (Draelos & Carin 2020): faithful to what a
 * linear head behind the layer adds up, and sharp at early layers.
 */
export const CAM_METHODS = ['gradcam', 'hirescam'] as const;
export type CamMethod = (typeof CAM_METHODS)[number];

export interface CamRequest {
  /** Dotted layer name, e.g. `layer4`, `layer2.0.conv1`. */
  readonly layer: string;
  /** The class whose logit is differentiated; default: the predicted one. */
  readonly classIndex?: number;
  readonly method: CamMethod;
}

/** A class map at the layer's own resolution. */
export interface ClassMap {
  /** After ReLU, >= 0, row-major over `shape`. */
  readonly data: Float32Array;
  /** D, H, W of the layer's grid. */
  readonly shape: readonly [number, number, number];
  readonly logits: readonly number[];
  readonly classIndex: number;
  readonly layer: string;
  readonly method: CamMethod;
}

/**
 * Where the logit of a class comes from, for one volume [1, D, H, W, C] in evaluation mode. The logit is
 * differentiated, never the probability: a saturated softmax would hide the evidence. Leaves no tensors behind and
 * changes nothing in the network.
 * @throws InputError for a layer that does not exist (with those that do) or a class out of range
 */
export function gradCam(network: Network, x: tf.Tensor5D, request: CamRequest): ClassMap {
  return atOnce(gradCamSteps(network, x, request));
}

/** {@link gradCam}, step by step. */
export function* gradCamSteps(network: Network, x: tf.Tensor5D, request: CamRequest): Steps<ClassMap> {
  if (x.shape[0] !== 1)
    throw new InputError(`A class map is made for one volume at a time; this batch has ${x.shape[0]}.`);
  const { classes } = network.spec;
  const asked = request.classIndex;
  if (asked !== undefined && (!Number.isInteger(asked) || asked < 0 || asked >= classes))
    throw new InputError(
      `There is no class ${asked}: this network has ${classes} classes, 0 to ${classes - 1}.`,
    );
  // Gradients of one voxel are too small for half precision. Scaled up they are in its range, if not beyond it.
  for (let scale = currentEngine()?.precision === 'f16' ? HALF_SCALE : 1; ; scale /= HALF_SCALE_STEP) {
    const map = yield* mapAtScale(network, x, request, scale);
    if (map) return map;
  }
}

/** With what a logit is multiplied before it is differentiated in half precision, and how far that falls on overflow. */
const HALF_SCALE = 2 ** 16;
const HALF_SCALE_STEP = 2 ** 4;

/** Undefined where gradients overflow at this scale and may not at a smaller one. */
function* mapAtScale(
  network: Network,
  x: tf.Tensor5D,
  request: CamRequest,
  scale: number,
): Steps<ClassMap | undefined> {
  const { classes } = network.spec;
  const asked = request.classIndex;
  const { pass, value } = yield* network.keepingSteps(request.layer, x, 'running');
  let activations: tf.Tensor5D | undefined;
  let seed: tf.Tensor2D | undefined;
  try {
    const logits = [...(yield* read(pass.logits))];
    const classIndex = asked ?? logits.indexOf(Math.max(...logits));
    activations = tf.clone(pass.value(value)) as tf.Tensor5D;
    seed = tf.tensor2d(
      logits.map((_, index) => (index === classIndex ? scale : 0)),
      [1, classes],
    );
    const { value: gradients } = yield* pass.backwardSteps(seed, { parameters: false, to: value });
    if (!gradients) throw new Error(`No gradient reached ${request.layer}.`);
    const [, d, h, w, channels] = activations.shape;
    let data: Float32Array;
    try {
      const slopes = yield* read(gradients);
      if (scale > 1 && !slopes.every(Number.isFinite)) return undefined;
      data = classMap(yield* read(activations), slopes, channels, request.method, scale);
    } finally {
      gradients.dispose();
    }
    return { data, shape: [d, h, w], logits, classIndex, layer: request.layer, method: request.method };
  } finally {
    pass.dispose();
    activations?.dispose();
    seed?.dispose();
  }
}

/**
 * The map itself, after ReLU, from activations and gradients [positions, channels] of one volume. Accumulates in
 * double precision.
 * @param scale of the gradients: they are divided by it
 */
export function classMap(
  activations: ArrayLike<number>,
  gradients: ArrayLike<number>,
  channels: number,
  method: CamMethod,
  scale = 1,
): Float32Array {
  const positions = activations.length / channels;
  const map = new Float32Array(positions);
  const weights = method === 'gradcam' ? channelMeans(gradients, channels) : undefined;
  for (let p = 0; p < positions; p++) {
    let sum = 0;
    for (let c = 0; c < channels; c++) {
      const at = p * channels + c;
      sum += activations[at] * (weights ? weights[c] : gradients[at]);
    }
    map[p] = Math.max(0, sum / scale);
  }
  return map;
}

/** Grad-CAM's alpha: the mean gradient of each channel over all positions. */
export function channelMeans(values: ArrayLike<number>, channels: number): Float64Array {
  const means = new Float64Array(channels);
  for (let i = 0; i < values.length; i++) means[i % channels] += values[i];
  const positions = values.length / channels;
  return means.map((sum) => sum / positions);
}
