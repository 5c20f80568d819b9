import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeEngine, enginePlan, openEngine } from '../../../src/core/engine/choose';
import { conv3d } from '../../../src/core/engine/ops/conv3d';
import {
  ConvPlan,
  algorithmsFor,
  estimatedBest,
  mayChoose,
  planKey,
  type Algorithm,
} from '../../../src/core/engine/wasm/conv-plan';
import { geometryOf } from '../../../src/core/engine/wasm/self-test';

const plain = { stride: [1, 1, 1], padding: [1, 1, 1], dilation: [1, 1, 1] } as const;
const block = geometryOf(4, [24, 24, 24], [64, 64], [3, 3, 3], plain);

/** The algorithms that a plan had run, in order. */
function runs(plan: ConvPlan): Algorithm[] {
  const order: Algorithm[] = [];
  plan.run('y', block, (algorithm) => {
    order.push(algorithm);
  });
  return order;
}

describe('the plan of convolutions', () => {
  it('estimates where nothing is known, and runs once', () => {
    expect(runs(new ConvPlan())).toEqual([estimatedBest('y', block)]);
  });

  it('replays what was recorded, before what was timed', () => {
    const key = planKey('y', block);
    expect(
      runs(new ConvPlan({ recorded: { [key]: 'direct' }, timed: { [key]: 'tiles-2' }, tune: true })),
    ).toEqual(['direct']);
    expect(runs(new ConvPlan({ recorded: {}, timed: { [key]: 'tiles-2' }, tune: true }))).toEqual([
      'tiles-2',
    ]);
  });

  it('does not take from a record what cannot compute the convolution', () => {
    const record = { [planKey('y', block)]: 'folded', other: 'nonsense' };
    expect(runs(new ConvPlan({ recorded: record }))).toEqual([estimatedBest('y', block)]);
  });

  it('times candidates when asked, ends with the fastest and stays with it', () => {
    let now = 0;
    const plan = new ConvPlan({ tune: true, clock: () => now });
    const order: Algorithm[] = [];
    const take = (algorithm: Algorithm) => {
      order.push(algorithm);
      now += algorithm === 'tiles-3' ? 1 : 5;
    };
    plan.run('y', block, take);
    expect(new Set(order)).toContain('tiles-4');
    expect(order.at(-1)).toBe('tiles-3');
    const timed = order.length;
    plan.run('y', block, take);
    expect(order.slice(timed)).toEqual(['tiles-3']);
    expect(plan.timedNow()).toEqual({ [planKey('y', block)]: 'tiles-3' });
    expect(plan.used()).toEqual(plan.timedNow());
  });

  it('tells shapes and passes apart', () => {
    expect(planKey('dfilter', block)).toBe('dfilter n4 64-64 24x24x24 k3x3x3 s1x1x1 p1x1x1 d1x1x1');
    const keys = [block, { ...block, batch: 1 }, { ...block, dilation: [2, 2, 2] as const }].flatMap((g) =>
      (['y', 'dx', 'dfilter'] as const).map((pass) => planKey(pass, g)),
    );
    expect(new Set(keys).size).toBe(9);
  });

  it('estimates tiles where they pay, and taps where they do not', () => {
    const at = (channels: number, size: number, dilation = 1) =>
      geometryOf(4, [size, size, size], [channels, channels], [3, 3, 3], {
        stride: [1, 1, 1],
        padding: [dilation, dilation, dilation],
        dilation: [dilation, dilation, dilation],
      });
    expect(estimatedBest('y', at(64, 24))).toBe('tiles-4');
    expect(estimatedBest('dfilter', at(128, 12))).toBe('tiles-4');
    expect(estimatedBest('dx', at(512, 12, 4))).toBe('tiles-3');
    expect(estimatedBest('y', at(512, 3))).toBe('direct');
    // Over few positions their rounding would show.
    expect(estimatedBest('dfilter', { ...at(64, 7), batch: 1 })).toBe('direct');
    expect(mayChoose('dfilter', { ...at(64, 7), batch: 1 })).toEqual(['direct']);
    expect(mayChoose('dfilter', { ...at(64, 7), batch: 2 })).toContain('tiles-4');
    const stem = geometryOf(4, [96, 96, 96], [1, 64], [7, 7, 7], {
      stride: [2, 2, 2],
      padding: [3, 3, 3],
      dilation: [1, 1, 1],
    });
    expect(algorithmsFor('y', stem)).toEqual(['direct', 'folded', 'depth']);
    expect(estimatedBest('y', stem)).toBe('depth');
    expect(estimatedBest('y', { ...stem, batch: 1, output: [4, 10, 10] })).toBe('folded');
    expect(algorithmsFor('dfilter', stem)).toEqual(['direct', 'folded', 'depth']);
    expect(estimatedBest('dx', stem)).toBe('direct');
  });
});

describe('the engine', () => {
  let cache: string;
  const before = process.env.FCD_CACHE_DIR;
  beforeEach(() => {
    cache = mkdtempSync(join(tmpdir(), 'fcd-plan-'));
    process.env.FCD_CACHE_DIR = cache;
  });
  afterEach(async () => {
    await closeEngine();
    if (before === undefined) delete process.env.FCD_CACHE_DIR;
    else process.env.FCD_CACHE_DIR = before;
    rmSync(cache, { recursive: true });
  });

  const options = { module: 'simd128-strict', threads: 2 } as const;
  const key = 'y n2 8-16 6x7x8 k3x3x3 s1x1x1 p1x1x1 d1x1x1';

  function compute(): Float32Array {
    return tf.tidy(() => {
      const values = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i));
      const x = tf.tensor5d(values(2 * 6 * 7 * 8 * 8), [2, 6, 7, 8, 8]);
      const filter = tf.tensor5d(values(27 * 8 * 16), [3, 3, 3, 8, 16]);
      return conv3d(x, filter, plain).dataSync() as Float32Array;
    });
  }

  it('keeps timings for the next time, and replays a record to the bit', async () => {
    expect((await openEngine({ ...options, tune: true })).plan).toMatchObject({
      source: 'estimated',
      tune: true,
    });
    const first = compute();
    const plan = enginePlan()!;
    expect(Object.keys(plan)).toContain(key);
    await closeEngine();
    const [file] = readdirSync(cache);
    expect(JSON.parse(readFileSync(join(cache, file), 'utf8'))).toMatchObject({
      machine: { module: 'simd128-strict', threads: 2, node: process.versions.node },
      fastest: { [key]: plan[key] },
    });

    const again = await openEngine(options);
    // The self-test's convolutions were timed too.
    expect(again.plan).toMatchObject({ source: 'timed', cache: join(cache, file), tune: false });
    expect(enginePlan()![key]).toBeUndefined();
    expect(compute()).toEqual(first);
    expect(enginePlan()![key]).toBe(plan[key]);

    const other = plan[key] === 'direct' ? 'tiles-2' : 'direct';
    expect((await openEngine({ ...options, plan: { [key]: other } })).plan).toMatchObject({
      source: 'recorded',
      known: 1,
    });
    const replayed = compute();
    expect(enginePlan()![key]).toBe(other);
    expect(replayed).not.toEqual(first);
    await openEngine({ ...options, threads: 1, plan: { [key]: other } });
    expect(compute()).toEqual(replayed);
  });

  it('takes a cache that cannot be read for none', async () => {
    const { plan } = await openEngine(options);
    writeFileSync(plan!.cache, '{"schema": 1, "fas');
    expect((await openEngine(options)).plan).toMatchObject({ source: 'estimated', known: 0 });
  });
});
