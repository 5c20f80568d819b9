import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GROUPS, type Group } from '../../../src/core/cohort/cohort';
import { innerSplit, stratifiedFolds } from '../../../src/core/cohort/folds';

interface One {
  participantId: string;
  group: Group;
  source: string;
}

const person = (participantId: string, group: Group, source = participantId): One => ({
  participantId,
  group,
  source,
});
const people = (control: number, fcd: number): One[] => [
  ...Array.from({ length: control }, (_, i) => person(`c${i}`, 'control')),
  ...Array.from({ length: fcd }, (_, i) => person(`f${i}`, 'fcd')),
];
const spread = (counts: readonly number[]): number => Math.max(...counts) - Math.min(...counts);

/** Sources with 0 to 4 cases of either group, at least one case each. */
const sources = fc
  .array(
    fc.tuple(fc.nat(4), fc.nat(4)).filter(([control, fcd]) => control + fcd > 0),
    { minLength: 2, maxLength: 40 },
  )
  .map((all) =>
    all.flatMap(([control, fcd], s) => [
      ...Array.from({ length: control }, (_, i) => person(`s${s}c${i}`, 'control', `s${s}`)),
      ...Array.from({ length: fcd }, (_, i) => person(`s${s}f${i}`, 'fcd', `s${s}`)),
    ]),
  );
const leastSources = (cases: readonly One[]): number =>
  Math.min(
    ...GROUPS.map(
      (group) => new Set(cases.filter((one) => one.group === group).map(({ source }) => source)).size,
    ),
  );

describe('stratified folds', () => {
  it('test 17 and 17 in each of five folds of ds004199', () => {
    const folds = stratifiedFolds(people(85, 85), 5, 42);
    for (const { test, train, count } of folds) {
      expect(count).toBe(5);
      expect(test.filter((id) => id.startsWith('f'))).toHaveLength(17);
      expect(test.filter((id) => id.startsWith('c'))).toHaveLength(17);
      expect(train).toHaveLength(136);
    }
    expect(folds.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4]);
  });

  it('differ by one case at most in either group and in all, where every source has one case', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 9 }),
        fc.nat(40),
        fc.nat(40),
        fc.nat(),
        (count, control, fcd, seed) => {
          const folds = stratifiedFolds(people(count + control, count + fcd), count, seed);
          const sizes = (prefix: string): number[] =>
            folds.map(({ test }) => test.filter((id) => id.startsWith(prefix)).length);
          expect(spread(sizes(''))).toBeLessThanOrEqual(1);
          expect(spread(sizes('c'))).toBeLessThanOrEqual(1);
          expect(spread(sizes('f'))).toBeLessThanOrEqual(1);
        },
      ),
    );
  });

  it('test each case once, never tear a source apart, and have both groups in every test part', () => {
    fc.assert(
      fc.property(sources, fc.integer({ min: 2, max: 6 }), fc.nat(), (cases, count, seed) => {
        fc.pre(leastSources(cases) >= count);
        const folds = stratifiedFolds(cases, count, seed);
        const byId = new Map(cases.map((one) => [one.participantId, one]));
        const all = [...byId.keys()].sort();
        expect(folds.flatMap(({ test }) => test).sort()).toEqual(all);
        for (const { train, test } of folds) {
          expect([...train, ...test].sort()).toEqual(all);
          const sourcesOf = (ids: readonly string[]): Set<string> =>
            new Set(ids.map((id) => byId.get(id)?.source ?? ''));
          const trained = sourcesOf(train);
          expect([...sourcesOf(test)].filter((source) => trained.has(source))).toEqual([]);
          for (const group of GROUPS) expect(test.some((id) => byId.get(id)?.group === group)).toBe(true);
        }
      }),
    );
  });

  it('have both groups everywhere even if only a small source with both makes it possible', () => {
    const cases = [
      ...people(4, 4).map((one) => ({ ...one, source: `all ${one.group}` })),
      person('m0', 'control', 'mixed'),
      person('m1', 'fcd', 'mixed'),
    ];
    for (let seed = 0; seed < 5; seed++)
      expect(
        stratifiedFolds(cases, 2, seed)
          .map(({ test }) => test.length)
          .sort(),
      ).toEqual([2, 8]);
  });

  it('keep the twins of a head together and the folds even: 32 heads with 2 healthy and 2 planted copies, 4 folds', () => {
    const cases = Array.from({ length: 32 }, (_, head) =>
      [0, 1, 2, 3].map((copy) => person(`h${head}-${copy}`, copy < 2 ? 'control' : 'fcd', `h${head}`)),
    ).flat();
    for (const { test } of stratifiedFolds(cases, 4, 1)) {
      expect(test).toHaveLength(32);
      expect(new Set(test.map((id) => id.split('-')[0])).size).toBe(8);
    }
  });

  it('do not depend on the order of the cases, but on the seed', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(people(20, 15), { minLength: 35 }), fc.nat(), (shuffled, seed) => {
        expect(stratifiedFolds(shuffled, 5, seed)).toEqual(stratifiedFolds(people(20, 15), 5, seed));
      }),
      { numRuns: 30 },
    );
    expect(stratifiedFolds(people(20, 15), 5, 1)).not.toEqual(stratifiedFolds(people(20, 15), 5, 2));
  });

  it('are refused where they are impossible', () => {
    expect(() => stratifiedFolds(people(10, 4), 5, 1)).toThrow(
      '5 folds need at least 5 sources with fcd cases, one for each; there are 4.',
    );
    expect(() => stratifiedFolds(people(10, 0), 5, 1)).toThrow('with fcd cases');
    expect(() => stratifiedFolds(people(10, 10), 1, 1)).toThrow('at least 2 folds, not 1');
    expect(() => stratifiedFolds(people(10, 10), 2.5, 1)).toThrow('not 2.5');
    expect(() => stratifiedFolds([...people(5, 5), person('c0', 'control')], 2, 1)).toThrow(
      'c0 occurs 2 times',
    );
    const copies = Array.from({ length: 10 }, (_, i) => person(`f${i}`, 'fcd', 'one head'));
    expect(() => stratifiedFolds([...people(10, 0), ...copies], 2, 1)).toThrow('there is 1.');
  });
});

