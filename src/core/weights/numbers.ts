import { bfloat16ToFloat32, halfToFloat32 } from './half';
import type { NamedTensor } from './tensors';

/**
 * Values `from` to `to` (exclusive) of a tensor as numbers: exact for all dtypes but I64, whose values above 2^53 are
 * rounded. F32 and F64 give a view of the tensor's own array.
 */
export function numbersOf(tensor: NamedTensor, from: number, to: number): Float32Array | Float64Array {
  switch (tensor.dtype) {
    case 'F32':
    case 'F64':
      return tensor.data.subarray(from, to);
    case 'F16':
      return halfToFloat32(tensor.data.subarray(from, to));
    case 'BF16':
      return bfloat16ToFloat32(tensor.data.subarray(from, to));
    case 'I64':
      return Float64Array.from(tensor.data.subarray(from, to), Number);
    default:
      return new Float64Array(tensor.data.subarray(from, to));
  }
}

/** Whether values of this dtype can lie between whole numbers. */
export function isFloating(dtype: NamedTensor['dtype']): boolean {
  return dtype === 'F32' || dtype === 'F64' || dtype === 'F16' || dtype === 'BF16';
}
