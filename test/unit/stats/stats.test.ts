import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../src/core/random';
import { clusterInterval } from '../../../src/core/stats/cluster';
import { mean, median, quantile, standardDeviation } from '../../../src/core/stats/describe';
import { normalCdf, normalQuantile } from '../../../src/core/stats/normal';
import { exactInterval, wilsonInterval } from '../../../src/core/stats/proportion';
import { averagePrecision, rocAuc } from '../../../src/core/stats/ranking';
import { signFlipTest } from '../../../src/core/stats/sign-flip';
import { havePython, python } from '../../peers';

const scipy = havePython('scipy');

/** Evaluates Python with numpy as np and scipy.stats as st; the code's last expression must be printable as JSON. */
function peer<T>(expression: string, data: unknown = null): T {
  const code = `import sys, json, numpy as np, scipy.stats as st\nd = json.load(sys.stdin)\nprint(json.dumps(${expression}))`;
  return JSON.parse(python(code, [], JSON.stringify(data))) as T;
}

describe('description', () => {
  it('mean, sample standard deviation and median of 2 4 4 4 5 5 7 9', () => {
    const values = [2, 4, 4, 4, 5, 5, 7, 9];
    expect(mean(values)).toBe(5);
    expect(standardDeviation(values)).toBeCloseTo(Math.sqrt(32 / 7), 14);
    expect(median(values)).toBe(4.5);
    expect(median([3, 1, 2])).toBe(2);
  });
  it('has no standard deviation of one value and no mean of none', () => {
    expect(standardDeviation([1])).toBeNull();
    expect(() => mean([])).toThrow('at least one value');
    expect(() => quantile([], 0.5)).toThrow('at least one value');
  });
  it('interpolates quantiles linearly, as numpy does by default', () => {
    // (n - 1) p = 3 x 0.25 = 0.75: 1 + 0.75 x (2 - 1)
    expect(quantile([4, 1, 3, 2], 0.25)).toBe(1.75);
    expect(quantile([4, 1, 3, 2], 0)).toBe(1);
    expect(quantile([4, 1, 3, 2], 1)).toBe(4);
    expect(quantile([1, Infinity], 0)).toBe(1);
    expect(() => quantile([1], 1.5)).toThrow('between 0 and 1, not 1.5');
  });
  it('leaves what it is given unsorted', () => {
    const values = [3, 1, 2];
    quantile(values, 0.5);
    expect(values).toEqual([3, 1, 2]);
  });
  it.skipIf(!scipy)('quantiles agree with numpy (skipped without python3-scipy)', () => {
    const values = Array.from({ length: 37 }, (_, i) => Math.sin(i * 7.3));
    const shares = [0.025, 0.1, 0.5, 0.9, 0.975];
    const expected = peer<number[]>('np.quantile(d[0], d[1]).tolist()', [values, shares]);
    shares.forEach((p, i) => expect(quantile(values, p)).toBeCloseTo(expected[i], 12));
  });
});

describe('the normal distribution', () => {
  it('has its well-known values', () => {
    expect(normalCdf(0)).toBe(0.5);
    expect(normalCdf(1)).toBeCloseTo(0.841344746068543, 14);
    expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 12);
    expect(normalQuantile(0.5)).toBe(0);
    expect(normalQuantile(0.0001)).toBeCloseTo(-3.719016485455709, 8);
    expect(() => normalQuantile(1)).toThrow('between');
  });
});

