import { endianness } from 'node:os';
import { InputError } from '../errors';
import type { ByteSource } from './byte-source';
import { openBytes } from './byte-source';
import type { NiftiHeader } from './nifti-header';
import { frameBytes, headerLength, parseNiftiHeader, SHORT_HEADER } from './nifti-header';
import type { NiftiType } from './nifti-types';
import type { Triple, Volume, VoxelArray } from './volume';
import { voxelCount } from './volume';

export interface NiftiOptions {
  /** Which volume of a file with more than one, from 0. Without it the first is read, and a warning says so. */
  readonly index?: number;
  /** The largest volume to accept, in bytes as stored or as float32, whichever is more. Default 4 GiB. */
  readonly maxBytes?: number;
  /** What to do about NaN and infinite voxels: refuse the file (default), keep them, or put 0 there; the latter two warn. */
  readonly nan?: 'error' | 'keep' | 'zero';
}

export interface NiftiImage {
  /** Values in file units: slope and intercept applied. */
  readonly volume: Volume;
  readonly dtype: NiftiType;
  /** Volumes in the file. */
  readonly frames: number;
  /** Voxel sizes in mm. */
  readonly spacing: Triple;
  readonly affineSource: NiftiHeader['affineSource'];
  /** Sentences about what was taken on trust, replaced or rounded. */
  readonly warnings: readonly string[];
  readonly header: NiftiHeader;
}

const GIB = 2 ** 30;

/**
 * Reads one volume of a NIfTI-1 or -2 file, plain or gzipped (told by content). The file is read and inflated piece by
 * piece, no further than its header claims. Throws an InputError that names file and field for anything that is wrong.
 */
export async function readNifti(path: string, options: NiftiOptions = {}): Promise<NiftiImage> {
  const source = await openBytes(path);
  try {
    return await readImage(source, path, options);
  } finally {
    await source.close();
  }
}

/** Reads and checks the header alone; InputErrors as {@link readNifti}. */
export async function readNiftiHeader(path: string): Promise<NiftiHeader> {
  const source = await openBytes(path);
  try {
    return (await readHeader(source, path)).header;
  } finally {
    await source.close();
  }
}

/** Reads the header and not a byte more; `position` is where the source stands then. */
async function readHeader(
  source: ByteSource,
  path: string,
): Promise<{ header: NiftiHeader; position: number }> {
  const short = await readUpTo(source, SHORT_HEADER);
  const rest = await readUpTo(source, Math.max(0, (headerLength(short) ?? 0) - short.length));
  const bytes = Buffer.concat([short, rest]);
  return { header: parseNiftiHeader(bytes, path), position: bytes.length };
}

async function readUpTo(source: ByteSource, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  return bytes.subarray(0, await source.read(bytes));
}

async function readImage(source: ByteSource, path: string, options: NiftiOptions): Promise<NiftiImage> {
  const { header, position } = await readHeader(source, path);
  const warnings = [...header.warnings];
  const index = chosenFrame(header, options.index, path, warnings);
  const first = header.voxelOffset + index * frameBytes(header);
  checkSize(header, first, source, path, options.maxBytes ?? 4 * GIB);

  const skipped = await source.skip(first - position);
  if (skipped < first - position) throw new InputError(cutOff(header, path, position + skipped));
  const data = allocate(header, path);
  const inexact = await readVoxels(source, header, path, first, data);
  if (index === header.frames - 1 && !(await reachesEnd(source)))
    warnings.push('The file goes on after the last voxel that its header claims; the rest was not read.');

  if (inexact > 0)
    warnings.push(
      `${inexact} of ${data.length} ${header.dtype} voxels hold more digits than float32 can; they were rounded to about 7 digits.`,
    );
  treatNonFinite(data, header, path, options.nan ?? 'error', warnings);
  return {
    volume: { data, shape: header.shape, affine: header.affine },
    dtype: header.dtype,
    frames: header.frames,
    spacing: header.spacing,
    affineSource: header.affineSource,
    warnings,
    header,
  };
}

