import { describe, expect, it } from 'vitest';
import { summariseTensor, summaryTable } from '../../../src/core/weights/summary';
import { toFloat32 } from '../../../src/core/weights/tensors';

describe('summary of a tensor', () => {
  it('2, 4, 4, 4, 5, 5, 7, 9: mean 5, standard deviation 2', () => {
    const data = Float32Array.of(2, 4, 4, 4, 5, 5, 7, 9);
    expect(summariseTensor({ name: 'w', shape: [2, 4], dtype: 'F32', data })).toEqual({
      name: 'w',
      shape: [2, 4],
      dtype: 'F32',
      bytes: 32,
      min: 2,
      mean: 5,
      sd: 2,
      max: 9,
      nan: 0,
      inf: 0,
    });
  });

  it('NaN and infinities are counted, not averaged', () => {
    const data = Float64Array.of(NaN, 1, Infinity, -Infinity, 3, NaN);
    expect(summariseTensor({ name: 'w', shape: [6], dtype: 'F64', data })).toMatchObject({
      min: 1,
      mean: 2,
      sd: 1,
      max: 3,
      nan: 2,
      inf: 2,
    });
    const none = summariseTensor({ name: 'w', shape: [1], dtype: 'F64', data: Float64Array.of(NaN) });
    expect(none).toMatchObject({ min: null, mean: null, sd: null, max: null, nan: 1 });
    expect(JSON.parse(JSON.stringify(none))).toEqual(none);
  });

  it('an empty tensor has no statistics', () => {
    expect(
      summariseTensor({ name: 'w', shape: [0, 3], dtype: 'F32', data: new Float32Array(0) }),
    ).toMatchObject({
      bytes: 0,
      mean: null,
      nan: 0,
    });
  });

  it('half, bfloat16, 64-bit and bool are numbers like all others', () => {
    const rows = [
      summariseTensor({ name: 'h', shape: [2], dtype: 'F16', data: Uint16Array.of(0x3c00, 0x7c00) }),
      summariseTensor({ name: 'b', shape: [2], dtype: 'BF16', data: Uint16Array.of(0x3f80, 0xc000) }),
      summariseTensor({ name: 'n', shape: [], dtype: 'I64', data: BigInt64Array.of(-5n) }),
      summariseTensor({ name: 'm', shape: [4], dtype: 'BOOL', data: Uint8Array.of(1, 0, 0, 0) }),
    ];
    expect(rows.map(({ bytes, min, mean, max, inf }) => [bytes, min, mean, max, inf])).toEqual([
      [4, 1, 1, 1, 1],
      [4, -2, -0.5, 1, 0],
      [8, -5, -5, -5, 0],
      [4, 0, 0.25, 1, 0],
    ]);
    expect(summaryTable(rows)).toBe(
      [
        'name  shape   dtype  bytes  min  mean     sd  max  NaN  Inf',
        'h     2       F16        4    1     1      0    1    0    1',
        'b     2       BF16       4   -2  -0.5    1.5    1    0    0',
        'n     scalar  I64        8   -5    -5      0   -5    0    0',
        'm     4       BOOL       4    0  0.25  0.433    1    0    0',
        '4 tensors, 20 bytes',
      ].join('\n'),
    );
  });

  it('a name cannot steer the terminal', () => {
    const row = summariseTensor({ name: '\x1b[2Jw\n', shape: [1], dtype: 'U8', data: Uint8Array.of(1) });
    expect(summaryTable([row])).toContain('\ufffd[2Jw\ufffd');
  });
});

describe('values as 32-bit floats', () => {
  it('an F32 tensor gives its own array; others are converted', () => {
    const data = Float32Array.of(1, 2);
    expect(toFloat32({ name: 'w', shape: [2], dtype: 'F32', data })).toBe(data);
    expect([...toFloat32({ name: 'w', shape: [1], dtype: 'F64', data: Float64Array.of(0.1) })]).toEqual([
      Math.fround(0.1),
    ]);
    expect([...toFloat32({ name: 'w', shape: [1], dtype: 'I64', data: BigInt64Array.of(-3n) })]).toEqual([
      -3,
    ]);
    expect([...toFloat32({ name: 'w', shape: [1], dtype: 'F16', data: Uint16Array.of(0xc000) })]).toEqual([
      -2,
    ]);
    expect([...toFloat32({ name: 'w', shape: [1], dtype: 'BF16', data: Uint16Array.of(0xc000) })]).toEqual([
      -2,
    ]);
    expect([...toFloat32({ name: 'w', shape: [2], dtype: 'BOOL', data: Uint8Array.of(0, 1) })]).toEqual([
      0, 1,
    ]);
  });
});
