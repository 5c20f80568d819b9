import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { GpuBackend, GpuProgram } from '../backend';
import { forEach, forEachGroups, storage, uniform } from './shader-text';
import { words } from './uniform-values';

const PROGRAM: GpuProgram = {
  key: 'half-copy',
  wgsl: () => `enable f16;
${storage([
  { name: 'single', type: 'vec4<f32>' },
  { name: 'halves', type: 'vec4<f16>', access: 'read_write' },
])}
${uniform(2, 'count: u32,')}
${forEach('halves[i] = vec4<f16>(single[i]);')}`,
};

/**
 * Lends `work` a copy in half precision. A convolution gathers what it multiplies once for each tap and each tile of columns: one
 * pass that reads 4 bytes and writes 2 halves what all of these take from the caches.
 * @param length of the data, a multiple of 4
 */
export function withHalves<T>(
  backend: GpuBackend,
  data: TensorInfo | GPUBuffer,
  length: number,
  work: (halves: GPUBuffer) => T,
): T {
  return backend.scratch(2 * length, (halves) => {
    const count = length / 4;
    backend.dispatch(PROGRAM, [data, halves], forEachGroups(count), words(count));
    return work(halves);
  });
}
