import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bfloat16ToFloat32,
  float32ToBfloat16,
  float32ToHalf,
  halfToFloat32,
} from '../../../src/core/weights/half';
import { havePython, python } from '../../peers';

const half = (value: number): number => float32ToHalf(Float32Array.of(value))[0];
const bfloat16 = (value: number): number => float32ToBfloat16(Float32Array.of(value))[0];

/** Every pattern of 16 bits. */
const ALL = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

describe('binary16', () => {
  it.each([
    [0x0000, 0],
    [0x8000, -0],
    [0x3c00, 1],
    [0xc000, -2],
    [0x3555, 0.333251953125],
    [0x7bff, 65504],
    [0x0400, 2 ** -14],
    [0x03ff, (1023 / 1024) * 2 ** -14],
    [0x0001, 2 ** -24],
    [0x7c00, Infinity],
    [0xfc00, -Infinity],
  ])('pattern %i is %d, both ways', (bits, value) => {
    expect(halfToFloat32(Uint16Array.of(bits))[0]).toBe(value);
    expect(half(value)).toBe(bits);
  });

  it('rounds to nearest, ties to even, overflows at 65520', () => {
    expect(half(1 + 2 ** -11)).toBe(0x3c00);
    expect(half(1 + 2 ** -11 + 2 ** -20)).toBe(0x3c01);
    expect(half(1 + 3 * 2 ** -11)).toBe(0x3c02);
    expect(half(2 ** -25)).toBe(0);
    expect(half(2 ** -25 * (1 + 2 ** -20))).toBe(1);
    expect(half(3 * 2 ** -25)).toBe(2);
    expect(half(2 ** -14 - 2 ** -26)).toBe(0x0400);
    expect(half(65519.99)).toBe(0x7bff);
    expect(half(65520)).toBe(0x7c00);
    expect(half(1e30)).toBe(0x7c00);
  });

  it('every pattern survives a round trip; a NaN stays a NaN', () => {
    const values = halfToFloat32(ALL);
    const back = float32ToHalf(values);
    for (const bits of ALL) {
      if (Number.isNaN(values[bits]))
        expect(Number.isNaN(halfToFloat32(back.subarray(bits, bits + 1))[0])).toBe(true);
      else if (back[bits] !== bits)
        expect.fail(`0x${bits.toString(16)} came back as 0x${back[bits].toString(16)}`);
    }
  });
});

describe('bfloat16', () => {
  it('is the upper half of a float32, rounded to nearest even', () => {
    expect(bfloat16(1)).toBe(0x3f80);
    expect(bfloat16(-2)).toBe(0xc000);
    expect(bfloat16(1 + 2 ** -8)).toBe(0x3f80);
    expect(bfloat16(1 + 3 * 2 ** -8)).toBe(0x3f82);
    expect(bfloat16(3.4e38)).toBe(0x7f80);
    expect(bfloat16ToFloat32(Uint16Array.of(0x4049))[0]).toBe(3.140625);
    expect(bfloat16ToFloat32(Uint16Array.of(bfloat16(NaN)))[0]).toBeNaN();
  });

  it('every pattern that is no NaN survives a round trip', () => {
    const values = bfloat16ToFloat32(ALL);
    const back = float32ToBfloat16(values);
    expect([...ALL].filter((bits) => !Number.isNaN(values[bits]) && back[bits] !== bits)).toEqual([]);
  });

  it('narrows by at most half a step', () => {
    fc.assert(
      fc.property(
        fc.float({ noNaN: true, noDefaultInfinity: true, min: Math.fround(-3e38), max: Math.fround(3e38) }),
        (value) => {
          const near = bfloat16ToFloat32(Uint16Array.of(bfloat16(value)))[0];
          expect(Math.abs(near - value)).toBeLessThanOrEqual(Math.max(Math.abs(value) * 2 ** -8, 2 ** -134));
        },
      ),
      { seed: 5 },
    );
  });
});

/** Float32 patterns of all exponents, with ties and their neighbours. */
function probes(): Uint32Array {
  const words: number[] = [];
  for (let exponent = 0; exponent < 256; exponent++)
    for (const mantissa of [
      0, 1, 0xfff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x3001, 0x7fff, 0x8000, 0x8001, 0x18000, 0x7fffff,
    ])
      for (const sign of [0, 0x80000000]) words.push((sign | (exponent << 23) | mantissa) >>> 0);
  // All ties of the subnormal halves.
  for (let k = 0; k < 1024; k++) words.push(new Uint32Array(Float32Array.of((k + 0.5) * 2 ** -24).buffer)[0]);
  return Uint32Array.from(words);
}

function base64(array: Uint16Array | Uint32Array): string {
  return Buffer.from(array.buffer).toString('base64');
}

describe('against numpy', () => {
  const words = probes();
  const values = new Float32Array(words.buffer);
  const isNumber = (_: number, i: number): boolean => !Number.isNaN(values[i]);

  it.skipIf(!havePython('numpy'))('binary16 as numpy has it [needs python3-numpy]', () => {
    const out = python(
      `import base64, sys, numpy as np
np.seterr(all='ignore')
values = np.frombuffer(base64.b64decode(sys.stdin.read()), '<f4')
wide = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
print(base64.b64encode(values.astype(np.float16).tobytes()).decode())
print(base64.b64encode(wide.tobytes()).decode())`,
      [],
      base64(words),
    );
    const [narrow, wide] = out.split('\n').map((line) => new Uint8Array(Buffer.from(line, 'base64')).buffer);
    expect(float32ToHalf(values).filter(isNumber)).toEqual(new Uint16Array(narrow).filter(isNumber));
    expect(halfToFloat32(ALL)).toEqual(new Float32Array(wide));
  });
});
