import * as tf from '@tensorflow/tfjs-core';
import { KERNELS } from './kernels';
import { hasKernel, runKernelMany } from './run-kernel';

export interface SgdAttrs {
  readonly learningRate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly nesterov: boolean;
}

export interface AdamAttrs {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Weight decay outside the moments (AdamW, Loshchilov & Hutter 2019) instead of inside the gradient. */
  readonly decoupled: boolean;
  /** 1 on the first step. */
  readonly step: number;
}

/**
 * One SGD step with momentum, PyTorch's rule. Engines with the kernel update the given tensors in place and return
 * them; others dispose them and return new ones. Use the returned tensors either way.
 */
export function sgdStep(
  value: tf.Tensor,
  gradient: tf.Tensor,
  velocity: tf.Tensor,
  attrs: SgdAttrs,
): { value: tf.Tensor; velocity: tf.Tensor } {
  if (hasKernel(KERNELS.sgdStep)) {
    runKernelMany(KERNELS.sgdStep, { value, gradient, velocity }, attrs);
    return { value, velocity };
  }
  return replacing([value, velocity], () => {
    const decayed = tf.add(gradient, tf.mul(value, attrs.weightDecay));
    const moved = tf.add(tf.mul(velocity, attrs.momentum), decayed);
    const direction = attrs.nesterov ? tf.add(decayed, tf.mul(moved, attrs.momentum)) : moved;
    return { value: tf.sub(value, tf.mul(direction, attrs.learningRate)), velocity: moved };
  });
}

/** One Adam or AdamW step, PyTorch's rule; in place or replaced as in {@link sgdStep}. */
export function adamStep(
  value: tf.Tensor,
  gradient: tf.Tensor,
  m: tf.Tensor,
  v: tf.Tensor,
  attrs: AdamAttrs,
): { value: tf.Tensor; m: tf.Tensor; v: tf.Tensor } {
  if (hasKernel(KERNELS.adamStep)) {
    runKernelMany(KERNELS.adamStep, { value, gradient, m, v }, attrs);
    return { value, m, v };
  }
  return replacing([value, m, v], () => {
    const { learningRate, beta1, beta2, weightDecay, step } = attrs;
    const g = attrs.decoupled ? gradient : tf.add(gradient, tf.mul(value, weightDecay));
    const shrunk = attrs.decoupled ? tf.mul(value, 1 - learningRate * weightDecay) : value;
    const first = tf.add(tf.mul(m, beta1), tf.mul(g, 1 - beta1));
    const second = tf.add(tf.mul(v, beta2), tf.mul(tf.square(g), 1 - beta2));
    const denominator = tf.add(tf.div(tf.sqrt(second), Math.sqrt(1 - beta2 ** step)), attrs.epsilon);
    const change = tf.mul(tf.div(first, denominator), learningRate / (1 - beta1 ** step));
    return { value: tf.sub(shrunk, change), m: first, v: second };
  });
}

function replacing<T extends tf.TensorContainerObject>(old: readonly tf.Tensor[], compute: () => T): T {
  const fresh = tf.tidy(compute);
  for (const tensor of old) tensor.dispose();
  return fresh;
}
