import { HALF_KERNELS } from '../../ops/kernels';
import type { GpuProgram } from '../backend';
import { sizeOf, type Implementation } from './implementation';
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

const unscale: Implementation = (backend, { gradient, found }, attrs) => {
  const { factor } = attrs as unknown as { factor: number };
  const count = sizeOf(gradient);
  backend.dispatch(PROGRAM, [gradient, found], forEachGroups(count), words(count, float(factor)));
  return [];
};

/** What training in half precision needs beyond its convolutions. */
export const lossScalingKernels: Readonly<Record<string, Implementation>> = {
  [HALF_KERNELS.unscale]: unscale,
};
