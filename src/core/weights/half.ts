/**
 * 16-bit floats as bit patterns in a Uint16Array (Float16Array is not in every supported Node): IEEE 754 binary16
 * (`F16`) and bfloat16 (`BF16`, the upper half of a binary32). Widening is exact; narrowing rounds to nearest, ties to
 * even, and overflows to infinity, as PyTorch and NumPy do. A NaN stays a NaN.
 */

/** Binary16 bit patterns to their values. */
export function halfToFloat32(bits: Uint16Array): Float32Array {
  const values = new Float32Array(bits.length);
  const words = new Uint32Array(values.buffer);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i];
    const sign = (half & 0x8000) << 16;
    const exponent = half & 0x7c00;
    if (exponent === 0x7c00) words[i] = sign | 0x7f800000 | ((half & 0x3ff) << 13);
    // 112 = 127 - 15, the difference of the two exponent biases.
    else if (exponent !== 0) words[i] = sign | (((half & 0x7fff) << 13) + (112 << 23));
    else values[i] = (sign === 0 ? 1 : -1) * (half & 0x3ff) * 2 ** -24;
  }
  return values;
}

/** Values to the nearest binary16 bit patterns; from 65520 on to infinity. */
export function float32ToHalf(values: Float32Array): Uint16Array {
  const bits = new Uint16Array(values.length);
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const rounded = new Float32Array(1);
  const roundedWord = new Uint32Array(rounded.buffer);
  for (let i = 0; i < words.length; i++) {
    const sign = (words[i] >>> 16) & 0x8000;
    const magnitude = words[i] & 0x7fffffff;
    if (magnitude > 0x7f800000) bits[i] = sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff);
    else if (magnitude >= 0x477ff000) bits[i] = sign | 0x7c00;
    else if (magnitude >= 0x38800000)
      bits[i] = sign | ((magnitude - (112 << 23) + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
    else {
      // Below 2^-14 halves are multiples of 2^-24, which is the spacing of binary32 just above 0.5: let it round.
      rounded[0] = Math.abs(values[i]) + 0.5;
      bits[i] = sign | (roundedWord[0] - 0x3f000000);
    }
  }
  return bits;
}

/** Bfloat16 bit patterns to their values. */
export function bfloat16ToFloat32(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  return new Float32Array(words.buffer);
}

/** Values to the nearest bfloat16 bit patterns. */
export function float32ToBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint16Array(values.length);
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    const isNaN = (word & 0x7fffffff) > 0x7f800000;
    bits[i] = isNaN ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return bits;
}