describe('intervals of a proportion', () => {
  it('Wilson: 8 of 10', () => {
    // z = 1.96: centre (0.8 + 0.19207) / 1.38415 = 0.71674, half width 0.22658
    const { low, high } = wilsonInterval(8, 10);
    expect(low).toBeCloseTo(0.4901625, 6);
    expect(high).toBeCloseTo(0.9433178, 6);
  });
  it('reach 0 and 1 exactly where nothing or everything succeeded', () => {
    // All of n: low = n / (n + z^2)
    expect(wilsonInterval(20, 20)).toEqual({
      low: expect.closeTo(20 / (20 + 3.841458821), 8) as number,
      high: 1,
    });
    expect(wilsonInterval(0, 20).low).toBe(0);
    // Clopper-Pearson, all of n: low = (alpha / 2)^(1/n)
    expect(exactInterval(20, 20)).toEqual({ low: expect.closeTo(0.025 ** (1 / 20), 12) as number, high: 1 });
    expect(exactInterval(0, 20)).toEqual({
      low: 0,
      high: expect.closeTo(1 - 0.025 ** (1 / 20), 12) as number,
    });
  });
  it('are refused for what is no proportion', () => {
    expect(() => wilsonInterval(1, 0)).toThrow('at least one trial');
    expect(() => wilsonInterval(3, 2)).toThrow('3 successes in 2 trials');
    expect(() => exactInterval(1, 2, 1)).toThrow('between 0 and 1, not at 1');
  });
  it.skipIf(!scipy)('agree with scipy.stats.binomtest (skipped without python3-scipy)', () => {
    const cases = [
      [8, 10, 0.95],
      [0, 7, 0.9],
      [7, 7, 0.99],
      [137, 170, 0.95],
    ];
    const expected = peer<number[][][]>(
      '[[list(st.binomtest(k, n).proportion_ci(level, method=m)) for m in ("wilson", "exact")] for k, n, level in d]',
      cases,
    );
    cases.forEach(([k, n, level], i) =>
      [wilsonInterval, exactInterval].forEach((interval, method) => {
        const [low, high] = expected[i][method];
        expect(interval(k, n, level).low).toBeCloseTo(low, 9);
        expect(interval(k, n, level).high).toBeCloseTo(high, 9);
      }),
    );
  });
});

describe('ranking', () => {
  it('AUC by hand: of 6 pairs 4 won, 1 tied, 1 lost', () => {
    expect(rocAuc([0.9, 0.4, 0.4, 0.3, 0.8], [1, 1, 0, 0, 0])).toBeCloseTo((3 + 1 + 0.5) / 6, 14);
  });
  it('AUC is 1/2 where all scores are equal, and undefined for one class', () => {
    expect(rocAuc([2, 2, 2], [1, 0, 0])).toBe(0.5);
    expect(rocAuc([1, 2], [1, 1])).toBeNull();
    expect(rocAuc([], [])).toBeNull();
  });
  it('average precision by hand', () => {
    // Ranks: 1 (0.9), 0 (0.8), 1 and 0 tied (0.4), 0 (0.3): 1/2 x 1/1 + 1/2 x 2/4
    expect(averagePrecision([0.9, 0.4, 0.4, 0.3, 0.8], [1, 1, 0, 0, 0])).toBe(0.75);
    // The example of scikit-learn's documentation.
    expect(averagePrecision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])).toBeCloseTo(0.8333333, 6);
    expect(averagePrecision([5, 5, 5, 5], [1, 0, 0, 0])).toBe(0.25);
    expect(averagePrecision([1], [0])).toBeNull();
    expect(averagePrecision([1], [1])).toBe(1);
  });
  it('refuses what cannot be ranked', () => {
    expect(() => rocAuc([1, NaN], [0, 1])).toThrow('Score 1 is not a number');
    expect(() => rocAuc([1, 2], [0, 2])).toThrow('Label 1 is 2');
    expect(() => averagePrecision([1], [])).toThrow('1 scores but 0 labels');
  });
  it('turns into its complement where the scores are negated', () => {
    const cases = fc.array(
      fc.record({ score: fc.integer({ min: -5, max: 5 }), label: fc.constantFrom(0, 1) }),
    );
    fc.assert(
      fc.property(cases, (all) => {
        const labels = all.map(({ label }) => label);
        const auc = rocAuc(
          all.map(({ score }) => score),
          labels,
        );
        const turned = rocAuc(
          all.map(({ score }) => -score),
          labels,
        );
        if (auc === null) expect(turned).toBeNull();
        else expect(auc + (turned as number)).toBeCloseTo(1, 12);
      }),
    );
  });
  it.skipIf(!scipy)('AUC agrees with Mann and Whitney in scipy (skipped without python3-scipy)', () => {
    const random = Random.seeded(3);
    const labels = Array.from({ length: 200 }, () => random.integer(2));
    const scores = labels.map((label) => Math.round(4 * random.normal(label)) / 4);
    const expected = peer<number>(
      'st.mannwhitneyu(np.array(d[0])[np.array(d[1])==1], np.array(d[0])[np.array(d[1])==0]).statistic / (sum(d[1]) * (len(d[1]) - sum(d[1])))',
      [scores, labels],
    );
    expect(rocAuc(scores, labels)).toBeCloseTo(expected, 12);
  });
});

