import { NIFTI1 } from 'nifti-reader-js';

/** Voxel types that are read and, but for the 64-bit integers, written. */
export type NiftiType =
  'uint8' | 'int8' | 'int16' | 'uint16' | 'int32' | 'uint32' | 'int64' | 'uint64' | 'float32' | 'float64';

export interface VoxelType {
  readonly name: NiftiType;
  readonly code: number;
  readonly bytes: number;
}

export const VOXEL_TYPES: readonly VoxelType[] = [
  { name: 'uint8', code: NIFTI1.TYPE_UINT8, bytes: 1 },
  { name: 'int8', code: NIFTI1.TYPE_INT8, bytes: 1 },
  { name: 'int16', code: NIFTI1.TYPE_INT16, bytes: 2 },
  { name: 'uint16', code: NIFTI1.TYPE_UINT16, bytes: 2 },
  { name: 'int32', code: NIFTI1.TYPE_INT32, bytes: 4 },
  { name: 'uint32', code: NIFTI1.TYPE_UINT32, bytes: 4 },
  { name: 'int64', code: NIFTI1.TYPE_INT64, bytes: 8 },
  { name: 'uint64', code: NIFTI1.TYPE_UINT64, bytes: 8 },
  { name: 'float32', code: NIFTI1.TYPE_FLOAT32, bytes: 4 },
  { name: 'float64', code: NIFTI1.TYPE_FLOAT64, bytes: 8 },
];

/** What the standard calls the codes that hold no single number per voxel, or one that we cannot keep. */
export const REFUSED_TYPES: Readonly<Record<number, string>> = {
  [NIFTI1.TYPE_BINARY]: 'one bit per voxel',
  [NIFTI1.TYPE_COMPLEX64]: 'complex64',
  [NIFTI1.TYPE_RGB24]: 'RGB colour',
  [NIFTI1.TYPE_FLOAT128]: 'float128',
  [NIFTI1.TYPE_COMPLEX128]: 'complex128',
  [NIFTI1.TYPE_COMPLEX256]: 'complex256',
  2304: 'RGBA colour',
};
