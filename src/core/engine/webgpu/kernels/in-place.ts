import type { TensorInfo } from '@tensorflow/tfjs-core';
import { KERNELS } from '../../ops/kernels';
import type { AdamAttrs, SgdAttrs } from '../../ops/optimiser-step';
import type { GpuBackend, GpuProgram } from '../backend';
import { sizeOf, type Implementation } from './implementation';
import { forEach, forEachGroups, laneTypes, lanesFor, storage, uniform, type Lanes } from './shader-text';
import { float, words, type Float } from './uniform-values';

/** A program over whole tensors of one size: `written` are read and written, `read` are only read. */
function eachOf(
  name: string,
  { written, read, fields }: { written: readonly string[]; read: readonly string[]; fields: string },
  text: string,
): (lanes: Lanes) => GpuProgram {
  return (lanes) => ({
    key: `${name} ${lanes}`,
    wgsl: () => `
${laneTypes(lanes)}
${storage([
  ...written.map((one) => ({ name: one, type: 'T', access: 'read_write' as const })),
  ...read.map((one) => ({ name: one, type: 'T' })),
])}
${uniform(written.length + read.length, `count: u32, ${fields}`)}
${forEach(text)}`,
  });
}

function over(
  backend: GpuBackend,
  program: (lanes: Lanes) => GpuProgram,
  tensors: readonly TensorInfo[],
  values: readonly (number | Float)[] = [],
): [] {
  const size = sizeOf(tensors[0]);
  const lanes = lanesFor(size);
  const count = size / lanes;
  backend.dispatch(program(lanes), tensors, forEachGroups(count), words(count, ...values));
  return [];
}

const ADD = eachOf('add-into', { written: ['sum'], read: ['term'], fields: '' }, 'sum[i] += term[i];');
const DOUBLE = eachOf('double', { written: ['sum'], read: [], fields: '' }, 'sum[i] *= 2.0;');

/** One buffer cannot be bound twice where it is written: a sum with itself is its double. */
const addInto: Implementation = (backend, { sum, term }) =>
  sum.dataId === term.dataId ? over(backend, DOUBLE, [sum]) : over(backend, ADD, [sum, term]);

const SGD = eachOf(
  'sgd-step',
  {
    written: ['value', 'velocity'],
    read: ['gradient'],
    fields: 'learningRate: f32, momentum: f32, weightDecay: f32, nesterov: u32,',
  },
  `
  let g = gradient[i] + sizes.weightDecay * value[i];
  let moved = sizes.momentum * velocity[i] + g;
  velocity[i] = moved;
  value[i] -= sizes.learningRate * select(moved, g + sizes.momentum * moved, sizes.nesterov == 1u);`,
);

const sgdStep: Implementation = (backend, { value, gradient, velocity }, attrs) => {
  const { learningRate, momentum, weightDecay, nesterov } = attrs as unknown as SgdAttrs;
  const numbers = [float(learningRate), float(momentum), float(weightDecay), Number(nesterov)];
  return over(backend, SGD, [value, velocity, gradient], numbers);
};

/** What does not depend on the element is worked out in double precision before: 1 - beta^step cancels in single. */
const ADAM = eachOf(
  'adam-step',
  {
    written: ['value', 'm', 'v'],
    read: ['gradient'],
    fields:
      'keep: f32, decay: f32, beta1: f32, rest1: f32, beta2: f32, rest2: f32, root: f32, epsilon: f32, rate: f32,',
  },
  `
  let g = gradient[i] + sizes.decay * value[i];
  let first = sizes.beta1 * m[i] + sizes.rest1 * g;
  let second = sizes.beta2 * v[i] + sizes.rest2 * g * g;
  m[i] = first;
  v[i] = second;
  value[i] = sizes.keep * value[i] - sizes.rate * (first / (sqrt(second) / sizes.root + sizes.epsilon));`,
);

const adamStep: Implementation = (backend, { value, gradient, m, v }, attrs) => {
  const { learningRate, beta1, beta2, epsilon, weightDecay, decoupled, step } = attrs as unknown as AdamAttrs;
  const numbers = [
    decoupled ? 1 - learningRate * weightDecay : 1,
    decoupled ? 0 : weightDecay,
    beta1,
    1 - beta1,
    beta2,
    1 - beta2,
    Math.sqrt(1 - beta2 ** step),
    epsilon,
    learningRate / (1 - beta1 ** step),
  ];
  return over(backend, ADAM, [value, m, v, gradient], numbers.map(float));
};

const MOVE = eachOf(
  'move-running',
  { written: ['running'], read: ['batch'], fields: 'momentum: f32, factor: f32,' },
  'running[i] += sizes.momentum * (batch[i] * sizes.factor - running[i]);',
);

const moveRunning: Implementation = (backend, { running, batch }, attrs) => {
  const { momentum, factor } = attrs as unknown as { momentum: number; factor: number };
  return over(backend, MOVE, [running, batch], [float(momentum), float(factor)]);
};

/** What works in its inputs' memory, element by element. */
export const inPlaceKernels: Readonly<Record<string, Implementation>> = {
  [KERNELS.addInto]: addInto,
  [KERNELS.sgdStep]: sgdStep,
  [KERNELS.adamStep]: adamStep,
  [KERNELS.moveRunning]: moveRunning,
};
