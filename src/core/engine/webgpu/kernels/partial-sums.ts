import type { GpuBackend, GpuProgram } from '../backend';
import type { TensorInfo } from '@tensorflow/tfjs-core';
import { forEach, forEachGroups, laneTypes, lanesFor, storage, uniform, type Lanes } from './shader-text';
import { words } from './uniform-values';

const program = (lanes: Lanes): GpuProgram => ({
  key: `partial-sums ${lanes}`,
  wgsl: () => `
${laneTypes(lanes)}
${storage([
  { name: 'partial', type: 'T' },
  { name: 'result', type: 'T', access: 'read_write' },
])}
${uniform(2, 'count: u32, parts: u32,')}
${forEach(`
  var sum = partial[i];
  for (var part = 1u; part < sizes.parts; part++) { sum += partial[part * sizes.count + i]; }
  result[i] = sum;`)}`,
});

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
  const size = result.shape.reduce((a, b) => a * b, 1);
  const lanes = lanesFor(size);
  const count = size / lanes;
  backend.scratch(4 * parts * size, (partial) => {
    work(partial);
    backend.dispatch(program(lanes), [partial, result], forEachGroups(count), words(count, parts));
  });
}
