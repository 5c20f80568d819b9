import { NIFTI1, NIFTI2 } from 'nifti-reader-js';
import { InputError } from '../errors';
import { IDENTITY, isSingular, voxelSizes } from './affine';
import type { NiftiType, VoxelType } from './nifti-types';
import { REFUSED_TYPES, VOXEL_TYPES } from './nifti-types';
import type { Affine, Shape3, Triple } from './volume';
import { voxelCount } from './volume';

/** What a NIfTI file says about itself, checked: whoever holds this can read the voxels. */
export interface NiftiHeader {
  readonly version: 1 | 2;
  readonly byteOrder: 'little' | 'big';
  readonly dtype: NiftiType;
  /** Grid of one volume; axes that the file does not have are 1. */
  readonly shape: Shape3;
  /** Volumes in the file: the product of the fourth and all further dimensions. */
  readonly frames: number;
  /** dim[1] to dim[dim[0]] as they stand in the file. */
  readonly dimensions: readonly number[];
  /** Voxel to mm, RAS+. */
  readonly affine: Affine;
  /** Where the affine comes from: sform before qform before bare voxel sizes. */
  readonly affineSource: 'sform' | 'qform' | 'pixdim';
  /** Voxel sizes in mm, as the affine has them. */
  readonly spacing: Triple;
  /** Value = slope x stored + intercept; 1 and 0 where the file states no scaling. */
  readonly slope: number;
  readonly intercept: number;
  /** Where the first voxel begins, in bytes of the inflated file. */
  readonly voxelOffset: number;
  readonly bytesPerVoxel: number;
  readonly sformCode: number;
  readonly qformCode: number;
  /** The length unit that the file states; without one, mm is meant. */
  readonly unit: 'mm' | 'm' | 'um' | 'none';
  readonly description: string;
  readonly intentCode: number;
  readonly intentName: string;
  readonly warnings: readonly string[];
}

/** Bytes of the shorter header, NIfTI-1's; enough to tell which one a file has. */
export const SHORT_HEADER = NIFTI1.MAGIC_COOKIE;

/** How long a header is by its first field (sizeof_hdr, in either byte order); undefined where it is no NIfTI header. */
export function headerLength(bytes: Uint8Array): number | undefined {
  if (bytes.length < 4) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return [NIFTI1.MAGIC_COOKIE, NIFTI2.MAGIC_COOKIE].find(
    (size) => view.getInt32(0, true) === size || view.getInt32(0, false) === size,
  );
}

/**
 * Reads and checks a header from the first bytes of the (inflated) file; `name` is how messages call the file. Throws
 * an InputError that names the field for anything that leaves size, type or place of the voxels in doubt.
 */
export function parseNiftiHeader(bytes: Uint8Array, name: string): NiftiHeader {
  const { raw, version } = readFields(bytes, name);
  const warnings: string[] = [];
  const littleEndian = raw.littleEndian;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { dims, voxelOffset: statedOffset } = sizes(raw, view, version);

  const dimensions = checkedDimensions(dims, name);
  const shape: Shape3 = [dimensions[0], dimensions[1] ?? 1, dimensions[2] ?? 1];
  const frames = dimensions.slice(3).reduce((product, n) => product * n, 1);
  const type = checkedType(raw.datatypeCode, name);
  if (raw.numBitsPerVoxel !== type.bytes * 8)
    warnings.push(
      `bitpix is ${raw.numBitsPerVoxel}, but datatype ${type.name} has ${type.bytes * 8} bits; datatype was followed.`,
    );
  const voxelOffset = checkedOffset(statedOffset, version, name, warnings);
  const { slope, intercept } = checkedScaling(raw.scl_slope, raw.scl_inter, name, warnings);
  const { unit, millimetres } = lengthUnit(raw.xyzt_units & NIFTI1.SPATIAL_UNITS_MASK, warnings);
  const { affine, affineSource } = placed(raw, view, version, shape, millimetres, name, warnings);

  return {
    version,
    byteOrder: littleEndian ? 'little' : 'big',
    dtype: type.name,
    shape,
    frames,
    dimensions,
    affine,
    affineSource,
    spacing: voxelSizes(affine),
    slope,
    intercept,
    voxelOffset,
    bytesPerVoxel: type.bytes,
    sformCode: raw.sform_code,
    qformCode: raw.qform_code,
    unit,
    description: raw.description,
    intentCode: raw.intent_code,
    intentName: raw.intent_name,
    warnings,
  };
}