function chosenFrame(
  header: NiftiHeader,
  index: number | undefined,
  path: string,
  warnings: string[],
): number {
  if (index === undefined) {
    if (header.frames > 1) warnings.push(`The file has ${header.frames} volumes; the first was read.`);
    return 0;
  }
  if (Number.isInteger(index) && index >= 0 && index < header.frames) return index;
  throw new InputError(
    `${path} has ${header.frames === 1 ? 'one volume' : `${header.frames} volumes`}, so there is no volume ${index}: they count from 0.`,
  );
}

/** Before anything is allocated: is the claim within the limit, and can the file hold what it claims? */
function checkSize(
  header: NiftiHeader,
  first: number,
  source: ByteSource,
  path: string,
  maxBytes: number,
): void {
  const bytes = Math.max(frameBytes(header), 4 * voxelCount(header.shape));
  const shape = header.shape.join(' x ');
  if (!(bytes <= maxBytes))
    throw new InputError(
      `${path}: dim[1..3] claim ${shape} voxels of ${header.dtype}, ${gib(bytes)} in memory; the limit is ${gib(maxBytes)}. If the header is right, raise the limit.`,
    );
  if (!(first + frameBytes(header) <= source.mostBytes))
    throw new InputError(cutOff(header, path, source.mostBytes, source.gzip ? 'at most ' : ''));
}

function cutOff(header: NiftiHeader, path: string, end: number, atMost = ''): string {
  const held = Math.max(0, end - header.voxelOffset);
  return `${path} is cut off: its header claims ${header.dimensions.join(' x ')} voxels of ${header.dtype} from byte ${header.voxelOffset} on, but the file holds ${atMost}${held} bytes there. Copy or download it again.`;
}

function gib(bytes: number): string {
  return `${(bytes / GIB).toPrecision(3)} GiB`;
}

function allocate(header: NiftiHeader, path: string): Float32Array<ArrayBuffer> {
  try {
    return new Float32Array(voxelCount(header.shape));
  } catch {
    throw new InputError(
      `${path}: ${header.shape.join(' x ')} voxels need ${gib(4 * voxelCount(header.shape))}, which this process cannot get. Use a machine with more memory or a smaller image.`,
    );
  }
}

/** Reading on to the end of a gzip file makes zlib compare its checksum; a file may bear a little padding. */
async function reachesEnd(source: ByteSource): Promise<boolean> {
  const padding = 65536;
  return (await source.skip(padding)) < padding;
}

function treatNonFinite(
  data: Float32Array,
  header: NiftiHeader,
  path: string,
  nan: 'error' | 'keep' | 'zero',
  warnings: string[],
): void {
  let count = 0;
  let firstAt = -1;
  for (let at = 0; at < data.length; at++)
    if (!Number.isFinite(data[at])) {
      if (count++ === 0) firstAt = at;
      if (nan === 'zero') data[at] = 0;
    }
  if (count === 0) return;
  const [ni, nj] = header.shape;
  const voxel = `${firstAt % ni}, ${Math.floor(firstAt / ni) % nj}, ${Math.floor(firstAt / (ni * nj))}`;
  const found = `${count} of ${data.length} voxels are NaN or infinite (in float32), the first at (${voxel})`;
  if (nan === 'error')
    throw new InputError(
      `${path}: ${found}. Mend the image, or ask for these voxels to be kept or set to 0.`,
    );
  warnings.push(`${found}; ${nan === 'zero' ? 'they were set to 0' : 'they were kept'}.`);
}

/** Bytes that are taken at a time: the stored form of a volume never lies in memory whole. A multiple of every voxel size. */
const PIECE = 1 << 20;