describe('the cluster bootstrap', () => {
  interface Item {
    source: string;
    value: number;
  }
  const average = (items: readonly Item[]): number => mean(items.map(({ value }) => value));
  const sample = (clusters: number, copies: number, seed: number): Item[] => {
    const random = Random.seeded(seed);
    return Array.from({ length: clusters }, (_, s) => {
      const value = random.normal();
      return Array.from({ length: copies }, () => ({ source: `s${s}`, value }));
    }).flat();
  };
  const sourceOf = ({ source }: Item): string => source;

  it('has about the width of the normal interval where every item is its own cluster', () => {
    const items = sample(200, 1, 1);
    const interval = clusterInterval(items, sourceOf, average, { seed: 1 });
    const half = (1.96 * (standardDeviation(items.map(({ value }) => value)) as number)) / Math.sqrt(200);
    expect(interval?.low).toBeCloseTo(average(items) - half, 1);
    expect(((interval?.high ?? 0) - (interval?.low ?? 0)) / (2 * half)).toBeCloseTo(1, 1);
    expect(interval).toMatchObject({ level: 0.95, clusters: 200, resamples: 2000, undefinedResamples: 0 });
  });

  it('does not become narrower because each head was copied eight times', () => {
    const single = clusterInterval(sample(40, 1, 2), sourceOf, average, { seed: 9 });
    const copied = clusterInterval(sample(40, 8, 2), sourceOf, average, { seed: 9 });
    expect(copied?.low).toBeCloseTo(single?.low ?? NaN, 12);
    expect(copied?.high).toBeCloseTo(single?.high ?? NaN, 12);
    const unrelated = sample(40, 8, 2).map((item, i) => ({ ...item, source: `item ${i}` }));
    const pretended = clusterInterval(unrelated, sourceOf, average, { seed: 9 });
    const width = (interval: typeof single): number => (interval?.high ?? NaN) - (interval?.low ?? NaN);
    expect(width(pretended)).toBeLessThan(width(copied) / 2);
  });

  it('repeats for a seed and does not depend on the order of the items', () => {
    const items = sample(30, 1, 4);
    const options = { seed: 5, resamples: 300 };
    const once = clusterInterval(items, sourceOf, average, options);
    expect(clusterInterval([...items].reverse(), sourceOf, average, options)).toEqual(once);
    expect(clusterInterval(items, sourceOf, average, { ...options, seed: 6 })).not.toEqual(once);
  });

  it('covers the truth about as often as it says', () => {
    let covered = 0;
    for (let trial = 0; trial < 200; trial++) {
      const interval = clusterInterval(sample(30, 2, 100 + trial), sourceOf, average, {
        seed: trial,
        resamples: 400,
      });
      if (interval && interval.low <= 0 && interval.high >= 0) covered++;
    }
    // 95 % of 200 is 190; the percentile interval is a little narrow for 30 clusters.
    expect(covered).toBeGreaterThanOrEqual(178);
    expect(covered).toBeLessThan(200);
  });

  it('leaves out resamples without a value and counts them', () => {
    const items = [
      { source: 'a', value: 0 },
      { source: 'b', value: 1 },
    ];
    const both = (drawn: readonly Item[]): number | null =>
      new Set(drawn.map(sourceOf)).size === 2 ? 7 : null;
    const interval = clusterInterval(items, sourceOf, both, { seed: 1, resamples: 1000 });
    expect(interval).toMatchObject({ low: 7, high: 7 });
    expect(interval?.undefinedResamples).toBeGreaterThan(430);
    expect(interval?.undefinedResamples).toBeLessThan(570);
  });

  it('is null where nothing can be resampled', () => {
    expect(clusterInterval(sample(1, 5, 1), sourceOf, average, { seed: 1 })).toBeNull();
    expect(clusterInterval([], sourceOf, average, { seed: 1 })).toBeNull();
    expect(clusterInterval(sample(5, 1, 1), sourceOf, () => null, { seed: 1 })).toBeNull();
    expect(() => clusterInterval([], sourceOf, average, { seed: 1, resamples: 0 })).toThrow(
      'at least 1, not 0',
    );
  });
});

