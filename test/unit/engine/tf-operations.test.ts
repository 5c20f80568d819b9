import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import { afterAll, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { Random } from '../../../src/core/random';

// Whatever else a program asks of tfjs-core: the same answers as tfjs's own backend gives.

function noise(shape: number[], seed: number): tf.Tensor {
  const random = Random.seeded(seed);
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, () => random.uniform(-2, 2)),
    shape,
  );
}

const x = () => noise([3, 4, 5], 1);
const y = () => noise([3, 4, 5], 2);
const matrix = () => noise([4, 6], 3) as tf.Tensor2D;
const image = () => noise([2, 6, 7, 3], 4) as tf.Tensor4D;
const volume = () => noise([1, 4, 5, 6, 2], 5) as tf.Tensor5D;

const OPERATIONS: Record<string, () => tf.Tensor | tf.Tensor[]> = {
  'subtract, broadcast': () => tf.sub(x(), noise([5], 6)),
  divide: () => tf.div(x(), tf.add(tf.abs(y()), 1)),
  'power and root': () => [tf.pow(tf.abs(x()), 1.5), tf.sqrt(tf.abs(x())), tf.rsqrt(tf.add(tf.abs(x()), 1))],
  'maximum and minimum': () => [tf.maximum(x(), y()), tf.minimum(x(), y())],
  'exponential and logarithm': () => [tf.exp(x()), tf.log(tf.add(tf.abs(x()), 1)), tf.log1p(tf.abs(x()))],
  sigmoid: () => tf.sigmoid(x()),
  'tanh, elu, selu, leaky relu, softplus': () => [
    tf.tanh(x()),
    tf.elu(x()),
    tf.selu(x()),
    tf.leakyRelu(x(), 0.1),
    tf.softplus(x()),
  ],
  'relu6 and clip': () => [tf.relu6(tf.mul(x(), 5)), tf.clipByValue(x(), -0.5, 0.5)],
  'softmax and log-softmax': () => [tf.softmax(x()), tf.logSoftmax(x())],
  'sums, means, products': () => [tf.sum(x(), 1), tf.mean(x(), [0, 2]), tf.prod(x(), 2)],
  'extremes along an axis': () => [tf.max(x(), 1), tf.min(x(), 2), tf.argMax(x(), 1), tf.argMin(x(), 0)],
  moments: () => {
    const { mean, variance } = tf.moments(x(), [0, 1]);
    return [mean, variance];
  },
  'log-sum-exp and norm': () => [tf.logSumExp(x(), 1), tf.norm(x())],
  'cumulative sum': () => tf.cumsum(x(), 1),
  'matrix product': () => [tf.matMul(matrix(), matrix(), true, false), tf.dot(matrix(), noise([6], 9))],
  'outer product and einsum': () => [
    tf.outerProduct(noise([4], 1) as tf.Tensor1D, noise([3], 2) as tf.Tensor1D),
    tf.einsum('ij,kj->ik', matrix(), matrix()),
  ],
  transpose: () => tf.transpose(x(), [2, 0, 1]),
  'concatenate, stack, split': () => [
    tf.concat([x(), y()], 1),
    tf.stack([x(), y()], 2),
    ...tf.split(x(), [1, 3], 1),
  ],
  'slice, strided slice, reverse': () => [
    tf.slice(x(), [1, 0, 2], [2, 3, 2]),
    tf.stridedSlice(x(), [0, 0, 0], [3, 4, 5], [2, 1, 2]),
    tf.reverse(x(), 1),
  ],
  'pad and mirror pad': () => [
    tf.pad(x(), [
      [1, 0],
      [0, 2],
      [1, 1],
    ]),
    tf.mirrorPad(
      x(),
      [
        [1, 0],
        [0, 2],
        [1, 1],
      ],
      'reflect',
    ),
  ],
  'gather and scatter': () => [
    tf.gather(x(), tf.tensor1d([2, 0], 'int32')),
    tf.gatherND(x(), tf.tensor2d([[1, 2]], [1, 2], 'int32')),
    tf.scatterND(tf.tensor2d([[4], [1]], [2, 1], 'int32'), tf.tensor1d([7, 8]), [6]),
  ],
  'tile, one-hot, range, fill': () => [
    tf.tile(matrix(), [2, 1]),
    tf.oneHot(tf.tensor1d([0, 2], 'int32'), 3),
    tf.range(0, 10, 3),
    tf.fill([2, 2], 7),
  ],
  'comparison, choice, logic': () => [
    tf.where(tf.greater(x(), y()), x(), y()),
    tf.logicalAnd(tf.less(x(), 0), tf.lessEqual(y(), 0)),
    tf.notEqual(tf.round(x()), 0),
    tf.any(tf.greater(x(), 1), 0),
  ],
  'rounding and remainder': () => [
    tf.floor(x()),
    tf.ceil(x()),
    tf.round(x()),
    tf.mod(x(), 0.7),
    tf.sign(x()),
  ],
  'top k and unique': () => {
    const { values, indices } = tf.topk(x(), 2);
    return [values, indices, tf.unique(tf.tensor1d([3, 1, 3, 2], 'int32')).values];
  },
  'two-dimensional convolution and pooling': () => [
    tf.conv2d(image(), noise([3, 3, 3, 4], 7) as tf.Tensor4D, 2, 'same'),
    tf.maxPool(image(), 2, 2, 'valid'),
    tf.avgPool(image(), 3, 1, 'same'),
  ],
  'resizing of images': () => [
    tf.image.resizeBilinear(image(), [9, 5]),
    tf.image.resizeNearestNeighbor(image(), [3, 4]),
  ],
  "three-dimensional convolution and pooling of tfjs's own": () => [
    tf.conv3d(volume(), noise([2, 3, 3, 2, 3], 8) as tf.Tensor5D, 1, 'valid'),
    tf.maxPool3d(volume(), 2, 2, 'valid'),
    tf.avgPool3d(volume(), 2, 1, 'valid'),
  ],
  'batch normalisation of tfjs': () =>
    tf.batchNorm(image(), noise([3], 1) as tf.Tensor1D, tf.abs(noise([3], 2)) as tf.Tensor1D),
  'a gradient through all of it': () =>
    tf.grad((v) => tf.sum(tf.mul(tf.softmax(tf.matMul(v as tf.Tensor2D, matrix(), false, true)), 3)))(
      matrix(),
    ),
  'bits and casts': () => [
    tf.cast(tf.mul(x(), 3), 'int32'),
    tf.cast(tf.greater(x(), 0), 'float32'),
    tf.cast(tf.tensor1d([0, 2]), 'bool'),
  ],
  'linear algebra': () => [tf.linalg.bandPart(noise([4, 4], 1), 1, 0), ...tf.linalg.qr(noise([4, 3], 2))],
};

