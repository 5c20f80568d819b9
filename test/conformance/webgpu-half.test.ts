import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../src/core/engine/choose';
import type { GpuBackend } from '../../src/core/engine/webgpu/backend';
import { kernelSettings } from '../../src/core/engine/webgpu/kernels/settings';
import { buildProgram } from '../../src/core/model/program';
import { haveSoftwareGpu, useSoftwareGpu } from '../software-gpu';
import { CASES, specOf, volumesOf } from './cases';
import { engineResults, type ResultOptions, type Results } from './engine-results';

/**
 * The kernels round what they multiply to half precision, by at most 2^-11, and add four products in it. What flows forward
 * is smooth in that, and normalised again in every layer: errors stay a few times 2^-11.
 */
const SMOOTH = 4 * 2 ** -11;

/**
 * What flows backward is not: near 0 such an error opens or closes a rectifier, about one in a thousand in every layer, and
 * there the gradient is another one. Independent of each other in so many layers they make a difference of this length.
 */
const throughRectifiers = (layers: number): number => Math.sqrt(layers * 2 ** -10);

const LAYERS: Readonly<Record<string, number>> = { resnet10: 10, resnet18: 18, resnet50: 50 };

/** Gradients of few positions are large: 2^16 would have them overflow. */
const LOSS_SCALE = 2 ** 8;

interface Pair {
  readonly values: Float32Array;
  readonly expected: Float32Array;
}

/** All tensors of a group, beside what they should be. */
function pairs(results: Results, reference: Results, group: string): Pair[] {
  return [...reference].flatMap(([name, expected]) =>
    name.startsWith(`${group}/`) ? [{ values: results.get(name) as Float32Array, expected }] : [],
  );
}

const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));

/** Root mean square over tensors of the length of each one's difference, as a share of its own length. NaN where a number is none. */
function lengthApart(of: readonly Pair[]): number {
  const shares = of.map(({ values, expected }) => {
    const difference = norm(values.map((value, i) => value - expected[i]));
    return difference === 0 ? 0 : difference / norm(expected);
  });
  return Math.sqrt(shares.reduce((sum, share) => sum + share ** 2, 0) / shares.length);
}

/** The largest difference, as a share of the largest value of its tensor. */
function mostApart(of: readonly Pair[]): number {
  const largest = (values: Float32Array) => values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  return Math.max(
    ...of.map(({ values, expected }) => {
      const difference = largest(values.map((value, i) => value - expected[i]));
      return difference === 0 ? 0 : difference / largest(expected);
    }),
  );
}

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
