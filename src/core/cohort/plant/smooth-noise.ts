import type { Random } from '../../random';
import type { Shape3 } from '../../volume/volume';

/** Mean over positions of the sum of squared cubic B-spline weights, per axis: 151/315. */
const SQUARED_WEIGHT = 151 / 315;

/**
 * A smooth random field on a grid, mean 0 and standard deviation 1: normal numbers on a coarse lattice, interpolated by
 * cubic B-splines (twice differentiable, so that warps made of it have no creases).
 *
 * @param cell pitch of the lattice in voxels; structures of the field are about twice as long
 * @returns one value per voxel, i fastest
 */
export function smoothNoise(shape: Shape3, cell: number, random: Random): Float32Array {
  const axes = shape.map((size) => splineAxis(size, cell));
  const [nodesI, nodesJ, nodesK] = axes.map((axis) => axis.nodes);
  const lattice = new Float32Array(nodesI * nodesJ * nodesK);
  const scale = SQUARED_WEIGHT ** -1.5;
  for (let n = 0; n < lattice.length; n++) lattice[n] = random.normal(0, scale);
  const alongI = expandFirst(lattice, nodesI, nodesJ * nodesK, axes[0]);
  const alongJ = expandLater(alongI, shape[0], nodesJ, nodesK, axes[1]);
  return expandLater(alongJ, shape[0] * shape[1], nodesK, 1, axes[2]);
}

interface SplineAxis {
  readonly size: number;
  readonly nodes: number;
  /** First of the four nodes of each voxel. */
  readonly first: Int32Array;
  /** Four weights per voxel. */
  readonly weights: Float32Array;
}

function splineAxis(size: number, cell: number): SplineAxis {
  const first = new Int32Array(size);
  const weights = new Float32Array(4 * size);
  for (let v = 0; v < size; v++) {
    const position = v / cell;
    first[v] = Math.floor(position);
    const t = position - first[v];
    const r = 1 - t;
    weights[4 * v] = (r * r * r) / 6;
    weights[4 * v + 1] = (3 * t * t * t - 6 * t * t + 4) / 6;
    weights[4 * v + 2] = (3 * r * r * r - 6 * r * r + 4) / 6;
    weights[4 * v + 3] = (t * t * t) / 6;
  }
  return { size, nodes: first[size - 1] + 4, first, weights };
}

/** Interpolates along the fastest axis. */
function expandFirst(lattice: Float32Array, nodes: number, rows: number, axis: SplineAxis): Float32Array {
  const { size, first, weights } = axis;
  const out = new Float32Array(size * rows);
  for (let row = 0; row < rows; row++) {
    for (let v = 0; v < size; v++) {
      const n = row * nodes + first[v];
      out[row * size + v] =
        lattice[n] * weights[4 * v] +
        lattice[n + 1] * weights[4 * v + 1] +
        lattice[n + 2] * weights[4 * v + 2] +
        lattice[n + 3] * weights[4 * v + 3];
    }
  }
  return out;
}

/** Interpolates along an axis with `inner` contiguous values below it and `outer` blocks above it. */
function expandLater(
  lattice: Float32Array,
  inner: number,
  nodes: number,
  outer: number,
  axis: SplineAxis,
): Float32Array {
  const { size, first, weights } = axis;
  const out = new Float32Array(inner * size * outer);
  for (let block = 0; block < outer; block++) {
    for (let v = 0; v < size; v++) {
      const w0 = weights[4 * v];
      const w1 = weights[4 * v + 1];
      const w2 = weights[4 * v + 2];
      const w3 = weights[4 * v + 3];
      const from = (block * nodes + first[v]) * inner;
      const to = (block * size + v) * inner;
      for (let n = 0; n < inner; n++) {
        out[to + n] =
          lattice[from + n] * w0 +
          lattice[from + inner + n] * w1 +
          lattice[from + 2 * inner + n] * w2 +
          lattice[from + 3 * inner + n] * w3;
      }
    }
  }
  return out;
}