function readFields(bytes: Uint8Array, name: string): { raw: NIFTI1 | NIFTI2; version: 1 | 2 } {
  const length = headerLength(bytes);
  if (length === undefined && bytes.length >= 4)
    throw new InputError(
      `${name} is no NIfTI image: sizeof_hdr, its first field, is ${new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true)} and not 348 or 540. Convert it to .nii or .nii.gz first.`,
    );
  if (length === undefined || bytes.length < length)
    throw new InputError(
      `${name} ends inside its header: ${bytes.length} bytes came, a NIfTI header has ${length ?? SHORT_HEADER}. Copy or download it again.`,
    );
  const version = length === SHORT_HEADER ? 1 : 2;

  const at = version === 1 ? NIFTI1.MAGIC_NUMBER_LOCATION : NIFTI2.MAGIC_NUMBER_LOCATION;
  const magic = String.fromCharCode(...bytes.subarray(at, at + 3));
  if (magic === `ni${version}`)
    throw new InputError(
      `${name} is one half of a detached .hdr/.img pair (magic "${magic}"), which is not read. Join the pair into one .nii file first.`,
    );
  const rest = version === 1 ? [0] : [0, 13, 10, 26, 10];
  if (magic !== `n+${version}` || rest.some((byte, n) => bytes[at + 3 + n] !== byte))
    throw new InputError(
      `${name} is no NIfTI-${version} image: its magic field is ${JSON.stringify(magic)} and not "n+${version}"${
        version === 1
          ? ' (an Analyze 7.5 header looks like this)'
          : ' followed by the line-end check of the standard; a transfer in text mode may have damaged it'
      }. Convert or copy it again.`,
    );
  // Only the header's own bytes: the library's walk over extensions does not end for some malformed ones.
  const raw = version === 1 ? new NIFTI1() : new NIFTI2();
  raw.readHeader(new Uint8Array(bytes.subarray(0, length)).buffer);
  return { raw, version };
}

/** dim[0] to dim[7] and vox_offset. The library misreads the 64-bit fields of NIfTI-2 where they are negative or large. */
function sizes(
  raw: NIFTI1 | NIFTI2,
  view: DataView,
  version: 1 | 2,
): { dims: readonly number[]; voxelOffset: number } {
  if (version === 1) return { dims: raw.dims, voxelOffset: raw.vox_offset };
  const long = (at: number) => Number(view.getBigInt64(at, raw.littleEndian));
  return { dims: raw.dims.map((_, n) => long(16 + 8 * n)), voxelOffset: long(168) };
}

function checkedDimensions(dims: readonly number[], name: string): number[] {
  const count = dims[0];
  if (!(count >= 1 && count <= 7))
    throw new InputError(
      `${name}: dim[0], the number of dimensions, is ${count}; 1 to 7 are possible. The header is damaged.`,
    );
  const dimensions = dims.slice(1, count + 1);
  const bad = dimensions.findIndex((n) => !(n >= 1));
  if (bad >= 0)
    throw new InputError(
      `${name}: dim[${bad + 1}] is ${dimensions[bad]}, but an axis has at least one voxel. The header is damaged.`,
    );
  return dimensions;
}

function checkedType(code: number, name: string): VoxelType {
  const type = VOXEL_TYPES.find((t) => t.code === code);
  if (type) return type;
  const known = REFUSED_TYPES[code];
  throw new InputError(
    known
      ? `${name}: datatype ${code} is ${known}; an image must have one integer or float number per voxel. Convert it first.`
      : `${name}: datatype ${code} is unknown to the NIfTI standard. The header is damaged.`,
  );
}

function checkedOffset(stated: number, version: 1 | 2, name: string, warnings: string[]): number {
  const first = version === 1 ? 352 : 544;
  if (stated === 0) {
    warnings.push(`vox_offset is 0; voxels were read from byte ${first}, right after the header.`);
    return first;
  }
  if (!(Number.isSafeInteger(stated) && stated >= first))
    throw new InputError(
      `${name}: vox_offset is ${stated}, but voxels begin at a whole byte from ${first} on. The header is damaged.`,
    );
  return stated;
}

function checkedScaling(
  slope: number,
  intercept: number,
  name: string,
  warnings: string[],
): { slope: number; intercept: number } {
  if (slope === 0 || !Number.isFinite(slope)) {
    if (Math.abs(slope) === Infinity)
      warnings.push('scl_slope is infinite; the stored values were taken as they are.');
    return { slope: 1, intercept: 0 };
  }
  if (!Number.isFinite(intercept))
    throw new InputError(
      `${name}: scl_slope is ${slope}, but scl_inter is ${intercept}, so no value can be told. Correct the header.`,
    );
  return { slope, intercept };
}

function lengthUnit(code: number, warnings: string[]): { unit: NiftiHeader['unit']; millimetres: number } {
  if (code === NIFTI1.UNITS_MM) return { unit: 'mm', millimetres: 1 };
  if (code === NIFTI1.UNITS_METER) {
    warnings.push('Lengths are in metres (xyzt_units); they were brought to mm.');
    return { unit: 'm', millimetres: 1000 };
  }
  if (code === NIFTI1.UNITS_MICRON) {
    warnings.push('Lengths are in micrometres (xyzt_units); they were brought to mm.');
    return { unit: 'um', millimetres: 0.001 };
  }
  if (code !== NIFTI1.UNITS_UNKNOWN)
    warnings.push(`xyzt_units states the unknown length unit ${code}; mm was taken.`);
  return { unit: 'none', millimetres: 1 };
}

