import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { heatScoreOf, scoreMap } from '../../../src/core/explain/heat-score';
import {
  cohortNull,
  exceedsNull,
  maskVoxels,
  midline,
  mirrorMask,
  nullScores,
  scoreRow,
  type ScoreRow,
} from '../../../src/core/explain/null';
import { Random } from '../../../src/core/random';
import { affineFromSpacing } from '../../../src/core/volume/affine';
import type { Affine, Grid, Mask, Volume } from '../../../src/core/volume/volume';

function row(values: readonly number[], affine: Affine = affineFromSpacing([2, 2, 2])): Volume {
  return { shape: [values.length, 1, 1], affine, data: Float32Array.from(values) };
}

function rowMask(text: string, affine: Affine = affineFromSpacing([2, 2, 2])): Mask {
  return { shape: [text.length, 1, 1], affine, data: Uint8Array.from(text, (c) => (c === '#' ? 1 : 0)) };
}

const drawn = (mask: Mask): string => [...mask.data].map((v) => (v ? '#' : '.')).join('');

describe('the mirrored mask', () => {
  it("is reflected at the brain's centre of mass, whichever way i runs", () => {
    const brain = '.######...';
    const lesion = '.##.......';
    for (const affine of [
      affineFromSpacing([2, 2, 2], [-7, 0, 0]),
      affineFromSpacing([-2, 2, 2], [30, 0, 0]),
    ]) {
      const at = midline(rowMask(brain, affine));
      expect(at).toBeCloseTo(affine[3] + 3.5 * affine[0], 12);
      expect(drawn(mirrorMask(rowMask(lesion, affine), at))).toBe('.....##...');
    }
  });

  it('crosses left to right in scanner space where another voxel axis runs left to right', () => {
    // k runs to the right, i to the back.
    const affine: Affine = [0, 0, 1, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    const mask: Mask = { shape: [2, 2, 4], affine, data: new Uint8Array(16) };
    mask.data[1 + 2 * (0 + 2 * 3)] = 1;
    expect([...maskVoxels(mirrorMask(mask, 1.5))]).toEqual([1 + 2 * (0 + 2 * 0)]);
  });

  it('mirrored again is the mask itself, wherever the midline lies between voxels', () => {
    const bits = fc.array(fc.boolean(), { minLength: 8, maxLength: 8 });
    fc.assert(
      fc.property(bits, fc.double({ min: -6, max: 6, noNaN: true }), (inside, offMm) => {
        // Eight voxels in the middle of forty: no reflection leaves the grid.
        const text = '.'.repeat(16) + inside.map((v) => (v ? '#' : '.')).join('') + '.'.repeat(16);
        const mask = rowMask(text);
        const at = 39 + offMm;
        expect(drawn(mirrorMask(mirrorMask(mask, at), at))).toBe(text);
      }),
    );
  });

  it('needs a brain', () => {
    expect(() => midline(rowMask('....'))).toThrow('The brain mask is empty');
  });
});

describe('the null of one map', () => {
  const heat = row([0, 6, 4, 1, 1, 2, 2, 0]);
  const brain = rowMask('.######.');
  const roi = rowMask('.##.....');
  // Mean over the brain: 16 / 6.
  const mean = 16 / 6;

  it('scores the same map against the mirrored mask, other masks, and randomised maps against the same mask', () => {
    const result = nullScores({
      heat,
      roi,
      brain,
      otherMasks: [
        { id: 'sub-2', mask: rowMask('...##...') },
        { id: 'sub-3', mask: rowMask('......##') },
        { id: 'sub-4', mask: rowMask('.......#') },
      ],
      randomMaps: [
        { id: 'seed 1', heat: row([9, 1, 1, 1, 1, 1, 1, 0]) },
        { id: 'seed 2', heat: row([0, 0, 0, 0, 0, 0, 0, 0]) },
      ],
    });
    expect(result.observed).toBe(5 / mean);
    expect(result.scores).toEqual([
      { kind: 'mirrored', from: 'own mask', score: 2 / mean },
      { kind: 'other-mask', from: 'sub-2', score: 1 / mean },
      // Only its voxel inside this brain counts.
      { kind: 'other-mask', from: 'sub-3', score: 2 / mean },
      { kind: 'other-mask', from: 'sub-4', score: null },
      { kind: 'random-network', from: 'seed 1', score: 1 },
      { kind: 'random-network', from: 'seed 2', score: null },
    ]);
    expect(result.mirrorOverlap).toBe(0);
    // 0.375, 0.75, 0.75, 1: position 0.95 x 3 = 2.85 between the third and the fourth.
    expect(result.summary?.n).toBe(4);
    expect(result.summary?.mean).toBeCloseTo(2.875 / 4, 12);
    expect(result.summary?.p95).toBeCloseTo(0.75 + 0.85 * 0.25, 12);
    expect(exceedsNull(result.observed, result.summary)).toBe(true);
    expect(exceedsNull(0.96, result.summary)).toBe(false);
  });

  it('is not exceeded by a score that does not exist, nor where there is no null', () => {
    expect(exceedsNull(null, { n: 1, mean: 0, p95: 0 })).toBe(false);
    expect(exceedsNull(3, undefined)).toBe(false);
  });

  it('observes what the Heat-Score says', () => {
    expect(nullScores({ heat, roi, brain }).observed).toBe(heatScoreOf(scoreMap({ heat, roi, brain })).score);
  });

  it('says how far a lesion at the midline is its own mirror image', () => {
    expect(nullScores({ heat, roi: rowMask('..###...'), brain }).mirrorOverlap).toBeCloseTo(2 / 3, 12);
  });

  it('refuses masks that say nothing', () => {
    expect(() => nullScores({ heat, roi: rowMask('........'), brain })).toThrow(
      /is empty.*Controls have none/,
    );
    expect(() => nullScores({ heat, roi: rowMask('#.......'), brain })).toThrow(/outside the brain mask/);
    const elsewhere = rowMask('.##.....', affineFromSpacing([2, 2, 3]));
    const shorter = rowMask('.##');
    expect(() => nullScores({ heat, roi, brain, otherMasks: [{ id: 'sub-9', mask: shorter }] })).toThrow(
      /The lesion mask of sub-9 \(3 x 1 x 1\) does not lie on the grid/,
    );
    expect(() => nullScores({ heat, roi: elsewhere, brain })).not.toThrow();
    const far = { id: 'sub-8', voxels: Int32Array.of(2, 8) };
    expect(() => scoreRow({ id: 'a', source: 'a', heat, roi, brain, masks: [far] })).toThrow(
      'The lesion mask of sub-8 reaches beyond the grid of the class map of a (8 x 1 x 1).',
    );
  });
});

/** A cohort of maps on one grid: `signal` is added to noise inside each map's own lesion. */
function cohort(count: number, signal: number, seed: number, copies = 1): ScoreRow[] {
  const random = Random.seeded(seed);
  const grid: Grid = { shape: [12, 6, 6], affine: affineFromSpacing([1, 1, 1]) };
  const brain: Mask = { ...grid, data: new Uint8Array(432).fill(1) };
  const cases = Array.from({ length: count }, (_, index) => {
    const roi = { ...grid, data: new Uint8Array(432) };
    const start = random.integer(400);
    roi.data.fill(1, start, start + 20);
    const data = Float32Array.from(roi.data, (inside) => Math.max(0, random.normal(1) + signal * inside));
    return {
      id: `sub-${index}`,
      source: `head-${Math.floor(index / copies)}`,
      heat: { ...grid, data },
      roi,
      brain,
    };
  });
  const masks = cases.map(({ id, roi }) => ({ id, voxels: maskVoxels(roi) }));
  return cases.map((given) => scoreRow({ ...given, masks }));
}

describe('the null of a cohort', () => {
  it('is far below the mean score of maps that follow their lesions', () => {
    const result = cohortNull(cohort(20, 2, 1), { seed: 7, draws: 999 });
    expect(result.exceeds).toBe(true);
    expect(result.p).toBe(1 / 1000);
    expect(result.distribution.length).toBe(999);
    // Other masks are drawn without regard to the map: their mean score stays near chance.
    const mean = result.distribution.reduce((sum, value) => sum + value) / 999;
    expect(Math.abs(mean - 1)).toBeLessThan(0.2);
  });

  it('is exceeded by chance in about one cohort of twenty where maps do not follow lesions', () => {
    let exceeded = 0;
    let p = 0;
    for (let seed = 0; seed < 100; seed++) {
      const result = cohortNull(cohort(12, 0, seed + 100), { seed, draws: 199 });
      if (result.exceeds) exceeded++;
      p += result.p / 100;
    }
    // Binomial(100, 0.05): more than 13 happens less than once in two thousand times.
    expect(exceeded).toBeLessThanOrEqual(13);
    expect(p).toBeGreaterThan(0.35);
    expect(p).toBeLessThan(0.65);
  });

  it('is the same for the same seed, and ascending', () => {
    const rows = cohort(6, 1, 3);
    const once = cohortNull(rows, { seed: 1, draws: 50 });
    expect(cohortNull(rows, { seed: 1, draws: 50 })).toEqual(once);
    expect(cohortNull(rows, { seed: 2, draws: 50 }).distribution).not.toEqual(once.distribution);
    expect([...once.distribution]).toEqual([...once.distribution].sort((a, b) => a - b));
  });

  it('scores a map against another head or its own mirrored mask, never against its own or a copy', () => {
    const bare = (id: string, source: string, own: number, others: number[]): ScoreRow => ({
      id,
      source,
      own,
      mirrored: 0.5,
      others,
    });
    // A map scores 100 against every mask of its own head, and 1 or 2 against those of the other one.
    const rows = [
      bare('a1', 'a', 100, [100, 100, 1, 2]),
      bare('a2', 'a', 100, [100, 100, 1, 2]),
      bare('b1', 'b', 100, [1, 2, 100, 100]),
      bare('b2', 'b', 100, [1, 2, 100, 100]),
    ];
    const { distribution, observed, p } = cohortNull(rows, { seed: 3, draws: 200 });
    expect(observed).toBe(100);
    expect(p).toBe(1 / 201);
    // Heads stay (all mirrored, 0.5) or change places (a choice of 1 and 2 for each).
    expect(distribution[0]).toBe(0.5);
    expect(Math.max(...distribution)).toBeLessThanOrEqual(2);
    expect(distribution.every((mean) => mean === 0.5 || mean >= 1)).toBe(true);
  });

  it('leaves all-zero maps out, or counts them as 0 on both sides, and says how many there were', () => {
    const rows = cohort(9, 1, 4);
    const zero: ScoreRow = {
      id: 'z',
      source: 'z',
      own: null,
      mirrored: null,
      others: new Array<null>(10).fill(null),
    };
    const all = [...rows.map((row) => ({ ...row, others: [...row.others, 1] })), zero];
    const out = cohortNull(all, { seed: 1, draws: 100 });
    const counted = cohortNull(all, { seed: 1, draws: 100, zeroMaps: 'as 0' });
    expect([out.n, out.zeroMaps, counted.n, counted.zeroMaps]).toEqual([9, 1, 10, 1]);
    expect(counted.observed).toBeCloseTo(out.observed * 0.9, 12);
    expect(counted.p95).toBeCloseTo(out.p95 * 0.9, 12);
  });

  it('refuses rows that do not know every mask, and cohorts without a score', () => {
    const rows = cohort(3, 1, 5);
    expect(() => cohortNull(rows.slice(1), { seed: 1 })).toThrow(
      'The row of sub-1 has scores against 3 masks, but the cohort has 2',
    );
    expect(() => cohortNull([], { seed: 1 })).toThrow('There are no maps');
    const zero = { id: 'z', source: 'z', own: null, mirrored: null, others: [null] };
    expect(() => cohortNull([zero], { seed: 1 })).toThrow('All 1 maps are zero everywhere');
    expect(() => cohortNull([{ ...zero, own: 2 }], { seed: 1 })).toThrow('there is no null');
  });
});
