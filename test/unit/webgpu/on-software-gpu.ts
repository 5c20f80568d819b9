import { afterAll, beforeAll, describe } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import type { GpuBackend } from '../../../src/core/engine/webgpu/backend';
import { registerWebgpuKernels } from '../../../src/core/engine/webgpu/kernels/register';
import { haveSoftwareGpu, useSoftwareGpu } from '../../software-gpu';

/** Opens the engine webgpu on lavapipe, which has half precision, for the tests within. */
export function onSoftwareGpu(name: string, tests: () => void): void {
  describe.runIf(haveSoftwareGpu('lavapipe'))(name, () => {
    beforeAll(async () => {
      useSoftwareGpu('lavapipe');
      await openEngine({ engine: 'webgpu' });
      registerWebgpuKernels();
    });
    afterAll(closeEngine);
    tests();
  });
}

export const gpuBackend = (): GpuBackend => tf.backend() as GpuBackend;

/** Runs a kernel by name. */
export function run(name: string, inputs: Record<string, tf.Tensor>, attrs: object = {}): tf.Tensor[] {
  const result = tf
    .engine()
    .runKernel<tf.Tensor | tf.Tensor[]>(name, inputs, { ...attrs } as tf.NamedAttrMap);
  return Array.isArray(result) ? result : [result];
}

export const tensor = (values: Float32Array | Int32Array, shape: readonly number[]) =>
  tf.tensor(values, [...shape], values instanceof Int32Array ? 'int32' : 'float32');
