import * as tf from '@tensorflow/tfjs-core';
import { InputError } from '../../errors';
import type { EngineOptions } from '../engine';
import type { OpenedEngine } from '../opened-engine';
import { GpuDevice } from './device';
import { gpuSelfTest } from './self-test';

/** Opens a GPU through Dawn and makes it tfjs-core's backend, untested: {@link openTestedWebgpu}. */
export async function openWebgpu(options: EngineOptions): Promise<OpenedEngine> {
  // Before a navigator is there: tfjs would register a backend of its own for what a browser offers.
  await import('@tensorflow/tfjs-backend-webgpu');
  const { BACKEND_NAME, GpuBackend } = await import('./backend');
  const { registerWebgpuKernels } = await import('./kernels/register');
  const gpu = await GpuDevice.open(options.gpuLimits);
  const { onFallback, gpuMemory } = options;
  const backend = withNavigator(gpu.instance, () => new GpuBackend(gpu, onFallback, gpuMemory));
  tf.registerBackend(BACKEND_NAME, () => backend);
  registerWebgpuKernels();
  await tf.setBackend(BACKEND_NAME);
  const { report } = gpu;
  const { pool } = backend;
  return {
    report: {
      name: 'webgpu',
      threads: 1,
      node: process.version,
      reason: `asked for: ${report.description}`,
      adapter: report,
      selfTest: [],
    },
    memory: () => ({
      inUse: pool.numBytesUsed,
      reserved: pool.numBytesAllocated,
      peak: pool.peakBytesUsed,
      atMost: gpuMemory ?? Infinity,
    }),
    resetPeak: () => pool.resetPeak(),
    close: async () => {
      tf.removeBackend(BACKEND_NAME);
      gpu.close();
    },
  };
}

/**
 * As {@link openWebgpu}, and compares what the GPU computes with double precision first.
 * @throws InputError where it computes wrongly
 */
export async function openTestedWebgpu(options: EngineOptions): Promise<OpenedEngine> {
  const opened = await openWebgpu(options);
  try {
    const { ok, gflops, detail } = await gpuSelfTest();
    if (!ok)
      throw new InputError(
        `The GPU ${opened.report.adapter?.description} computes wrongly: ${detail}. Update its driver, or use --engine wasm.`,
      );
    return {
      ...opened,
      report: { ...opened.report, selfTest: [{ module: 'webgpu', ok, gflops, detail }] },
    };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** tfjs looks whether a browser offers WebGPU. Nothing else may take this process for one, so it sees it for a moment only. */
function withNavigator<T>(gpu: GPU, work: () => T): T {
  const former = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
  Object.defineProperty(globalThis, 'navigator', { value: { gpu }, configurable: true });
  try {
    return work();
  } finally {
    if (former) Object.defineProperty(globalThis, 'navigator', former);
    else Reflect.deleteProperty(globalThis, 'navigator');
  }
}
