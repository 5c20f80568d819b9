import { InputError } from '../errors';
import { shiftedTo, voxelSizes } from './affine';
import type { Grid, Shape3, Triple, Volume, VoxelArray } from './volume';
import { voxelCount } from './volume';
import { zerosLike } from './voxel-array';

/** No grid that we make is larger than this: 4 GiB of float32. */
const MOST_VOXELS = 2 ** 30;

/** Where the weight lies, in voxels; undefined where there is none (all zero, or the sum is not positive). */
export function centreOfMass(volume: Volume<VoxelArray>): Triple | undefined {
  const { data, shape } = volume;
  const [ni, nj, nk] = shape;
  let mass = 0;
  let x = 0;
  let y = 0;
  let z = 0;
  for (let k = 0, at = 0; k < nk; k++)
    for (let j = 0; j < nj; j++) {
      let row = 0;
      let first = 0;
      for (let i = 0; i < ni; i++) {
        const value = data[at++];
        row += value;
        first += value * i;
      }
      mass += row;
      x += first;
      y += row * j;
      z += row * k;
    }
  return mass > 0 ? [x / mass, y / mass, z / mass] : undefined;
}

/** The middle of a grid in voxels. */
export function gridCentre(shape: Shape3): Triple {
  return [(shape[0] - 1) / 2, (shape[1] - 1) / 2, (shape[2] - 1) / 2];
}

/**
 * A grid of another shape on the same lattice, its middle as near to `centre` (voxels of the given grid; default its
 * middle) as whole voxels allow; halves go up.
 */
export function croppedGrid(grid: Grid, shape: Shape3, centre: Triple = gridCentre(grid.shape)): Grid {
  checkShape(shape);
  return { shape, affine: shiftedTo(grid.affine, cropStart(shape, centre)) };
}

/** The volume cut or filled up with zeros to the grid of {@link croppedGrid}; values and places of what stays are kept. */
export function cropOrPad<T extends VoxelArray>(
  volume: Volume<T>,
  shape: Shape3,
  centre: Triple = gridCentre(volume.shape),
): Volume<T> {
  const grid = croppedGrid(volume, shape, centre);
  const [i0, j0, k0] = cropStart(shape, centre);
  const [ni, nj, nk] = volume.shape;
  const data = zerosLike(volume.data, voxelCount(shape));
  const left = Math.max(0, -i0);
  const right = Math.min(shape[0], ni - i0);
  if (left < right)
    for (let k = Math.max(0, -k0); k < Math.min(shape[2], nk - k0); k++)
      for (let j = Math.max(0, -j0); j < Math.min(shape[1], nj - j0); j++) {
        const row = ni * (j + j0 + nj * (k + k0)) + i0;
        data.set(volume.data.subarray(row + left, row + right), shape[0] * (j + shape[1] * k) + left);
      }
  return { ...grid, data };
}

/**
 * The grid with other voxel sizes (mm) that keeps the directions and the middle of the given one and covers the same
 * field of view, to the nearest whole voxel and at least one. Throws an InputError where that would be absurdly large.
 */
export function gridWithSpacing(grid: Grid, spacing: Triple): Grid {
  const sizes = voxelSizes(grid.affine);
  const shape = grid.shape.map((n, axis) => Math.max(1, Math.round((n * sizes[axis]) / spacing[axis])));
  checkShape(shape as unknown as Shape3);
  const affine = [...grid.affine];
  const corner: number[] = [];
  for (let axis = 0; axis < 3; axis++) {
    const ratio = spacing[axis] / sizes[axis];
    for (let row = 0; row < 3; row++) affine[4 * row + axis] *= ratio;
    corner.push((grid.shape[axis] - 1) / 2 - (ratio * (shape[axis] - 1)) / 2);
  }
  const origin = shiftedTo(grid.affine, corner as unknown as Triple);
  for (const at of [3, 7, 11]) affine[at] = origin[at];
  return { shape: shape as unknown as Shape3, affine };
}

/** {@link gridWithSpacing} with one voxel size, in mm, for all three axes. */
export function isotropicGrid(grid: Grid, spacing: number): Grid {
  return gridWithSpacing(grid, [spacing, spacing, spacing]);
}

function cropStart(shape: Shape3, centre: Triple): [number, number, number] {
  const start = (axis: 0 | 1 | 2) => Math.floor(centre[axis] - (shape[axis] - 1) / 2 + 0.5);
  return [start(0), start(1), start(2)];
}

function checkShape(shape: Shape3): void {
  const whole = shape.every((n) => Number.isInteger(n) && n >= 1);
  if (!whole || voxelCount(shape) > MOST_VOXELS)
    throw new InputError(
      `A grid of ${shape.join(' x ')} voxels cannot be made: each size must be a whole number from 1, and all of it at most ${MOST_VOXELS} voxels. Check the voxel sizes in the image's header and the spacing and shape asked for.`,
    );
}
