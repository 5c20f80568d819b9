import * as tf from '@tensorflow/tfjs-core';
import { Random } from '../../random';
import { addInto } from '../ops/add-into';
import { addBias, biasGradient } from '../ops/bias';
import { addConv3dInputGradient, conv3d, conv3dFilterGradient, conv3dInputGradient } from '../ops/conv3d';
import { convTranspose3d, convTranspose3dGradient } from '../ops/conv-transpose';
import { crossEntropyGradient } from '../ops/cross-entropy';
import type { KERNELS } from '../ops/kernels';
import { type ConvAttrs, type Shape5 } from '../ops/kernels';
import { linear, linearGradient } from '../ops/linear';
import { batchNormTrain, batchNormTrainGradient, scaleShift, scaleShiftGradient } from '../ops/norm';
import { normPool, normPoolGradient, scaleShiftPool } from '../ops/norm-pool';
import { adamStep, sgdStep } from '../ops/optimiser-step';
import { globalAveragePool, globalAveragePoolGradient, maxPool3d, maxPool3dGradient } from '../ops/pool';
import { resizeTrilinear, resizeTrilinearGradient } from '../ops/resample';
import { foldNorm, foldNormGradient, moveRunning } from '../ops/running-norm';
import { subsamplePad, subsamplePadGradient } from '../ops/shortcut';
import { taskGradient, taskProbabilities } from '../ops/task-loss';

/** What an operation comes to on small made-up numbers. */
export type Trial = () => tf.Tensor[];

const ONES = [1, 1, 1] as const;
const plain: ConvAttrs = { stride: ONES, padding: ONES, dilation: ONES };
const strided: ConvAttrs = { stride: [1, 2, 2], padding: [1, 0, 1], dilation: ONES };
const dilated: ConvAttrs = { stride: ONES, padding: [2, 2, 1], dilation: [2, 2, 1] };
const window = { size: [3, 2, 3], stride: [1, 2, 2], padding: [1, 0, 1] } as const;
const epsilon = 1e-5;

function noise<T extends tf.Tensor>(shape: readonly number[], seed: number, low = -2, high = 2): T {
  const random = Random.seeded(seed);
  const size = shape.reduce((product, n) => product * n, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, () => random.uniform(low, high)),
    [...shape],
  ) as T;
}

const grid = (): tf.Tensor5D => noise([2, 4, 5, 6, 8], 1);
const filter = (): tf.Tensor5D => noise([3, 3, 3, 8, 3], 2);
const perChannel = (seed: number, low = -2): tf.Tensor1D => noise([8], seed, low);
const likeGrid = (seed: number): tf.Tensor5D => noise([2, 4, 5, 6, 8], seed);
const running = () => ({ mean: perChannel(3), variance: perChannel(4, 0.5) });

const convolutions = [plain, strided, dilated];

function targets() {
  const random = Random.seeded(5);
  const codes = Int32Array.from({ length: 2 * 4 * 5 * 6 }, () => random.integer(4));
  const members = Float32Array.from({ length: 4 * 8 }, () => random.integer(2));
  return { codes: tf.tensor1d(codes, 'int32'), members: tf.tensor2d(members, [4, 8]) };
}