describe('the inner split', () => {
  it('sets a fifth of either group aside', () => {
    const { train, validation } = innerSplit(people(68, 40), 0.2, 7);
    expect(validation.filter((id) => id.startsWith('c'))).toHaveLength(14);
    expect(validation.filter((id) => id.startsWith('f'))).toHaveLength(8);
    expect([...train, ...validation].sort()).toEqual(
      people(68, 40)
        .map(({ participantId }) => participantId)
        .sort(),
    );
  });

  it('parts all cases by source and leaves both groups in both parts, whatever the share', () => {
    const share = fc.double({ min: 0.01, max: 0.99, noNaN: true });
    fc.assert(
      fc.property(sources, share, fc.nat(), (cases, fraction, seed) => {
        fc.pre(leastSources(cases) >= 2);
        const { train, validation } = innerSplit(cases, fraction, seed);
        const byId = new Map(cases.map((one) => [one.participantId, one]));
        expect([...train, ...validation].sort()).toEqual([...byId.keys()].sort());
        const kept = new Set(train.map((id) => byId.get(id)?.source));
        expect(validation.filter((id) => kept.has(byId.get(id)?.source))).toEqual([]);
        for (const part of [train, validation])
          for (const group of GROUPS) expect(part.some((id) => byId.get(id)?.group === group)).toBe(true);
      }),
    );
  });

  it('does not depend on the order of the cases, but on the seed', () => {
    const cases = people(12, 12);
    expect(innerSplit([...cases].reverse(), 0.25, 3)).toEqual(innerSplit(cases, 0.25, 3));
    expect(innerSplit(cases, 0.25, 4)).not.toEqual(innerSplit(cases, 0.25, 3));
  });

  it('is refused where it is impossible', () => {
    expect(() => innerSplit(people(5, 1), 0.2, 1)).toThrow('at least 2 sources with fcd cases');
    expect(() => innerSplit(people(5, 5), 0, 1)).toThrow('between 0 and 1, not at 0');
    expect(() => innerSplit(people(5, 5), 1, 1)).toThrow('not at 1');
  });
});
