import * as tf from '@tensorflow/tfjs-core';
import { openEngine } from '../../../src/core/engine/choose';
import type { AdapterReport, EngineOptions } from '../../../src/core/engine/engine';
import type { GpuBackend } from '../../../src/core/engine/webgpu/backend';
import { kernelSettings } from '../../../src/core/engine/webgpu/kernels/settings';

/** The open engine's backend. */
export const gpu = (): GpuBackend => tf.backend() as GpuBackend;

/**
 * Opens the engine webgpu, tested, with kernels of this precision and its ways of computing convolutions timed, as for training.
 * @throws InputError where it does not open, or the GPU has no half precision
 */
export async function openGpu(options: Pick<EngineOptions, 'gpuMemory' | 'precision'>): Promise<void> {
  await openEngine({ engine: 'webgpu', tune: true, ...options });
}

/** Does work in single precision on a GPU that was opened for half precision. */
export async function inSinglePrecision<T>(work: () => Promise<T>): Promise<T> {
  const settings = kernelSettings(gpu());
  const { precision } = settings;
  settings.precision = 'f32';
  try {
    return await work();
  } finally {
    settings.precision = precision;
  }
}

/** All that was asked of the GPU is done. @throws InputError where it was lost or ran out of memory meanwhile */
export async function settled(): Promise<void> {
  const backend = gpu();
  backend.flush();
  await backend.device.queue.onSubmittedWorkDone();
  backend.gpu.requireSound();
}

/** Shape of the matrices that a subgroup multiplies at once. */
export interface MatrixShape {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

export interface GpuDescription extends AdapterReport {
  readonly device: string;
  readonly subgroupSizes: readonly [least: number, most: number];
  readonly subgroupMatrices: readonly MatrixShape[];
}

/** The open GPU in its driver's words, with what it can do. */
export function describeGpu(): GpuDescription {
  const { report, adapterInfo } = gpu().gpu;
  const { device, subgroupMinSize = 0, subgroupMaxSize = 0 } = adapterInfo;
  // An experiment of Dawn's, which its types do not know yet.
  const { subgroupMatrixConfigs = [] } = adapterInfo as { subgroupMatrixConfigs?: Iterable<MatrixShape> };
  return {
    ...report,
    device,
    subgroupSizes: [subgroupMinSize, subgroupMaxSize],
    subgroupMatrices: [...subgroupMatrixConfigs].map(({ componentType, resultComponentType, M, N, K }) => ({
      componentType,
      resultComponentType,
      M,
      N,
      K,
    })),
  };
}

/**
 * Milliseconds of one run of some work, several times over. Each measurement repeats the work until it has taken
 * `leastMs`, because waiting for a GPU takes as long as a small kernel.
 */
export async function timesOf(work: () => void, repeats: number, leastMs: number): Promise<number[]> {
  const together = async (times: number): Promise<number> => {
    const start = performance.now();
    for (let i = 0; i < times; i++) work();
    await settled();
    return performance.now() - start;
  };
  await together(1); // compiles
  let times = 1;
  for (let took = await together(1); took < leastMs && times < MOST; took = await together(times))
    times = Math.min(MOST, Math.ceil(times * Math.min(16, Math.max(1.3, leastMs / took))));
  const all: number[] = [];
  for (let i = 0; i < repeats; i++) all.push((await together(times)) / times);
  return all;
}

const MOST = 2000;
