import { voxelSizes } from './affine';
import type { Grid, Mask, Volume, VoxelArray } from './volume';
import { voxelCount } from './volume';

/** 1 where the value is above the threshold. */
export function maskAbove(volume: Volume<VoxelArray>, threshold: number): Mask {
  const data = new Uint8Array(volume.data.length);
  for (let at = 0; at < data.length; at++) data[at] = volume.data[at] > threshold ? 1 : 0;
  return { shape: volume.shape, affine: volume.affine, data };
}

/** 1 where the value is not 0. */
export function maskNonzero(volume: Volume<VoxelArray>): Mask {
  const data = new Uint8Array(volume.data.length);
  for (let at = 0; at < data.length; at++) data[at] = volume.data[at] !== 0 ? 1 : 0;
  return { shape: volume.shape, affine: volume.affine, data };
}

/** 1 everywhere. */
export function wholeGrid(grid: Grid): Mask {
  return { shape: grid.shape, affine: grid.affine, data: new Uint8Array(voxelCount(grid.shape)).fill(1) };
}

/** The largest part that hangs together by faces (6 neighbours); the first in file order where two are equally large. */
export function largestComponent(mask: Mask): Mask {
  const flood = new Flood(mask);
  let best = { from: 0, to: 0 };
  for (let seed = 0; seed < mask.data.length; seed++) {
    const from = flood.reached;
    flood.start(seed);
    flood.spread();
    if (flood.reached - from > best.to - best.from) best = { from, to: flood.reached };
  }
  const data = new Uint8Array(mask.data.length);
  for (const voxel of flood.order.subarray(best.from, best.to)) data[voxel] = 1;
  return { ...mask, data };
}

/** The mask with every cavity filled from which no way over faces leads to the border of the grid. */
export function fillHoles(mask: Mask): Mask {
  const outside = new Uint8Array(mask.data.length);
  for (let at = 0; at < outside.length; at++) outside[at] = mask.data[at] ? 0 : 1;
  const flood = new Flood({ ...mask, data: outside });
  const [ni, nj, nk] = mask.shape;
  for (let k = 0; k < nk; k++)
    for (let j = 0; j < nj; j++) {
      const row = ni * (j + nj * k);
      const step = j === 0 || j === nj - 1 || k === 0 || k === nk - 1 ? 1 : Math.max(1, ni - 1);
      for (let i = 0; i < ni; i += step) flood.start(row + i);
    }
  flood.spread();
  const data = new Uint8Array(mask.data.length).fill(1);
  for (const voxel of flood.order.subarray(0, flood.reached)) data[voxel] = 0;
  return { ...mask, data };
}

/** What is left where a ball of this radius (mm) fits around; outside of the grid nothing is. */
export function eroded(mask: Mask, radius: number): Mask {
  const inverse = { ...mask, data: complement(mask.data) };
  const data = complement(dilated(inverse, radius).data);
  const [ni, nj, nk] = mask.shape;
  const [si, sj, sk] = voxelSizes(mask.affine);
  const free = (n: number, count: number, size: number): boolean =>
    Math.min(n + 1, count - n) * size > radius + ROUNDING;
  for (let k = 0, v = 0; k < nk; k++)
    for (let j = 0; j < nj; j++)
      for (let i = 0; i < ni; i++, v++)
        if (!(free(i, ni, si) && free(j, nj, sj) && free(k, nk, sk))) data[v] = 0;
  return { ...mask, data };
}

/** The mask and all within a radius (mm) of it. */
export function dilated(mask: Mask, radius: number): Mask {
  const { shape, affine } = mask;
  const [ni, nj, nk] = shape;
  const plane = ni * nj;
  const ball = ballOf(voxelSizes(affine), radius);
  const data = mask.data.slice();
  const inside = (i: number, j: number, k: number): boolean =>
    mask.data[i + ni * j + plane * k] !== 0 || i < 0 || j < 0 || k < 0 || i >= ni || j >= nj || k >= nk;
  for (let k = 0, v = 0; k < nk; k++)
    for (let j = 0; j < nj; j++)
      for (let i = 0; i < ni; i++, v++) {
        // Whatever is near the mask is near one of its voxels that has a neighbour outside of it.
        if (mask.data[v] === 0) continue;
        if (
          inside(i - 1, j, k) &&
          inside(i + 1, j, k) &&
          inside(i, j - 1, k) &&
          inside(i, j + 1, k) &&
          inside(i, j, k - 1) &&
          inside(i, j, k + 1)
        )
          continue;
        for (const [di, dj, dk] of ball) {
          const [x, y, z] = [i + di, j + dj, k + dk];
          if (x >= 0 && y >= 0 && z >= 0 && x < ni && y < nj && z < nk) data[x + ni * y + plane * z] = 1;
        }
      }
  return { ...mask, data };
}

/** Part of a millimetre by which sums of voxel sizes may be off. */
const ROUNDING = 1e-6;

/** Steps in voxels that are no longer than a radius in mm. */
function ballOf(sizes: readonly number[], radius: number): [number, number, number][] {
  const [ri, rj, rk] = sizes.map((size) => Math.floor((radius + ROUNDING) / size));
  const steps: [number, number, number][] = [];
  for (let k = -rk; k <= rk; k++)
    for (let j = -rj; j <= rj; j++)
      for (let i = -ri; i <= ri; i++)
        if (Math.hypot(i * sizes[0], j * sizes[1], k * sizes[2]) <= radius + ROUNDING) steps.push([i, j, k]);
  return steps;
}

function complement(data: Uint8Array): Uint8Array {
  return data.map((value) => (value === 0 ? 1 : 0));
}

/** Visits the voxels of a mask over faces, each once; the order of visits keeps what hangs together in one piece. */
class Flood {
  /** Voxels in the order of their visit; the first `reached` entries count. */
  readonly order: Uint32Array;
  reached = 0;
  private next = 0;
  private readonly left: Uint8Array;

  constructor(private readonly mask: Mask) {
    this.left = mask.data.slice();
    this.order = new Uint32Array(mask.data.length);
  }

  start(voxel: number): void {
    if (this.left[voxel] === 0) return;
    this.left[voxel] = 0;
    this.order[this.reached++] = voxel;
  }

  spread(): void {
    const [ni, nj, nk] = this.mask.shape;
    const plane = ni * nj;
    while (this.next < this.reached) {
      const voxel = this.order[this.next++];
      const i = voxel % ni;
      const j = ((voxel - i) / ni) % nj;
      if (i > 0) this.start(voxel - 1);
      if (i < ni - 1) this.start(voxel + 1);
      if (j > 0) this.start(voxel - ni);
      if (j < nj - 1) this.start(voxel + ni);
      if (voxel >= plane) this.start(voxel - plane);
      if (voxel < plane * (nk - 1)) this.start(voxel + plane);
    }
  }
}
