import { describe, expect, it } from 'vitest';
import { segmentationLoss, type Targets } from '../../../src/core/pretrain/segmentation-loss';
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

describe('the segmentation loss', () => {
  it('is the cross-entropy and the soft Dice loss of a voxel that can be computed by hand', () => {
    // One voxel, one task, z = 0, y = 1: p = 1/2, cross-entropy log 2, Dice (2 * 1/2 + 1) / (1/2 + 1 + 1) = 0.8.
    const targets = { codes: Uint16Array.of(0), members: Uint8Array.of(1) };
    const { loss, dice, gradient } = segmentationLoss(Float32Array.of(0), targets, 1, [0]);
    expect(dice[0]).toBeCloseTo(0.8, 12);
    expect(loss).toBeCloseTo(Math.log(2) + 0.2, 12);
    // d/dp of -(2 p + 1) / (p + 2) at 1/2 is -3 / 2.5^2, and dp/dz = 1/4.
    expect(gradient[0]).toBeCloseTo(-0.5 - (3 / 6.25) * 0.25, 6);
  });

  it.each([[[0, 1, 2]], [[1]], [[2, 0]]])(
    'has the gradient that differences give, with tasks %j',
    (active) => {
      const { logits, targets } = made(1);
      const { gradient } = segmentationLoss(logits.slice(), targets, TASKS, active);
      const at = (index: number, by: number): number => {
        const moved = logits.slice();
        moved[index] += by;
        return segmentationLoss(moved, targets, TASKS, active).loss;
      };
      for (let index = 0; index < gradient.length; index += 37) {
        const difference = (at(index, 0.01) - at(index, -0.01)) / 0.02;
        expect(gradient[index]).toBeCloseTo(difference, 6);
        if (!active.includes(index % TASKS)) expect(gradient[index]).toBe(0);
      }
    },
  );

  it('adds up over the parts of a batch', () => {
    const { logits, targets } = made(2);
    const whole = segmentationLoss(logits.slice(), targets, TASKS, [0, 1, 2], 1);
    const part = segmentationLoss(logits.slice(), targets, TASKS, [0, 1, 2], 0.25);
    expect(part.loss).toBeCloseTo(whole.loss / 4, 12);
    expect(part.gradient[5]).toBeCloseTo(whole.gradient[5] / 4, 12);
  });

  it('stays finite where a task is surely right or surely wrong everywhere', () => {
    const { targets } = made(3);
    for (const z of [-200, 200]) {
      const result = segmentationLoss(new Float32Array(VOXELS * TASKS).fill(z), targets, TASKS, [0, 1, 2]);
      expect(Number.isFinite(result.loss)).toBe(true);
      expect(result.gradient.every(Number.isFinite)).toBe(true);
    }
  });

  it('gives a task without any voxel a loss of 0 where the network finds none', () => {
    const targets = { codes: new Uint16Array(100), members: Uint8Array.of(0) };
    const { loss, dice } = segmentationLoss(new Float32Array(100).fill(-40), targets, 1, [0]);
    expect(dice[0]).toBeCloseTo(1, 6);
    expect(loss).toBeCloseTo(0, 6);
  });

  // PyTorch's numbers for made(4), so that the agreement is checked without PyTorch as well.
  it('has the value that PyTorch gave', () => {
    const { logits, targets } = made(4);
    const { loss, dice } = segmentationLoss(logits, targets, TASKS, [0, 1, 2]);
    expect(loss).toBeCloseTo(TORCH_LOSS, 5);
    dice.forEach((value, t) => expect(value).toBeCloseTo(TORCH_DICE[t], 5));
  });

  it.skipIf(!havePython('torch'))('has the value and the gradient that PyTorch gives, live', () => {
    const { logits, targets } = made(4);
    const y = Array.from(targets.codes).flatMap((code) => [
      ...MEMBERS.subarray(code * TASKS, (code + 1) * TASKS),
    ]);
    const theirs = JSON.parse(
      python(TORCH, [String(TASKS)], JSON.stringify({ z: Array.from(logits), y })),
    ) as { loss: number; dice: number[]; gradient: number[] };
    const ours = segmentationLoss(logits, targets, TASKS, [0, 1, 2]);
    expect(ours.loss).toBeCloseTo(theirs.loss, 10);
    expect(theirs.loss).toBeCloseTo(TORCH_LOSS, 6);
    ours.dice.forEach((value, t) => expect(value).toBeCloseTo(theirs.dice[t], 10));
    const largest = Math.max(...theirs.gradient.map(Math.abs));
    theirs.gradient.forEach((value, i) =>
      expect(Math.abs(ours.gradient[i] - value)).toBeLessThan(1e-6 * largest),
    );
  });
});

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