/** Fills `data` from the source, which stands at byte `first`; returns how many numbers float32 cannot hold exactly. */
async function readVoxels(
  source: ByteSource,
  header: NiftiHeader,
  path: string,
  first: number,
  data: Float32Array,
): Promise<number> {
  const { bytesPerVoxel } = header;
  const foreign = header.byteOrder !== (endianness() === 'LE' ? 'little' : 'big');
  const piece = new Uint8Array(Math.min(PIECE, frameBytes(header)));
  let inexact = 0;
  for (let done = 0; done < data.length;) {
    const wanted = Math.min(piece.length, (data.length - done) * bytesPerVoxel);
    const came = await source.read(piece.subarray(0, wanted));
    if (came < wanted) throw new InputError(cutOff(header, path, first + done * bytesPerVoxel + came));
    if (foreign) swapBytes(piece.subarray(0, wanted), bytesPerVoxel);
    const part = data.subarray(done, done + wanted / bytesPerVoxel);
    inexact += decode(piece.buffer, header, part);
    done += part.length;
  }
  return inexact;
}

function swapBytes(bytes: Uint8Array, size: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (size === 2) buffer.swap16();
  else if (size === 4) buffer.swap32();
  else if (size === 8) buffer.swap64();
}

/** Stored numbers, in this machine's byte order, to values; returns how many float32 cannot hold exactly. */
function decode(stored: ArrayBuffer, header: NiftiHeader, values: Float32Array): number {
  const n = values.length;
  switch (header.dtype) {
    case 'uint8':
      return scale(new Uint8Array(stored, 0, n), header, values);
    case 'int8':
      return scale(new Int8Array(stored, 0, n), header, values);
    case 'uint16':
      return scale(new Uint16Array(stored, 0, n), header, values);
    case 'int16':
      return scale(new Int16Array(stored, 0, n), header, values);
    case 'float32':
      return scale(new Float32Array(stored, 0, n), header, values);
    case 'uint32':
      return scaleAndCount(new Uint32Array(stored, 0, n), header, values);
    case 'int32':
      return scaleAndCount(new Int32Array(stored, 0, n), header, values);
    case 'float64':
      return scaleAndCount(new Float64Array(stored, 0, n), header, values);
    case 'uint64':
      return scaleLong(stored, new Uint32Array(stored, 0, 2 * n), header, values);
    case 'int64':
      return scaleLong(stored, new Int32Array(stored, 0, 2 * n), header, values);
  }
}

type Scaling = Pick<NiftiHeader, 'slope' | 'intercept'>;

/** Types whose every number is a float32. */
function scale(stored: VoxelArray, { slope, intercept }: Scaling, values: Float32Array): number {
  if (slope === 1 && intercept === 0) values.set(stored);
  else for (let at = 0; at < values.length; at++) values[at] = slope * stored[at] + intercept;
  return 0;
}

function scaleAndCount(stored: VoxelArray, { slope, intercept }: Scaling, values: Float32Array): number {
  let inexact = 0;
  for (let at = 0; at < values.length; at++) {
    const number = stored[at];
    if (Math.fround(number) !== number && Number.isFinite(number)) inexact++;
    values[at] = slope * number + intercept;
  }
  return inexact;
}

/** 64-bit integers by halves (BigInt would be a hundred times slower); `words` sees the upper halves with their sign. */
function scaleLong(
  stored: ArrayBuffer,
  words: Uint32Array | Int32Array,
  { slope, intercept }: Scaling,
  values: Float32Array,
): number {
  const unsigned = new Uint32Array(stored, 0, words.length);
  const [low, high] = endianness() === 'LE' ? [0, 1] : [1, 0];
  let inexact = 0;
  for (let at = 0; at < values.length; at++) {
    const upper = words[2 * at + high] * 4294967296;
    const number = upper + unsigned[2 * at + low];
    if (Math.fround(number) !== number || number - upper !== unsigned[2 * at + low]) inexact++;
    values[at] = slope * number + intercept;
  }
  return inexact;
}
