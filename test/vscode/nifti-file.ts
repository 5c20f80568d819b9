import { gunzipSync, gzipSync } from 'node:zlib';

/**
 * A NIfTI-1 file written and read by this page alone, so that what the editor shows is compared with something that
 * shares no code with it.
 */
export interface Nifti {
  readonly shape: readonly [number, number, number];
  /** Row-major 4 x 4, voxel to RAS mm. */
  readonly affine: readonly number[];
  /** Values, the first index fastest; volume after volume. */
  readonly values: Float32Array;
  readonly volumes: number;
}

const HEADER_BYTES = 352;
const [UINT8, INT16, FLOAT32] = [2, 4, 16];

/** The bytes of a float32 .nii.gz with its affine as sform. */
export function writeNifti({ shape, affine, values, volumes }: Nifti): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + values.length * 4);
  bytes.writeInt32LE(348, 0);
  [volumes > 1 ? 4 : 3, ...shape, volumes, 1, 1, 1].forEach((one, i) => bytes.writeInt16LE(one, 40 + 2 * i));
  bytes.writeInt16LE(FLOAT32, 70);
  bytes.writeInt16LE(32, 72);
  const spacing = [0, 1, 2].map((axis) => Math.hypot(affine[axis], affine[4 + axis], affine[8 + axis]));
  [1, ...spacing, volumes > 1 ? 2 : 1].forEach((one, i) => bytes.writeFloatLE(one, 76 + 4 * i));
  bytes.writeFloatLE(HEADER_BYTES, 108);
  bytes.writeFloatLE(1, 112);
  bytes[123] = 2 | 8; // mm, seconds
  bytes.writeInt16LE(1, 254);
  affine.slice(0, 12).forEach((one, i) => bytes.writeFloatLE(one, 280 + 4 * i));
  bytes.write('n+1\0', 344, 'latin1');
  values.forEach((value, i) => bytes.writeFloatLE(value, HEADER_BYTES + 4 * i));
  return gzipSync(bytes, { level: 1 });
}

/** Reads a .nii.gz of uint8, int16 or float32 with an sform. */
export function readNifti(file: Buffer): Nifti {
  const bytes = gunzipSync(file);
  const dimensions = Array.from({ length: 8 }, (_, i) => bytes.readInt16LE(40 + 2 * i));
  const type = bytes.readInt16LE(70);
  const offset = bytes.readFloatLE(108);
  const slope = bytes.readFloatLE(112) || 1;
  const intercept = bytes.readFloatLE(116);
  if (bytes.readInt16LE(254) <= 0) throw new Error('This reader wants an sform.');
  const affine = [...Array.from({ length: 12 }, (_, i) => bytes.readFloatLE(280 + 4 * i)), 0, 0, 0, 1];
  const shape: [number, number, number] = [dimensions[1], dimensions[2], dimensions[3]];
  const volumes = dimensions[0] > 3 ? dimensions[4] : 1;
  const read =
    type === UINT8
      ? (i: number) => bytes[offset + i]
      : type === INT16
        ? (i: number) => bytes.readInt16LE(offset + 2 * i)
        : type === FLOAT32
          ? (i: number) => bytes.readFloatLE(offset + 4 * i)
          : undefined;
  if (!read) throw new Error(`This reader knows no data type ${type}.`);
  const values = Float32Array.from(
    { length: shape[0] * shape[1] * shape[2] * volumes },
    (_, i) => read(i) * slope + intercept,
  );
  return { shape, affine, values, volumes };
}

/** Value of voxel i, j, k. */
export function valueAt({ shape, values }: Nifti, [i, j, k]: readonly number[], volume = 0): number {
  return values[i + shape[0] * (j + shape[1] * (k + shape[2] * volume))];
}

/** Centre of a voxel in RAS mm. */
export function millimetres({ affine }: Nifti, voxel: readonly number[]): number[] {
  return [0, 1, 2].map(
    (row) =>
      affine[4 * row] * voxel[0] +
      affine[4 * row + 1] * voxel[1] +
      affine[4 * row + 2] * voxel[2] +
      affine[4 * row + 3],
  );
}
