import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { crossEntropyGradient } from '../../../src/core/engine/ops/cross-entropy';
import { foldNorm, foldNormGradient, moveRunning } from '../../../src/core/engine/ops/running-norm';
import { haveSoftwareGpu, useSoftwareGpu } from '../../software-gpu';

const ENGINES = ['wasm', 'cpu', ...(haveSoftwareGpu('lavapipe') ? (['webgpu'] as const) : [])] as const;

/** Every value within single precision of what was computed by hand. */
async function expectClose(actual: tf.Tensor, expected: readonly number[]): Promise<void> {
  const values = await actual.data<'float32'>();
  expect(values).toHaveLength(expected.length);
  expected.forEach((value, i) =>
    expect(Math.abs(values[i] - value)).toBeLessThanOrEqual(1e-6 * Math.max(1, Math.abs(value))),
  );
}

describe.each(ENGINES)('small operations of a training step on the engine %s', (engine) => {
  beforeAll(async () => {
    useSoftwareGpu('lavapipe');
    await openEngine({ engine });
  });
  afterAll(closeEngine);

  it('fold running statistics into a scale and a shift, and pull gamma’s gradient back through them', async () => {
    const [gamma, beta] = [tf.tensor1d([2, -1]), tf.tensor1d([0.5, 3])];
    const running = { mean: tf.tensor1d([1, -4]), variance: tf.tensor1d([3.75, 0]) };
    const [scale, shift] = foldNorm(gamma, beta, running, 0.25);
    await expectClose(scale, [2 / 2, -1 / 0.5]);
    await expectClose(shift, [0.5 - 1, 3 - 8]);
    const dgamma = foldNormGradient(tf.tensor1d([7, 1]), tf.tensor1d([3, 0.5]), running, 0.25);
    await expectClose(dgamma, [(7 - 3) / 2, (1 + 4 * 0.5) / 0.5]);
  });

  it('move running statistics by a share of the way, and free what they replace', async () => {
    const batch = tf.tensor1d([10, 4]);
    let running = tf.tensor1d([0, 4]);
    const before = tf.memory().numTensors;
    running = moveRunning(running, batch, 0.1, 1);
    await expectClose(running, [1, 4]);
    running = moveRunning(running, batch, 0.5, 2);
    await expectClose(running, [10.5, 6]);
    expect(tf.memory().numTensors).toBe(before);
    tf.dispose([running, batch]);
  });

  it('give the gradient of a weighted cross-entropy', async () => {
    const logits = tf.tensor2d([
      [0, Math.log(3)],
      [1000, -1000],
    ]);
    const gradient = crossEntropyGradient(logits, { labels: [1, 1], weights: [0.5, 2] });
    await expectClose(gradient, [0.125, -0.125, 2, -2]);
  });
});
