import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { closeEngine, enginePlan, openEngine, prepareEngine } from '../../../src/core/engine/choose';
import { conv3d } from '../../../src/core/engine/ops/conv3d';
import { geometryOf } from '../../../src/core/engine/wasm/self-test';
import { InputError } from '../../../src/core/errors';
import type { PlannedConv } from '../../../src/core/engine/webgpu/kernels/conv-choice';
import { fastestChoice } from '../../../src/core/engine/webgpu/tuning';
import { Network } from '../../../src/core/model/network';
import { networkSpec } from '../../../src/core/model/spec';
import { microBatchSizes, prepareTraining } from '../../../src/core/train/rehearsal';
import { haveSoftwareGpu, useSoftwareGpu } from '../../software-gpu';
import { gpuBackend } from './on-software-gpu';

const plain = { stride: [1, 1, 1], padding: [1, 1, 1], dilation: [1, 1, 1] } as const;
const key = 'f32 y n1 8-12 3x4x5 k3x3x3 s1x1x1 p1x1x1 d1x1x1';

function operands() {
  const values = (count: number) => Float32Array.from({ length: count }, (_, i) => Math.sin(i));
  return {
    x: tf.tensor5d(values(60 * 8), [1, 3, 4, 5, 8]),
    filter: tf.tensor5d(values(27 * 96), [3, 3, 3, 8, 12]),
  };
}

async function compute(): Promise<Float32Array> {
  const { x, filter } = operands();
  const y = conv3d(x, filter, plain);
  const result = (await y.data()) as Float32Array;
  tf.dispose([x, filter, y]);
  return result;
}

async function rehearsal(): Promise<void> {
  await compute();
}

describe.runIf(haveSoftwareGpu('lavapipe'))('tuning on the engine webgpu', () => {
  useSoftwareGpu('lavapipe');
  const before = process.env.FCD_CACHE_DIR;
  let cache: string;
  beforeAll(() => {
    cache = process.env.FCD_CACHE_DIR = mkdtempSync(join(tmpdir(), 'fcd-gpu-plan-'));
  });
  afterEach(closeEngine);
  afterAll(() => {
    if (before === undefined) delete process.env.FCD_CACHE_DIR;
    else process.env.FCD_CACHE_DIR = before;
    rmSync(cache, { recursive: true });
  });

  it('does not time a GPU in software unless asked', async () => {
    const { plan } = await openEngine({ engine: 'webgpu', tune: true });
    expect(plan).toMatchObject({ source: 'estimated', known: 0, tune: false });
    let rehearsed = false;
    await prepareEngine(async () => {
      rehearsed = true;
    });
    expect(rehearsed).toBe(false);
  });

  it('times what a rehearsal asks for, keeps it for the next time, and replays a record to the bit', async () => {
    const { plan } = await openEngine({ engine: 'webgpu', tune: true, tuneSoftware: true });
    expect(plan).toMatchObject({ source: 'estimated', tune: true });
    const heard: string[] = [];
    await prepareEngine(rehearsal, { onProgress: (done, total) => heard.push(`${done} of ${total}`) });
    expect(heard).toEqual(['0 of 1', '1 of 1']);
    const first = await compute();
    const used = enginePlan()!;
    expect(used[key]).toMatch(/^taps \S+ \d+$/);
    expect(JSON.parse(readFileSync(plan!.cache, 'utf8'))).toMatchObject({ fastest: { [key]: used[key] } });

    const again = await openEngine({ engine: 'webgpu', tune: true, tuneSoftware: true });
    expect(again.plan).toMatchObject({ source: 'timed', known: 1, cache: plan!.cache });
    await prepareEngine(rehearsal, { onProgress: (done, total) => heard.push(`${done} of ${total}`) });
    // There is nothing left to time.
    expect(heard).toHaveLength(2);
    expect(await compute()).toEqual(first);

    // Another number of parts adds in another order.
    const other = { [key]: 'taps small 4' };
    expect((await openEngine({ engine: 'webgpu', plan: other })).plan).toMatchObject({ source: 'recorded' });
    const replayed = await compute();
    expect(enginePlan()).toEqual(expect.objectContaining(other));
    expect(replayed).not.toEqual(first);
    replayed.forEach((value, i) => expect(Math.abs(value - first[i])).toBeLessThan(1e-4));
  });

  it('goes through a training step without changing anything', async () => {
    await openEngine({ engine: 'webgpu', tune: true, tuneSoftware: true });
    const network = new Network(networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 }), 7);
    const weights = async () =>
      [...(await network.weights.readBorder())].map(([name, { data }]) => [name, [...data]]);
    const held = tf.memory().numTensors;
    const start = await weights();
    const seen: string[] = [];
    const abort = new AbortController();
    const options = { statistics: 'batch', keepFrom: 0 } as const;
    await prepareTraining(network, [8, 8, 8, 1], new Set([2]), options, {
      signal: abort.signal,
      // Seeing what there is to time is enough here.
      onProgress: (done, total) => {
        seen.push(`${done} of ${total}`);
        abort.abort();
      },
    });
    expect(tf.memory().numTensors).toBe(held);
    expect(await weights()).toEqual(start);
    expect(seen[0]).toMatch(/^0 of \d\d$/);
    network.dispose();
  });

  it('takes the choice that was fastest, and leaves out what is hopeless or does not fit', async () => {
    await openEngine({ engine: 'webgpu' });
    const backend = gpuBackend();
    expect(await backend.timed(() => {})).toBeGreaterThanOrEqual(0);
    const conv: PlannedConv = {
      pass: 'y',
      g: geometryOf(1, [3, 4, 5], [8, 12], [3, 3, 3], plain),
      precision: 'f32',
    };
    const choices = [1, 2, 3, 4].map((parts) => ({ way: 'taps', tile: 'small', parts }) as const);
    // Of what is trusted and of every choice a run that compiles it and one that tells how often it is worth running; then
    // two rounds in turns.
    const script = [9, 2, 9, 2, 9, 50, new InputError('Full.'), 9, 1, 2, 6, 1.8, 5];
    backend.flush();
    const held = backend.pool.numBytesUsed;
    const timed = vi.spyOn(backend, 'timed').mockImplementation(async (work) => {
      work();
      const next = script.shift()!;
      if (next instanceof Error) throw next;
      return next;
    });
    expect(await fastestChoice(backend, conv, choices)).toBe(choices[0]);
    expect(script).toEqual([]);
    timed.mockRestore();
    backend.flush();
    expect(backend.pool.numBytesUsed).toBe(held);
  });
});

describe('sizes of micro-batches', () => {
  it('are whole ones and what is left', () => {
    const batches = [{ length: 8 }, { length: 8 }, { length: 5 }];
    expect([...microBatchSizes(batches, 3)]).toEqual([3, 2]);
    expect([...microBatchSizes(batches, 8)]).toEqual([8, 5]);
    expect([...microBatchSizes([{ length: 4 }], 1)]).toEqual([1]);
  });
});
