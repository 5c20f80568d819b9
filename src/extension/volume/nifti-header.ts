import type { FileHeader } from '../../protocol/viewer';

/**
 * The header of a NIfTI-1 or NIfTI-2 file, as far as showing it needs: the extension host reads it before anything is
 * sent to the webview, without a process (an untrusted workspace may start none). The rules are those of the library
 * (src/core/volume/nifti-header.ts), which a test holds this against: sform before qform before bare voxel sizes.
 */

type DataType = FileHeader['dataType'];

/** NIfTI's datatype codes that have one real number per voxel, and their sizes in bytes. */
const DATA_TYPES: Readonly<Record<number, readonly [DataType, number]>> = {
  2: ['uint8', 1],
  4: ['int16', 2],
  8: ['int32', 4],
  16: ['float32', 4],
  64: ['float64', 8],
  256: ['int8', 1],
  512: ['uint16', 2],
  768: ['uint32', 4],
  1024: ['int64', 8],
  1280: ['uint64', 8],
};

const NOT_SHOWN: Readonly<Record<number, string>> = {
  1: 'one bit per voxel',
  32: 'complex numbers',
  128: 'RGB colours',
  1536: '128-bit floats',
  1792: 'complex numbers',
  2048: 'complex numbers',
  2304: 'RGBA colours',
};

/** mm per length unit, by the lower three bits of xyzt_units. */
const MILLIMETRES: Readonly<Record<number, number>> = { 1: 1000, 2: 1, 3: 0.001 };

/** Bytes of the longest header with its extension flag: what must be read before {@link parseHeader}. */
export const HEADER_BYTES = 544;

/** Why a file is not shown; the message is the sentence for the reader. */
export class Unshowable extends Error {}

interface Fields {
  readonly version: 1 | 2;
  readonly littleEndian: boolean;
  readonly dim: readonly number[];
  readonly pixdim: readonly number[];
  readonly datatype: number;
  readonly voxelOffset: number;
  readonly slope: number;
  readonly intercept: number;
  readonly units: number;
  readonly qformCode: number;
  readonly sformCode: number;
  readonly quatern: readonly number[];
  readonly qoffset: readonly number[];
  readonly srow: readonly number[];
  readonly description: string;
}

/**
 * @param bytes the first {@link HEADER_BYTES} of the inflated file, or all where it is shorter.
 * @param name how sentences call the file.
 * @throws Unshowable for what is no NIfTI file, is damaged, or holds something else than one number per voxel.
 */
export function parseHeader(bytes: Uint8Array, name: string): FileHeader {
  const fields = readFields(bytes, name);
  const count = fields.dim[0];
  if (!(count >= 1 && count <= 7))
    throw new Unshowable(
      `${name} is damaged: its header states ${count} dimensions, 1 to 7 are possible. Copy it again.`,
    );
  const sizes = fields.dim.slice(1, count + 1);
  const bad = sizes.findIndex((n) => !(n >= 1));
  if (bad >= 0)
    throw new Unshowable(
      `${name} is damaged: its header states ${sizes[bad]} voxels along axis ${bad + 1}. Copy it again.`,
    );
  const shape = [sizes[0], sizes[1] ?? 1, sizes[2] ?? 1];
  const volumes = sizes.slice(3).reduce((product, n) => product * n, 1);

  const type = DATA_TYPES[fields.datatype];
  if (!type)
    throw new Unshowable(
      NOT_SHOWN[fields.datatype]
        ? `${name} has ${NOT_SHOWN[fields.datatype]} (datatype ${fields.datatype}); images with one real number per voxel are shown. Convert it first.`
        : `${name} is damaged: datatype ${fields.datatype} does not exist. Copy it again.`,
    );
  const [dataType, bytesPerVoxel] = type;

  const remarks: string[] = [];
  const first = fields.version === 1 ? 352 : 544;
  const voxelOffset = fields.voxelOffset === 0 ? first : fields.voxelOffset;
  if (!(Number.isSafeInteger(voxelOffset) && voxelOffset >= first))
    throw new Unshowable(
      `${name} is damaged: its voxels are to begin at byte ${voxelOffset}. Copy it again.`,
    );

  const unscaled = fields.slope === 0 || !Number.isFinite(fields.slope);
  const slope = unscaled ? 1 : fields.slope;
  const intercept = unscaled ? 0 : fields.intercept;
  if (!Number.isFinite(intercept))
    throw new Unshowable(
      `${name}: no value can be told, scl_inter is ${intercept}. Correct the header with the tool that wrote it.`,
    );

  const { affine, affineFrom } = place(fields, shape, name);
  if (affineFrom === 'pixdim')
    remarks.push(
      'The file does not say where left and right are (sform and qform codes are 0): i is taken to run to the left, as in Analyze files.',
    );
  const totalBytes = voxelOffset + shape.reduce((product, n) => product * n, 1) * volumes * bytesPerVoxel;
  return {
    version: fields.version,
    littleEndian: fields.littleEndian,
    shape,
    volumes,
    affine,
    affineFrom,
    spacingMm: [0, 1, 2].map((axis) => Math.hypot(affine[axis], affine[4 + axis], affine[8 + axis])),
    orientation: axisLetters(affine),
    dataType,
    bytesPerVoxel,
    slope,
    intercept,
    voxelOffset,
    totalBytes,
    description: fields.description,
    remarks,
  };
}

