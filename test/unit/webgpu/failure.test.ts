import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Cohort } from '../../../src/core/cohort/cohort';
import { closeEngine, engineMemory, openEngine } from '../../../src/core/engine/choose';
import type { GpuBackend } from '../../../src/core/engine/webgpu/backend';
import { InputError } from '../../../src/core/errors';
import { executeRun } from '../../../src/core/experiment/run';
import { haveSoftwareGpu, useSoftwareGpu } from '../../software-gpu';
import { OPTIONS, TRAINING, begun, execute, scratchFolder, tinyCohort } from '../experiment/tiny';

const folder = scratchFolder();
let cohort: Cohort;

beforeAll(async () => {
  useSoftwareGpu('lavapipe');
  cohort = await tinyCohort(folder);
});
afterEach(closeEngine);

const device = (): GPUDevice => (tf.backend() as GpuBackend).gpu.device;

describe.runIf(haveSoftwareGpu('lavapipe'))('a GPU that is lost', () => {
  it('says so in a sentence when something is read, and never gives numbers', async () => {
    await openEngine({ engine: 'webgpu' });
    const x = tf.add(tf.tensor1d([1, 2, 3]), tf.fill([3], 1));
    device().destroy();
    await expect(x.data()).rejects.toThrow(InputError);
    await expect(x.data()).rejects.toThrow(/^The connection to the GPU llvmpipe.* was lost .*Resume the run/);
  });

  it('ends a run that can be resumed on the processor, which the run remembers', async () => {
    await openEngine({ engine: 'webgpu' });
    const { directory, store } = await begun(join(folder, 'lost'), { cohort });
    const lost = executeRun(directory, store, {
      ...OPTIONS,
      onProgress: ({ phase, done }) => {
        if (phase === 'training' && done === 5) device().destroy();
      },
    });
    await expect(lost).rejects.toThrow(/was lost/);
    expect(directory.events().at(-1)).toMatchObject({ type: 'failed', message: /--engine wasm/ });
    expect((await directory.record()).engine).toMatchObject({ name: 'webgpu', adapter: /llvmpipe/ });

    await openEngine({ engine: 'wasm', threads: 1 });
    const { predictions } = await execute(directory, store);
    expect(predictions.every(({ logits }) => logits.every(Number.isFinite))).toBe(true);
    const events = directory.events();
    const resumed = events.findIndex(({ type }) => type === 'resumed');
    // From the last checkpoint, which is the end of the first epoch.
    expect(events[resumed]).toMatchObject({ epoch: 1, step: 0 });
    expect(events[resumed - 1]).toMatchObject({
      type: 'warning',
      message: /began with the engine webgpu \(llvmpipe.*\) and goes on with the engine wasm/,
    });
    expect(events.at(-1)).toMatchObject({ type: 'finished', epochs: TRAINING.epochs });
    expect((await directory.record()).engine.name).toBe('wasm');
  });
});

describe.runIf(haveSoftwareGpu('lavapipe'))('a GPU without enough memory', () => {
  it('ends in a sentence with what to do, where a tensor is larger than its buffers', async () => {
    const gpuLimits = { maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27 };
    await openEngine({ engine: 'webgpu', gpuLimits });
    expect(() => tf.fill([2 ** 26], 1)).toThrow(
      /^A tensor of 0.25 GB is more than this GPU's buffers hold \(0.13 GB\).*smaller --micro-batch/,
    );
  });

  it('ends in a sentence where all that may be used is full, and frees nothing that is in use', async () => {
    await openEngine({ engine: 'webgpu', gpuMemory: 80 * 2 ** 20 });
    const kept: tf.Tensor[] = [];
    const fill = () => {
      for (let i = 0; i < 12; i++) kept.push(tf.keep(tf.fill([2 ** 21], i)));
    };
    expect(fill).toThrow(/^The GPU memory that may be used is full: 0.0\d of 0.08 GB are taken/);
    expect(engineMemory()!.reserved).toBeLessThanOrEqual(80 * 2 ** 20);
    for (const [i, tensor] of kept.entries()) expect((await tf.slice(tensor, [5], [1]).data())[0]).toBe(i);
  });

  it('ends in a sentence where the driver refuses', async () => {
    await openEngine({ engine: 'webgpu' });
    const backend = tf.backend() as GpuBackend;
    device().dispatchEvent(
      Object.assign(new Event('uncapturederror'), { error: new GPUOutOfMemoryError('no memory left') }),
    );
    expect(() => backend.gpu.requireSound()).toThrow(/is out of memory \(no memory left\).*--gpu-memory/);
    await expect(tf.fill([2], 1).data()).rejects.toThrow(/is out of memory/);
  });
});

describe.runIf(haveSoftwareGpu('lavapipe'))('the memory of a GPU', () => {
  it('is used again, and what is held stays near what was needed at once', async () => {
    await openEngine({ engine: 'webgpu' });
    const need = 3 * 4 * 2 ** 21;
    for (let size = 2 ** 20; size <= 2 ** 21; size += 2 ** 17) {
      const sum = tf.tidy(() => tf.add(tf.fill([size], 1), tf.fill([size], 2)));
      expect((await tf.slice(sum, [0], [1]).data())[0]).toBe(3);
      sum.dispose();
    }
    const { inUse, reserved, peak } = engineMemory()!;
    expect(peak).toBeGreaterThanOrEqual(4 * 2 ** 21);
    expect(peak).toBeLessThan(need * 1.3);
    expect(reserved).toBeLessThan(Math.max(2 ** 26, peak * 1.3) + 2 ** 20);
    expect(inUse).toBeLessThan(4096);
  });
});
