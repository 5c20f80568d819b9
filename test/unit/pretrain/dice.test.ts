import { describe, expect, it } from 'vitest';
import { diceOfHead, diceTable, meanDice, type HeadDice } from '../../../src/core/pretrain/dice';
import { tasksOfStep } from '../../../src/core/pretrain/task-sampling';

describe('Dice', () => {
  it('is twice the overlap over both sizes, task by task, and nothing where the head has no such structure', () => {
    // Three tasks over four voxels; codes 1 and 2 are in task 0, code 2 in task 1, none in task 2.
    const members = Uint8Array.of(0, 0, 0, 1, 0, 0, 1, 1, 0);
    const codes = Uint16Array.of(0, 1, 2, 2);
    const logits = Float32Array.of(1, -1, 1, 2, 3, -1, -1, 2, -1, 0.1, -4, -1);
    // Task 0: said at voxels 0, 1, 3; there at 1, 2, 3. Task 1: said at 1, 2; there at 2, 3.
    expect(diceOfHead(logits, codes, members, 3)).toEqual([4 / 6, 2 / 4, null]);
  });

  const head = (source: string, ...dice: (number | null)[]): HeadDice => ({
    participantId: `${source} ${String(dice[0])}`,
    source,
    dice,
  });

  it('is averaged over heads that have the structure, with an interval over heads', () => {
    const heads = [head('a', 0.9, null), head('b', 0.7, 0.5), head('c', 0.8, 0.6)];
    const [first, second] = diceTable(heads, ['x', 'y'], { seed: 1 });
    expect(first).toMatchObject({ task: 'x', n: 3 });
    expect(first.mean).toBeCloseTo(0.8, 12);
    expect(first.low).toBeGreaterThanOrEqual(0.7 - 1e-9);
    expect(first.high).toBeLessThanOrEqual(0.9 + 1e-9);
    expect(second).toMatchObject({ task: 'y', n: 2 });
    expect(second.mean).toBeCloseTo(0.55, 12);
    expect(meanDice(heads, { seed: 1 }).mean).toBeCloseTo((0.9 + 0.6 + 0.7) / 3, 12);
  });

  it('has no interval over copies of one head', () => {
    const [one] = diceTable([head('a', 0.9), head('a', 0.5)], ['x'], { seed: 1 });
    expect(one).toEqual({ task: 'x', mean: 0.7, low: null, high: null, n: 2 });
    expect(diceTable([], ['x'], { seed: 1 })[0]).toEqual({
      task: 'x',
      mean: null,
      low: null,
      high: null,
      n: 0,
    });
  });
});

describe('the tasks of a step', () => {
  it('are all of them unless fewer are asked for', () => {
    expect(tasksOfStep(3, null, 1, 0, 0)).toEqual([0, 1, 2]);
    expect(tasksOfStep(3, 5, 1, 0, 0)).toEqual([0, 1, 2]);
  });

  it('are drawn anew for every step, each task as often as the others, and the same for the same seed', () => {
    const counts = new Array<number>(23).fill(0);
    for (let step = 0; step < 2300; step++) {
      const drawn = tasksOfStep(23, 5, 7, step % 9, step);
      expect(new Set(drawn).size).toBe(5);
      expect(drawn).toEqual(tasksOfStep(23, 5, 7, step % 9, step));
      for (const task of drawn) counts[task]++;
    }
    // Binomial with mean 500 and standard deviation 20.
    for (const count of counts) expect(Math.abs(count - 500)).toBeLessThan(100);
    expect(tasksOfStep(23, 5, 7, 0, 0)).not.toEqual(tasksOfStep(23, 5, 8, 0, 0));
  });
});
