import { voxelCount, type Shape3 } from '../../volume/volume';

/** Voxels reached from a seed, nearest first, with the path length that led there. */
export interface Growth {
  readonly voxels: Int32Array;
  /** Length of the shortest path from the seed, in mm (stretched by `roughness`), ascending. */
  readonly reach: Float64Array;
  /** Reach at which the wanted number of voxels was full. */
  readonly radius: number;
}

export interface GrowthRequest {
  readonly shape: Shape3;
  /** Isotropic voxel size in mm. */
  readonly spacing: number;
  readonly seed: number;
  /** Whether the lesion may pass through a voxel: never through CSF, nor to the other hemisphere. */
  readonly passable: (voxel: number) => boolean;
  /** Whether the voxel counts towards `count`: where the lesion would alter something. */
  readonly alterable: (voxel: number) => boolean;
  /** Voxels to fill. */
  readonly count: number;
  /** How far beyond the full lesion voxels are still listed, in mm (its soft edge). */
  readonly rim: number;
  /** Logarithm of the local step length, one value per voxel: what makes the outline irregular. */
  readonly roughness: Float32Array;
}

/**
 * Grows a lesion through tissue: shortest paths (Dijkstra) over the 26 neighbours, so that it follows the gyrus instead
 * of jumping over a sulcus, until the wanted number of alterable voxels is reached and the rim beyond it is listed.
 */
export function growLesion(request: GrowthRequest): Growth {
  const { shape, spacing, seed, passable, alterable, count, rim, roughness } = request;
  const [ni, nj, nk] = shape;
  // Shortest path known so far to every voxel; Infinity: none yet.
  const best = new Float64Array(voxelCount(shape)).fill(Infinity);
  best[seed] = 0;
  const done = new Uint8Array(best.length);
  const queue = new Frontier();
  queue.push(0, seed);
  const voxels: number[] = [];
  const reach: number[] = [];
  let filled = 0;
  let radius = Infinity;
  while (queue.size > 0) {
    const length = queue.least;
    const voxel = queue.pop();
    if (done[voxel]) continue;
    if (length > radius + rim) break;
    done[voxel] = 1;
    voxels.push(voxel);
    reach.push(length);
    if (alterable(voxel) && ++filled === count) radius = length;
    const i = voxel % ni;
    const j = Math.floor(voxel / ni) % nj;
    const k = Math.floor(voxel / (ni * nj));
    for (let dk = k > 0 ? -1 : 0; dk <= (k < nk - 1 ? 1 : 0); dk++) {
      for (let dj = j > 0 ? -1 : 0; dj <= (j < nj - 1 ? 1 : 0); dj++) {
        for (let di = i > 0 ? -1 : 0; di <= (i < ni - 1 ? 1 : 0); di++) {
          const neighbour = voxel + di + ni * (dj + nj * dk);
          if (done[neighbour] || !passable(neighbour)) continue;
          const step = spacing * Math.sqrt(di * di + dj * dj + dk * dk) * Math.exp(roughness[neighbour]);
          if (best[neighbour] <= length + step) continue;
          best[neighbour] = length + step;
          queue.push(length + step, neighbour);
        }
      }
    }
  }
  return {
    voxels: Int32Array.from(voxels),
    reach: Float64Array.from(reach),
    radius: Math.min(radius, reach[reach.length - 1]),
  };
}

/** Share of full strength at a path length: 1 inside, 0 outside, straight over `rim` mm on both sides of the radius. */
export function softEdge(reach: number, radius: number, rim: number): number {
  return Math.min(1, Math.max(0, 0.5 + (radius - reach) / (2 * rim)));
}

/** Binary heap of voxels by path length. */
class Frontier {
  private readonly keys: number[] = [];
  private readonly voxels: number[] = [];

  get size(): number {
    return this.keys.length;
  }

  /** Smallest path length waiting. */
  get least(): number {
    return this.keys[0];
  }

  push(key: number, voxel: number): void {
    const { keys, voxels } = this;
    let at = keys.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (keys[parent] <= key) break;
      keys[at] = keys[parent];
      voxels[at] = voxels[parent];
      at = parent;
    }
    keys[at] = key;
    voxels[at] = voxel;
  }

  pop(): number {
    const { keys, voxels } = this;
    const top = voxels[0];
    const key = keys.pop() as number;
    const voxel = voxels.pop() as number;
    const size = keys.length;
    if (size === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && keys[child + 1] < keys[child]) child++;
      if (keys[child] >= key) break;
      keys[at] = keys[child];
      voxels[at] = voxels[child];
      at = child;
    }
    keys[at] = key;
    voxels[at] = voxel;
    return top;
  }
}
