import type { VoxelArray } from './volume';

/** Zeros of the same voxel type. */
export function zerosLike<T extends VoxelArray>(data: T, length: number): T {
  return new (data.constructor as new (length: number) => T)(length);
}
