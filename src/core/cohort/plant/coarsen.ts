import type { Shape3 } from '../../volume/volume';

/**
 * Brings an image to a coarser grid over the same field of view: every new voxel is the mean of what it covers, with
 * the voxels at its border counted by the share of them that it covers. The mean of the image stays as it is.
 */
export function coarsen(data: Float32Array, from: Shape3, to: Shape3): Float32Array {
  let current = data;
  let inner = 1;
  for (let axis = 0; axis < 3; axis++) {
    const outer = current.length / (inner * from[axis]);
    if (to[axis] !== from[axis]) current = coarsenAxis(current, inner, from[axis], to[axis], outer);
    inner *= to[axis];
  }
  return current;
}

function coarsenAxis(
  data: Float32Array,
  inner: number,
  from: number,
  to: number,
  outer: number,
): Float32Array {
  const out = new Float32Array(inner * to * outer);
  const ratio = from / to;
  for (let n = 0; n < to; n++) {
    const low = n * ratio;
    const high = Math.min(low + ratio, from);
    for (let m = Math.floor(low); m < high; m++) {
      const weight = (Math.min(high, m + 1) - Math.max(low, m)) / ratio;
      for (let block = 0; block < outer; block++) {
        const source = (block * from + m) * inner;
        const target = (block * to + n) * inner;
        for (let v = 0; v < inner; v++) out[target + v] += weight * data[source + v];
      }
    }
  }
  return out;
}

/** Labels on a coarser grid over the same field of view: the label at each new voxel's centre. */
export function coarsenLabels(labels: Uint8Array, from: Shape3, to: Shape3): Uint8Array {
  const out = new Uint8Array(to[0] * to[1] * to[2]);
  const centre = (n: number, axis: number): number => Math.floor(((n + 0.5) * from[axis]) / to[axis]);
  let v = 0;
  for (let k = 0; k < to[2]; k++)
    for (let j = 0; j < to[1]; j++) {
      const row = from[0] * (centre(j, 1) + from[1] * centre(k, 2));
      for (let i = 0; i < to[0]; i++) out[v++] = labels[row + centre(i, 0)];
    }
  return out;
}

/**
 * A mask from the share of each voxel that it covers: the `count` voxels with the largest share (at equal shares the
 * first), so that its volume is kept where a threshold of one half would eat thin sheets away.
 */
export function maskOfVolume(share: Float32Array, count: number): Uint8Array {
  const covered: number[] = [];
  for (let v = 0; v < share.length; v++) if (share[v] > 0) covered.push(v);
  covered.sort((a, b) => share[b] - share[a] || a - b);
  const mask = new Uint8Array(share.length);
  for (const v of covered.slice(0, count)) mask[v] = 1;
  return mask;
}
