/** Grid size in voxels, always i x j x k. */
export type Shape3 = readonly [number, number, number];

/** Three numbers that belong to the axes i, j, k (mm, voxels, ...). */
export type Triple = readonly [number, number, number];

/** Sixteen numbers, row-major: maps a voxel index (i, j, k, 1) to scanner space in mm, RAS+ (x right, y anterior, z superior). */
export type Affine = readonly number[];

export type VoxelArray =
  Float32Array | Float64Array | Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array;

/** Where voxels lie: a size and an affine. */
export interface Grid {
  readonly shape: Shape3;
  readonly affine: Affine;
}

/**
 * A 3D image in memory. Voxel (i, j, k) is `data[i + shape[0] * (j + shape[1] * k)]`: i runs fastest, as in a NIfTI
 * file. Values are in file units (slope and intercept applied).
 */
export interface Volume<T extends VoxelArray = Float32Array> extends Grid {
  readonly data: T;
}

/** A mask: 1 inside, 0 outside. */
export type Mask = Volume<Uint8Array>;

export function voxelCount(shape: readonly number[]): number {
  return shape[0] * shape[1] * shape[2];
}
