import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { byRelativeChange, changeInSteps, matchWeights } from '../../../src/core/weights/compare';
import { filterBlock } from '../../../src/core/weights/filter-block';
import { statisticsInSteps, statisticsOf } from '../../../src/core/weights/statistics';
import { tensorOver, type Dtype, type NamedTensor } from '../../../src/core/weights/tensors';
import { ROOT, havePython, python } from '../../peers';

const numpy = havePython('numpy');

interface Peer {
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: Dtype;
    readonly shape: number[];
    readonly hex: string;
    readonly expected: Readonly<Record<'min' | 'max' | 'mean' | 'sd' | 'low' | 'high', number>> &
      Readonly<Record<'nan' | 'inf' | 'zeros', number>> & { readonly counts: number[] };
  }[];
  readonly change: Readonly<Record<'l2' | 'relative' | 'cosine' | 'max' | 'changed', number>> & {
    readonly shape: number[];
    readonly before: string;
    readonly after: string;
  };
}

let peer: Peer;
beforeAll(() => {
  if (numpy)
    peer = JSON.parse(
      python(readFileSync(join(ROOT, 'test/unit/inspect/numpy_statistics.py'), 'utf8')),
    ) as Peer;
});

function fromHex(name: string, shape: number[], dtype: Dtype, hex: string): NamedTensor {
  return tensorOver(name, shape, dtype, new Uint8Array(Buffer.from(hex, 'hex')));
}

function float32(shape: readonly number[], values: ArrayLike<number>, name = 'w'): NamedTensor {
  return { name, shape, dtype: 'F32', data: Float32Array.from(values) };
}

/** Relative to the larger of both, for sums of thousands of values in another order. */
function close(value: number | null | undefined, expected: number): void {
  expect(Math.abs((value ?? NaN) - expected)).toBeLessThan(1e-9 * Math.max(1e-3, Math.abs(expected)));
}

describe.skipIf(!numpy)('numpy on the same values [needs python3-numpy]', () => {
  it.each(['f32', 'f64', 'f16', 'bf16', 'i32', 'i64', 'edges'])(
    '%s: the same moments, the same count in every bin',
    (name) => {
      const one = peer.tensors.find((tensor) => tensor.name === name);
      if (!one) throw new Error(`The peer has no ${name}.`);
      const { expected } = one;
      const found = statisticsOf(fromHex(name, one.shape, one.dtype, one.hex));
      const { min, max, nan, inf, zeros, histogram } = found;
      expect({ min, max, nan, inf, zeros }).toEqual({
        ...{ min: expected.min, max: expected.max },
        ...{ nan: expected.nan, inf: expected.inf, zeros: expected.zeros },
      });
      close(found.mean, expected.mean);
      close(found.sd, expected.sd);
      expect(histogram).toEqual({ low: expected.low, high: expected.high, counts: expected.counts });
    },
  );

  it('a change: length, angle and largest step', () => {
    const { shape, before, after, ...expected } = peer.change;
    const pair = { name: 'w', other: 'w', shape };
    const found = changeOf(pair, fromHex('w', shape, 'F32', before), fromHex('w', shape, 'F32', after));
    close(found.l2, expected.l2);
    close(found.relative, expected.relative);
    close(found.cosine, expected.cosine);
    close(found.max, expected.max);
    expect(found.changed).toBe(expected.changed);
    expect(found.compared).toBe(6 * 2 * 27);
  });
});

describe('a tensor that did not move', () => {
  it('points exactly where it pointed, however the sums are rounded', () => {
    const pair = { name: 'w', other: 'w', shape: [3] };
    for (let seed = 1; seed <= 200; seed++) {
      const same = float32([3], [seed / 7, -seed / 3, 1 / seed]);
      expect(changeOf(pair, same, same)).toMatchObject({ l2: 0, relative: 0, cosine: 1, changed: 0 });
    }
  });
});

describe('a histogram', () => {
  it('of few whole numbers has a bin for each', () => {
    const { histogram } = statisticsOf({
      ...{ name: 'n', shape: [5], dtype: 'I32' },
      data: Int32Array.of(3, 5, 5, 6, 3),
    });
    expect(histogram).toEqual({ low: 2.5, high: 6.5, counts: [2, 0, 2, 1] });
  });

  it('of one value has one bin around it; of no finite value there is none', () => {
    expect(statisticsOf(float32([3], [2, 2, 2])).histogram).toEqual({ low: 1.5, high: 2.5, counts: [3] });
    expect(statisticsOf(float32([2], [NaN, Infinity])).histogram).toBeNull();
    expect(statisticsOf(float32([0, 4], [])).histogram).toBeNull();
  });
});

