import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { segmentationLoss as lossOnEngine, type Targets } from '../../../src/core/pretrain/segmentation-loss';
import { Random } from '../../../src/core/random';
import { havePython, python } from '../../peers';

// Three overlapping tasks over 700 voxels (more than one block of the product of logarithms), four kinds of voxels.
const TASKS = 3;
const VOXELS = 700;
const MEMBERS = Uint8Array.from([0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1]);

function made(seed: number): { logits: Float32Array; targets: Targets } {
  const random = Random.seeded(seed, 'loss');
  const codes = Uint16Array.from({ length: VOXELS }, () => random.integer(4));
  const logits = Float32Array.from({ length: VOXELS * TASKS }, () => random.normal(0, 3));
  return { logits, targets: { codes, members: MEMBERS } };
}

/** As a tensor of one row of voxels, and the gradient read back. */
async function segmentationLoss(
  logits: Float32Array,
  targets: Targets,
  tasks: number,
  active: readonly number[],
  weight?: number,
): Promise<{ loss: number; dice: readonly number[]; gradient: Float32Array }> {
  const before = tf.memory().numTensors;
  const z = tf.tensor5d(logits, [1, 1, 1, logits.length / tasks, tasks]);
  const { loss, dice, gradient } = await lossOnEngine(z, targets, active, weight);
  const values = gradient.dataSync<'float32'>().slice();
  tf.dispose([z, gradient]);
  expect(tf.memory().numTensors).toBe(before);
  return { loss, dice, gradient: values };
}

describe.each([
  ['wasm', 1],
  ['wasm', 2],
  ['cpu', 1],
] as const)('the segmentation loss on the engine %s with %i threads', (engine, threads) => {
  beforeAll(async () => {
    await openEngine({ engine, threads });
  });
  afterAll(closeEngine);

  it('is the cross-entropy and the soft Dice loss of a voxel that can be computed by hand', async () => {
    // One voxel, one task, z = 0, y = 1: p = 1/2, cross-entropy log 2, Dice (2 * 1/2 + 1) / (1/2 + 1 + 1) = 0.8.
    const targets = { codes: Uint16Array.of(0), members: Uint8Array.of(1) };
    const { loss, dice, gradient } = await segmentationLoss(Float32Array.of(0), targets, 1, [0]);
    expect(dice[0]).toBeCloseTo(0.8, 6);
    expect(loss).toBeCloseTo(Math.log(2) + 0.2, 6);
    // d/dp of -(2 p + 1) / (p + 2) at 1/2 is -3 / 2.5^2, and dp/dz = 1/4.
    expect(gradient[0]).toBeCloseTo(-0.5 - (3 / 6.25) * 0.25, 6);
  });

  it.each([[[0, 1, 2]], [[1]], [[2, 0]]])(
    'has the gradient that differences give, with tasks %j',
    async (active) => {
      const { logits, targets } = made(1);
      const { gradient } = await segmentationLoss(logits.slice(), targets, TASKS, active);
      const at = async (index: number, by: number): Promise<number> => {
        const moved = logits.slice();
        moved[index] += by;
        return (await segmentationLoss(moved, targets, TASKS, active)).loss;
      };
      for (let index = 0; index < gradient.length; index += 37) {
        const difference = ((await at(index, 0.1)) - (await at(index, -0.1))) / 0.2;
        expect(gradient[index]).toBeCloseTo(difference, 5);
        if (!active.includes(index % TASKS)) expect(gradient[index]).toBe(0);
      }
    },
  );

  it('adds up over the parts of a batch', async () => {
    const { logits, targets } = made(2);
    const whole = await segmentationLoss(logits.slice(), targets, TASKS, [0, 1, 2], 1);
    const part = await segmentationLoss(logits.slice(), targets, TASKS, [0, 1, 2], 0.25);
    expect(part.loss).toBeCloseTo(whole.loss / 4, 6);
    expect(part.gradient[5]).toBeCloseTo(whole.gradient[5] / 4, 8);
  });

  it('stays finite where a task is surely right or surely wrong everywhere', async () => {
    const { targets } = made(3);
    for (const z of [-200, -88, 88, 200]) {
      const result = await segmentationLoss(
        new Float32Array(VOXELS * TASKS).fill(z),
        targets,
        TASKS,
        [0, 1, 2],
      );
      expect(Number.isFinite(result.loss)).toBe(true);
      expect(result.gradient.every(Number.isFinite)).toBe(true);
    }
  });

  it('gives a task without any voxel a loss of 0 where the network finds none', async () => {
    const targets = { codes: new Uint16Array(100), members: Uint8Array.of(0) };
    const { loss, dice } = await segmentationLoss(new Float32Array(100).fill(-40), targets, 1, [0]);
    expect(dice[0]).toBeCloseTo(1, 6);
    expect(loss).toBeCloseTo(0, 6);
  });

  it('takes any number of tasks, and more voxels than one thread takes at a time', async () => {
    for (const tasks of [1, 2, 4, 5, 23]) {
      const random = Random.seeded(tasks, 'many');
      const rows = 3;
      const members = Uint8Array.from({ length: rows * tasks }, () => random.integer(2));
      const codes = Uint16Array.from({ length: 5003 }, () => random.integer(rows));
      const logits = Float32Array.from({ length: 5003 * tasks }, () => random.normal(0, 4));
      const active = Array.from({ length: tasks }, (_, t) => t);
      const ours = await segmentationLoss(logits, { codes, members }, tasks, active);
      const direct = reference(logits, { codes, members }, tasks);
      expect(ours.loss).toBeCloseTo(direct.loss, 5);
      ours.dice.forEach((value, t) => expect(value).toBeCloseTo(direct.dice[t], 5));
      const largest = direct.gradient.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
      let worst = 0;
      direct.gradient.forEach((g, i) => (worst = Math.max(worst, Math.abs(ours.gradient[i] - g))));
      expect(worst / largest).toBeLessThan(1e-5);
    }
  });

  // PyTorch's numbers for made(4), so that the agreement is checked without PyTorch as well.
  it('has the value that PyTorch gave', async () => {
    const { logits, targets } = made(4);
    const { loss, dice } = await segmentationLoss(logits, targets, TASKS, [0, 1, 2]);
    expect(loss).toBeCloseTo(TORCH_LOSS, 5);
    dice.forEach((value, t) => expect(value).toBeCloseTo(TORCH_DICE[t], 5));
  });

  it.skipIf(!havePython('torch'))('has the value and the gradient that PyTorch gives, live', async () => {
    const { logits, targets } = made(4);
    const y = Array.from(targets.codes).flatMap((code) => [
      ...MEMBERS.subarray(code * TASKS, (code + 1) * TASKS),
    ]);
    const theirs = JSON.parse(
      python(TORCH, [String(TASKS)], JSON.stringify({ z: Array.from(logits), y })),
    ) as { loss: number; dice: number[]; gradient: number[] };
    const ours = await segmentationLoss(logits, targets, TASKS, [0, 1, 2]);
    expect(ours.loss).toBeCloseTo(theirs.loss, 6);
    expect(theirs.loss).toBeCloseTo(TORCH_LOSS, 6);
    ours.dice.forEach((value, t) => expect(value).toBeCloseTo(theirs.dice[t], 6));
    const largest = Math.max(...theirs.gradient.map(Math.abs));
    theirs.gradient.forEach((value, i) =>
      expect(Math.abs(ours.gradient[i] - value)).toBeLessThan(1e-6 * largest),
    );
  });
});

