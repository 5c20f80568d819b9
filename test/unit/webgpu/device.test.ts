import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { haveSoftwareGpu, useSoftwareGpu } from '../../software-gpu';

afterEach(closeEngine);

describe.runIf(haveSoftwareGpu('lavapipe'))('the engine webgpu', () => {
  useSoftwareGpu('lavapipe');

  it('opens the adapter with its own limits and features, and says which it is', async () => {
    const { name, adapter, reason } = await openEngine({ engine: 'webgpu' });
    expect(name).toBe('webgpu');
    expect(reason).toBe(`asked for: ${adapter?.description}`);
    expect(adapter).toMatchObject({ vendor: 'mesa', software: true, dawn: '0.6.2' });
    expect(adapter?.features).toContain('shader-f16');
    // WebGPU gives 256 MiB to those who do not ask for more.
    expect(adapter?.limits.maxBufferSize).toBeGreaterThan(2 ** 28);
    expect(tf.getBackend()).toBe('webgpu');
  });

  it('multiplies in half precision where that is asked for, tested before it is taken', async () => {
    const { precision, selfTest } = await openEngine({ engine: 'webgpu', precision: 'f16' });
    expect(precision).toBe('f16');
    expect(selfTest).toMatchObject([
      { module: 'webgpu', ok: true },
      { module: 'webgpu f16', ok: true },
    ]);
    const error = (detail: string) => Number(/^largest error ([\d.e-]+)/.exec(detail)?.[1]);
    expect(error(selfTest[0].detail)).toBeLessThan(1e-5);
    // Else it was not half precision.
    expect(error(selfTest[1].detail)).toBeGreaterThan(1e-4);
    expect((await openEngine({ engine: 'webgpu' })).precision).toBe('f32');
  });

  it('computes, and reads asynchronously alone', async () => {
    await openEngine({ engine: 'webgpu' });
    const a = tf.reshape(tf.range(0, 4096), [64, 64]) as tf.Tensor2D;
    const identity = tf.eye(64);
    const product = tf.matMul(a, identity);
    expect(() => product.dataSync()).toThrow('A tensor on the GPU can only be read asynchronously.');
    expect(await product.data()).toEqual(await a.data());
  });

  it('leaves no trace of a browser, and a second device opens behind the first', async () => {
    const before = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
    await openEngine({ engine: 'webgpu' });
    await openEngine({ engine: 'webgpu' });
    expect(Object.getOwnPropertyDescriptor(globalThis, 'navigator')).toEqual(before);
    expect([...(await tf.add(tf.tensor1d([1, 2]), 1).data())]).toEqual([2, 3]);
    await closeEngine();
    expect(tf.findBackend('webgpu')).toBeNull();
  });
});
