import type { TensorInfo } from '@tensorflow/tfjs-core';
import { HALF_KERNELS } from '../../ops/kernels';
import type { GpuBackend, GpuProgram } from '../backend';
import { sizeOf, type Implementation, type Inputs } from './implementation';
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

/** A copy that lies in half precision until it is disposed of. */
const keepHalf: Implementation = (backend, { x }) => {
  const kept = backend.halfOutput(x.shape);
  const count = sizeOf(x) / 4;
  backend.dispatch({ ...PROGRAM, readsHalves: true }, [x, kept], forEachGroups(count), words(count));
  return kept;
};

const ROUND: GpuProgram = {
  key: 'round-half',
  wgsl: () => `enable f16;
${storage([{ name: 'x', type: 'vec4<f32>', access: 'read_write' }])}
${uniform(1, 'count: u32, none: u32,')}
${forEach(`
  // Nothing that a compiler could know of: it takes the way to half precision and back for none.
  let bits = bitcast<vec2<u32>>(vec4<f16>(x[i])) ^ vec2<u32>(sizes.none);
  x[i] = vec4<f32>(bitcast<vec4<f16>>(bits));`)}`,
};

/** What a copy in half precision would give, in single precision and in place. */
const roundHalf: Implementation = (backend, { x }) => {
  const count = sizeOf(x) / 4;
  backend.dispatch(ROUND, [x], forEachGroups(count), words(count, 0));
  return [];
};

const SINGLE: GpuProgram = {
  key: 'single-copy',
  readsHalves: true,
  wgsl: () => `enable f16;
${storage([
  { name: 'halves', type: 'vec4<f16>' },
  { name: 'single', type: 'vec4<f32>', access: 'read_write' },
])}
${uniform(2, 'count: u32,')}
${forEach('single[i] = vec4<f32>(halves[i]);')}`,
};

/** Lends `work` these tensors with those that lie in half precision written out in single. */
export function inSingle<T>(backend: GpuBackend, inputs: Inputs, work: (given: Inputs) => T): T {
  const given: Record<string, TensorInfo> = { ...inputs };
  const made: TensorInfo[] = [];
  try {
    for (const [name, x] of Object.entries(inputs)) {
      if (!backend.inHalves(x)) continue;
      const single = backend.output(x.shape, 'float32');
      made.push(single);
      const count = sizeOf(x) / 4;
      backend.dispatch(SINGLE, [x, single], forEachGroups(count), words(count));
      given[name] = single;
    }
    return work(given);
  } finally {
    for (const { dataId } of made) backend.disposeData(dataId);
  }
}

export const halfKernels: Readonly<Record<string, Implementation>> = {
  [HALF_KERNELS.keepHalf]: keepHalf,
  [HALF_KERNELS.roundHalf]: roundHalf,
};

/**
 * Lends `work` a copy in half precision, or the data where it lies in it. A convolution gathers what it multiplies once for each tap and each tile of columns: one
 * pass that reads 4 bytes and writes 2 halves what all of these take from the caches.
 * @param length of the data, a multiple of 4
 */
export function withHalves<T>(
  backend: GpuBackend,
  data: TensorInfo | GPUBuffer,
  length: number,
  work: (halves: GPUBuffer) => T,
): T {
  if ('dataId' in data && backend.inHalves(data)) return work(backend.buffer(data));
  return backend.scratch(2 * length, (halves) => {
    const count = length / 4;
    backend.dispatch(PROGRAM, [data, halves], forEachGroups(count), words(count));
    return work(halves);
  });
}