function readFields(bytes: Uint8Array, name: string): Fields {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stated = bytes.length >= 4 ? [view.getInt32(0, true), view.getInt32(0, false)] : [];
  const length = [348, 540].find((n) => stated.includes(n));
  if (length === undefined)
    throw new Unshowable(
      bytes.length < 4
        ? `${name} is no NIfTI image: it has ${bytes.length} bytes. Copy or download it again.`
        : `${name} is no NIfTI image: it does not begin with a NIfTI header. Open it as text to see what it is, or convert it.`,
    );
  if (bytes.length < length)
    throw new Unshowable(`${name} is cut off inside its header. Copy or download it again.`);
  const littleEndian = stated[0] === length;
  const version = length === 348 ? 1 : 2;
  const at = version === 1 ? 344 : 4;
  const magic = String.fromCharCode(...bytes.subarray(at, at + 3));
  if (magic === `ni${version}`)
    throw new Unshowable(
      `${name} is one half of a .hdr/.img pair, which is not shown. Join the pair into one .nii file.`,
    );
  if (magic !== `n+${version}`)
    throw new Unshowable(
      `${name} is no NIfTI image: its magic field is ${JSON.stringify(magic)} (Analyze 7.5 files look like this). Convert it to NIfTI.`,
    );
  const short = (offset: number) => view.getInt16(offset, littleEndian);
  const int = (offset: number) => view.getInt32(offset, littleEndian);
  const long = (offset: number) => Number(view.getBigInt64(offset, littleEndian));
  const float = (offset: number) => view.getFloat32(offset, littleEndian);
  const double = (offset: number) => view.getFloat64(offset, littleEndian);
  const row = (read: (offset: number) => number, from: number, count: number, step: number) =>
    Array.from({ length: count }, (_, n) => read(from + n * step));
  const text = (from: number) =>
    new TextDecoder('latin1').decode(bytes.subarray(from, from + 80)).replace(/\0.*$/s, '');
  if (version === 1)
    return {
      version,
      littleEndian,
      dim: row(short, 40, 8, 2),
      datatype: short(70),
      pixdim: row(float, 76, 8, 4),
      voxelOffset: float(108),
      slope: float(112),
      intercept: float(116),
      units: bytes[123] & 7,
      description: text(148),
      qformCode: short(252),
      sformCode: short(254),
      quatern: row(float, 256, 3, 4),
      qoffset: row(float, 268, 3, 4),
      srow: row(float, 280, 12, 4),
    };
  return {
    version,
    littleEndian,
    datatype: short(12),
    dim: row(long, 16, 8, 8),
    pixdim: row(double, 104, 8, 8),
    voxelOffset: long(168),
    slope: double(176),
    intercept: double(184),
    description: text(240),
    qformCode: int(344),
    sformCode: int(348),
    quatern: row(double, 352, 3, 8),
    qoffset: row(double, 376, 3, 8),
    srow: row(double, 400, 12, 8),
    units: int(500) & 7,
  };
}

