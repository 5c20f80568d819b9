import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { endianness } from 'node:os';
import { InputError } from '../errors';
import { writeWhole } from '../files/whole';
import { determinant, isSingular, voxelSizes } from './affine';
import type { NiftiType } from './nifti-types';
import { VOXEL_TYPES } from './nifti-types';
import type { Affine, Volume, VoxelArray } from './volume';
import { voxelCount } from './volume';

/** Voxel types that are written: every number of theirs is exact in JavaScript. */
export type WritableType = Exclude<NiftiType, 'int64' | 'uint64'>;

export interface NiftiWriteOptions {
  /** Default: the type of the volume's array. */
  readonly dtype?: WritableType;
  /** Up to 79 bytes. */
  readonly description?: string;
  /** What the values mean, by the standard's code (1002 label, 1001 estimate, ...) and a name of up to 15 bytes. */
  readonly intent?: { readonly code: number; readonly name?: string };
  /** Which space the affine leads to: 1 scanner (default), 2 aligned, 3 Talairach, 4 MNI 152. */
  readonly spaceCode?: 1 | 2 | 3 | 4;
}

const ARRAYS = {
  uint8: Uint8Array,
  int8: Int8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  float32: Float32Array,
  float64: Float64Array,
} as const;

const HEADER_BYTES = 348;
/** Header and the four bytes that say: no extensions. */
const VOXEL_OFFSET = 352;
const MOST_VOXELS_AN_AXIS = 32767;
const MILLIMETRES = 2;

const compress = promisify(gzip);

/**
 * Writes a NIfTI-1 file, gzipped where the path ends in .gz, whole or not at all. The affine is the sform; where it is
 * a rotation with voxel sizes, and one that a qform can say, it is the qform too, else the qform is left unset. Values are stored as they are, without
 * slope. Throws an InputError for a path of another kind, a singular affine and values that `dtype` cannot hold.
 */
export async function writeNifti(
  path: string,
  volume: Volume<VoxelArray>,
  options: NiftiWriteOptions = {},
): Promise<void> {
  if (!/\.nii(\.gz)?$/.test(path))
    throw new InputError(`${path} cannot be written as NIfTI: its name must end in .nii or .nii.gz.`);
  const bytes = encodeNifti(volume, options, path);
  await writeWhole(path, path.endsWith('.gz') ? await compress(bytes) : bytes);
}

/** The bytes of a NIfTI-1 file, in this machine's byte order; `name` is how messages call it. */
export function encodeNifti(
  volume: Volume<VoxelArray>,
  options: NiftiWriteOptions = {},
  name = 'The image',
): Uint8Array<ArrayBuffer> {
  const { shape, affine } = volume;
  if (shape.some((n) => !(Number.isInteger(n) && n >= 1 && n <= MOST_VOXELS_AN_AXIS)))
    throw new InputError(
      `${name} cannot be written: ${shape.join(' x ')} voxels, but each axis of a NIfTI-1 file has 1 to ${MOST_VOXELS_AN_AXIS}.`,
    );
  if (volume.data.length !== voxelCount(shape))
    throw new InputError(
      `${name} cannot be written: ${shape.join(' x ')} voxels were announced and ${volume.data.length} came.`,
    );
  if (isSingular(affine))
    throw new InputError(`${name} cannot be written: its affine [${affine.join(', ')}] is singular.`);
  const dtype = options.dtype ?? typeOf(volume.data);
  const type = VOXEL_TYPES.find((t) => t.name === dtype)!;
  const bytes = new Uint8Array(VOXEL_OFFSET + volume.data.length * type.bytes);
  writeHeader(new DataView(bytes.buffer), volume, type.code, type.bytes, options);
  const stored = new ARRAYS[dtype](bytes.buffer, VOXEL_OFFSET, volume.data.length);
  stored.set(volume.data);
  if (dtype !== typeOf(volume.data)) checkStored(stored, volume, dtype, name);
  return bytes;
}

function typeOf(data: VoxelArray): WritableType {
  return (Object.keys(ARRAYS) as WritableType[]).find((name) => data instanceof ARRAYS[name])!;
}

/** Setting integers cuts off and wraps round in silence, so what was stored is compared with what was meant. */
function checkStored(
  stored: VoxelArray,
  volume: Volume<VoxelArray>,
  dtype: WritableType,
  name: string,
): void {
  if (dtype === 'float32' || dtype === 'float64') return;
  const at = volume.data.findIndex((value: number, n: number) => stored[n] !== value);
  if (at < 0) return;
  const [ni, nj] = volume.shape;
  const voxel = `${at % ni}, ${Math.floor(at / ni) % nj}, ${Math.floor(at / (ni * nj))}`;
  throw new InputError(
    `${name} cannot be written as ${dtype}: voxel (${voxel}) is ${volume.data[at]}. Round or scale the values first, or write float32.`,
  );
}

