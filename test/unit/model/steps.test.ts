import * as tf from '@tensorflow/tfjs-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { gradCam, gradCamSteps } from '../../../src/core/explain/gradcam';
import { Network } from '../../../src/core/model/network';
import { networkSpec } from '../../../src/core/model/spec';
import { atOnce, paced, type Step } from '../../../src/core/model/steps';
import { Random } from '../../../src/core/random';

beforeAll(async () => {
  await openEngine({ threads: 1 });
});
afterAll(closeEngine);

describe('work that is done step by step', () => {
  let network: Network;
  let x: tf.Tensor5D;

  beforeEach(() => {
    network = new Network(networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 }), 5);
    const random = Random.seeded(3, 'volume');
    x = tf.tensor5d(
      Float32Array.from({ length: 24 * 20 * 16 }, () => random.normal()),
      [1, 24, 20, 16, 1],
    );
  });
  afterEach(() => {
    network.dispose();
    x.dispose();
  });

  it('comes to the same as without a pause, layer after layer, forward and then backward', async () => {
    const request = { layer: 'layer2', method: 'gradcam' } as const;
    const steps: Step[] = [];
    const map = await paced(gradCamSteps(network, x, request), async (step) => {
      steps.push(step);
      await new Promise((resolve) => setImmediate(resolve));
    });
    expect(map).toEqual(gradCam(network, x, request));
    const forward = steps.filter(({ pass }) => pass === 'forward');
    const backward = steps.filter(({ pass }) => pass === 'backward');
    expect(steps).toEqual([...forward, ...backward]);
    expect(forward[0].layer).toBe('conv1');
    expect(forward.at(-1)).toMatchObject({ layer: 'fc', done: forward.length, total: forward.length });
    expect(backward[0].layer).toBe('fc');
    expect(backward.at(-1)).toMatchObject({ done: backward.length, total: backward.length });
    expect(backward.map(({ layer }) => layer)).not.toContain('conv1');
  });

  it('frees what it holds wherever it is given up', async () => {
    const request = { layer: 'layer2', method: 'hirescam' } as const;
    const total = await stepsOf(request);
    const before = tf.memory().numTensors;
    for (let last = 1; last <= total; last++) {
      let done = 0;
      const given = paced(gradCamSteps(network, x, request), async () => {
        if (++done === last) throw new Error('enough');
      });
      await expect(given).rejects.toThrow('enough');
      expect(tf.memory().numTensors, `after step ${last} of ${total}`).toBe(before);
    }
    expect(atOnce(network.predictSteps(x))).toHaveLength(2);
    expect(tf.memory().numTensors).toBe(before);
  });

  async function stepsOf(request: { layer: string; method: 'hirescam' }): Promise<number> {
    let total = 0;
    await paced(gradCamSteps(network, x, request), async () => void total++);
    return total;
  }
});
