import * as tf from '@tensorflow/tfjs-core';
import { openEngine } from '../../../src/core/engine/choose';
import type { AdapterReport, EngineOptions } from '../../../src/core/engine/engine';
import { InputError } from '../../../src/core/errors';
import type { GpuBackend } from '../../../src/core/engine/webgpu/backend';
import { kernelSettings } from '../../../src/core/engine/webgpu/kernels/settings';
import type { Precision } from '../requests';

/** The open engine's backend. */
export const gpu = (): GpuBackend => tf.backend() as GpuBackend;

/**
 * Opens the engine webgpu, tested, with kernels of this precision.
 * @throws InputError where it does not open, or the GPU has no half precision
 */
export async function openGpu({
  precision = 'f32',
  gpuMemory,
}: Pick<EngineOptions, 'gpuMemory'> & { readonly precision?: Precision }): Promise<void> {
  const { adapter } = await openEngine({ engine: 'webgpu', gpuMemory });
  if (precision === 'f16' && !adapter?.features.includes('shader-f16'))
    throw new InputError(`${adapter?.description} has no half precision (shader-f16).`);
  kernelSettings(gpu()).precision = precision;
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
