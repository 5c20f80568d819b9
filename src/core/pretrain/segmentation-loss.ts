import * as tf from '@tensorflow/tfjs-core';
import { paddedTasks, taskGradient, taskProbabilities, taskSums } from '../engine/ops/task-loss';

/** Keeps Dice defined where neither the head nor the network has the structure, in voxels. */
const SMOOTH = 1;

/** Which of the tasks' structures a voxel belongs to. */
export interface Targets {
  /** Per voxel of the batch, in the order of the logits: a row of `members`. */
  readonly codes: Uint16Array;
  /** Row-major [codes, tasks]: 1 where voxels of that code belong to the task's structure. */
  readonly members: Uint8Array;
}

export interface SegmentationLoss {
  /** Mean over the active tasks. */
  readonly loss: number;
  /** Soft Dice by task, over the whole batch; NaN for tasks that are not active. */
  readonly dice: readonly number[];
  /** With respect to the logits, of their shape; 0 for tasks that are not active. The caller owns it. */
  readonly gradient: tf.Tensor5D;
}

/**
 * Per task binary cross-entropy (mean over voxels) plus soft Dice loss, averaged over the active tasks: a voxel may
 * belong to several structures at once, so every task is a decision of its own. Dice (Milletari et al. 2016, with plain
 * sums in the denominator as in Sudre et al. 2017) is taken over all voxels of the batch:
 *
 *     loss_t = mean(max(z, 0) - z y + log(1 + exp(-|z|))) + 1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s),  p = sigmoid(z)
 *
 * @param logits [N, D, H, W, tasks]; they stay the caller's
 * @param active which tasks count in this step
 * @param weight of this part where a batch is computed in parts: losses and gradients add up
 * @param lossScale of the gradient alone, for half precision
 */
export async function segmentationLoss(
  logits: tf.Tensor5D,
  { codes, members }: Targets,
  active: readonly number[],
  weight = 1,
  lossScale = 1,
): Promise<SegmentationLoss> {
  const tasks = logits.shape[4];
  const voxels = logits.size / tasks;
  if (codes.length !== voxels)
    throw new Error(`${logits.size} logits do not belong to ${codes.length} voxels and ${tasks} tasks.`);
  const targets = {
    codes: tf.tensor1d(Int32Array.from(codes), 'int32'),
    members: membersOnEngine(members, tasks),
  };
  const { p, sums: unread } = taskProbabilities(logits, targets);
  const sums = taskSums(await unread.data<'float32'>(), tasks);
  unread.dispose();
  const dice = new Array<number>(tasks).fill(NaN);
  const scale = weight / active.length;
  // Gradient of a logit: a (p - y) + p (1 - p) (b + c y); the Dice loss falls by 2 / denominator more where y is 1.
  const [a, b, c] = [0, 1, 2].map(() => new Float64Array(tasks));
  let loss = 0;
  for (const t of active) {
    const denominator = sums.predicted[t] + sums.present[t] + SMOOTH;
    dice[t] = (2 * sums.both[t] + SMOOTH) / denominator;
    loss += scale * (sums.crossEntropy[t] / voxels + 1 - dice[t]);
    a[t] = (lossScale * scale) / voxels;
    b[t] = (lossScale * scale * dice[t]) / denominator;
    c[t] = (-2 * lossScale * scale) / denominator;
  }
  const gradient = taskGradient(p, targets, { a, b, c });
  tf.dispose([targets.codes, targets.members]);
  return { loss, dice, gradient };
}

function membersOnEngine(members: Uint8Array, tasks: number): tf.Tensor2D {
  const padded = paddedTasks(tasks);
  const rows = members.length / tasks;
  const values = new Float32Array(rows * padded);
  for (let row = 0; row < rows; row++)
    values.set(members.subarray(row * tasks, (row + 1) * tasks), row * padded);
  return tf.tensor2d(values, [rows, padded]);
}
