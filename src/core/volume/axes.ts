import { InputError } from '../errors';
import type { Shape3, Volume, VoxelArray } from './volume';
import { voxelCount } from './volume';
import { zerosLike } from './voxel-array';

/**
 * Which voxel axis a network takes for its D axis. `ijk`: D = i (left-right), H = j, W = k, what users of nibabel,
 * TorchIO and MONAI have; `kji`: D = k (inferior-superior), H = j, W = i, as MedicalNet's own files were transposed.
 */
export type TensorAxes = 'ijk' | 'kji';

/** A grid's i x j x k as D x H x W; the same call turns D x H x W back into i x j x k. */
export function shapeInAxes(shape: Shape3, axes: TensorAxes): Shape3 {
  return axes === 'ijk' ? [shape[0], shape[1], shape[2]] : [shape[2], shape[1], shape[0]];
}

/**
 * Voxels in a tensor's order: row-major D, H, W (W runs fastest), of shape `shapeInAxes(volume.shape, axes)`. Always a
 * copy. `kji` keeps the order of the file, `ijk` makes k run fastest.
 */
export function toTensorOrder<T extends VoxelArray>(volume: Volume<T>, axes: TensorAxes): T {
  const [ni, nj, nk] = volume.shape;
  return axes === 'ijk' ? swapEnds(volume.data, ni, nj, nk) : copy(volume.data);
}

/**
 * A volume's voxels (i runs fastest) from a tensor in row-major D, H, W of shape `dhw`: undoes {@link toTensorOrder}.
 * Throws an InputError where the data do not fill the shape.
 */
export function fromTensorOrder<T extends VoxelArray>(data: T, dhw: Shape3, axes: TensorAxes): T {
  if (data.length !== voxelCount(dhw))
    throw new InputError(
      `A tensor of shape ${dhw.join(' x ')} has ${voxelCount(dhw)} values, but ${data.length} came.`,
    );
  return axes === 'ijk' ? swapEnds(data, dhw[2], dhw[1], dhw[0]) : copy(data);
}

function copy<T extends VoxelArray>(data: T): T {
  const out = zerosLike(data, data.length);
  out.set(data);
  return out;
}

/** 32 x 32 values of both sides stay in the first-level cache, whatever the strides. */
const TILE = 32;

/** From the first of three axes fastest to the last fastest: `out[z + nz (y + ny x)] = data[x + nx (y + ny z)]`. */
function swapEnds<T extends VoxelArray>(data: T, nx: number, ny: number, nz: number): T {
  const out = zerosLike(data, data.length);
  const readStep = nx * ny;
  const writeStep = nz * ny;
  for (let y = 0; y < ny; y++)
    for (let x0 = 0; x0 < nx; x0 += TILE) {
      const x1 = Math.min(nx, x0 + TILE);
      for (let z0 = 0; z0 < nz; z0 += TILE) {
        const z1 = Math.min(nz, z0 + TILE);
        for (let x = x0; x < x1; x++) {
          let read = x + nx * y + readStep * z0;
          let write = z0 + nz * y + writeStep * x;
          for (let z = z0; z < z1; z++, read += readStep) out[write++] = data[read];
        }
      }
    }
  return out;
}
