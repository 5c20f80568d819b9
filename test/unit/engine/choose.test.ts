import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it } from 'vitest';
import { closeEngine, currentEngine, engineMemory, openEngine } from '../../../src/core/engine/choose';
import { physicalCores } from '../../../src/core/engine/cores';
import { MODULES } from '../../../src/core/engine/wasm/modules';

afterEach(closeEngine);

describe('openEngine', () => {
  it('takes the fastest kernels that compute correctly, and says why', async () => {
    const report = await openEngine();
    expect(report.name).toBe('wasm');
    expect(report.selfTest.map(({ module }) => module)).toEqual(MODULES.map(({ name }) => name));
    const usable = report.selfTest.filter(({ ok }) => ok);
    const fastest = usable.reduce((a, b) => (b.gflops > a.gflops ? b : a));
    expect(report.module).toBe(fastest.module);
    expect(report.reason).toContain(
      `fastest correct kernels on one thread: ${fastest.module} ${fastest.gflops} GFLOP/s`,
    );
    expect(report.threads).toBe(physicalCores());
    expect(tf.getBackend()).toBe('fcd-wasm');
    expect(currentEngine()).toBe(report);
  });

  it('takes the module and the number of threads that were asked for', async () => {
    const report = await openEngine({ module: 'simd128-strict', threads: 3 });
    expect(report).toMatchObject({
      module: 'simd128-strict',
      threads: 3,
      reason: 'simd128-strict was asked for',
    });
  });

  it("runs tfjs's own backend when asked, the same numbers by other code", async () => {
    const product = () => tf.tidy(() => tf.matMul(tf.ones([2, 3]), tf.ones([3, 2])).arraySync());
    await openEngine({ engine: 'cpu' });
    expect(tf.getBackend()).toBe('cpu');
    expect(engineMemory()).toBeUndefined();
    const expected = product();
    await openEngine({ engine: 'wasm', module: 'simd128-strict' });
    expect(product()).toEqual(expected);
  });

  it('forgets the engine when it is closed', async () => {
    await openEngine({ module: 'simd128-strict' });
    await closeEngine();
    expect(currentEngine()).toBeUndefined();
    expect(tf.findBackend('fcd-wasm')).toBeNull();
    await closeEngine();
  });

  it('refuses what does not exist, in a sentence', async () => {
    await expect(openEngine({ module: 'avx512' })).rejects.toThrow(
      'There is no kernel module "avx512"; choose one of simd256, simd128-relaxed, simd128-strict.',
    );
    await expect(openEngine({ engine: 'cpu', module: 'simd256' })).rejects.toThrow(/has no kernel module/);
    await expect(openEngine({ threads: 0 })).rejects.toThrow(/whole number from 1 to 256, not 0/);
  });

  it('refuses half precision where there is none, and says where there is', async () => {
    for (const engine of ['wasm', 'tensorflow', 'cpu'] as const)
      await expect(openEngine({ engine, precision: 'f16' })).rejects.toThrow(
        `The engine "${engine}" computes in single precision alone.`,
      );
    await expect(openEngine({ module: 'simd256', precision: 'f16' })).rejects.toThrow('The engine "wasm"');
    expect(currentEngine()).toBeUndefined();
    expect((await openEngine({ engine: 'cpu', precision: 'f32' })).precision).toBe('f32');
  });
});
