import type { TensorInfo } from '@tensorflow/tfjs-core';
import { KERNELS, type Shape5 } from '../../ops/kernels';
import type { PoolAttrs } from '../../ops/pool';
import type { GpuBackend, GpuProgram } from '../backend';
import { sizeOf, type Implementation } from './implementation';
import { SPREAD, WINDOW_FIELDS, placeText, pooledShape, windowValues } from './pool-window';
import {
  ENTRY,
  GROUP,
  forEach,
  forEachGroups,
  laidOut,
  laneTypes,
  lanesFor,
  storage,
  uniform,
  type Binding,
  type Lanes,
} from './shader-text';
import { words } from './uniform-values';

/** What is pooled: x itself, or x normalised and rectified on the way. */
export interface Pooled {
  readonly bindings: readonly Binding[];
  readonly buffers: readonly (TensorInfo | GPUBuffer)[];
  /** WGSL of x's element `source`, channel `c`; bindings are of `T`. */
  readonly value: string;
  /** Rectified values begin at 0, and nothing is the maximum until something is greater. */
  readonly rectified: boolean;
}

const maxProgram = ({ bindings, value, rectified }: Pooled, lanes: Lanes): GpuProgram => ({
  key: `max-pool ${lanes} ${value}`,
  wgsl: () => `
${laneTypes(lanes)}
${storage([
  { name: 'x', type: 'T' },
  ...bindings,
  { name: 'y', type: 'T', access: 'read_write' },
  { name: 'indices', type: 'I', access: 'read_write' },
])}
${uniform(bindings.length + 3, WINDOW_FIELDS)}
${forEach(`
${placeText('pooled')}
  let start = at * sizes.stride - sizes.padding;
  let first = max(vec3<i32>(0), start);
  let last = min(sizes.size, start + sizes.window) - 1;
  var best = T(${rectified ? '0.0' : '-3.4e38'});
  var index = I(${rectified ? '-1' : '(first.x * sizes.size.y + first.y) * sizes.size.z + first.z'});
  for (var d = first.x; d <= last.x; d++) {
    for (var h = first.y; h <= last.y; h++) {
      for (var w = first.z; w <= last.z; w++) {
        let position = (d * sizes.size.y + h) * sizes.size.z + w;
        let source = (sample * sizes.size.x * sizes.size.y * sizes.size.z + position) * sizes.channels + c;
        let value = ${value};
        let better = value > best;
        best = select(best, value, better);
        index = select(index, I(position), better);
      }
    }
  }
  y[i] = best;
  indices[i] = index;`)}`,
});

/** The greatest value of each window and where it lies: the first of equal ones. */
export function maxPool(
  backend: GpuBackend,
  x: TensorInfo,
  pooled: Pooled,
  window: PoolAttrs,
): { y: TensorInfo; indices: TensorInfo } {
  const shape = pooledShape(x, window);
  const y = backend.output(shape, 'float32');
  const indices = backend.output(shape, 'int32');
  const lanes = lanesFor(shape[4]);
  const count = sizeOf(y) / lanes;
  backend.dispatch(
    maxProgram(pooled, lanes),
    [x, ...pooled.buffers, y, indices],
    forEachGroups(count),
    words(...windowValues(count, lanes, x.shape, shape, window)),
  );
  return { y, indices };
}

const maxPool3d: Implementation = (backend, { x }, attrs) => {
  const plain: Pooled = { bindings: [], buffers: [], value: 'x[source]', rectified: false };
  const { y, indices } = maxPool(backend, x, plain, attrs as unknown as PoolAttrs);
  return [y, indices];
};

const spreadProgram = (lanes: Lanes): GpuProgram => ({
  key: `max-pool gradient ${lanes}`,
  wgsl: () => `
${laneTypes(lanes)}
${storage([
  { name: 'dy', type: 'T' },
  { name: 'indices', type: 'I' },
  { name: 'dx', type: 'T', access: 'read_write' },
])}
${uniform(3, WINDOW_FIELDS)}
${forEach(`${placeText('size')}${SPREAD}
  dx[i] = g;`)}`,
});

const maxPool3dGradient: Implementation = (backend, { dy, indices }, attrs) => {
  const { inputShape, ...window } = attrs as unknown as PoolAttrs & { inputShape: Shape5 };
  const dx = backend.output(inputShape, 'float32');
  const lanes = lanesFor(inputShape[4]);
  const count = sizeOf(dx) / lanes;
  backend.dispatch(
    spreadProgram(lanes),
    [dy, indices, dx],
    forEachGroups(count),
    words(...windowValues(count, lanes, inputShape, dy.shape, window)),
  );
  return dx;
};

/** A workgroup takes 32 channels of one sample; eight rows of lanes share its positions. */
const MEAN: GpuProgram = {
  key: 'global-average-pool',
  wgsl: () => `
${storage([
  { name: 'x', type: 'f32' },
  { name: 'y', type: 'f32', access: 'read_write' },
])}
${uniform(2, 'positions: u32, channels: u32, blocks: u32, groups: u32,')}
var<workgroup> all: array<f32, 256>;
@compute @workgroup_size(256)
fn main(${ENTRY}) {
  let number = ${GROUP};
  if (number >= sizes.groups) { return; }
  let sample = number / sizes.blocks;
  let c = number % sizes.blocks * 32u + thread % 32u;
  let down = thread / 32u;
  var sum = 0.0;
  if (c < sizes.channels) {
    for (var p = down; p < sizes.positions; p += 8u) { sum += x[(sample * sizes.positions + p) * sizes.channels + c]; }
  }
  all[thread] = sum;
  for (var half = 4u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (down < half) { all[thread] += all[thread + half * 32u]; }
  }
  if (down == 0u && c < sizes.channels) { y[sample * sizes.channels + c] = all[thread] / f32(sizes.positions); }
}`,
};

const globalAveragePool: Implementation = (backend, { x }) => {
  const [n, d, h, w, c] = x.shape;
  const y = backend.output([n, c], 'float32');
  const blocks = Math.ceil(c / 32);
  backend.dispatch(MEAN, [x, y], laidOut(n * blocks), words(d * h * w, c, blocks, n * blocks));
  return y;
};

const meanGradient = (lanes: Lanes): GpuProgram => ({
  key: `global-average-pool gradient ${lanes}`,
  wgsl: () => `
${laneTypes(lanes)}
${storage([
  { name: 'dy', type: 'T' },
  { name: 'dx', type: 'T', access: 'read_write' },
])}
${uniform(2, 'count: u32, positions: u32, channels: u32,')}
${forEach(`
  let sample = i / (sizes.positions * sizes.channels);
  dx[i] = dy[sample * sizes.channels + i % sizes.channels] / f32(sizes.positions);`)}`,
});

const globalAveragePoolGradient: Implementation = (backend, { dy }, attrs) => {
  const { inputShape } = attrs as unknown as { inputShape: Shape5 };
  const [, d, h, w, c] = inputShape;
  const dx = backend.output(inputShape, 'float32');
  const lanes = lanesFor(c);
  const count = sizeOf(dx) / lanes;
  const sizes = words(count, d * h * w, c / lanes);
  backend.dispatch(meanGradient(lanes), [dy, dx], forEachGroups(count), sizes);
  return dx;
};

export const poolingKernels: Readonly<Record<string, Implementation>> = {
  [KERNELS.maxPool3d]: maxPool3d,
  [KERNELS.maxPool3dGradient]: maxPool3dGradient,
  [KERNELS.globalAveragePool]: globalAveragePool,
  [KERNELS.globalAveragePoolGradient]: globalAveragePoolGradient,
};
