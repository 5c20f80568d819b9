import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { GpuBackend, GpuProgram } from '../backend';
import { sizeOf, table } from './implementation';
import { forEach, forEachGroups, storage, uniform } from './shader-text';
import { float, words } from './uniform-values';

/**
 * Infinite and NaN by their bits: a compiler may assume that there are none. Many threads may find one, and all of them
 * store the same, atomically.
 */
const PROGRAM: GpuProgram = {
  key: 'unscale',
  wgsl: () => `
${storage([
  { name: 'gradient', type: 'f32', access: 'read_write' },
  { name: 'found', type: 'atomic<i32>', access: 'read_write' },
])}
${uniform(2, 'count: u32, factor: f32,')}
${forEach(`
  let bits = bitcast<u32>(gradient[i]);
  if ((bits & 0x7f800000u) == 0x7f800000u) { atomicStore(&found[0], 1); }
  gradient[i] *= sizes.factor;`)}`,
};

/**
 * Takes the loss's scale off gradients, in place. Half precision loses gradients below 6e-8 and above 65504: a loss scaled up
 * brings them into its range, and where one has left it the step is to be skipped and the scale lowered.
 * @returns int32 [1], the caller's: 1 where any value was infinite or not a number, else 0
 */
export function unscale(backend: GpuBackend, gradients: readonly TensorInfo[], scale: number): TensorInfo {
  const found = table(backend, new Int32Array(1));
  for (const gradient of gradients) {
    const count = sizeOf(gradient);
    backend.dispatch(PROGRAM, [gradient, found], forEachGroups(count), words(count, float(1 / scale)));
  }
  return found;
}
