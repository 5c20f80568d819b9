import type { TensorInfo } from '@tensorflow/tfjs-core';
import { outputSize, type Shape5 } from '../../ops/kernels';
import type { PoolAttrs } from '../../ops/pool';
import type { Lanes } from './shader-text';

/** Sizes of a pooling as a uniform holds them, behind {@link WINDOW_FIELDS}. */
export const WINDOW_FIELDS = `
  count: u32, channels: i32, spareA: i32, spareB: i32,
  size: vec3<i32>, spareC: i32, pooled: vec3<i32>, spareD: i32,
  window: vec3<i32>, spareE: i32, stride: vec3<i32>, spareF: i32, padding: vec3<i32>, spareG: i32,`;

/** @param count of elements, each of so many lanes */
export function windowValues(
  count: number,
  lanes: Lanes,
  x: readonly number[],
  y: readonly number[],
  w: PoolAttrs,
): number[] {
  return [
    ...[count, x[4] / lanes, 0, 0],
    ...[x[1], x[2], x[3], 0],
    ...[y[1], y[2], y[3], 0],
    ...[...w.size, 0],
    ...[...w.stride, 0],
    ...[...w.padding, 0],
  ];
}

/** Shape of what pooling makes of x. */
export function pooledShape(x: TensorInfo, { size, stride, padding }: PoolAttrs): Shape5 {
  const out = (a: number) => outputSize(x.shape[a + 1], size[a], stride[a], padding[a]);
  return [x.shape[0], out(0), out(1), out(2), x.shape[4]];
}

/** Sample, position and channel of element `i` of a grid, as `c`, `at` and `sample`. */
export const placeText = (grid: 'size' | 'pooled') => `
  let c = i32(i) % sizes.channels;
  let voxel = i32(i) / sizes.channels;
  let line = voxel / sizes.${grid}.z;
  let plane = line / sizes.${grid}.y;
  let sample = plane / sizes.${grid}.x;
  let at = vec3<i32>(plane - sample * sizes.${grid}.x, line - plane * sizes.${grid}.y, voxel - line * sizes.${grid}.z);`;

/**
 * Sets `g` to the sum of dy over the windows whose maximum is voxel `at`, in the windows' order: every voxel looks for its
 * windows, so nothing is added from two sides at once.
 */
export const SPREAD = `
  let own = (at.x * sizes.size.y + at.y) * sizes.size.z + at.z;
  let reach = at + sizes.padding;
  let last = min(sizes.pooled - 1, reach / sizes.stride);
  let first = max(vec3<i32>(0), (reach - sizes.window + sizes.stride) / sizes.stride);
  var g = T(0);
  for (var d = first.x; d <= last.x; d++) {
    for (var h = first.y; h <= last.y; h++) {
      for (var w = first.z; w <= last.z; w++) {
        let source = (((sample * sizes.pooled.x + d) * sizes.pooled.y + h) * sizes.pooled.z + w) * sizes.channels + c;
        g += select(T(0), dy[source], indices[source] == I(own));
      }
    }
  }`;