/** The same in double precision, term by term. */
function reference(
  logits: Float32Array,
  { codes, members }: Targets,
  tasks: number,
): { loss: number; dice: number[]; gradient: Float64Array } {
  const gradient = new Float64Array(logits.length);
  const dice: number[] = [];
  let loss = 0;
  for (let t = 0; t < tasks; t++) {
    const cells = Array.from(codes, (code, v) => {
      const z = logits[v * tasks + t];
      return { z, y: members[code * tasks + t], p: 1 / (1 + Math.exp(-z)), at: v * tasks + t };
    });
    const sum = (of: (cell: (typeof cells)[number]) => number): number =>
      cells.reduce((total, cell) => total + of(cell), 0);
    const numerator = 2 * sum(({ p, y }) => p * y) + 1;
    const denominator = sum(({ p, y }) => p + y) + 1;
    dice.push(numerator / denominator);
    loss += sum(({ z, y }) => Math.max(z, 0) - z * y + Math.log1p(Math.exp(-Math.abs(z)))) / codes.length;
    loss += 1 - numerator / denominator;
    for (const { y, p, at } of cells)
      gradient[at] =
        ((p - y) / codes.length - ((2 * y * denominator - numerator) / denominator ** 2) * p * (1 - p)) /
        tasks;
  }
  return { loss: loss / tasks, dice, gradient };
}

const TORCH_LOSS = 2.074402034206048;
const TORCH_DICE = [0.49016900079302295, 0.2915198911482289, 0.31735214667630474];

const TORCH = `
import json, sys, torch
import torch.nn.functional as F
given = json.load(sys.stdin)
tasks = int(sys.argv[1])
z = torch.tensor(given["z"], dtype=torch.float64).reshape(-1, tasks).requires_grad_()
y = torch.tensor(given["y"], dtype=torch.float64).reshape(-1, tasks)
p = torch.sigmoid(z)
bce = F.binary_cross_entropy_with_logits(z, y, reduction="none").mean(0)
dice = (2 * (p * y).sum(0) + 1) / (p.sum(0) + y.sum(0) + 1)
loss = (bce + 1 - dice).mean()
loss.backward()
json.dump({"loss": loss.item(), "dice": dice.tolist(), "gradient": z.grad.flatten().tolist()}, sys.stdout)
`;
