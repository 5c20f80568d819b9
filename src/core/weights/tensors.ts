import { bfloat16ToFloat32, halfToFloat32 } from './half';

/** The array that holds a tensor's values: F16 and BF16 as bit patterns (see half.ts), BOOL as 0 and 1. */
export interface TensorArrays {
  F64: Float64Array;
  F32: Float32Array;
  F16: Uint16Array;
  BF16: Uint16Array;
  I64: BigInt64Array;
  I32: Int32Array;
  I16: Int16Array;
  I8: Int8Array;
  U8: Uint8Array;
  BOOL: Uint8Array;
}

export type Dtype = keyof TensorArrays;

/** Bytes of one value. */
export const DTYPE_BYTES: Readonly<Record<Dtype, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

export function isDtype(text: unknown): text is Dtype {
  return typeof text === 'string' && Object.hasOwn(DTYPE_BYTES, text);
}

/**
 * A tensor as a file holds it: row-major (the last axis runs fastest), in the file's own axis order (PyTorch filters
 * are OIDHW), `data.length` = product of `shape` (1 for a scalar, whose shape is empty).
 */
export type NamedTensor = {
  [D in Dtype]: {
    readonly name: string;
    readonly shape: readonly number[];
    readonly dtype: D;
    readonly data: TensorArrays[D];
  };
}[Dtype];

export type TensorFormat = 'safetensors' | 'torch-zip' | 'torch-legacy';

/** What a weights file holds. */
export interface TensorFile {
  readonly format: TensorFormat;
  /** By name; in the state dict's order (torch) or in the order of their bytes (safetensors). */
  readonly tensors: Map<string, NamedTensor>;
  /** safetensors: `__metadata__`. torch: numbers, flags and strings that lie beside the tensors, as text. */
  readonly metadata: Record<string, string>;
  /** Sentences: what was unwrapped, what was left aside, what is odd. */
  readonly warnings: string[];
}

/** Number of values of a shape. Above 2^53 it is rounded: compare it with a limit before use. */
export function elementCount(shape: readonly number[]): number {
  return shape.includes(0) ? 0 : shape.reduce((product, length) => product * length, 1);
}

/** A tensor over bytes that it then owns: little-endian, row-major, as many as the shape asks for, at an 8-byte boundary. */
export function tensorOver(
  name: string,
  shape: readonly number[],
  dtype: Dtype,
  bytes: Uint8Array,
): NamedTensor {
  const { buffer, byteOffset } = bytes;
  const count = bytes.byteLength / DTYPE_BYTES[dtype];
  switch (dtype) {
    case 'F64':
      return { name, shape, dtype, data: new Float64Array(buffer, byteOffset, count) };
    case 'F32':
      return { name, shape, dtype, data: new Float32Array(buffer, byteOffset, count) };
    case 'F16':
    case 'BF16':
      return { name, shape, dtype, data: new Uint16Array(buffer, byteOffset, count) };
    case 'I64':
      return { name, shape, dtype, data: new BigInt64Array(buffer, byteOffset, count) };
    case 'I32':
      return { name, shape, dtype, data: new Int32Array(buffer, byteOffset, count) };
    case 'I16':
      return { name, shape, dtype, data: new Int16Array(buffer, byteOffset, count) };
    case 'I8':
      return { name, shape, dtype, data: new Int8Array(buffer, byteOffset, count) };
    case 'U8':
    case 'BOOL':
      return { name, shape, dtype, data: new Uint8Array(buffer, byteOffset, count) };
  }
}

/**
 * The values as 32-bit floats: exact for F16 and BF16, rounded for F64 and large integers. An F32 tensor gives its own
 * array, not a copy.
 */
export function toFloat32(tensor: NamedTensor): Float32Array {
  switch (tensor.dtype) {
    case 'F32':
      return tensor.data;
    case 'F16':
      return halfToFloat32(tensor.data);
    case 'BF16':
      return bfloat16ToFloat32(tensor.data);
    case 'I64':
      return Float32Array.from(tensor.data, Number);
    default:
      return new Float32Array(tensor.data);
  }
}
