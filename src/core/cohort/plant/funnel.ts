import type { Shape3 } from '../../volume/volume';

/** Voxels of the transmantle funnel and how much of each it covers (0..1). */
export interface Funnel {
  readonly voxels: Int32Array;
  readonly cover: Float32Array;
}

/** Radii of the funnel at the cortex and at the ventricle, in mm; a small lesion has a thinner one. */
export function funnelRadii(volumeMl: number): readonly [number, number] {
  const equivalentRadius = Math.cbrt((3 * volumeMl * 1000) / (4 * Math.PI));
  const wide = Math.min(5, 0.6 * equivalentRadius);
  return [wide, 0.3 * wide];
}

/**
 * A straight funnel between two voxels, with soft edges one voxel wide.
 *
 * @param radii at `from` and at `to`, in mm
 * @param inside which voxels it may fill (white matter)
 */
export function drawFunnel(
  shape: Shape3,
  spacing: number,
  from: number,
  to: number,
  radii: readonly [number, number],
  inside: (voxel: number) => boolean,
): Funnel {
  const a = coordinates(shape, from);
  const b = coordinates(shape, to);
  const axis = [b[0] - a[0], b[1] - a[1], b[2] - a[2]];
  const squaredLength = Math.max(axis[0] ** 2 + axis[1] ** 2 + axis[2] ** 2, 1e-6);
  const margin = Math.ceil(radii[0] / spacing + 1);
  const low = [0, 1, 2].map((n) => Math.max(0, Math.min(a[n], b[n]) - margin));
  const high = [0, 1, 2].map((n) => Math.min(shape[n] - 1, Math.max(a[n], b[n]) + margin));
  const voxels: number[] = [];
  const cover: number[] = [];
  for (let k = low[2]; k <= high[2]; k++) {
    for (let j = low[1]; j <= high[1]; j++) {
      for (let i = low[0]; i <= high[0]; i++) {
        const p = [i - a[0], j - a[1], k - a[2]];
        const along = (p[0] * axis[0] + p[1] * axis[1] + p[2] * axis[2]) / squaredLength;
        if (along < 0 || along > 1) continue;
        const away = Math.hypot(p[0] - along * axis[0], p[1] - along * axis[1], p[2] - along * axis[2]);
        const radius = radii[0] + along * (radii[1] - radii[0]);
        const share = Math.min(1, 0.5 + radius / spacing - away);
        const voxel = i + shape[0] * (j + shape[1] * k);
        if (share <= 0 || !inside(voxel)) continue;
        voxels.push(voxel);
        cover.push(share);
      }
    }
  }
  return { voxels: Int32Array.from(voxels), cover: Float32Array.from(cover) };
}

/** The candidate nearest to a voxel, or undefined without candidates. */
export function nearestVoxel(shape: Shape3, to: number, candidates: Int32Array): number | undefined {
  const [ti, tj, tk] = coordinates(shape, to);
  let nearest: number | undefined;
  let least = Infinity;
  for (const voxel of candidates) {
    const [i, j, k] = coordinates(shape, voxel);
    const squared = (i - ti) ** 2 + (j - tj) ** 2 + (k - tk) ** 2;
    if (squared < least) {
      least = squared;
      nearest = voxel;
    }
  }
  return nearest;
}

function coordinates(shape: Shape3, voxel: number): [number, number, number] {
  return [
    voxel % shape[0],
    Math.floor(voxel / shape[0]) % shape[1],
    Math.floor(voxel / (shape[0] * shape[1])),
  ];
}