describe('dead filters', () => {
  const layer = (values: (filter: number) => number[]) =>
    statisticsOf(float32([4, 2, 1, 1, 1], [0, 1, 2, 3].flatMap(values))).filters;

  it('are those whose largest weight is at most a thousandth of the root mean square of the layer', () => {
    // Root mean square of [1, 1, 1, 1, 1, 1, x, x] is a little above sqrt(6 / 8) = 0.866.
    expect(layer((filter) => (filter === 2 ? [8.6e-4, -1e-5] : [1, -1]))).toEqual({ filters: 4, dead: [2] });
    expect(layer((filter) => (filter === 2 ? [8.8e-4, -1e-5] : [1, -1]))).toEqual({ filters: 4, dead: [] });
  });

  it('are all of a layer of zeros, and none that holds NaN', () => {
    expect(layer(() => [0, 0])?.dead).toEqual([0, 1, 2, 3]);
    expect(layer((filter) => (filter === 1 ? [NaN, 0] : [filter, 1]))?.dead).toEqual([]);
  });

  it('are found wherever the pieces of the work end', () => {
    // Filters of 3 x 2^17 values: a piece of 2^19 ends within the second.
    const per = 3 * 2 ** 17;
    const data = new Float32Array(4 * per).fill(0.5);
    data.fill(0, per, 2 * per);
    data.fill(1e-7, 3 * per);
    expect(statisticsOf({ name: 'w', shape: [4, per], dtype: 'F32', data }).filters?.dead).toEqual([1, 3]);
  });

  it('are asked for of weights only: not of vectors, not of whole numbers', () => {
    expect(statisticsOf(float32([3], [0, 0, 0])).filters).toBeNull();
    expect(
      statisticsOf({ name: 'n', shape: [2, 2], dtype: 'I32', data: new Int32Array(4) }).filters,
    ).toBeNull();
  });
});

describe('statistics in steps', () => {
  it('tell how many values they have looked at, each twice', () => {
    const steps = statisticsInSteps({
      name: 'w',
      shape: [2 ** 20 + 5],
      dtype: 'F32',
      data: new Float32Array(2 ** 20 + 5),
    });
    const seen: number[] = [];
    for (let next = steps.next(); !next.done; next = steps.next()) seen.push(next.value);
    expect(seen.length).toBe(6);
    expect(seen.reduce((a, b) => a + b)).toBe(2 * (2 ** 20 + 5));
  });
});

function changeOf(...[pair, before, after]: Parameters<typeof changeInSteps>) {
  const steps = changeInSteps(pair, before, after);
  for (;;) {
    const next = steps.next();
    if (next.done) return next.value;
  }
}

describe('comparing two files', () => {
  const pair = { name: 'w', other: 'w', shape: [4] };
  const change = (before: number[], after: number[]) =>
    changeOf(pair, float32([4], before), float32([4], after));

  it('3, 4 to 3, 8: it moved by 4 of 5, its cosine is 41 / (5 sqrt(73))', () => {
    const found = change([3, 4, 0, 0], [3, 8, 0, 0]);
    expect(found).toMatchObject({ length: 5, l2: 4, relative: 0.8, max: 4, changed: 1, compared: 4 });
    expect(found.cosine).toBeCloseTo(41 / (5 * Math.sqrt(73)), 14);
  });

  it('what did not move has 0; from zero to something has no ratio and is the furthest', () => {
    const still = change([0, 0, 0, 0], [0, 0, 0, 0]);
    expect(still).toMatchObject({ relative: 0, l2: 0, cosine: null, changed: 0 });
    const begun = change([0, 0, 0, 0], [1, 0, 0, 0]);
    expect(begun).toMatchObject({ relative: null, l2: 1, cosine: null });
    const far = change([1, 0, 0, 0], [0, 9, 0, 0]);
    expect(byRelativeChange([still, far, begun])).toEqual([begun, far, still]);
  });

  it('values that are not finite in one of them are left out and counted', () => {
    expect(change([1, NaN, 2, Infinity], [1, 5, 3, Infinity])).toMatchObject({
      compared: 2,
      notFinite: 2,
      l2: 1,
    });
  });

  it('tensors meet by name, else without the usual prefixes where that is not ambiguous', () => {
    const file = (tensors: Record<string, number[]>) =>
      new Map(Object.entries(tensors).map(([name, shape]) => [name, { name, shape, dtype: 'F32' as const }]));
    const match = matchWeights(
      file({ 'conv1.weight': [2, 1], 'fc.weight': [2, 9], 'a.w': [1], only: [3] }),
      file({
        'module.conv1.weight': [2, 1],
        'fc.weight': [3, 9],
        'module.a.w': [1],
        'encoder.a.w': [1],
        more: [4],
      }),
    );
    expect(match).toEqual({
      pairs: [{ name: 'conv1.weight', other: 'module.conv1.weight', shape: [2, 1] }],
      mismatched: [{ name: 'fc.weight', here: [2, 9], there: [3, 9] }],
      missing: ['a.w', 'only'],
      unexpected: ['module.a.w', 'encoder.a.w', 'more'],
    });
  });
});

describe('a block of filters', () => {
  const filters = float32(
    [3, 2, 1, 2, 2],
    Array.from({ length: 24 }, (_, i) => i),
  );

  it('has the values of the asked channels, output by output', () => {
    expect(filterBlock(filters, { from: 1, count: 2 }, { from: 1, count: 1 })).toEqual({
      ...{ outputs: { from: 1, count: 2 }, inputs: { from: 1, count: 1 }, kernel: [1, 2, 2] },
      values: [12, 13, 14, 15, 20, 21, 22, 23],
    });
  });

  it('is cut at the end, and refused where there are no filters', () => {
    expect(filterBlock(filters, { from: 2, count: 9 }, { from: 0, count: 1 }).values).toEqual([
      16, 17, 18, 19,
    ]);
    expect(filterBlock(filters, { from: 7, count: 9 }, { from: 0, count: 1 }).values).toEqual([]);
    expect(() => filterBlock(float32([2], [1, 2]), { from: 0, count: 1 }, { from: 0, count: 1 })).toThrow(
      'w has shape [2]: filters have two to five axes',
    );
  });
});
