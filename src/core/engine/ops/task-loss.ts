import * as tf from '@tensorflow/tfjs-core';
import { KERNELS } from './kernels';
import { asRows } from './merged-axes';
import { hasKernel, runKernelMany } from './run-kernel';

/** Which of the tasks' structures each voxel belongs to, on the engine. */
export interface TaskTargets {
  /** int32 [rows]: for every voxel a row of `members`. */
  readonly codes: tf.Tensor1D;
  /** [codes, tasks rounded up to a multiple of 4]: 1 where a code belongs to a task. */
  readonly members: tf.Tensor2D;
}

/** By task, summed over all voxels. */
export interface TaskSums {
  /** max(z, 0) - z y + log(1 + exp(-|z|)): binary cross-entropy with logits. */
  readonly crossEntropy: Float64Array;
  /** p y, p and y. */
  readonly both: Float64Array;
  readonly predicted: Float64Array;
  readonly present: Float64Array;
}

/** Factors a, b, c of the gradient a (p - y) + p (1 - p) (b + c y), by task. */
export interface TaskFactors {
  readonly a: ArrayLike<number>;
  readonly b: ArrayLike<number>;
  readonly c: ArrayLike<number>;
}

export const paddedTasks = (tasks: number): number => 4 * Math.ceil(tasks / 4);

/**
 * A sigmoid decision per voxel and task, with the sums that losses are made of.
 * @param z logits [N, D, H, W, tasks]
 * @returns p [N, D, H, W, tasks] and sums [blocks, 4, padded tasks], for {@link taskSums}; both the caller's
 */
export function taskProbabilities(z: tf.Tensor5D, targets: TaskTargets): { p: tf.Tensor5D; sums: tf.Tensor } {
  if (hasKernel(KERNELS.taskProbabilities)) {
    const [p, sums] = runKernelMany(KERNELS.taskProbabilities, { z, ...targets });
    return { p: p as tf.Tensor5D, sums };
  }
  return tf.tidy(() => {
    const rows = asRows(z);
    const y = presence(targets, z.shape[4]);
    const p = tf.sigmoid(rows);
    const excess = tf.sub(tf.relu(rows), tf.mul(rows, y));
    const crossEntropy = tf.add(excess, tf.log1p(tf.exp(tf.neg(tf.abs(rows)))));
    const total = (x: tf.Tensor) => tf.sum(x, 0);
    const sums = tf.stack([total(crossEntropy), total(tf.mul(p, y)), total(p), total(y)]);
    const padding = paddedTasks(z.shape[4]) - z.shape[4];
    return {
      p: tf.reshape(p, z.shape),
      sums: tf.expandDims(
        tf.pad(sums, [
          [0, 0],
          [0, padding],
        ]),
        0,
      ),
    };
  });
}

/** What {@link taskProbabilities} summed, by task, from the values of its `sums`. */
export function taskSums(blocks: Float32Array, tasks: number): TaskSums {
  const padded = paddedTasks(tasks);
  const zeros = (): Float64Array => new Float64Array(tasks);
  const sums = { crossEntropy: zeros(), both: zeros(), predicted: zeros(), present: zeros() };
  const rows = [sums.crossEntropy, sums.both, sums.predicted, sums.present];
  for (let block = 0; block < blocks.length; block += 4 * padded)
    rows.forEach((row, n) => {
      for (let t = 0; t < tasks; t++) row[t] += blocks[block + n * padded + t];
    });
  return sums;
}

/** The gradient of what `factors` describe, with respect to the logits; takes over and disposes p. */
export function taskGradient(p: tf.Tensor5D, targets: TaskTargets, factors: TaskFactors): tf.Tensor5D {
  const tasks = p.shape[4];
  if (hasKernel(KERNELS.taskGradient)) {
    const padded = paddedTasks(tasks);
    const rows = new Float32Array(3 * padded);
    [factors.a, factors.b, factors.c].forEach((row, n) => rows.set(Array.from(row), n * padded));
    const table = tf.tensor2d(rows, [3, padded]);
    runKernelMany(KERNELS.taskGradient, { p, ...targets, factors: table });
    table.dispose();
    return p;
  }
  const gradient = tf.tidy(() => {
    const rows = asRows(p);
    const y = presence(targets, tasks);
    const [a, b, c] = [factors.a, factors.b, factors.c].map((row) => tf.tensor1d(Float32Array.from(row)));
    const slope = tf.mul(rows, tf.sub(1, rows));
    const gradient = tf.add(tf.mul(a, tf.sub(rows, y)), tf.mul(slope, tf.add(b, tf.mul(c, y))));
    return tf.reshape(gradient, p.shape) as tf.Tensor5D;
  });
  p.dispose();
  return gradient;
}

/** 1 where a voxel belongs to a task, else 0: [voxels, tasks]. */
function presence({ codes, members }: TaskTargets, tasks: number): tf.Tensor2D {
  return tf.gather(tf.slice(members, [0, 0], [members.shape[0], tasks]), codes);
}
