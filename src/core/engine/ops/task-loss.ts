import * as tf from '@tensorflow/tfjs-core';
import { KERNELS } from './kernels';
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
 * @param z logits [N, D, H, W, tasks] @returns p [N, D, H, W, tasks], the caller's
 */
export function taskProbabilities(z: tf.Tensor5D, targets: TaskTargets): { p: tf.Tensor5D; sums: TaskSums } {
  const tasks = z.shape[4];
  if (hasKernel(KERNELS.taskProbabilities)) {
    const [p, sums] = runKernelMany(KERNELS.taskProbabilities, { z, ...targets });
    const total = addBlocks(sums.dataSync<'float32'>(), tasks);
    sums.dispose();
    return { p: p as tf.Tensor5D, sums: total };
  }
  const values = z.dataSync<'float32'>().slice();
  const sums = probabilities(values, targets, tasks);
  return { p: tf.tensor5d(values, z.shape), sums };
}

/** The gradient of what `factors` describe, with respect to the logits; takes over and disposes p. */
export function taskGradient(p: tf.Tensor5D, targets: TaskTargets, factors: TaskFactors): tf.Tensor5D {
  const tasks = p.shape[4];
  const padded = paddedTasks(tasks);
  if (hasKernel(KERNELS.taskGradient)) {
    const rows = new Float32Array(3 * padded);
    [factors.a, factors.b, factors.c].forEach((row, n) => rows.set(Array.from(row), n * padded));
    const table = tf.tensor2d(rows, [3, padded]);
    runKernelMany(KERNELS.taskGradient, { p, ...targets, factors: table });
    table.dispose();
    return p;
  }
  const values = p.dataSync<'float32'>().slice();
  const codes = targets.codes.dataSync<'int32'>();
  const members = targets.members.dataSync<'float32'>();
  const { a, b, c } = factors;
  for (let v = 0, at = 0; v < codes.length; v++)
    for (let t = 0, row = codes[v] * padded; t < tasks; t++, row++, at++) {
      const value = values[at];
      values[at] = a[t] * (value - members[row]) + value * (1 - value) * (b[t] + c[t] * members[row]);
    }
  const gradient = tf.tensor5d(values, p.shape);
  p.dispose();
  return gradient;
}

function emptySums(tasks: number): TaskSums {
  const zeros = (): Float64Array => new Float64Array(tasks);
  return { crossEntropy: zeros(), both: zeros(), predicted: zeros(), present: zeros() };
}

/** @param blocks [blocks, 4, padded] */
function addBlocks(blocks: Float32Array, tasks: number): TaskSums {
  const padded = paddedTasks(tasks);
  const sums = emptySums(tasks);
  const rows = [sums.crossEntropy, sums.both, sums.predicted, sums.present];
  for (let block = 0; block < blocks.length; block += 4 * padded)
    rows.forEach((row, n) => {
      for (let t = 0; t < tasks; t++) row[t] += blocks[block + n * padded + t];
    });
  return sums;
}

/** Writes sigmoid(z) over the logits. */
function probabilities(logits: Float32Array, targets: TaskTargets, tasks: number): TaskSums {
  const codes = targets.codes.dataSync<'int32'>();
  const members = targets.members.dataSync<'float32'>();
  const padded = paddedTasks(tasks);
  const sums = emptySums(tasks);
  for (let v = 0, at = 0; v < codes.length; v++)
    for (let t = 0, row = codes[v] * padded; t < tasks; t++, row++, at++) {
      const z = logits[at];
      const y = members[row];
      const e = Math.exp(-Math.abs(z));
      const p = (z < 0 ? e : 1) / (1 + e);
      sums.crossEntropy[t] += Math.max(z, 0) - z * y + Math.log1p(e);
      sums.both[t] += p * y;
      sums.predicted[t] += p;
      sums.present[t] += y;
      logits[at] = p;
    }
  return sums;
}