function place(
  fields: Fields,
  shape: readonly number[],
  name: string,
): { affine: number[]; affineFrom: FileHeader['affineFrom'] } {
  const affineFrom = fields.sformCode > 0 ? 'sform' : fields.qformCode > 0 ? 'qform' : 'pixdim';
  const zooms = [1, 2, 3].map((n) => Math.abs(fields.pixdim[n]) || (shape[n - 1] === 1 ? 1 : NaN));
  let rows: number[];
  if (affineFrom === 'sform') rows = [...fields.srow];
  else if (affineFrom === 'qform') rows = fromQuaternion(fields, zooms);
  else {
    const [x, y, z] = zooms;
    const [ni, nj, nk] = shape;
    rows = [-x, 0, 0, (x * (ni - 1)) / 2, 0, y, 0, (-y * (nj - 1)) / 2, 0, 0, z, (-z * (nk - 1)) / 2];
  }
  const scale = MILLIMETRES[fields.units] ?? 1;
  const affine = [...rows.map((x) => x * scale), 0, 0, 0, 1];
  const box = [0, 1, 2].map((axis) => Math.hypot(affine[axis], affine[4 + axis], affine[8 + axis]));
  const volume = Math.abs(determinant(affine));
  // The axes do not span space: the voxel's volume is below a millionth of its box's.
  if (!(affine.every(Number.isFinite) && volume > 1e-6 * box[0] * box[1] * box[2] && volume < Infinity))
    throw new Unshowable(
      `${name} cannot be placed in space: the affine from its ${affineFrom} is singular or no number. Correct the header with the tool that wrote it.`,
    );
  return { affine, affineFrom };
}

/** Method 2 of the NIfTI standard. */
function fromQuaternion({ quatern: [b, c, d], qoffset, pixdim }: Fields, zooms: readonly number[]): number[] {
  const squares = b * b + c * c + d * d;
  // Rounding can bring a half turn just over 1; then the rotation is the normalised (b, c, d).
  const norm = squares > 1 ? Math.sqrt(squares) : 1;
  const [x, y, z] = [b / norm, c / norm, d / norm];
  const a = Math.sqrt(Math.max(0, 1 - (x * x + y * y + z * z)));
  const qfac = pixdim[0] < 0 ? -1 : 1;
  const [u, v, w] = [zooms[0], zooms[1], zooms[2] * qfac];
  return [
    (a * a + x * x - y * y - z * z) * u,
    2 * (x * y - a * z) * v,
    2 * (x * z + a * y) * w,
    qoffset[0],
    2 * (x * y + a * z) * u,
    (a * a + y * y - x * x - z * z) * v,
    2 * (y * z - a * x) * w,
    qoffset[1],
    2 * (x * z - a * y) * u,
    2 * (y * z + a * x) * v,
    (a * a + z * z - x * x - y * y) * w,
    qoffset[2],
  ];
}

function determinant(m: readonly number[]): number {
  return (
    m[0] * (m[5] * m[10] - m[6] * m[9]) -
    m[1] * (m[4] * m[10] - m[6] * m[8]) +
    m[2] * (m[4] * m[9] - m[5] * m[8])
  );
}

const LETTERS = ['LR', 'PA', 'IS'];

/** The anatomical direction of each voxel axis, every direction used once; an oblique grid gets its nearest letters. */
export function axisLetters(affine: readonly number[]): string {
  const size = [0, 1, 2].map((axis) => Math.hypot(affine[axis], affine[4 + axis], affine[8 + axis]));
  const cosine = (row: number, axis: number) => affine[4 * row + axis] / size[axis];
  let best: readonly number[] = [0, 1, 2];
  let most = -Infinity;
  for (const rows of [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
  ]) {
    const sum = rows.reduce((total, row, axis) => total + Math.abs(cosine(row, axis)), 0);
    if (sum > most) [best, most] = [rows, sum];
  }
  return best.map((row, axis) => LETTERS[row][cosine(row, axis) < 0 ? 0 : 1]).join('');
}
