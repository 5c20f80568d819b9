import * as tf from '@tensorflow/tfjs-core';
import type { Shape5, Triple } from './kernels';

// Compositions for engines without kernels of ours. Not every backend of tfjs handles five axes (on WebGPU padding,
// selecting and broadcasting do not), and neighbouring axes can be taken as one without anything being moved.

/** [N, D, H, W, C] as rows of channels [N D H W, C]. */
export function asRows(x: tf.Tensor5D): tf.Tensor2D {
  return tf.reshape(x, [x.size / x.shape[4], x.shape[4]]);
}

/** Pads the grid at both ends. @param pads [before, after] of D, H and W */
export function padGrid(
  x: tf.Tensor5D,
  pads: readonly (readonly [number, number])[],
  value = 0,
): tf.Tensor5D {
  if (pads.every(([before, after]) => before === 0 && after === 0)) return x;
  const [n, d, h, w, c] = x.shape;
  const [inD, inH, [before, after]] = pads;
  const size = (a: number) => x.shape[a + 1] + pads[a][0] + pads[a][1];
  const padded = tf.pad(
    tf.reshape(x, [n, d, h, w * c]),
    [[0, 0], [...inD], [...inH], [before * c, after * c]],
    value,
  );
  return tf.reshape(padded, [n, size(0), size(1), size(2), c]);
}

/** The part of the grid that begins at `from` and has `size`. */
export function cutGrid(x: tf.Tensor5D, from: Triple, size: Triple): tf.Tensor5D {
  const [n, d, h, w, c] = x.shape;
  if (size[0] === d && size[1] === h && size[2] === w) return x;
  const part = tf.slice(
    tf.reshape(x, [n, d, h, w * c]),
    [0, from[0], from[1], from[2] * c],
    [n, size[0], size[1], size[2] * c],
  );
  return tf.reshape(part, [n, ...size, c]);
}

/** From `from` on every stride-th voxel, `size` of them along each axis. */
export function everyNth(x: tf.Tensor5D, from: Triple, stride: Triple, size: Triple): tf.Tensor5D {
  const [n, , , , c] = x.shape;
  const extent = size.map((s, a) => (s - 1) * stride[a] + 1);
  let y: tf.Tensor = cutGrid(x, from, [extent[0], extent[1], extent[2]]);
  for (const a of [0, 1, 2]) {
    if (stride[a] === 1) continue;
    const [before, here, behind] = around(y.shape, a + 1);
    const shape = y.shape.slice();
    shape[a + 1] = size[a];
    const rows = tf.reshape(y, [before, here, behind]);
    y = tf.reshape(tf.stridedSlice(rows, [0, 0, 0], [before, here, behind], [1, stride[a], 1]), shape);
  }
  return tf.reshape(y, [n, ...size, c]);
}

/** Puts stride - 1 zeros behind every element of an axis and cuts or pads the axis to `size`. */
export function spreadAxis<T extends tf.Tensor>(x: T, axis: number, stride: number, size: number): T {
  if (stride === 1 && size === x.shape[axis]) return x;
  const [before, here, behind] = around(x.shape, axis);
  const rows = tf.reshape(x, [before, here, 1, behind]);
  const spread = tf.pad(rows, [
    [0, 0],
    [0, 0],
    [0, stride - 1],
    [0, 0],
  ]);
  const long = tf.reshape(spread, [before, here * stride, behind]);
  const fitting =
    here * stride >= size
      ? tf.slice(long, [0, 0, 0], [before, size, behind])
      : tf.pad(long, [
          [0, 0],
          [0, size - here * stride],
          [0, 0],
        ]);
  const shape = x.shape.slice();
  shape[axis] = size;
  return tf.reshape(fitting, shape) as T;
}

/**
 * The sub-lattices of a grid, one behind the other in the batch: voxel (d, h, w) goes to the lattice of its remainders.
 * Every side must be a multiple of its step.
 */
export function toLattices(x: tf.Tensor5D, steps: Triple): tf.Tensor5D {
  let y: tf.Tensor5D = x;
  for (const a of [0, 1, 2]) {
    const step = steps[a];
    if (step === 1) continue;
    const [n, ...rest] = y.shape;
    const [before, here, behind] = around(y.shape, a + 1);
    const split = tf.reshape(y, [before, here / step, step, behind]);
    rest[a] = here / step;
    y = tf.reshape(tf.transpose(split, [2, 0, 1, 3]), [n * step, ...rest] as unknown as Shape5 & number[]);
  }
  return y;
}

/** The reverse of {@link toLattices}. */
export function fromLattices(x: tf.Tensor5D, steps: Triple): tf.Tensor5D {
  let y: tf.Tensor5D = x;
  for (const a of [2, 1, 0]) {
    const step = steps[a];
    if (step === 1) continue;
    const [n, ...rest] = y.shape;
    const [before, here, behind] = around([n / step, ...rest], a + 1);
    const apart = tf.reshape(y, [step, before, here, behind]);
    rest[a] = here * step;
    y = tf.reshape(tf.transpose(apart, [1, 2, 0, 3]), [n / step, ...rest] as unknown as Shape5 & number[]);
  }
  return y;
}

/** Elements before, along and behind an axis. */
function around(shape: readonly number[], axis: number): [number, number, number] {
  const product = (part: readonly number[]) => part.reduce((a, b) => a * b, 1);
  return [product(shape.slice(0, axis)), shape[axis], product(shape.slice(axis + 1))];
}
