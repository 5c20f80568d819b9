import { invert, multiply, transformPoint } from '../../volume/affine';
import type { Triple, Volume, VoxelArray } from '../../volume/volume';

export const PLANES = ['axial', 'coronal', 'sagittal'] as const;
export type Plane = (typeof PLANES)[number];

/** `radiological`: the patient's right is on the left of the picture, as if seen from the feet or the front. */
export type Convention = 'radiological' | 'neurological';

/** A rectangle in scanner space: pixel (x, y) has its centre at `origin + x * right + y * down`, in mm (RAS+). */
export interface SlicePlane {
  readonly plane: Plane;
  /** Position along the axis that the plane cuts: z for axial, y for coronal, x for sagittal; mm. */
  readonly atMm: number;
  readonly width: number;
  readonly height: number;
  readonly origin: Triple;
  readonly right: Triple;
  readonly down: Triple;
  /** Where the left and right edge of the picture lie in the patient: L, R, A or P. */
  readonly edges: readonly [string, string];
}

/** A box in scanner space, mm. */
export interface Box {
  readonly low: Triple;
  readonly high: Triple;
}

/** The scanner axes across, down and through a plane. */
const AXES_OF = {
  axial: [0, 1, 2],
  coronal: [0, 2, 1],
  sagittal: [1, 2, 0],
} as const;

/**
 * A plane through a box, at right angles to a scanner axis. Anterior is up in axial planes, superior in the others;
 * sagittal planes look to the left of the picture. The convention decides about left and right.
 */
export function slicePlane(
  plane: Plane,
  atMm: number,
  box: Box,
  pixelsPerMm: number,
  convention: Convention,
): SlicePlane {
  const [across, vertical, through] = AXES_OF[plane];
  const step = 1 / pixelsPerMm;
  const width = Math.max(1, Math.round((box.high[across] - box.low[across]) * pixelsPerMm));
  const height = Math.max(1, Math.round((box.high[vertical] - box.low[vertical]) * pixelsPerMm));
  const mirrored = plane === 'sagittal' || convention === 'radiological';
  const right = unit(across, mirrored ? -step : step);
  const down = unit(vertical, -step);
  const origin = [0, 0, 0];
  origin[across] = mirrored ? box.high[across] - step / 2 : box.low[across] + step / 2;
  origin[vertical] = box.high[vertical] - step / 2;
  origin[through] = atMm;
  const [low, high] = plane === 'sagittal' ? ['P', 'A'] : ['L', 'R'];
  return {
    plane,
    atMm,
    width,
    height,
    origin: [origin[0], origin[1], origin[2]],
    right,
    down,
    edges: mirrored ? [high, low] : [low, high],
  };
}

/** Where a point of scanner space (mm) falls in the picture of a plane, in pixels; pixel (x, y) has its centre at + 0.5. */
export function pixelOf({ origin, right, down }: SlicePlane, mm: Triple): [number, number] {
  const along = (step: Triple): number => {
    let dot = 0;
    let length = 0;
    for (let axis = 0; axis < 3; axis++) {
      dot += (mm[axis] - origin[axis]) * step[axis];
      length += step[axis] * step[axis];
    }
    return dot / length + 0.5;
  };
  return [along(right), along(down)];
}

/**
 * The values of a volume in a plane, row by row from the top, whatever the volume's orientation. `linear` is trilinear;
 * `cubic` is Catmull-Rom, which passes through the voxels' values and shows them smoothly. Outside of the volume 0.
 */
export function samplePlane(
  volume: Volume<VoxelArray>,
  slice: SlicePlane,
  interpolation: 'linear' | 'cubic',
): Float32Array {
  const inverse = invert(volume.affine);
  const start = transformPoint(inverse, slice.origin);
  const across = direction(inverse, slice.right);
  const downwards = direction(inverse, slice.down);
  const taps = interpolation === 'cubic' ? catmullRom : linear;
  const out = new Float32Array(slice.width * slice.height);
  for (let y = 0, at = 0; y < slice.height; y++)
    for (let x = 0; x < slice.width; x++, at++)
      out[at] = sample(
        volume,
        snapped(start[0] + x * across[0] + y * downwards[0]),
        snapped(start[1] + x * across[1] + y * downwards[1]),
        snapped(start[2] + x * across[2] + y * downwards[2]),
        taps,
      );
  return out;
}

