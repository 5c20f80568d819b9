import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { GpuBackend, GpuProgram } from '../backend';
import { ENTRY, GROUP, laidOut, storage, uniform } from './shader-text';
import { words } from './uniform-values';

/** Squares of 16 x 16 with a column to spare: rows are read and columns written without two lanes meeting in a bank. */
const SIDE = 16;

const PROGRAM: GpuProgram = {
  key: 'swapped-filter',
  wgsl: () => `
${storage([
  { name: 'filter_', type: 'f32' },
  { name: 'swapped', type: 'f32', access: 'read_write' },
])}
${uniform(2, 'taps: u32, inputs: u32, outputs: u32, groups: u32,')}
var<workgroup> square: array<array<f32, ${SIDE + 1}>, ${SIDE}>;
@compute @workgroup_size(${SIDE * SIDE})
fn main(${ENTRY}) {
  let number = ${GROUP};
  if (number >= sizes.groups) { return; }
  let wide = (sizes.outputs + ${SIDE - 1}u) / ${SIDE}u;
  let high = (sizes.inputs + ${SIDE - 1}u) / ${SIDE}u;
  let tap = number / (wide * high);
  let firstInput = (number / wide) % high * ${SIDE}u;
  let firstOutput = number % wide * ${SIDE}u;
  let fast = thread % ${SIDE}u;
  let slow = thread / ${SIDE}u;
  if (firstInput + slow < sizes.inputs && firstOutput + fast < sizes.outputs) {
    square[slow][fast] = filter_[(tap * sizes.inputs + firstInput + slow) * sizes.outputs + firstOutput + fast];
  }
  workgroupBarrier();
  if (firstInput + fast < sizes.inputs && firstOutput + slow < sizes.outputs) {
    swapped[(tap * sizes.outputs + firstOutput + slow) * sizes.inputs + firstInput + fast] = square[fast][slow];
  }
}`,
};

/**
 * Lends `work` the filter [taps, Ci, Co] as [taps, Co, Ci]: the gradient of the input then reads it as the convolution
 * does. It costs one pass over the filter, against one per position of the result.
 */
export function withSwappedFilter<T>(
  backend: GpuBackend,
  filter: TensorInfo,
  work: (swapped: TensorInfo | GPUBuffer) => T,
): T {
  const [kd, kh, kw, inputs, outputs] = filter.shape;
  const taps = kd * kh * kw;
  // One channel on either side: the order is the same.
  if (inputs === 1 || outputs === 1) return work(filter);
  return backend.scratch(4 * taps * inputs * outputs, (swapped) => {
    const groups = taps * Math.ceil(inputs / SIDE) * Math.ceil(outputs / SIDE);
    backend.dispatch(PROGRAM, [filter, swapped], laidOut(groups), words(taps, inputs, outputs, groups));
    return work(swapped);
  });
}
