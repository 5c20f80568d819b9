import { heatColour } from '../../protocol/heat-colours';
import type { FileHeader } from '../../protocol/viewer';
import type { Voxels } from './voxels';

/**
 * Volumes as NiiVue is given them: a NIfTI-1 file in memory, little-endian, with the affine that the host read as its
 * sform, so that drawing and the values at the crosshair agree about where a voxel is. Overlays come with their colours
 * (RGBA): NiiVue's own colour tables lose the transparency by which low heat leaves the scan to be seen.
 */

const HEADER = 352;

/** NIfTI's codes of the types that are handed on as they are. */
const AS_IT_IS: Partial<Record<FileHeader['dataType'], number>> = { uint8: 2, int16: 4, uint16: 512 };
const FLOAT32 = 16;
const RGBA32 = 2304;

/** The scan, all its volumes. */
export function scanFile(voxels: Voxels): ArrayBuffer {
  const { bytes, header } = voxels;
  const code = AS_IT_IS[header.dataType];
  const volumeBytes = header.totalBytes - header.voxelOffset;
  if (code !== undefined && (header.littleEndian || header.bytesPerVoxel === 1)) {
    const file = new Uint8Array(HEADER + volumeBytes);
    file.set(bytes.subarray(header.voxelOffset, header.totalBytes), HEADER);
    writeHeader(file.buffer, header, header.volumes, code, header.bytesPerVoxel);
    return file.buffer;
  }
  const count = voxels.perVolume * header.volumes;
  const file = new ArrayBuffer(HEADER + 4 * count);
  const values = new Float32Array(file, HEADER);
  for (let n = 0; n < count; n++) {
    const value = voxels.at(n);
    values[n] = Number.isFinite(value) ? value : 0; // NaN would darken its neighbours as well
  }
  writeHeader(file, { ...header, slope: 1, intercept: 0 }, header.volumes, FLOAT32, 4);
  return file;
}

/** Colours of an overlay, one per voxel. */
export interface Colouring {
  /** Values that are not above it are not drawn. */
  readonly threshold: number;
  /** What the last colour means. */
  readonly max: number;
  /** By the place in 0 to max, in 256 steps: red, green, blue, cover; 0 to 255. */
  readonly table: Uint8Array;
}

/** The report's heat colours. */
export function heatTable(): Uint8Array {
  return Uint8Array.from(
    Array.from({ length: 256 }, (_, step) => {
      const { colour, share } = heatColour(step / 255);
      return [...colour, Math.round(255 * share)];
    }).flat(),
  );
}

/** One colour for all that is drawn. */
export function flatTable([red, green, blue]: readonly [number, number, number], cover: number): Uint8Array {
  return Uint8Array.from(
    Array.from({ length: 256 }, () => [red, green, blue, Math.round(255 * cover)]).flat(),
  );
}

/** An overlay's file, colours as voxels. */
export function overlayFile(values: Float32Array, header: FileHeader, colouring: Colouring): ArrayBuffer {
  const file = new ArrayBuffer(HEADER + 4 * values.length);
  paint(new Uint8Array(file, HEADER), values, colouring);
  writeHeader(file, { ...header, slope: 1, intercept: 0 }, 1, RGBA32, 4);
  return file;
}

/** Writes the colours of values into RGBA bytes. */
export function paint(target: Uint8Array, values: Float32Array, { threshold, max, table }: Colouring): void {
  const scale = max > 0 ? 255 / max : 0;
  for (let n = 0; n < values.length; n++) {
    const value = values[n];
    const out = 4 * n;
    // What is not drawn keeps the first colour: texture filtering would mix black into the rim otherwise.
    const drawn = value > threshold && value > 0;
    const step = drawn ? 4 * Math.min(255, Math.max(0, Math.round(value * scale))) : 0;
    target[out] = table[step];
    target[out + 1] = table[step + 1];
    target[out + 2] = table[step + 2];
    target[out + 3] = drawn ? table[step + 3] : 0;
  }
}

function writeHeader(
  file: ArrayBuffer,
  header: Pick<FileHeader, 'shape' | 'affine' | 'spacingMm' | 'slope' | 'intercept'>,
  volumes: number,
  code: number,
  bytesPerVoxel: number,
): void {
  const view = new DataView(file);
  const shorts = (at: number, values: readonly number[]) =>
    values.forEach((value, n) => view.setInt16(at + 2 * n, value, true));
  const floats = (at: number, values: readonly number[]) =>
    values.forEach((value, n) => view.setFloat32(at + 4 * n, value, true));
  view.setInt32(0, 348, true);
  shorts(40, [volumes > 1 ? 4 : 3, ...header.shape, volumes, 1, 1, 1]);
  shorts(70, [code, 8 * bytesPerVoxel]);
  floats(76, [1, ...header.spacingMm, 1, 0, 0, 0]);
  floats(108, [HEADER, header.slope, header.intercept]);
  view.setUint8(123, 2); // mm
  shorts(252, [0, 2]); // no qform, an sform
  floats(280, header.affine.slice(0, 12));
  [...'n+1'].forEach((letter, n) => view.setUint8(344 + n, letter.charCodeAt(0)));
}