interface Answer {
  readonly shape: number[];
  readonly dtype: string;
  readonly values: number[];
}

function answers(): Map<string, Answer[]> {
  const all = new Map<string, Answer[]>();
  for (const [name, compute] of Object.entries(OPERATIONS))
    tf.tidy(() => {
      const results = [compute()].flat();
      all.set(
        name,
        results.map((r) => ({ shape: r.shape, dtype: r.dtype, values: Array.from(r.dataSync()) })),
      );
    });
  return all;
}

describe('operations of tfjs-core', () => {
  afterAll(closeEngine);

  it('give the same on the engine as on the backend of tfjs, and leave nothing behind', async () => {
    await openEngine({ engine: 'cpu' });
    const expected = answers();
    await openEngine({ module: 'simd128-strict', threads: 2 });
    const tensors = tf.memory().numTensors;
    const actual = answers();
    expect(tf.memory().numTensors).toBe(tensors);
    expect(actual.size).toBeGreaterThanOrEqual(30);
    for (const [name, results] of expected) {
      const ours = actual.get(name)!;
      expect(ours.map(({ shape, dtype }) => ({ shape, dtype }))).toEqual(
        results.map(({ shape, dtype }) => ({ shape, dtype })),
      );
      results.forEach(({ values }, r) =>
        values.forEach((v, i) => expect(ours[r].values[i], `${name}, result ${r}`).toBeCloseTo(v, 5)),
      );
    }
  });

  it("is known to the engine, whatever tfjs's own backend knows", async () => {
    await openEngine({ module: 'simd128-strict', threads: 1 });
    const ours = new Set(tf.getKernelsForBackend('fcd-wasm').map(({ kernelName }) => kernelName));
    const theirs = tf.getKernelsForBackend('cpu').map(({ kernelName }) => kernelName);
    expect(theirs.length).toBeGreaterThan(150);
    expect(theirs.filter((name) => !ours.has(name))).toEqual([]);
  });

  it('are named once when JavaScript serves them and there is much to do', async () => {
    const heard: string[] = [];
    await openEngine({ module: 'simd128-strict', threads: 1, onFallback: (kernel) => heard.push(kernel) });
    tf.tidy(() => {
      tf.exp(tf.zeros([10]));
      expect(heard).toEqual([]);
      const large = tf.zeros([400, 400]);
      tf.exp(large);
      tf.exp(large);
      tf.add(large, large);
      tf.tanh(large);
      expect(heard).toEqual(['Exp', 'Tanh']);
    });
  });

  it('are not left to JavaScript for the zeros that an optimiser begins with', async () => {
    const heard: string[] = [];
    await openEngine({ module: 'simd128-strict', threads: 1, onFallback: (kernel) => heard.push(kernel) });
    tf.tidy(() => {
      tf.randomUniform([400, 400]); // its memory is had again, with what it held
      const zeros = tf.tidy(() => tf.zerosLike(tf.ones([400, 400])));
      expect(tf.util.flatten(zeros.arraySync()).every((value) => value === 0)).toBe(true);
      expect(tf.zerosLike(tf.tensor1d([1, 2], 'int32')).dtype).toBe('int32');
      expect(heard).toEqual([]);
    });
  });
});
