import * as tf from '@tensorflow/tfjs-core';
import { createHash } from 'node:crypto';
import { InputError } from '../../errors';
import type { EngineOptions, PlanReport, Precision } from '../engine';
import type { OpenedEngine } from '../opened-engine';
import { PlanCache } from '../plan-cache';
import type { GpuBackend } from './backend';
import { GpuDevice } from './device';
import { gpuHalfTest, gpuSelfTest } from './self-test';

/** Opens a GPU through Dawn and makes it tfjs-core's backend, untested: {@link openTestedWebgpu}. */
export async function openWebgpu(options: EngineOptions): Promise<OpenedEngine> {
  // Before a navigator is there: tfjs would register a backend of its own for what a browser offers.
  await import('@tensorflow/tfjs-backend-webgpu');
  const { BACKEND_NAME, GpuBackend } = await import('./backend');
  const { registerWebgpuKernels } = await import('./kernels/register');
  const { kernelSettings } = await import('./kernels/settings');
  const { onFallback, gpuMemory, precision = 'f32' } = options;
  const gpu = await GpuDevice.open(options.gpuLimits, precision);
  const backend = withNavigator(gpu.instance, () => new GpuBackend(gpu, onFallback, gpuMemory));
  tf.registerBackend(BACKEND_NAME, () => backend);
  registerWebgpuKernels();
  await tf.setBackend(BACKEND_NAME);
  kernelSettings(backend).precision = precision;
  const { report } = gpu;
  const { pool } = backend;
  const plans = await openPlans(backend, options);
  return {
    report: {
      name: 'webgpu',
      precision,
      threads: 1,
      node: process.version,
      reason: `asked for: ${report.description}`,
      adapter: report,
      plan: plans.report,
      selfTest: [],
    },
    ...plans.engine,
    memory: () => ({
      inUse: pool.numBytesUsed,
      reserved: pool.numBytesAllocated,
      peak: pool.peakBytesUsed,
      atMost: gpuMemory ?? Infinity,
      largestTensor: Math.min(report.limits.maxBufferSize, report.limits.maxStorageBufferBindingSize),
    }),
    resetPeak: () => pool.resetPeak(),
    close: async () => {
      tf.removeBackend(BACKEND_NAME);
      gpu.close();
    },
  };
}

/** Choices that a GPU in software times of each way: it takes seconds to compile one. */
const MOST_BY_SOFTWARE = 1;

/** The plan of convolutions: what is recorded, what this GPU's cache knows, and timing where it is asked for. */
async function openPlans(
  backend: GpuBackend,
  options: EngineOptions,
): Promise<{
  report: PlanReport;
  engine: Pick<OpenedEngine, 'plan' | 'prepare' | 'scratchBytes' | 'spareForScratch'>;
}> {
  const { kernelSettings } = await import('./kernels/settings');
  const { GpuPlan } = await import('./kernels/gpu-plan');
  const { estimatedScratchBytes } = await import('./kernels/scratch-bytes');
  const { kernelTexts } = await import('./kernels/kernel-texts');
  const { tuneConvolutions } = await import('./tuning');
  const { rightMatrices } = await import('./matrix-units');
  const { report } = backend.gpu;
  const { vendor, architecture, description, features, dawn } = report;
  const cache = new PlanCache('webgpu-convolutions', {
    gpu: description,
    vendor,
    architecture,
    features: features.join(' '),
    dawn,
    kernels: createHash('sha256').update(kernelTexts()).digest('hex').slice(0, 16),
  });
  const timed = cache.read();
  const settings = kernelSettings(backend);
  const { abilities, detail } = await rightMatrices(backend, settings.precision);
  settings.matrices = abilities;
  const plan = new GpuPlan({
    recorded: options.plan,
    timed,
    abilities: settings,
    largest: report.limits.maxStorageBufferBindingSize,
    onReplaced: options.onPlanReplaced,
  });
  // What beyond the estimated choices may be borrowed of a memory that is limited, an estimate of the whole has to say.
  if (options.gpuMemory !== undefined) plan.spare = 0;
  settings.plan = plan;
  const tune = options.tune === true && (!report.software || options.tuneSoftware === true);
  const known = Object.keys(options.plan ?? timed).length;
  return {
    report: {
      source: options.plan ? 'recorded' : known > 0 ? 'timed' : 'estimated',
      known,
      cache: cache.path,
      tune,
      ...(detail !== undefined && { detail }),
    },
    engine: {
      plan: () => plan.used(),
      scratchBytes: (pass, g, halved) => {
        const { precision } = settings;
        return estimatedScratchBytes({ pass, g, precision }, settings, { halved });
      },
      spareForScratch: (bytes) => {
        if (options.gpuMemory !== undefined) plan.spare = bytes;
      },
      prepare: async (rehearsal, watch) => {
        if (!tune) return;
        const unknown = await plan.unknownTo(() => backend.rehearse(rehearsal));
        await tuneConvolutions(backend, unknown, {
          ...watch,
          most: report.software ? MOST_BY_SOFTWARE : undefined,
        });
        await cache.keep(plan.timedNow());
      },
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
    const { precision, adapter } = opened.report;
    const { gpuMemory } = options;
    const room = { gpuMemory, scratchBytes: opened.scratchBytes, software: adapter?.software };
    const single = await inPrecision('f32', () => gpuSelfTest(room));
    if (!single.ok)
      throw new InputError(
        `The GPU ${adapter?.description} computes wrongly: ${single.detail}. Update its driver, or use --engine wasm.`,
      );
    const selfTest = [{ module: 'webgpu', ...single }];
    if (precision === 'f16') {
      const half = await inPrecision('f16', () => gpuHalfTest(room));
      if (!half.ok)
        throw new InputError(
          `The GPU ${adapter?.description} computes wrongly in half precision: ${half.detail}. Update its driver, or leave out --precision f16.`,
        );
      selfTest.push({ module: 'webgpu f16', ...half });
    }
    return { ...opened, report: { ...opened.report, selfTest } };
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** Does work in a precision, and leaves the kernels as they were. */
async function inPrecision<T>(precision: Precision, work: () => Promise<T>): Promise<T> {
  const { kernelSettings } = await import('./kernels/settings');
  const settings = kernelSettings(tf.backend() as GpuBackend);
  const former = settings.precision;
  settings.precision = precision;
  try {
    return await work();
  } finally {
    settings.precision = former;
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
