/** A NIfTI file by the standard's byte table, independent of the reader and the writer under test. */
export interface NiftiFields {
  version?: 1 | 2;
  little?: boolean;
  magic?: string;
  /** dim[0] to dim[7]. */
  dim?: number[];
  datatype?: number;
  bitpix?: number;
  pixdim?: number[];
  voxOffset?: number;
  slope?: number;
  intercept?: number;
  units?: number;
  qformCode?: number;
  sformCode?: number;
  quatern?: [number, number, number];
  qoffset?: [number, number, number];
  srow?: number[];
  /** Bytes after the header's four extension bytes. */
  voxels?: Uint8Array;
}

/** Datatype codes and bits, from the standard's table. */
export const DATATYPES = {
  uint8: [2, 8],
  int16: [4, 16],
  int32: [8, 32],
  float32: [16, 32],
  complex64: [32, 64],
  float64: [64, 64],
  rgb24: [128, 24],
  int8: [256, 8],
  uint16: [512, 16],
  uint32: [768, 32],
  int64: [1024, 64],
  uint64: [1280, 64],
} as const;

/** 2 x 3 x 4 voxels of uint8 counting from 0, sform diag(2, 3, 4), unless fields say otherwise. */
export function niftiBytes(fields: NiftiFields = {}): Uint8Array<ArrayBuffer> {
  const {
    version = 1,
    little = true,
    dim = [3, 2, 3, 4, 1, 1, 1, 1],
    datatype = 2,
    bitpix = 8,
    pixdim = [1, 2, 3, 4, 1, 1, 1, 1],
    slope = 0,
    intercept = 0,
    units = 2,
    qformCode = 0,
    sformCode = 1,
    quatern = [0, 0, 0],
    qoffset = [0, 0, 0],
    srow = [2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 4, 0],
    voxels = Uint8Array.from({ length: 24 }, (_, n) => n),
  } = fields;
  const first = version === 1 ? 352 : 544;
  const { voxOffset = first } = fields;
  const bytes = new Uint8Array(first + voxels.length);
  const view = new DataView(bytes.buffer);
  const short = (at: number, value: number) => view.setInt16(at, value, little);
  const int = (at: number, value: number) => view.setInt32(at, value, little);
  const long = (at: number, value: number) => view.setBigInt64(at, BigInt(Math.trunc(value)), little);
  const float = (at: number, value: number) =>
    version === 1 ? view.setFloat32(at, value, little) : view.setFloat64(at, value, little);
  const text = (at: number, value: string) => bytes.set(new TextEncoder().encode(value), at);
  int(0, version === 1 ? 348 : 540);
  if (version === 1) {
    dim.forEach((n, axis) => short(40 + 2 * axis, n));
    short(70, datatype);
    short(72, bitpix);
    pixdim.forEach((size, axis) => float(76 + 4 * axis, size));
    float(108, voxOffset);
    float(112, slope);
    float(116, intercept);
    view.setUint8(123, units);
    short(252, qformCode);
    short(254, sformCode);
    quatern.forEach((q, n) => float(256 + 4 * n, q));
    qoffset.forEach((q, n) => float(268 + 4 * n, q));
    srow.forEach((value, n) => float(280 + 4 * n, value));
    text(344, fields.magic ?? 'n+1\0');
  } else {
    text(4, fields.magic ?? 'n+2\0\r\n\x1a\n');
    short(12, datatype);
    short(14, bitpix);
    dim.forEach((n, axis) => long(16 + 8 * axis, n));
    pixdim.forEach((size, axis) => float(104 + 8 * axis, size));
    long(168, voxOffset);
    float(176, slope);
    float(184, intercept);
    int(344, qformCode);
    int(348, sformCode);
    quatern.forEach((q, n) => float(352 + 8 * n, q));
    qoffset.forEach((q, n) => float(376 + 8 * n, q));
    srow.forEach((value, n) => float(400 + 8 * n, value));
    int(500, units);
  }
  bytes.set(voxels, first);
  return bytes;
}
