import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, engineMemory, openEngine } from '../../../src/core/engine/choose';
import { KERNELS } from '../../../src/core/engine/ops/kernels';

const inUse = () => engineMemory()!.inUse;

describe('tensors in the engine', () => {
  beforeAll(() => openEngine({ module: 'simd128-strict', threads: 2 }));
  afterAll(closeEngine);

  it('are copied in and copied out', () => {
    const values = Float32Array.of(1, 2, 3);
    const x = tf.tensor1d(values);
    values[0] = 9;
    const read = x.dataSync();
    expect([...read]).toEqual([1, 2, 3]);
    read[1] = 9;
    expect([...x.dataSync()]).toEqual([1, 2, 3]);
    expect(read.buffer).toBeInstanceOf(ArrayBuffer);
    x.dispose();
  });

  it('hold floats, integers, booleans and strings', () => {
    expect(tf.tensor([1.5, -2]).arraySync()).toEqual([1.5, -2]);
    expect(tf.tensor([[1], [-2]], [2, 1], 'int32').arraySync()).toEqual([[1], [-2]]);
    expect(tf.tensor([true, false], [2], 'bool').arraySync()).toEqual([1, 0]);
    expect(tf.tensor(['a', 'é']).arraySync()).toEqual(['a', 'é']);
    expect(tf.tensor([], [0]).arraySync()).toEqual([]);
    expect(() => tf.complex([1], [2])).toThrow(/holds no tensors of type complex64/);
  });

  it('share memory when only the shape changes, until the last one is disposed of', () => {
    const x = tf.ones([64, 64]);
    const before = inUse();
    const others = [tf.reshape(x, [4096]), tf.expandDims(x, 0), tf.clone(x), tf.cast(x, 'float32')];
    expect(inUse()).toBe(before);
    expect(others.map(({ shape }) => shape)).toEqual([[4096], [1, 64, 64], [64, 64], [64, 64]]);
    x.dispose();
    for (const other of others) {
      expect(inUse()).toBe(before);
      expect(other.dataSync()[4095]).toBe(1);
      other.dispose();
    }
    expect(inUse()).toBe(before - 64 * 64 * 4);
  });

  it("are served by tfjs's JavaScript kernels where the engine has none, without a trace in memory", () => {
    const before = inUse();
    const computed = tf.tidy(() => {
      const x = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3]);
      return {
        softmax: tf.softmax(tf.tensor1d([0, Math.log(3)])).arraySync(),
        matMul: tf.matMul(x, x, false, true).arraySync(),
        concat: tf.concat([x, tf.neg(x)], 1).arraySync(),
        split: tf.split(x, 3, 1).map((part) => part.arraySync()),
        broadcast: tf.add(x, tf.tensor1d([10, 20, 30])).arraySync(),
        cast: tf.cast(tf.greater(x, 2), 'float32').arraySync(),
        gather: tf.gather(x, tf.tensor1d([1, 1], 'int32')).arraySync(),
        argMax: tf.argMax(x, 1).arraySync(),
        sum: tf.sum(x).arraySync(),
      };
    });
    expect(computed.softmax[0]).toBeCloseTo(0.25, 6);
    expect(computed).toMatchObject({
      matMul: [
        [14, 32],
        [32, 77],
      ],
      concat: [
        [1, 2, 3, -1, -2, -3],
        [4, 5, 6, -4, -5, -6],
      ],
      split: [
        [[1], [4]],
        [[2], [5]],
        [[3], [6]],
      ],
      broadcast: [
        [11, 22, 33],
        [14, 25, 36],
      ],
      cast: [
        [0, 0, 1],
        [1, 1, 1],
      ],
      gather: [
        [4, 5, 6],
        [4, 5, 6],
      ],
      argMax: [2, 2],
      sum: 21,
    });
    expect(inUse()).toBe(before);
  });

  it('move here from the backend that was active before', async () => {
    await tf.setBackend('cpu');
    const x = tf.tensor1d([1, 2, 3]);
    await tf.setBackend('fcd-wasm');
    expect(tf.add(x, x).arraySync()).toEqual([2, 4, 6]);
  });

  it('take the same memory after three hundred steps as after the first', () => {
    const value = tf.ones([3, 3, 3, 4, 8]);
    const velocity = tf.zeros([3, 3, 3, 4, 8]);
    const step = () =>
      tf.tidy(() => {
        const conv = { stride: [1, 1, 1], padding: [1, 1, 1], dilation: [1, 1, 1] };
        const kernel = <T extends tf.Tensor | tf.Tensor[]>(name: string, inputs: object, attrs: object) =>
          tf.engine().runKernel<T>(name, inputs as tf.NamedTensorMap, attrs as tf.NamedAttrMap);
        const x = tf.ones([2, 4, 4, 4, 4]);
        const y = kernel<tf.Tensor>(KERNELS.conv3d, { x, filter: value }, conv);
        const norm = { epsilon: 1e-5, relu: true };
        const gamma = tf.ones([8]);
        const [z] = kernel<tf.Tensor[]>(KERNELS.batchNormTrain, { x: y, gamma, beta: gamma }, norm);
        const loss = tf.sum(tf.square(tf.reshape(z, [-1]))).dataSync()[0];
        const gradient = kernel<tf.Tensor>(
          KERNELS.conv3dFilterGradient,
          { x, dy: z },
          { ...conv, filterShape: value.shape },
        );
        const sgd = { learningRate: 1e-3, momentum: 0.9, weightDecay: 0, nesterov: false };
        kernel<tf.Tensor[]>(KERNELS.sgdStep, { value, gradient, velocity }, sgd);
        return loss;
      });
    step();
    const [used, reserved, tensors] = [inUse(), engineMemory()!.reserved, tf.memory().numTensors];
    for (let i = 0; i < 300; i++) step();
    expect([inUse(), engineMemory()!.reserved, tf.memory().numTensors]).toEqual([used, reserved, tensors]);
  });
});
