import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { beforeAll, describe, expect, it } from 'vitest';
import { Network } from '../../../src/core/model/network';
import { networkSpec, type NetworkSpec } from '../../../src/core/model/spec';
import { Random } from '../../../src/core/random';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

function noise(shape: [number, number, number, number, number], seed: number): tf.Tensor5D {
  const random = Random.seeded(seed, 'test');
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal());
  return tf.tensor5d(data, shape);
}

const specs: [string, NetworkSpec][] = [
  [
    'basic blocks, shortcut A, compact',
    networkSpec({ arch: 'resnet10', geometry: 'compact', shortcut: 'A', width: 0.125 }),
  ],
  [
    'basic blocks, shortcut B, dilated',
    networkSpec({ arch: 'resnet10', geometry: 'medicalnet', width: 0.125 }),
  ],
  [
    'two input channels, pooled',
    networkSpec({ arch: 'resnet10', geometry: 'paper', width: 0.125, inChannels: 2 }),
  ],
];

describe.each(specs)('a network of %s', (_, spec) => {
  it.each(['batch', 'running'] as const)(
    'has the gradients that finite differences give, with %s statistics',
    (statistics) => {
      const network = new Network(spec, 7);
      const x = noise([2, 9, 8, 10, spec.inChannels], 1);
      const before = tf.memory().numTensors;
      const direction = [0.7, -1.1, 0.4, 0.9];
      const objective = () => {
        const pass = network.run(x, { statistics });
        const value = pass.logits
          .dataSync<'float32'>()
          .reduce((sum, logit, i) => sum + logit * direction[i], 0);
        pass.dispose();
        return value;
      };
      const pass = network.run(x, { statistics, keepFrom: 0 });
      const dlogits = tf.tensor2d(direction, [2, 2]);
      const { parameters, value } = pass.backward(dlogits, { parameters: true, to: 0 });
      dlogits.dispose();
      expect(value?.shape).toEqual(x.shape);
      expect([...parameters.keys()].sort()).toEqual([...network.weights.names].sort());
      for (const name of [
        'conv1.weight',
        'layer2.0.conv1.weight',
        'layer4.0.bn2.weight',
        'layer1.0.bn1.bias',
        'fc.weight',
      ]) {
        const gradient = parameters.get(name);
        if (!gradient) throw new Error(`no gradient for ${name}`);
        const values = network.weights.borderValues(name, gradient);
        // Along the gradient itself, where the change is largest against rounding.
        const norm = Math.sqrt(values.reduce((sum, g) => sum + g * g, 0));
        const start = network.weights.borderValues(name, network.weights.get(name));
        const step = 1e-4 / Math.max(norm, 1e-6);
        const at = (sign: number) => {
          network.weights.setFromBorder(
            name,
            start.map((w, i) => w + (sign * step * values[i]) / norm) as Float32Array,
          );
          return objective();
        };
        const slope = (at(1) - at(-1)) / (2 * step);
        network.weights.setFromBorder(name, start);
        expect(Math.abs(slope / norm - 1), `${name}: slope ${slope}, norm ${norm}`).toBeLessThan(0.1);
      }
      tf.dispose([value as tf.Tensor, ...parameters.values()]);
      expect(tf.memory().numTensors, 'nothing leaks').toBe(before);
      network.dispose();
      x.dispose();
    },
  );
});

describe('a layer by name', () => {
  const spec = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 });

  it('gives its output and the gradient there, fused or not', () => {
    const network = new Network(spec, 3);
    const x = noise([1, 8, 8, 8, 1], 2);
    for (const layer of [
      'conv1',
      'bn1',
      'relu',
      'layer1',
      'layer2.0.conv1',
      'layer3.0.bn2',
      'layer4.0',
      'layer4',
    ]) {
      const { pass, value } = network.runKeeping(layer, x, 'running');
      const shape = pass.value(value).shape;
      const gradient = pass.backward(tf.tensor2d([0, 1], [1, 2]), { parameters: false, to: value });
      expect(gradient.value?.shape, layer).toEqual(shape);
      expect(gradient.parameters.size).toBe(0);
    }
  });

  it('gives the same logits fused and unfused', () => {
    const network = new Network(spec, 3);
    const x = noise([2, 8, 8, 8, 1], 2);
    const fused = network.predict(x);
    const { pass } = network.runKeeping('layer2.0.bn1', x, 'running');
    const unfused = pass.logits.dataSync();
    fused.forEach((logit, i) => expect(logit).toBeCloseTo(unfused[i], 5));
  });

  it('lists the layers that exist when the name is wrong', () => {
    const network = new Network(spec, 3);
    const x = noise([1, 8, 8, 8, 1], 2);
    expect(() => network.runKeeping('layer5', x, 'running')).toThrow(
      /no layer "layer5".*layer4\.0\.conv1.*layer4/,
    );
  });
});
