import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { beforeAll, describe, expect, it } from 'vitest';
import { GEOMETRIES, type GeometryName } from '../../../src/core/model/geometry';
import { valueShapes } from '../../../src/core/model/flops';
import { Network } from '../../../src/core/model/network';
import { buildSegmentationProgram } from '../../../src/core/model/segmentation-program';
import { networkSpec } from '../../../src/core/model/spec';
import { SegmentationNetwork } from '../../../src/core/pretrain/segmentation-network';
import { Random } from '../../../src/core/random';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const decoder = { tasks: ['caudate', 'putamen', 'pallidum'], channels: 4 };

function noise(shape: [number, number, number, number, number]): tf.Tensor5D {
  const random = Random.seeded(1, 'test');
  return tf.tensor5d(
    Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal()),
    shape,
  );
}

describe.each(Object.keys(GEOMETRIES) as GeometryName[])(
  'a segmentation network of geometry %s',
  (geometry) => {
    const spec = networkSpec({ arch: 'resnet10', geometry, width: 0.125 });

    it('gives every voxel one logit per task, on grids of any size', () => {
      for (const grid of [
        [16, 16, 16],
        [9, 17, 12],
      ]) {
        const program = buildSegmentationProgram(spec, decoder);
        const output = program.instructions[program.instructions.length - 1].to;
        expect(valueShapes(program, [2, ...grid, 1]).get(output)).toEqual([2, ...grid, 3]);
      }
    });

    it("has the classifier's encoder: the same tensors, and from a seed the same values", async () => {
      const network = new SegmentationNetwork(spec, decoder, 5);
      const classifier = new Network(spec, 5);
      const expected = [...classifier.weights.toBorder()].filter(([name]) => !name.startsWith('fc.'));
      expect([...(await network.encoderTensors())]).toEqual(expected);
      network.dispose();
      classifier.dispose();
    });
  },
);

describe('a segmentation network', () => {
  it.each([
    ['compact', false],
    ['paper', true],
  ] as const)(
    'has the gradients that finite differences give (%s, activations computed again: %s)',
    (geometry, checkpointActivations) => {
      const spec = networkSpec({ arch: 'resnet10', geometry, width: 0.125 });
      const network = new SegmentationNetwork(spec, decoder, 7);
      const x = noise([2, 9, 8, 10, 1]);
      const before = tf.memory().numTensors;
      const direction = Float32Array.from({ length: 2 * 9 * 8 * 10 * 3 }, (_, i) => Math.sin(i));
      const objective = (): number => {
        const pass = network.run(x, { statistics: 'batch' });
        const value = pass.output.dataSync<'float32'>().reduce((sum, y, i) => sum + y * direction[i], 0);
        pass.dispose();
        return value;
      };
      const pass = network.run(x, { statistics: 'batch', keepFrom: 0, checkpointActivations });
      const dy = tf.tensor5d(direction, [2, 9, 8, 10, 3]);
      const { parameters } = pass.backward(dy, { parameters: true });
      dy.dispose();
      expect([...parameters.keys()].sort()).toEqual([...network.weights.names].sort());
      for (const name of [
        'conv1.weight',
        'layer1.0.conv2.weight',
        'layer4.0.bn2.weight',
        'decoder.0.skip.weight',
        'decoder.0.project.weight',
        'decoder.1.smooth.weight',
        'decoder.1.bn1.bias',
        'head.weight',
        'head.bias',
      ]) {
        const gradient = parameters.get(name);
        if (!gradient) throw new Error(`no gradient for ${name}`);
        const values = network.weights.borderValues(name, gradient);
        const norm = Math.sqrt(values.reduce((sum, g) => sum + g * g, 0));
        const start = network.weights.borderValues(name, network.weights.get(name));
        const step = 1e-3 / norm;
        const at = (sign: number): number => {
          network.weights.setFromBorder(
            name,
            start.map((value, i) => value + (sign * step * values[i]) / norm),
          );
          return objective();
        };
        const slope = (at(1) - at(-1)) / (2 * step);
        network.weights.setFromBorder(name, start);
        expect(slope / norm, name).toBeCloseTo(1, 1);
      }
      tf.dispose([...parameters.values()]);
      expect(tf.memory().numTensors).toBe(before);
      network.dispose();
      x.dispose();
    },
  );

  it('begins at the prior of every task', () => {
    const spec = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 });
    const network = new SegmentationNetwork(spec, decoder, 3);
    network.setPriors([0.5, 0.1, 0]);
    const x = noise([1, 8, 8, 8, 1]);
    const logits = network.predict(x);
    expect(logits[0]).toBeCloseTo(0, 0);
    expect(logits[1]).toBeCloseTo(Math.log(0.1 / 0.9), 0);
    expect(logits[2]).toBeLessThan(-8);
    network.dispose();
    x.dispose();
  });
});