function writeHeader(
  view: DataView,
  { shape, affine }: Volume<VoxelArray>,
  typeCode: number,
  bytesPerVoxel: number,
  { description = '', intent, spaceCode = 1 }: NiftiWriteOptions,
): void {
  const little = endianness() === 'LE';
  const short = (at: number, value: number) => view.setInt16(at, value, little);
  const float = (at: number, value: number) => view.setFloat32(at, value, little);
  const text = (at: number, value: string, room: number) =>
    new Uint8Array(view.buffer, at, room - 1).set(new TextEncoder().encode(value).subarray(0, room - 1));

  view.setInt32(0, HEADER_BYTES, little);
  view.setUint8(38, 'r'.charCodeAt(0)); // `regular`, which old readers ask for
  [3, ...shape, 1, 1, 1, 1].forEach((n, axis) => short(40 + 2 * axis, n));
  short(68, intent?.code ?? 0);
  short(70, typeCode);
  short(72, 8 * bytesPerVoxel);
  const rotation = rotationOf(affine);
  [rotation?.qfac ?? 1, ...voxelSizes(affine), 1, 1, 1, 1].forEach((size, axis) =>
    float(76 + 4 * axis, size),
  );
  float(108, VOXEL_OFFSET);
  float(112, 1);
  view.setUint8(123, MILLIMETRES);
  text(148, description, 80);
  short(252, rotation ? spaceCode : 0);
  short(254, spaceCode);
  rotation?.quaternion.forEach((q, n) => float(256 + 4 * n, q));
  if (rotation) [affine[3], affine[7], affine[11]].forEach((offset, n) => float(268 + 4 * n, offset));
  affine.slice(0, 12).forEach((value, n) => float(280 + 4 * n, value));
  text(328, intent?.name ?? '', 16);
  text(344, 'n+1', 4);
}

/**
 * The affine's axes as a rotation, for the qform: (b, c, d) of the unit quaternion (a >= 0) and qfac, -1 where the
 * third axis has to be turned round to make the axes right-handed. Undefined for sheared axes, and for the few rotations
 * that a quaternion in single precision cannot say.
 */
function rotationOf(affine: Affine): { quaternion: readonly number[]; qfac: 1 | -1 } | undefined {
  const sizes = voxelSizes(affine);
  const qfac = determinant(affine) < 0 ? -1 : 1;
  const axis = (n: number) => [0, 1, 2].map((row) => ((n === 2 ? qfac : 1) * affine[4 * row + n]) / sizes[n]);
  const [x, y, z] = [axis(0), axis(1), axis(2)];
  const dot = (u: readonly number[], v: readonly number[]) => u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
  if (Math.max(Math.abs(dot(x, y)), Math.abs(dot(x, z)), Math.abs(dot(y, z))) > 1e-5) return undefined;

  // The largest of the four squares is divided by, so that none of it is lost near half a turn (Shepperd 1978).
  const squares = [
    1 + x[0] + y[1] + z[2],
    1 + x[0] - y[1] - z[2],
    1 - x[0] + y[1] - z[2],
    1 - x[0] - y[1] + z[2],
  ];
  const products = [
    [squares[0], y[2] - z[1], z[0] - x[2], x[1] - y[0]],
    [y[2] - z[1], squares[1], x[1] + y[0], z[0] + x[2]],
    [z[0] - x[2], x[1] + y[0], squares[2], y[2] + z[1]],
    [x[1] - y[0], z[0] + x[2], y[2] + z[1], squares[3]],
  ];
  const largest = squares.indexOf(Math.max(...squares));
  const [a, ...bcd] = products[largest].map((product) => product / (2 * Math.sqrt(squares[largest])));
  if (Math.abs(Math.abs(a) - scalarRead(bcd)) > MOST_SCALAR_ERROR) return undefined;
  return { quaternion: bcd.map((q) => (a < 0 ? -q : q)), qfac };
}

/**
 * The quaternion's a, which a file does not hold: readers make it from b, c and d in single precision, and take what is
 * below 1e-7 for a half turn (nifti1_io, nifti_quatern_to_mat44). Close to a half turn, that is not the rotation.
 */
function scalarRead(bcd: readonly number[]): number {
  const square = 1 - bcd.reduce((sum, q) => sum + Math.fround(q) ** 2, 0);
  return square < 1e-7 ? 0 : Math.sqrt(square);
}

/** Radians, halved, by which a qform may turn away from the sform: a thousandth of a millimetre at the head's rim. */
const MOST_SCALAR_ERROR = 5e-6;