describe('the paired sign-flip test', () => {
  it('by hand: differences 1, 2, 3 are as extreme in 2 of 8 assignments', () => {
    expect(signFlipTest([1, 2, 3], { seed: 1 })).toEqual({
      p: 0.25,
      meanDifference: 2,
      n: 3,
      clusters: 3,
      exact: true,
    });
  });
  it('is two-sided', () => {
    expect(signFlipTest([-1, -2, -3], { seed: 1 })?.p).toBe(0.25);
    // |sum| >= 2 for -1 2 1: the 6 assignments with |sum| 2, 4, of 8.
    expect(signFlipTest([-1, 2, 1], { seed: 1 })?.p).toBe(0.75);
  });
  it('counts equal sums as equal whatever their rounding', () => {
    // Of the 16 sums of +-0.1 +-0.2 +-0.3 +-0.3 twelve are 0.3 or more in size, some of them 0.29999999999999993.
    expect(signFlipTest([0.1, 0.2, -0.3, 0.3], { seed: 1 })?.p).toBe(0.75);
  });
  it('says 1 for differences that are all zero, and nothing for none', () => {
    expect(signFlipTest([0, 0], { seed: 1 })?.p).toBe(1);
    expect(signFlipTest([], { seed: 1 })).toBeNull();
    expect(() => signFlipTest([1, NaN], { seed: 1 })).toThrow('Difference 1 is NaN');
  });
  it('flips whole clusters: six copies of one head are no evidence of six', () => {
    const clusters = ['a', 'a', 'a', 'a', 'b', 'b'];
    expect(signFlipTest([1, 1, 1, 1, 1, 1], { seed: 1, clusters })).toMatchObject({
      p: 0.5,
      n: 6,
      clusters: 2,
    });
    expect(signFlipTest([1, 1, 1, 1, 1, 1], { seed: 1 })?.p).toBe(2 / 64);
    expect(() => signFlipTest([1], { seed: 1, clusters })).toThrow('1 differences but 6 cluster names');
  });
  it('samples signs where there are too many, never says 0, and repeats for a seed', () => {
    const many = Array.from({ length: 60 }, () => 1);
    expect(signFlipTest(many, { seed: 1 })).toMatchObject({ p: 1 / 10000, exact: false });
    const noise = Array.from({ length: 40 }, (_, i) => Math.sin(i * i));
    expect(signFlipTest(noise, { seed: 1 })).toEqual(signFlipTest(noise, { seed: 1 }));
  });
  it.skipIf(!scipy)('agrees with scipy.stats.permutation_test (skipped without python3-scipy)', () => {
    const differences = [0.3, -0.1, 0.8, 0.5, 0.2, -0.4, 0.9, 0.05, 0.6, -0.2];
    const expected = peer<number>(
      'st.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue',
      differences,
    );
    expect(signFlipTest(differences, { seed: 1 })?.p).toBeCloseTo(expected, 12);
  });
});