/** The affine in mm: sform, else qform, else voxel sizes, the order of the standard's own library and of nibabel. */
function placed(
  raw: NIFTI1 | NIFTI2,
  view: DataView,
  version: 1 | 2,
  shape: Shape3,
  millimetres: number,
  name: string,
  warnings: string[],
): { affine: Affine; affineSource: NiftiHeader['affineSource'] } {
  const affineSource = raw.sform_code > 0 ? 'sform' : raw.qform_code > 0 ? 'qform' : 'pixdim';
  let affine: number[];
  if (affineSource === 'sform') affine = sformRows(raw, view, version);
  else {
    const zooms = checkedZooms(raw.pixDims, shape, affineSource, name, warnings);
    affine = affineSource === 'qform' ? qformMatrix(raw, zooms, name) : centred(shape, zooms);
  }
  if (affineSource === 'pixdim')
    warnings.push(
      'The file states no place (sform_code and qform_code are 0): voxel sizes alone were used, i was taken to run to the left and the grid to be centred, as Analyze and nibabel have it. Left and right may be wrong.',
    );
  for (let at = 0; at < 12; at++) affine[at] *= millimetres;
  const field = { sform: 'srow_x, srow_y, srow_z', qform: 'quatern and qoffset', pixdim: 'pixdim' }[
    affineSource
  ];
  if (isSingular(affine))
    throw new InputError(
      `${name}: the affine in ${field} is singular or no number: [${affine.slice(0, 12).join(', ')}]. Correct the header.`,
    );
  if (affineSource === 'sform') warnOfOtherZooms(affine, raw.pixDims, millimetres, warnings);
  return { affine, affineSource };
}

/** The library leaves the srow fields unread where it prefers the qform, so they are read here. */
function sformRows(raw: NIFTI1 | NIFTI2, view: DataView, version: 1 | 2): number[] {
  const affine = [...IDENTITY];
  for (let at = 0; at < 12; at++)
    affine[at] =
      version === 1
        ? view.getFloat32(280 + 4 * at, raw.littleEndian)
        : view.getFloat64(400 + 8 * at, raw.littleEndian);
  return affine;
}

function checkedZooms(
  pixDims: readonly number[],
  shape: Shape3,
  source: string,
  name: string,
  warnings: string[],
): Triple {
  const zooms = [1, 2, 3].map((n) => {
    const stated = pixDims[n];
    if (stated === 0 && shape[n - 1] === 1) return 1; // an axis that the image does not have
    if (!(Number.isFinite(stated) && stated !== 0))
      throw new InputError(
        `${name}: pixdim[${n}] is ${stated}, but the ${source} needs a voxel size. Correct the header.`,
      );
    if (stated < 0) warnings.push(`pixdim[${n}] is negative (${stated}); its amount was taken.`);
    return Math.abs(stated);
  });
  return zooms as unknown as Triple;
}

/** Method 2 of the standard: a unit quaternion, qfac (sign of pixdim[0]) on the third axis, voxel sizes, offset. */
function qformMatrix(raw: NIFTI1 | NIFTI2, zooms: Triple, name: string): number[] {
  const { quatern_b: b, quatern_c: c, quatern_d: d } = raw;
  const length = b * b + c * c + d * d;
  if (!(length <= 1 + 1e-4))
    throw new InputError(
      `${name}: quatern_b, quatern_c, quatern_d = ${b}, ${c}, ${d} is no rotation (the sum of squares is ${length}, at most 1 is possible). Correct the header.`,
    );
  const rows = raw.convertNiftiQFormToNiftiSForm(
    b,
    c,
    d,
    raw.qoffset_x,
    raw.qoffset_y,
    raw.qoffset_z,
    ...zooms,
    raw.pixDims[0],
  );
  return rows.flat();
}

/** Method 1 with the conventions of Analyze and nibabel: i runs to the left, the grid's middle lies at 0. */
function centred(shape: Shape3, [x, y, z]: Triple): number[] {
  const [ni, nj, nk] = shape;
  return [
    -x,
    0,
    0,
    (x * (ni - 1)) / 2,
    0,
    y,
    0,
    (-y * (nj - 1)) / 2,
    0,
    0,
    z,
    (-z * (nk - 1)) / 2,
    0,
    0,
    0,
    1,
  ];
}

function warnOfOtherZooms(
  affine: Affine,
  pixDims: readonly number[],
  millimetres: number,
  warnings: string[],
): void {
  const zooms = voxelSizes(affine);
  const stated = pixDims.slice(1, 4).map((p) => Math.abs(p) * millimetres);
  if (stated.some((p, axis) => !(Math.abs(p - zooms[axis]) <= 0.01 * zooms[axis])))
    warnings.push(
      `Voxel sizes differ: the sform has ${zooms.map((z) => z.toPrecision(4)).join(' x ')} mm, pixdim ${stated.map((z) => z.toPrecision(4)).join(' x ')} mm; the sform was followed.`,
    );
}

/** Bytes of one volume as the file stores it. */
export function frameBytes(header: NiftiHeader): number {
  return voxelCount(header.shape) * header.bytesPerVoxel;
}
