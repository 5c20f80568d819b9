import { gzipSync } from 'node:zlib';
import type { Random } from '../../../src/core/random';
import { DATATYPES, niftiBytes } from './nifti-bytes';

/** Where each field of the two headers lies: offset and type by the standard's byte table. */
const FIELDS: Record<1 | 2, readonly (readonly [number, 'i16' | 'i32' | 'i64' | 'f32' | 'f64' | 'u8'])[]> = {
  1: [
    [0, 'i32'],
    ...each(8, (n) => [40 + 2 * n, 'i16'] as const),
    [70, 'i16'],
    [72, 'i16'],
    ...each(4, (n) => [76 + 4 * n, 'f32'] as const),
    [108, 'f32'],
    [112, 'f32'],
    [116, 'f32'],
    [123, 'u8'],
    [252, 'i16'],
    [254, 'i16'],
    ...each(18, (n) => [256 + 4 * n, 'f32'] as const),
    [344, 'u8'],
    [346, 'u8'],
    [348, 'u8'],
  ],
  2: [
    [0, 'i32'],
    [4, 'u8'],
    [9, 'u8'],
    [12, 'i16'],
    [14, 'i16'],
    ...each(8, (n) => [16 + 8 * n, 'i64'] as const),
    ...each(4, (n) => [104 + 8 * n, 'f64'] as const),
    [168, 'i64'],
    [176, 'f64'],
    [184, 'f64'],
    [344, 'i32'],
    [348, 'i32'],
    ...each(18, (n) => [352 + 8 * n, 'f64'] as const),
    [500, 'i32'],
    [540, 'u8'],
  ],
};

const WHOLE = [
  0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 64, 100, 128, 139, 255, 256, 348, 352, 511, 512, 540, 768, 1024, 1280, 1536,
  1792, 2304, 4096, 32767, 65535, -1, -2, -16, -32768, 2147483647, -2147483648,
];
const REAL = [
  0,
  -0,
  1,
  -1,
  0.5,
  352,
  353.5,
  1e-45,
  1e-30,
  1e30,
  3.4e38,
  -3.4e38,
  1e308,
  NaN,
  Infinity,
  -Infinity,
  1e10,
  -352,
];

function each<T>(count: number, make: (n: number) => T): T[] {
  return Array.from({ length: count }, (_, n) => make(n));
}

/** A sound little file of random version, byte order, voxel type, dimensions and way to state its place. */
export function soundFile(random: Random): Uint8Array<ArrayBuffer> {
  const [datatype, bitpix] = random.pick(Object.values(DATATYPES));
  const dim = [random.pick([3, 3, 3, 4, 5, 2]), ...each(5, () => 1 + random.integer(5)), 1, 1];
  const count = dim.slice(1, 6).reduce((product, n) => product * n, 1);
  return niftiBytes({
    version: random.pick([1, 2] as const),
    little: random.chance(0.7),
    dim,
    datatype,
    bitpix,
    sformCode: random.integer(3),
    qformCode: random.integer(3),
    slope: random.pick([0, 1, 0.5]),
    voxels: Uint8Array.from({ length: count * (bitpix / 8) }, () => random.integer(128)),
  });
}

/**
 * A file with some damage: fields of the header at their limits, random bytes, a cut, an insertion, a repetition, an
 * extension that lies about its size, a gzip stream that is cut, changed or goes on. Deterministic for the stream.
 */
export function damagedFile(random: Random): Uint8Array {
  let bytes: Uint8Array = soundFile(random);
  const rounds = 1 + random.integer(3);
  for (let n = 0; n < rounds; n++) bytes = damaged(bytes, random);
  if (random.chance(0.5)) return bytes;
  bytes = gzipSync(bytes, { level: random.pick([0, 1, 6]) });
  if (random.chance(0.6)) bytes = random.chance(0.5) ? cut(bytes, random) : withRandomBytes(bytes, random);
  if (random.chance(0.1)) bytes = Buffer.concat([bytes, bytes]);
  if (random.chance(0.05)) bytes = gzipSync(bytes);
  return bytes;
}

function damaged(bytes: Uint8Array, random: Random): Uint8Array {
  switch (random.integer(8)) {
    case 0:
      return cut(bytes, random);
    case 1:
      return withRandomBytes(bytes, random);
    case 2: {
      const at = random.integer(bytes.length + 1);
      const more = Uint8Array.from({ length: random.integer(64) }, () => random.integer(256));
      return Buffer.concat([bytes.subarray(0, at), more, bytes.subarray(at)]);
    }
    case 3:
      return withExtension(bytes, random);
    default: {
      let out = bytes;
      for (let n = random.integer(3); n >= 0; n--) out = withOddField(out, random);
      return out;
    }
  }
}

function cut(bytes: Uint8Array, random: Random): Uint8Array {
  return bytes.slice(0, random.integer(bytes.length + 1));
}

function withRandomBytes(bytes: Uint8Array, random: Random): Uint8Array {
  const out = Uint8Array.from(bytes);
  if (out.length > 0)
    for (let n = random.integer(6); n >= 0; n--) out[random.integer(out.length)] = random.integer(256);
  return out;
}

function withOddField(bytes: Uint8Array, random: Random): Uint8Array {
  const out = Uint8Array.from(bytes);
  const version = out[0] === 348 % 256 || out[3] === 348 % 256 ? 1 : 2;
  const [at, type] = random.pick(FIELDS[version]);
  if (at + 8 > out.length) return out;
  const view = new DataView(out.buffer);
  const little = out[0] !== 0;
  const whole = random.chance(0.7) ? random.pick(WHOLE) : random.word() | 0;
  const real = random.chance(0.7) ? random.pick(REAL) : random.normal(0, 1000);
  if (type === 'u8') view.setUint8(at, whole);
  else if (type === 'i16') view.setInt16(at, whole, little);
  else if (type === 'i32') view.setInt32(at, whole, little);
  else if (type === 'i64')
    view.setBigInt64(at, random.chance(0.8) ? BigInt(whole) : BigInt(whole) << 32n, little);
  else if (type === 'f32') view.setFloat32(at, real, little);
  else view.setFloat64(at, real, little);
  return out;
}

/** Sizes of extensions that made readers loop for ever: zero, negative, longer than the file. */
function withExtension(bytes: Uint8Array, random: Random): Uint8Array {
  const first = bytes[0] === 348 % 256 || bytes[3] === 348 % 256 ? 352 : 544;
  if (bytes.length < first) return bytes;
  const out = Buffer.concat([bytes.subarray(0, first), new Uint8Array(32), bytes.subarray(first)]);
  out[first - 4] = 1;
  out.writeInt32LE(random.pick([0, 8, 16, 32, 48, -16, -32, 1 << 30]), first);
  const little = out[0] !== 0;
  const view = new DataView(out.buffer, out.byteOffset);
  if (first === 352) view.setFloat32(108, first + 32, little);
  else view.setBigInt64(168, BigInt(first + 32), little);
  return out;
}
