import { describe, expect, it } from 'vitest';
import { geometryOf } from '../../../src/core/engine/wasm/self-test';
import {
  choiceOf,
  choiceText,
  choicesToTime,
  estimatedChoice,
  type PlannedConv,
} from '../../../src/core/engine/webgpu/kernels/conv-choice';
import { TILES, gemmCost } from '../../../src/core/engine/webgpu/kernels/gemm-choice';
import { GpuPlan, gpuPlanKey } from '../../../src/core/engine/webgpu/kernels/gpu-plan';

const plain = { stride: [1, 1, 1], padding: [1, 1, 1], dilation: [1, 1, 1] } as const;
const block: PlannedConv = {
  pass: 'dx',
  g: geometryOf(4, [24, 24, 24], [64, 128], [3, 3, 3], plain),
  precision: 'f32',
};
const key = 'f32 dx n4 64-128 24x24x24 k3x3x3 s1x1x1 p1x1x1 d1x1x1';

describe('the plan of convolutions on a GPU', () => {
  it('names a convolution by its precision, pass and geometry', () => {
    expect(gpuPlanKey(block)).toBe(key);
    expect(gpuPlanKey({ ...block, precision: 'f16' })).not.toBe(key);
  });

  it('estimates where nothing is known and stays with it', () => {
    const plan = new GpuPlan();
    const choice = plan.choose(block);
    expect(choice).toEqual(estimatedChoice(block, {}));
    expect(plan.used()).toEqual({ [key]: choiceText(choice) });
    expect(plan.timedNow()).toEqual({});
  });

  it('replays what was recorded, before what was timed', () => {
    const timed = { [key]: 'taps small 2' };
    expect(new GpuPlan({ timed }).choose(block)).toEqual({ way: 'taps', tile: 'small', parts: 2 });
    const plan = new GpuPlan({ recorded: { [key]: 'taps narrow 1', other: 'taps wide 3' }, timed });
    expect(plan.choose(block)).toEqual({ way: 'taps', tile: 'narrow', parts: 1 });
    expect(plan.used()).toEqual({ [key]: 'taps narrow 1', other: 'taps wide 3' });
  });

  it.each(['taps huge 1', 'magic wide 1', 'taps wide 0', 'taps wide', 'taps wide 12345', 'taps toString 1'])(
    'does not take "%s" from a record',
    (text) => {
      expect(choiceOf(text, block, {})).toBeUndefined();
      expect(new GpuPlan({ recorded: { [key]: text } }).choose(block)).toEqual(estimatedChoice(block, {}));
    },
  );

  it('hears in a rehearsal what is not known, and chooses nothing meanwhile', async () => {
    const plan = new GpuPlan({ timed: { [key]: 'taps small 1' } });
    const other = { ...block, pass: 'y' } as const;
    const unknown = await plan.unknownTo(async () => {
      plan.choose(block);
      plan.choose(other);
      plan.choose(other);
    });
    expect(unknown).toEqual([other]);
    expect(plan.used()).toEqual({});
    plan.settle(other, { way: 'taps', tile: 'narrow', parts: 1 });
    expect(plan.choose(other)).toEqual({ way: 'taps', tile: 'narrow', parts: 1 });
    expect(plan.timedNow()).toEqual({ [gpuPlanKey(other)]: 'taps narrow 1' });
  });

  it('offers a handful of choices to time, each once, the estimated one first', () => {
    for (const pass of ['y', 'dx', 'dfilter'] as const) {
      const conv = { ...block, pass };
      const choices = choicesToTime(conv, {});
      expect(choices[0]).toEqual(estimatedChoice(conv, {}));
      const texts = choices.map(choiceText);
      expect(new Set(texts).size).toBe(texts.length);
      expect(texts.length).toBeGreaterThan(3);
      expect(texts.length).toBeLessThanOrEqual(14);
      for (const choice of choices) expect(choiceOf(choiceText(choice), conv, {})).toEqual(choice);
    }
  });

  it('estimates that empty edges, loads and half-empty waves cost', () => {
    const problem = { kind: 'gather', rows: 1e6, columns: 64, depth: 1728, count: 1 } as const;
    const cost = (tile: keyof typeof TILES, parts = 1, of: typeof problem | { rows: number } = problem) =>
      gemmCost({ ...problem, ...of }, TILES[tile], parts);
    expect(cost('wide')).toBeGreaterThan(1.7 * cost('tall'));
    expect(cost('tall')).toBeLessThan(cost('small'));
    // Few rows: a sum in parts keeps more of the GPU busy.
    expect(cost('small', 8, { rows: 216 })).toBeLessThan(cost('small', 1, { rows: 216 }));
  });
});
