import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { gradCam } from '../../../src/core/explain/gradcam';
import { upsampleHalfPixel } from '../../../src/core/explain/place-map';
import { Network } from '../../../src/core/model/network';
import { networkSpec } from '../../../src/core/model/spec';
import { Random } from '../../../src/core/random';

// What people who come from other explanation libraries expect of the call itself.
beforeAll(async () => {
  await openEngine();
});
afterAll(closeEngine);

describe('a class map', () => {
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

  it('has the shape of its layer, float32, nothing below 0', () => {
    const map = gradCam(network, x, { layer: 'layer4', method: 'gradcam' });
    expect(map.shape).toEqual([3, 3, 2]);
    expect(map.data).toBeInstanceOf(Float32Array);
    expect(map.data).toHaveLength(3 * 3 * 2);
    expect(Math.min(...map.data)).toBeGreaterThanOrEqual(0);
  });

  it('explains the predicted class unless another is asked for', () => {
    const map = gradCam(network, x, { layer: 'layer4', method: 'gradcam' });
    expect(map.classIndex).toBe(map.logits.indexOf(Math.max(...map.logits)));
    const other = gradCam(network, x, { layer: 'layer4', method: 'gradcam', classIndex: 1 - map.classIndex });
    expect(other.classIndex).toBe(1 - map.classIndex);
    expect([...other.data]).not.toEqual([...map.data]);
  });

  it('is that of the logit: adding to both classes, which no probability notices, changes nothing', () => {
    const map = gradCam(network, x, { layer: 'layer4', method: 'gradcam', classIndex: 1 });
    network.weights.setFromBorder('fc.bias', Float32Array.of(40, 40));
    const shifted = gradCam(network, x, { layer: 'layer4', method: 'gradcam', classIndex: 1 });
    expect([...shifted.data]).toEqual([...map.data]);
    // Nor does a probability that is 1 in single precision wipe it out.
    network.weights.setFromBorder('fc.bias', Float32Array.of(-1000, 1000));
    const saturated = gradCam(network, x, { layer: 'layer4', method: 'gradcam', classIndex: 1 });
    expect([...saturated.data]).toEqual([...map.data]);
  });

  it('equals HiResCAM at the last layer, where global average pooling makes every gradient its own mean', () => {
    const request = { layer: 'layer4', classIndex: 0 };
    const gradcam = gradCam(network, x, { ...request, method: 'gradcam' });
    const hirescam = gradCam(network, x, { ...request, method: 'hirescam' });
    expect(Math.max(...gradcam.data)).toBeGreaterThan(0);
    hirescam.data.forEach((value, i) => expect(value).toBeCloseTo(gradcam.data[i], 5));
  });

  it('leaves nothing behind and changes nothing: tensors, weights, running statistics, the input', () => {
    const before = tf.memory().numTensors;
    const state = () => [...network.weights.toBorder()].map(([name, { data }]) => [name, [...data]]);
    const [weights, voxels] = [state(), [...x.dataSync()]];
    for (const layer of ['layer4', 'layer3.0.bn1', 'conv1'])
      gradCam(network, x, { layer, method: 'gradcam', classIndex: 0 });
    expect(tf.memory().numTensors).toBe(before);
    expect(state()).toEqual(weights);
    expect([...x.dataSync()]).toEqual(voxels);
  });

  it('leaves nothing behind after an error either, and the next call is as good as ever', () => {
    const request = { layer: 'layer4', method: 'gradcam', classIndex: 1 } as const;
    const expected = [...gradCam(network, x, request).data];
    const before = tf.memory().numTensors;
    expect(() => gradCam(network, x, { ...request, layer: 'layer9' })).toThrow(/no layer "layer9".*layer4/);
    expect(() => gradCam(network, x, { ...request, layer: 'fc' })).toThrow(/no layer "fc"/);
    expect(() => gradCam(network, x, { ...request, classIndex: 2 })).toThrow('There is no class 2');
    const twoChannels = tf.zeros([1, 24, 20, 16, 2]) as tf.Tensor5D;
    expect(() => gradCam(network, twoChannels, request)).toThrow('got 2 input channels');
    twoChannels.dispose();
    const batch = tf.zeros([2, 24, 20, 16, 1]) as tf.Tensor5D;
    expect(() => gradCam(network, batch, request)).toThrow('one volume at a time; this batch has 2');
    batch.dispose();
    expect(tf.memory().numTensors).toBe(before);
    expect([...gradCam(network, x, request).data]).toEqual(expected);
  });

  it('of zero gradients is zero, not NaN', () => {
    const size = network.weights.info('fc.weight').shape.reduce((product, n) => product * n, 1);
    network.weights.setFromBorder('fc.weight', new Float32Array(size));
    const map = gradCam(network, x, { layer: 'layer4', method: 'gradcam', classIndex: 0 });
    expect([...map.data]).toEqual([...map.data].map(() => 0));
  });
});

describe('an up-sampled map', () => {
  it('has the shape of the input: 2 x 2 x 2 becomes 6 x 6 x 6, 70 x 70 x 70 stays so', () => {
    expect(upsampleHalfPixel(new Float32Array(8).fill(1), [2, 2, 2], [6, 6, 6])).toEqual(
      new Float32Array(216).fill(1),
    );
    expect(upsampleHalfPixel(new Float32Array(27), [3, 3, 3], [70, 70, 70])).toHaveLength(70 ** 3);
  });

  it('keeps to half-pixel centres: cells 0 and 6 over six voxels are 0, 0, 2, 4, 6, 6', () => {
    // Voxel v lies at cell (v + 0.5) / 3 - 0.5: -1/3, 0, 1/3, 2/3, 1, 4/3, clamped to 0 to 1.
    const expected = [0, 0, 2, 4, 6, 6];
    const line = upsampleHalfPixel(Float32Array.of(0, 6), [1, 1, 2], [1, 1, 6]);
    expected.forEach((value, v) => expect(line[v]).toBeCloseTo(value, 6));
  });
});
