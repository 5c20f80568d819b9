import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../src/core/engine/choose';
import type { GpuBackend } from '../../src/core/engine/webgpu/backend';
import { kernelSettings } from '../../src/core/engine/webgpu/kernels/settings';
import { buildProgram } from '../../src/core/model/program';
import { haveSoftwareGpu, useSoftwareGpu } from '../software-gpu';
import { CASES, specOf, volumesOf } from './cases';
import { engineResults, type ResultOptions } from './engine-results';
import {
  LAYERS,
  LOSS_SCALE,
  SMOOTH,
  lengthApart,
  mostApart,
  pairs,
  throughRectifiers,
} from './half-agreement';

// Half precision is compared with single precision on the same GPU, which webgpu-lavapipe.test.ts holds to PyTorch.
describe.runIf(haveSoftwareGpu('lavapipe'))('the engine webgpu in half precision, on lavapipe', () => {
  beforeAll(async () => {
    useSoftwareGpu('lavapipe');
    await openEngine({ engine: 'webgpu' });
  });
  afterAll(closeEngine);

  const cases = CASES.filter(({ name }) => /^narrow-(10-B-paper|18-A-medicalnet|50-B-compact)$/.test(name));

  it.each(cases)('agrees with single precision on $name', async (given) => {
    const batch = await volumesOf(given);
    // Moments of any size do: what an optimiser makes is not compared, it computes in single precision anyway.
    const { parameters } = buildProgram(specOf(given), { fused: true });
    const scales = new Map(parameters.map(({ name }) => [name, 1]));
    const resultsOf = (options: ResultOptions) => engineResults(given, batch, scales, options);
    const single = await resultsOf({});
    const settings = kernelSettings(tf.backend() as GpuBackend);
    settings.precision = 'f16';
    const half = await resultsOf({ lossScale: LOSS_SCALE }).finally(() => (settings.precision = 'f32'));
    for (const group of ['evaluation', 'training', 'running']) {
      const error = mostApart(pairs(half, single, group));
      expect(error, group).toBeLessThan(SMOOTH);
      // Else it was not half precision.
      expect(error, group).toBeGreaterThan(5e-6);
    }
    for (const group of ['map', 'placed', 'gradient', 'evaluation-gradient', 'input'])
      expect(lengthApart(pairs(half, single, group)), group).toBeLessThan(
        throughRectifiers(LAYERS[given.arch]),
      );
  });
});