/** By kernel that an engine may bring, what runs in its place where the engine brings none. */
export const TRIALS = {
  conv3d: () => convolutions.map((attrs) => conv3d(grid(), filter(), attrs)),
  conv3dInputGradient: () =>
    convolutions.map((attrs) => {
      const y = conv3d(grid(), filter(), attrs);
      return conv3dInputGradient(noise(y.shape, 7), filter(), attrs, grid().shape as Shape5);
    }),
  conv3dInputGradientInto: () =>
    convolutions.map((attrs) => {
      const y = conv3d(grid(), filter(), attrs);
      return addConv3dInputGradient(grid(), noise(y.shape, 7), filter(), attrs);
    }),
  conv3dFilterGradient: () =>
    convolutions.map((attrs) => {
      const y = conv3d(grid(), filter(), attrs);
      return conv3dFilterGradient(grid(), noise(y.shape, 7), attrs, filter().shape as Shape5);
    }),
  batchNormTrain: () =>
    Object.values(batchNormTrain(grid(), perChannel(3), perChannel(4), likeGrid(8), { epsilon, relu: true })),
  batchNormTrainGradient: () => {
    const [gamma, beta] = [perChannel(3), perChannel(4)];
    const { y, mean, variance } = batchNormTrain(grid(), gamma, beta, likeGrid(8), { epsilon, relu: true });
    return present(
      batchNormTrainGradient(
        likeGrid(9),
        grid(),
        y,
        gamma,
        beta,
        { mean, variance },
        { epsilon, relu: true, residual: true },
      ),
    );
  },
  scaleShift: () => [
    scaleShift(grid(), perChannel(3), perChannel(4), likeGrid(8), true),
    addBias(grid(), perChannel(3)),
  ],
  scaleShiftGradient: () => {
    const y = scaleShift(grid(), perChannel(3), perChannel(4), likeGrid(8), true);
    return present(scaleShiftGradient(likeGrid(9), grid(), y, perChannel(3), { relu: true, residual: true }));
  },
  normPool: () => {
    const { y, mean, variance } = normPool(grid(), perChannel(3), perChannel(4), epsilon, window);
    return [y, mean, variance];
  },
  normPoolGradient: () => {
    const [gamma, beta] = [perChannel(3), perChannel(4)];
    const pooled = normPool(grid(), gamma, beta, epsilon, window);
    const dy = noise<tf.Tensor5D>(pooled.y.shape, 9);
    return present(normPoolGradient(dy, grid(), gamma, beta, pooled, { ...window, epsilon }));
  },
  scaleShiftPool: () => [scaleShiftPool(grid(), perChannel(3), perChannel(4), window)],
  maxPool3d: () => Object.values(maxPool3d(grid(), window)),
  maxPool3dGradient: () => {
    const { y, indices } = maxPool3d(grid(), window);
    return [maxPool3dGradient(noise(y.shape, 9), indices, grid().shape as Shape5, window)];
  },
  globalAveragePool: () => {
    const y = globalAveragePool(grid());
    const [weight, bias] = [noise<tf.Tensor2D>([2, 8], 10), noise<tf.Tensor1D>([2], 11)];
    return [y, linear(y, weight, bias), ...Object.values(linearGradient(noise([2, 2], 12), y, weight))];
  },
  globalAveragePoolGradient: () => [globalAveragePoolGradient(noise([2, 8], 9), grid().shape as Shape5)],
  subsamplePad: () => [subsamplePad(grid(), [1, 2, 2], 12)],
  subsamplePadGradient: () => [
    subsamplePadGradient(noise([2, 4, 3, 3, 12], 9), [1, 2, 2], grid().shape as Shape5),
  ],
  resample: () => [
    resizeTrilinear(grid(), [6, 5, 9]),
    resizeTrilinearGradient(noise([2, 6, 5, 9, 8], 9), grid().shape as Shape5),
  ],
  channelSum: () => [biasGradient(grid())],
  foldNorm: () => foldNorm(perChannel(3), perChannel(4), running(), epsilon),
  foldNormGradient: () => [foldNormGradient(perChannel(3), perChannel(4), running(), epsilon)],
  moveRunning: () => {
    const moved = moveRunning(perChannel(3), perChannel(4), 0.1, 1.01); // kept: no tidy disposes of it
    const result = tf.clone(moved);
    moved.dispose();
    return [result];
  },
  crossEntropyGradient: () => [
    crossEntropyGradient(noise([3, 2], 9), { labels: [0, 1, 1], weights: [0.2, 0.3, 0.5] }),
  ],
  taskProbabilities: () => Object.values(taskProbabilities(noise([2, 4, 5, 6, 5], 9), targets())),
  taskGradient: () => {
    const factors = { a: [1, 2, 3, 4, 5], b: [0.1, 0.2, 0.3, 0.4, 0.5], c: [5, 4, 3, 2, 1] };
    return [taskGradient(noise([2, 4, 5, 6, 5], 9, 0, 1), targets(), factors)];
  },
  addInto: () => [addInto(grid(), likeGrid(8))],
  sgdStep: () =>
    Object.values(
      sgdStep(perChannel(3), perChannel(4), perChannel(5), {
        learningRate: 0.1,
        momentum: 0.9,
        weightDecay: 0.01,
        nesterov: true,
      }),
    ),
  adamStep: () =>
    [true, false].flatMap((decoupled) =>
      Object.values(
        adamStep(perChannel(3), perChannel(4), perChannel(5), perChannel(6, 0.1), {
          learningRate: 0.1,
          beta1: 0.9,
          beta2: 0.999,
          epsilon: 1e-8,
          weightDecay: 0.01,
          decoupled,
          step: 3,
        }),
      ),
    ),
} satisfies Record<keyof typeof KERNELS, Trial>;

/** What has no kernel of its own: made of others. */
export const FURTHER_TRIALS: Readonly<Record<string, Trial>> = {
  'transposed convolution': () => {
    const attrs = { ...strided, outputPadding: [0, 1, 0] } as const;
    const up = noise<tf.Tensor5D>([3, 3, 3, 3, 8], 2);
    const y = convTranspose3d(grid(), up, attrs);
    return [y, ...Object.values(convTranspose3dGradient(noise(y.shape, 9), grid(), up, attrs))];
  },
};

function present(gradient: object): tf.Tensor[] {
  return Object.values(gradient as Record<string, tf.Tensor | undefined>).filter((one) => one !== undefined);
}
