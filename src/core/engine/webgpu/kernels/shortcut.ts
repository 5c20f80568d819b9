import type { TensorInfo } from '@tensorflow/tfjs-core';
import { KERNELS, type Shape5, type Triple } from '../../ops/kernels';
import type { GpuBackend, GpuProgram } from '../backend';
import { sizeOf, type Implementation } from './implementation';
import { forEach, forEachGroups, laneTypes, lanesFor, storage, uniform, type Lanes } from './shader-text';
import { words } from './uniform-values';

const FIELDS =
  'count: u32, channelsX: i32, channelsY: i32, spareA: i32, size: vec3<i32>, spareB: i32, kept: vec3<i32>, spareC: i32, stride: vec3<i32>, spareD: i32,';

const sizesFor = (count: number, lanes: Lanes, x: readonly number[], y: readonly number[], stride: Triple) =>
  words(
    ...[count, x[4] / lanes, y[4] / lanes, 0],
    ...[x[1], x[2], x[3], 0],
    ...[y[1], y[2], y[3], 0],
    ...[...stride, 0],
  );

/** Position of element `i` of a grid with so many channels. */
const place = (grid: 'size' | 'kept', channels: string) => `
  let c = i32(i) % ${channels};
  let voxel = i32(i) / ${channels};
  let line = voxel / sizes.${grid}.z;
  let plane = line / sizes.${grid}.y;
  let sample = plane / sizes.${grid}.x;
  let at = vec3<i32>(plane - sample * sizes.${grid}.x, line - plane * sizes.${grid}.y, voxel - line * sizes.${grid}.z);`;

const forward = (lanes: Lanes): GpuProgram => ({
  key: `subsample-pad ${lanes}`,
  wgsl: () => `
${laneTypes(lanes)}
${storage([
  { name: 'x', type: 'T' },
  { name: 'y', type: 'T', access: 'read_write' },
])}
${uniform(2, FIELDS)}
${forEach(`${place('kept', 'sizes.channelsY')}
  let source = at * sizes.stride;
  var value = T(0);
  if (c < sizes.channelsX) {
    value = x[(((sample * sizes.size.x + source.x) * sizes.size.y + source.y) * sizes.size.z + source.z) * sizes.channelsX + c];
  }
  y[i] = value;`)}`,
});

const backward = (lanes: Lanes): GpuProgram => ({
  key: `subsample-pad gradient ${lanes}`,
  wgsl: () => `
${laneTypes(lanes)}
${storage([
  { name: 'dy', type: 'T' },
  { name: 'dx', type: 'T', access: 'read_write' },
])}
${uniform(2, FIELDS)}
${forEach(`${place('size', 'sizes.channelsX')}
  var value = T(0);
  if (all(at % sizes.stride == vec3<i32>(0)) && c < sizes.channelsY) {
    let source = at / sizes.stride;
    value = dy[(((sample * sizes.kept.x + source.x) * sizes.kept.y + source.y) * sizes.kept.z + source.z) * sizes.channelsY + c];
  }
  dx[i] = value;`)}`,
});

function each(
  backend: GpuBackend,
  program: (lanes: Lanes) => GpuProgram,
  from: TensorInfo,
  to: TensorInfo,
  sizes: (count: number, lanes: Lanes) => ArrayBuffer,
): TensorInfo {
  const lanes = lanesFor(from.shape[4], to.shape[4]);
  const count = sizeOf(to) / lanes;
  backend.dispatch(program(lanes), [from, to], forEachGroups(count), sizes(count, lanes));
  return to;
}

const subsamplePad: Implementation = (backend, { x }, attrs) => {
  const { stride, channels } = attrs as unknown as { stride: Triple; channels: number };
  const kept = [1, 2, 3].map((a) => Math.ceil(x.shape[a] / stride[a - 1]));
  const shape = [x.shape[0], ...kept, channels];
  const y = backend.output(shape, 'float32');
  return each(backend, forward, x, y, (count, lanes) => sizesFor(count, lanes, x.shape, shape, stride));
};

const subsamplePadGradient: Implementation = (backend, { dy }, attrs) => {
  const { stride, inputShape } = attrs as unknown as { stride: Triple; inputShape: Shape5 };
  const dx = backend.output(inputShape, 'float32');
  return each(backend, backward, dy, dx, (count, lanes) =>
    sizesFor(count, lanes, inputShape, dy.shape, stride),
  );
};

export const shortcutKernels: Readonly<Record<string, Implementation>> = {
  [KERNELS.subsamplePad]: subsamplePad,
  [KERNELS.subsamplePadGradient]: subsamplePadGradient,
};