/** The smallest box that holds the centres of all voxels above 0, or undefined where there are none. */
export function boxOf(mask: Volume<VoxelArray>): Box | undefined {
  const [ni, nj, nk] = mask.shape;
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  const include = (i: number, j: number, k: number): void => {
    transformPoint(mask.affine, [i, j, k]).forEach((mm, axis) => {
      low[axis] = Math.min(low[axis], mm);
      high[axis] = Math.max(high[axis], mm);
    });
  };
  for (let k = 0; k < nk; k++)
    for (let j = 0; j < nj; j++) {
      // The ends of a row are extreme in every direction.
      const row = ni * (j + nj * k);
      let first = 0;
      while (first < ni && !(mask.data[row + first] > 0)) first++;
      if (first === ni) continue;
      let last = ni - 1;
      while (!(mask.data[row + last] > 0)) last--;
      include(first, j, k);
      include(last, j, k);
    }
  if (low[0] === Infinity) return undefined;
  return { low: [low[0], low[1], low[2]], high: [high[0], high[1], high[2]] };
}

type Weigh = (fraction: number, weights: Float64Array) => void;

const linear: Weigh = (t, weights) => {
  weights[0] = 0;
  weights[1] = 1 - t;
  weights[2] = t;
  weights[3] = 0;
};

const catmullRom: Weigh = (t, weights) => {
  weights[0] = ((2 - t) * t - 1) * t * 0.5;
  weights[1] = ((3 * t - 5) * t * t + 2) * 0.5;
  weights[2] = ((4 - 3 * t) * t + 1) * t * 0.5;
  weights[3] = (t - 1) * t * t * 0.5;
};

const wx = new Float64Array(4);
const wy = new Float64Array(4);
const wz = new Float64Array(4);

/** Four weights an axis, from the voxel before the one at or below the point. */
function sample(volume: Volume<VoxelArray>, x: number, y: number, z: number, weigh: Weigh): number {
  const { data, shape } = volume;
  const [ni, nj, nk] = shape;
  if (!(x > -1 && x < ni && y > -1 && y < nj && z > -1 && z < nk)) return 0;
  const i = Math.floor(x);
  const j = Math.floor(y);
  const k = Math.floor(z);
  weigh(x - i, wx);
  weigh(y - j, wy);
  weigh(z - k, wz);
  let sum = 0;
  for (let c = 0; c < 4; c++) {
    const kk = k + c - 1;
    if (wz[c] === 0 || kk < 0 || kk >= nk) continue;
    for (let b = 0; b < 4; b++) {
      const jj = j + b - 1;
      const w = wz[c] * wy[b];
      if (w === 0 || jj < 0 || jj >= nj) continue;
      const row = ni * (jj + nj * kk) + i - 1;
      for (let a = 0; a < 4; a++) {
        const ii = i + a - 1;
        if (ii >= 0 && ii < ni) sum += w * wx[a] * data[row + a];
      }
    }
  }
  return sum;
}

/** Restores a whole voxel coordinate that an inversion has blurred: a plane through voxel centres shows their values. */
function snapped(coordinate: number): number {
  const whole = Math.round(coordinate);
  return Math.abs(coordinate - whole) < 1e-6 ? whole : coordinate;
}

function direction(affine: readonly number[], step: Triple): Triple {
  const moved = multiply(affine, [1, 0, 0, step[0], 0, 1, 0, step[1], 0, 0, 1, step[2], 0, 0, 0, 1]);
  return [moved[3] - affine[3], moved[7] - affine[7], moved[11] - affine[11]];
}

function unit(axis: number, length: number): Triple {
  return [axis === 0 ? length : 0, axis === 1 ? length : 0, axis === 2 ? length : 0];
}
