import type { GpuBackend, GpuProgram } from '../backend';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { forEach, forEachGroups, storage, uniform } from './shader-text';
import { words } from './uniform-values';

const PROGRAM: GpuProgram = {
  key: 'partial-sums',
  wgsl: () => `
${storage([
  { name: 'partial', type: 'f32' },
  { name: 'result', type: 'f32', access: 'read_write' },
])}
${uniform(2, 'count: u32, parts: u32,')}
${forEach(`
  var sum = partial[i];
  for (var part = 1u; part < sizes.parts; part++) { sum += partial[part * sizes.count + i]; }
  result[i] = sum;`)}`,
};

/**
 * Lets `work` make `parts` partial results of `result`'s size and adds them up in their order: the same bits every time,
 * which additions by atomics would not give. One part is made in place.
 */
export function inParts(
  backend: GpuBackend,
  result: TensorInfo,
  parts: number,
  work: (into: TensorInfo | GPUBuffer) => void,
): void {
  if (parts === 1) return work(result);
  const count = result.shape.reduce((a, b) => a * b, 1);
  backend.scratch(4 * parts * count, (partial) => {
    work(partial);
    backend.dispatch(PROGRAM, [partial, result], forEachGroups(count), words(count, parts));
  });
}
