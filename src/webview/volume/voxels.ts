import type { FileHeader } from '../../protocol/viewer';
import { apply, inverse, type Matrix, type Point } from './affine';

/** Lowest and highest finite value of a volume, and how many voxels are above 0. */
export interface Extent {
  readonly min: number;
  readonly max: number;
  readonly positive: number;
}

/**
 * The values of a file in its own units (slope and intercept applied), read from its bytes. What is said at the
 * crosshair comes from here, not from the drawing, which filters and windows.
 */
export class Voxels {
  readonly mmToVoxel: Matrix;
  private readonly read: (index: number) => number;

  /** @param bytes the whole inflated file. */
  constructor(
    readonly bytes: Uint8Array<ArrayBuffer>,
    readonly header: FileHeader,
  ) {
    this.mmToVoxel = inverse(header.affine);
    this.read = reader(bytes, header);
  }

  get perVolume(): number {
    const [ni, nj, nk] = this.header.shape;
    return ni * nj * nk;
  }

  /** The voxel whose middle is nearest to a place; undefined outside of the grid. */
  voxelAt(mm: Point): [number, number, number] | undefined {
    const voxel = apply(this.mmToVoxel, mm).map(Math.round) as [number, number, number];
    return voxel.every((n, axis) => n >= 0 && n < this.header.shape[axis])
      ? (voxel.map((n) => n + 0) as [number, number, number]) // -0 is 0
      : undefined;
  }

  /** Value of a voxel of the grid. */
  value([i, j, k]: Point, volume = 0): number {
    const [ni, nj] = this.header.shape;
    return this.at(i + ni * (j + nj * k) + volume * this.perVolume);
  }

  /** Value by the position in the file. */
  at(index: number): number {
    const { slope, intercept } = this.header;
    return slope * this.read(index) + intercept;
  }

  /** All values of a volume as float32, in the file's order. */
  volume(volume = 0): Float32Array<ArrayBuffer> {
    const values = new Float32Array(this.perVolume);
    const from = volume * this.perVolume;
    for (let n = 0; n < values.length; n++) values[n] = this.at(from + n);
    return values;
  }
}

/** Not a number and infinite count as absent. Of a volume without any finite value min and max are NaN. */
export function extentOf(values: Float32Array): Extent {
  let min = Infinity;
  let max = -Infinity;
  let positive = 0;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < min) min = value;
    if (value > max) max = value;
    if (value > 0) positive++;
  }
  return min > max ? { min: NaN, max: NaN, positive } : { min, max, positive };
}

/**
 * A voxel well inside of what is above a threshold: in the slice that has the most of it, there in the row that has the
 * most, there the middle one. (The centre of mass of several lesions, or of a bent one, lies outside of all.)
 * Undefined where nothing is above.
 */
export function middleOf(
  values: Float32Array,
  shape: readonly number[],
  threshold: number,
): [number, number, number] | undefined {
  const [ni, nj, nk] = shape;
  const fullest = (counts: Uint32Array) => counts.reduce((best, n, at) => (n > counts[best] ? at : best), 0);
  const slices = new Uint32Array(nk);
  for (let n = 0; n < values.length; n++) if (values[n] > threshold) slices[Math.floor(n / (ni * nj))]++;
  const k = fullest(slices);
  if (slices[k] === 0) return undefined;
  const rows = new Uint32Array(nj);
  for (let n = 0; n < ni * nj; n++) if (values[n + k * ni * nj] > threshold) rows[Math.floor(n / ni)]++;
  const j = fullest(rows);
  const inRow = Array.from({ length: ni }, (_, i) => i).filter(
    (i) => values[i + ni * (j + nj * k)] > threshold,
  );
  return [inRow[Math.floor(inRow.length / 2)], j, k];
}

/** Where the highest value is, in voxels; undefined where none is finite. */
export function peakOf(values: Float32Array, shape: readonly number[]): [number, number, number] | undefined {
  let at = -1;
  for (let n = 0; n < values.length; n++)
    if (Number.isFinite(values[n]) && (at < 0 || values[n] > values[at])) at = n;
  const [ni, nj] = shape;
  return at < 0 ? undefined : [at % ni, Math.floor(at / ni) % nj, Math.floor(at / (ni * nj))];
}

function reader(bytes: Uint8Array<ArrayBuffer>, header: FileHeader): (index: number) => number {
  const { dataType, littleEndian, voxelOffset, bytesPerVoxel } = header;
  const count = Math.floor((bytes.byteLength - voxelOffset) / bytesPerVoxel);
  const from = bytes.byteOffset + voxelOffset;
  // Typed arrays are many times as fast as a DataView, where byte order and alignment allow them.
  if ((littleEndian || bytesPerVoxel === 1) && from % bytesPerVoxel === 0) {
    const array = typedArray(dataType, bytes.buffer, from, count);
    return (index) => Number(array[index]);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = (index: number) => voxelOffset + index * bytesPerVoxel;
  switch (dataType) {
    case 'uint8':
      return (index) => view.getUint8(at(index));
    case 'int8':
      return (index) => view.getInt8(at(index));
    case 'int16':
      return (index) => view.getInt16(at(index), littleEndian);
    case 'uint16':
      return (index) => view.getUint16(at(index), littleEndian);
    case 'int32':
      return (index) => view.getInt32(at(index), littleEndian);
    case 'uint32':
      return (index) => view.getUint32(at(index), littleEndian);
    case 'int64':
      return (index) => Number(view.getBigInt64(at(index), littleEndian));
    case 'uint64':
      return (index) => Number(view.getBigUint64(at(index), littleEndian));
    case 'float32':
      return (index) => view.getFloat32(at(index), littleEndian);
    case 'float64':
      return (index) => view.getFloat64(at(index), littleEndian);
  }
}

function typedArray(
  dataType: FileHeader['dataType'],
  buffer: ArrayBuffer,
  from: number,
  count: number,
): ArrayLike<number | bigint> {
  switch (dataType) {
    case 'uint8':
      return new Uint8Array(buffer, from, count);
    case 'int8':
      return new Int8Array(buffer, from, count);
    case 'int16':
      return new Int16Array(buffer, from, count);
    case 'uint16':
      return new Uint16Array(buffer, from, count);
    case 'int32':
      return new Int32Array(buffer, from, count);
    case 'uint32':
      return new Uint32Array(buffer, from, count);
    case 'int64':
      return new BigInt64Array(buffer, from, count);
    case 'uint64':
      return new BigUint64Array(buffer, from, count);
    case 'float32':
      return new Float32Array(buffer, from, count);
    case 'float64':
      return new Float64Array(buffer, from, count);
  }
}
