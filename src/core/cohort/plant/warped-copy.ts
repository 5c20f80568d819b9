import type { Random } from '../../random';
import { voxelCount, type Shape3 } from '../../volume/volume';
import { Tissue, TISSUE_OF_LABEL } from './muse-labels';
import { MIRRORED_LABEL } from './muse-structures';
import type { RealHead } from './real-heads';
import { rotation } from './rotation';
import { smoothNoise } from './smooth-noise';

/** Ranges of the warp. */
const TURN_DEGREES = 8;
const SCALE = [0.93, 1.07] as const;
/** Standard deviation in mm of the elastic part, and the pitch of its lattice in mm. */
const ELASTIC = { mm: 1.5, pitch: 35 } as const;
/** Room in mm that is left between brain and border, both sides together. */
const MARGIN = 6;

/** Means of the FLAIR-like contrast, cortex at 1. */
const FLAIR_MEANS: Readonly<Record<Exclude<Tissue, Tissue.Outside>, number>> = {
  [Tissue.Csf]: 0.15,
  [Tissue.Cortex]: 1,
  [Tissue.LobarWhite]: 0.72,
  [Tissue.OtherWhite]: 0.72,
  [Tissue.DeepGrey]: 0.92,
  [Tissue.CerebellarCortex]: 1,
  [Tissue.Ventricle]: 0.15,
};

/** One warped copy of a head, healthy, on the grid where lesions are planted. */
export interface WarpedCopy {
  readonly shape: Shape3;
  /** Isotropic voxel size in mm. */
  readonly spacing: number;
  /** The real image's signal, lobar white matter at 1. */
  readonly t1w: Float32Array;
  /** Drawn from the labels (outside of the brain from the T1w image): a contrast like FLAIR, cortex at 1. */
  readonly flair: Float32Array;
  readonly labels: Uint8Array;
}

/**
 * Warps a head: rotation up to 8 degrees about each axis, scale 0.93 to 1.07 (less where the brain would not fit the
 * grid), a smooth elastic part, and in half of the copies left and right exchanged. T1w is interpolated linearly, labels
 * are taken from the nearest voxel; a mirrored head's labels name the side on which a structure then lies.
 */
export function warpCopy(head: RealHead, shape: Shape3, spacing: number, random: Random): WarpedCopy {
  const turn = rotation([0, 1, 2].map(() => (random.uniform(-TURN_DEGREES, TURN_DEGREES) * Math.PI) / 180));
  const { extent, middle } = turnedBrain(head, turn);
  const fit = Math.min(...shape.map((size, axis) => (size * spacing - MARGIN) / extent[axis]));
  const scale = Math.min(random.uniform(...SCALE), fit);
  const mirrored = random.chance(0.5);
  const elastic = [0, 1, 2].map(() => smoothNoise(shape, ELASTIC.pitch / spacing, random));
  const texture = smoothNoise(shape, Math.max(4.5 / spacing, 1), random);

  const voxels = voxelCount(shape);
  const t1w = new Float32Array(voxels);
  const flair = new Float32Array(voxels);
  const labels = new Uint8Array(voxels);
  // Rows of the matrix that leads from the copy's mm to voxels of the head.
  const rows = [0, 1, 2].map((axis) => {
    const size = head.voxelSize[axis] * scale;
    return [(mirrored ? -1 : 1) * turn[3 * axis], turn[3 * axis + 1], turn[3 * axis + 2]].map(
      (t) => t / size,
    );
  });
  const [x0, y0, z0] = middle;
  const [ex, ey, ez] = head.voxelSize.map((size) => ELASTIC.mm / size);
  const [ni, nj, nk] = head.shape;
  let v = -1;
  for (let k = 0; k < shape[2]; k++) {
    const mz = (k - (shape[2] - 1) / 2) * spacing;
    for (let j = 0; j < shape[1]; j++) {
      const my = (j - (shape[1] - 1) / 2) * spacing;
      for (let i = 0; i < shape[0]; i++) {
        v++;
        const mx = (i - (shape[0] - 1) / 2) * spacing;
        const x = x0 + rows[0][0] * mx + rows[0][1] * my + rows[0][2] * mz + ex * elastic[0][v];
        const y = y0 + rows[1][0] * mx + rows[1][1] * my + rows[1][2] * mz + ey * elastic[1][v];
        const z = z0 + rows[2][0] * mx + rows[2][1] * my + rows[2][2] * mz + ez * elastic[2][v];
        if (!(x >= 0 && y >= 0 && z >= 0 && x <= ni - 1 && y <= nj - 1 && z <= nk - 1)) continue;
        const value = trilinear(head.t1w, ni, nj, nk, x, y, z);
        const number = head.labels[Math.round(x) + ni * (Math.round(y) + nj * Math.round(z))];
        const tissue: Tissue = TISSUE_OF_LABEL[number];
        t1w[v] = value;
        labels[v] = mirrored ? MIRRORED_LABEL[number] : number;
        flair[v] =
          (tissue === Tissue.Outside ? 0.55 * Math.min(value, 1.6) : FLAIR_MEANS[tissue]) *
          (1 + 0.04 * texture[v]);
      }
    }
  }
  return { shape, spacing, t1w, flair, labels };
}

/** The brain's bounding box along the axes of a turned copy: its size in mm and its middle in voxels of the head. */
function turnedBrain(
  { brain, shape, voxelSize }: RealHead,
  turn: readonly number[],
): { extent: readonly number[]; middle: readonly number[] } {
  const ranges = [0, 1, 2].map((axis) => {
    // Position along the copy's axis: the head's mm times the axis's column of the rotation.
    const [a, b, c] = [0, 1, 2].map((row) => turn[3 * row + axis] * voxelSize[row]);
    let low = Infinity;
    let high = -Infinity;
    for (const v of brain) {
      const i = v % shape[0];
      const rest = (v - i) / shape[0];
      const j = rest % shape[1];
      const at = a * i + b * j + (c * (rest - j)) / shape[1];
      if (at < low) low = at;
      if (at > high) high = at;
    }
    return { size: high - low, middle: (low + high) / 2 };
  });
  return {
    extent: ranges.map(({ size }) => size),
    middle: voxelSize.map(
      (mm, row) => ranges.reduce((sum, { middle }, axis) => sum + turn[3 * row + axis] * middle, 0) / mm,
    ),
  };
}

function trilinear(
  data: Float32Array,
  ni: number,
  nj: number,
  nk: number,
  x: number,
  y: number,
  z: number,
): number {
  const i = Math.min(Math.floor(x), ni - 2);
  const j = Math.min(Math.floor(y), nj - 2);
  const k = Math.min(Math.floor(z), nk - 2);
  const fx = x - i;
  const fy = y - j;
  const fz = z - k;
  const a = i + ni * (j + nj * k);
  const c = a + ni * nj;
  const front = data[a] + fx * (data[a + 1] - data[a]);
  const back = data[a + ni] + fx * (data[a + ni + 1] - data[a + ni]);
  const frontUp = data[c] + fx * (data[c + 1] - data[c]);
  const backUp = data[c + ni] + fx * (data[c + ni + 1] - data[c + ni]);
  const lower = front + fy * (back - front);
  return lower + fz * (frontUp + fy * (backUp - frontUp) - lower);
}
