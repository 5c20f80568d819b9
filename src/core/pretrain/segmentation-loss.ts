/** Keeps Dice defined where neither the head nor the network has the structure, in voxels. */
const SMOOTH = 1;

/** So many factors of at most 2 are multiplied before a logarithm is taken of their product. */
const FACTORS = 512;

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
  /** Row-major [voxels, tasks], with respect to the logits; 0 for tasks that are not active. */
  readonly gradient: Float32Array;
}

/**
 * Per task binary cross-entropy (mean over voxels) plus soft Dice loss, averaged over the active tasks: a voxel may
 * belong to several structures at once, so every task is a decision of its own. Dice (Milletari et al. 2016, with plain
 * sums in the denominator as in Sudre et al. 2017) is taken over all voxels of the batch:
 *
 *     loss_t = mean(max(z, 0) - z y + log(1 + exp(-|z|))) + 1 - (2 sum(p y) + s) / (sum(p) + sum(y) + s),  p = sigmoid(z)
 *
 * @param logits row-major [voxels, tasks]; overwritten, the gradient takes its memory
 * @param active which tasks count in this step
 * @param weight of this part where a batch is computed in parts: losses and gradients add up
 */
export function segmentationLoss(
  logits: Float32Array,
  { codes, members }: Targets,
  tasks: number,
  active: readonly number[],
  weight = 1,
): SegmentationLoss {
  const voxels = codes.length;
  if (logits.length !== voxels * tasks)
    throw new Error(`${logits.length} logits do not belong to ${voxels} voxels and ${tasks} tasks.`);
  const sums = probabilities(logits, codes, members, tasks);
  const dice = new Array<number>(tasks).fill(NaN);
  const scale = weight / active.length;
  // Gradient of a logit: bce * (p - y) + p (1 - p) * (y ? inside : outside).
  const bce = new Float64Array(tasks);
  const inside = new Float64Array(tasks);
  const outside = new Float64Array(tasks);
  let loss = 0;
  for (const t of active) {
    const denominator = sums.predicted[t] + sums.present[t] + SMOOTH;
    dice[t] = (2 * sums.both[t] + SMOOTH) / denominator;
    loss += scale * (sums.crossEntropy[t] / voxels + 1 - dice[t]);
    bce[t] = scale / voxels;
    outside[t] = (scale * dice[t]) / denominator;
    inside[t] = outside[t] - (scale * 2) / denominator;
  }
  for (let v = 0, at = 0; v < voxels; v++)
    for (let t = 0, row = codes[v] * tasks; t < tasks; t++, row++, at++) {
      const p = logits[at];
      const slope = p * (1 - p);
      logits[at] =
        members[row] === 1 ? bce[t] * (p - 1) + slope * inside[t] : bce[t] * p + slope * outside[t];
    }
  return { loss, dice, gradient: logits };
}

interface Sums {
  /** By task: sum of the cross-entropies, of p y, of p, of y. */
  readonly crossEntropy: Float64Array;
  readonly both: Float64Array;
  readonly predicted: Float64Array;
  readonly present: Float64Array;
}

/** Writes sigmoid(z) over the logits, with the sums that the loss is made of. */
function probabilities(logits: Float32Array, codes: Uint16Array, members: Uint8Array, tasks: number): Sums {
  const [crossEntropy, both, predicted, present] = [0, 1, 2, 3].map(() => new Float64Array(tasks));
  // sum(log(1 + e)) = log(product(1 + e)): a logarithm for every 512 voxels instead of one for each.
  const product = new Float64Array(tasks).fill(1);
  const flush = (): void => {
    for (let t = 0; t < tasks; t++) {
      crossEntropy[t] += Math.log(product[t]);
      product[t] = 1;
    }
  };
  for (let v = 0, at = 0; v < codes.length; v++) {
    for (let t = 0, row = codes[v] * tasks; t < tasks; t++, row++, at++) {
      const z = logits[at];
      const e = Math.exp(z < 0 ? z : -z);
      const q = 1 / (1 + e);
      const p = z < 0 ? e * q : q;
      product[t] *= 1 + e;
      predicted[t] += p;
      if (z > 0) crossEntropy[t] += z;
      if (members[row] === 1) {
        crossEntropy[t] -= z;
        both[t] += p;
        present[t]++;
      }
      logits[at] = p;
    }
    if (v % FACTORS === FACTORS - 1) flush();
  }
  flush();
  return { crossEntropy, both, predicted, present };
}
