import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FLAG_MEANINGS,
  HEAT_SCORE_VARIANTS,
  heatScoreOf,
  scoreMap,
  type MapToScore,
} from '../../../src/core/explain/heat-score';
import { rankStatistics } from '../../../src/core/explain/rank-statistics';
import { Random } from '../../../src/core/random';
import { affineFromSpacing } from '../../../src/core/volume/affine';
import type { Affine, Mask, Shape3, Volume } from '../../../src/core/volume/volume';
import { havePython, python } from '../../peers';

/** A row of voxels along i, 2 x 3 x 4 mm each unless said otherwise. */
function row(values: readonly number[], affine: Affine = affineFromSpacing([2, 3, 4])): Volume {
  return { shape: [values.length, 1, 1], affine, data: Float32Array.from(values) };
}

function rowMask(text: string, affine: Affine = affineFromSpacing([2, 3, 4])): Mask {
  return { shape: [text.length, 1, 1], affine, data: Uint8Array.from(text, (c) => (c === '#' ? 1 : 0)) };
}

/** Ten voxels: the brain is the middle eight, the lesion two of them, the map zero in one place and negative in another. */
const heat = row([9, 1, 2, 3, 8, 4, 0, -5, 2, 7]);
const brain = rowMask('.########.');
const roi = rowMask('...##.....');
const head = rowMask('##########');

describe('Heat-Scores by hand', () => {
  // Over B: 1 2 3 8 4 0 0 2, sum 20, mean 2.5. Over R: 3 and 8, mean 5.5. B without R: sum 9 over 6, mean 1.5.
  const scores = scoreMap({ heat, roi, brain, head });

  it('names every variant with its score, both means and the size of the lesion', () => {
    const size = { roiVoxels: 2, roiMl: (2 * 24) / 1000 };
    const squares = [1.5, 0.5, 0.5, 5.5, 1.5, 2.5, 2.5, 0.5].reduce((sum, d) => sum + d * d, 0);
    const sd = Math.sqrt(squares / 8);
    expect(scores.heatScores).toEqual([
      { variant: 'roi/brain', score: 5.5 / 2.5, roiMean: 5.5, referenceMean: 2.5, ...size },
      { variant: 'roi/outside', score: 5.5 / 1.5, roiMean: 5.5, referenceMean: 1.5, ...size },
      { variant: 'roi/head', score: 5.5 / 3.6, roiMean: 5.5, referenceMean: 3.6, ...size },
      { variant: 'roi/grid', score: 5.5 / 3.6, roiMean: 5.5, referenceMean: 3.6, ...size },
      { variant: 'z', score: 3 / sd, roiMean: 5.5, referenceMean: 2.5, referenceSd: sd, ...size },
    ]);
    expect(scores.heatScores.map(({ variant }) => variant)).toEqual([...HEAT_SCORE_VARIANTS]);
  });

  it('takes roi/brain where no variant is named, and asks for a head mask where roi/head is', () => {
    expect(heatScoreOf(scores).variant).toBe('roi/brain');
    expect(() => heatScoreOf(scoreMap({ heat, roi, brain }), 'roi/head')).toThrow('needs a head mask');
  });

  it('has the mass fraction beside them', () => {
    expect(scores.companions.massFraction).toBe(11 / 20);
    expect(scores.companions.volumeFraction).toBe(2 / 8);
    expect(scores.roi).toEqual({ voxels: 2, ml: 0.048, voxelsInBrain: 2 });
    expect(scores.brain).toEqual({ voxels: 8, ml: 0.192 });
  });

  it('ranks the voxels of the brain', () => {
    // Positives 3 and 8 against 1 2 4 0 0 2: 3 beats five of six, 8 all six.
    expect(scores.companions.auroc).toBeCloseTo(11 / 12, 12);
    // From the top: 8 (1/1), 4, 3 (2/3).
    expect(scores.companions.averagePrecision).toBeCloseTo((1 + 2 / 3) / 2, 12);
    // The two hottest voxels are 8 and 4: one of two.
    expect(scores.companions.topDice).toBe(0.5);
  });

  it('finds the maximum of the whole grid, and says that it lies outside the brain', () => {
    expect(scores.companions).toMatchObject({ peak: [0, 0, 0], pointing: false, peakDistanceMm: 6 });
    expect(scores.flags).toEqual(['peak-outside-brain']);
  });
});

describe('the pointing game', () => {
  const brain = rowMask('##########');
  const roi = rowMask('.......##.');

  it('hits inside the lesion, nearly within 5 mm through the affine, and misses beyond', () => {
    const at = (voxel: number): Volume => row([...brain.data.keys()].map((v) => (v === voxel ? 2 : 1)));
    const play = (voxel: number) => scoreMap({ heat: at(voxel), roi, brain }).companions;
    expect(play(7)).toMatchObject({ pointing: true, pointing5mm: true, peakDistanceMm: 0 });
    expect(play(5)).toMatchObject({ pointing: false, pointing5mm: true, peakDistanceMm: 4 });
    expect(play(4)).toMatchObject({ pointing: false, pointing5mm: false, peakDistanceMm: 6 });
  });

  it('counts exactly 5 mm as near, and one hundredth more as not', () => {
    const peakTwoVoxelsOff = (spacing: number): boolean | null => {
      const affine = affineFromSpacing([spacing, 1, 1]);
      const map = row([0, 0, 0, 0, 0, 1, 0, 0, 0, 0], affine);
      const masks = { roi: rowMask('.......##.', affine), brain: rowMask('##########', affine) };
      return scoreMap({ heat: map, ...masks }).companions.pointing5mm;
    };
    expect([peakTwoVoxelsOff(2.5), peakTwoVoxelsOff(2.505)]).toEqual([true, false]);
  });

  it('measures along oblique axes', () => {
    // Voxel axes turned by 45 degrees in the plane, 3 mm voxels: the distance stays 3 mm times the steps.
    const s = 3 * Math.SQRT1_2;
    const oblique: Affine = [s, -s, 0, 10, s, s, 0, -20, 0, 0, 3, 5, 0, 0, 0, 1];
    const shape: Shape3 = [5, 5, 1];
    const map: Volume = { shape, affine: oblique, data: new Float32Array(25) };
    map.data[0] = 1;
    const mask: Mask = { shape, affine: oblique, data: new Uint8Array(25) };
    mask.data[4 + 5 * 3] = 1;
    const all: Mask = { ...mask, data: new Uint8Array(25).fill(1) };
    expect(scoreMap({ heat: map, roi: mask, brain: all }).companions.peakDistanceMm).toBeCloseTo(15, 9);
  });

  it('takes the middle of a plateau and says that there is one', () => {
    const scores = scoreMap({ heat: row([1, 1, 5, 5, 5, 1, 1, 1, 1, 1]), roi, brain });
    expect(scores.companions.peak).toEqual([3, 0, 0]);
    expect(scores.flags).toEqual(['tied-maximum']);
  });
});

describe('maps and masks that leave something undefined', () => {
  it('has no score for a map that is zero after ReLU, and says so', () => {
    const scores = scoreMap({ heat: row([0, -1, 0, 0, -3, 0, 0, 0, 0, 0]), roi, brain, head });
    expect(scores.heatScores.map(({ score }) => score)).toEqual([null, null, null, null, null]);
    expect(scores.flags).toEqual(['all-zero-map']);
    const { volumeFraction, ...rest } = scores.companions;
    expect(volumeFraction).toBe(0.25);
    expect(new Set(Object.values(rest))).toEqual(new Set([null]));
  });

  it('scores 1 for a constant map, without z or a peak', () => {
    const scores = scoreMap({ heat: row(new Array<number>(10).fill(0.1)), roi, brain, head });
    for (const { variant, score } of scores.heatScores)
      if (variant === 'z') expect(score).toBeNull();
      else expect(score).toBeCloseTo(1, 12);
    expect(scores.flags).toEqual(['flat-in-brain', 'flat-map']);
    expect(scores.companions).toMatchObject({
      auroc: 0.5,
      topDice: 0.25,
      averagePrecision: 0.25,
      peak: null,
    });
  });

  it('has no score relative to a brain without heat, and still one relative to the grid', () => {
    const scores = scoreMap({ heat: row([3, 0, 0, 0, 0, 0, 0, 0, 0, 0]), roi, brain });
    expect(heatScoreOf(scores).score).toBeNull();
    expect(heatScoreOf(scores, 'roi/grid').score).toBe(0);
    expect(scores.flags).toEqual(['no-heat-in-brain', 'peak-outside-brain']);
  });

  it('has no roi/outside where all heat of the brain lies in the lesion', () => {
    const scores = scoreMap({ heat: row([0, 0, 0, 1, 2, 0, 0, 0, 0, 0]), roi, brain });
    expect(heatScoreOf(scores, 'roi/outside').score).toBeNull();
    expect(heatScoreOf(scores).score).toBe(4);
    expect(scores.flags).toEqual(['no-heat-outside-roi']);
  });

  it('scores a lesion that sticks out of the brain over all of it, and says that it does', () => {
    const scores = scoreMap({ heat, roi: rowMask('.......###'), brain });
    expect(heatScoreOf(scores).roiMean).toBe(3);
    expect(scores.flags).toContain('roi-partly-outside-brain');
    expect(scores.companions.massFraction).toBe(2 / 20);
  });

  it('has no comparison where the lesion is the brain', () => {
    const scores = scoreMap({ heat, roi: brain, brain });
    expect(heatScoreOf(scores, 'roi/outside')).toMatchObject({ score: null, referenceMean: null });
    expect(scores.companions.auroc).toBeNull();
    expect(scores.flags).toContain('brain-is-roi');
  });

  it('has a sentence for every flag', () => {
    for (const meaning of Object.values(FLAG_MEANINGS)) expect(meaning.length).toBeGreaterThan(30);
  });
});

describe('what cannot be scored is refused in a sentence', () => {
  const refuse = (given: Partial<MapToScore>, sentence: RegExp | string): void =>
    expect(() => scoreMap({ heat, roi, brain, ...given })).toThrow(sentence);

  it('an empty lesion mask: controls have no Heat-Score', () => {
    refuse(
      { roi: rowMask('..........'), names: { roi: 'sub-07_roi.nii.gz' } },
      'The lesion mask sub-07_roi.nii.gz is empty: no voxel is above 0. A Heat-Score needs a drawn lesion, and controls have none: leave them out.',
    );
  });

  it('a lesion mask of another size or place', () => {
    refuse(
      { roi: rowMask('...##...') },
      /lesion mask \(8 x 1 x 1\) does not lie on the grid of the class map/,
    );
    const moved = rowMask('...##.....', affineFromSpacing([2, 3, 4], [0, 0, 0.1]));
    refuse({ roi: moved }, /size or affine differ\. Resample the mask/);
  });

  it('but not a mask whose header differs by rounding', () => {
    const rounded = rowMask('...##.....', affineFromSpacing([2, 3, 4], [0, 0, 0.0005]));
    expect(heatScoreOf(scoreMap({ heat, roi: rounded, brain })).score).toBe(2.2);
  });

  it('a lesion mask outside the brain', () => {
    refuse(
      { roi: rowMask('#.........') },
      /lies entirely outside the brain mask \(1 voxels, none in common\)/,
    );
  });

  it('an empty brain or head mask', () => {
    refuse({ brain: rowMask('..........') }, 'The brain mask is empty');
    refuse({ head: rowMask('..........') }, 'The head mask is empty');
  });

  it('a map that is not finite, with the voxel', () => {
    const values = [...heat.data];
    values[6] = NaN;
    refuse({ heat: row(values) }, 'The class map holds NaN at voxel (6, 0, 0)');
  });

  it('a map that does not fill its grid', () => {
    refuse(
      { heat: { ...heat, shape: [5, 3, 1] } },
      'The class map holds 10 voxels, but its grid 5 x 3 x 1 has 15.',
    );
  });
});

describe('properties of Heat-Scores', () => {
  const shape: Shape3 = [5, 4, 3];
  const affine = affineFromSpacing([1, 1, 2]);
  const cells = 60;
  const maps = fc
    .array(fc.oneof(fc.constant(0), fc.float({ min: 0, max: 100, noNaN: true })), {
      minLength: cells,
      maxLength: cells,
    })
    .map((values): Volume => ({ shape, affine, data: Float32Array.from(values, (v) => Math.fround(v) + 0) }));
  const regions = fc
    .array(fc.constantFrom('lesion', 'brain', 'brain', 'brain', 'air'), {
      minLength: cells,
      maxLength: cells,
    })
    .filter((labels) => labels.includes('lesion') && labels.includes('brain'))
    .map((labels) => ({
      roi: { shape, affine, data: Uint8Array.from(labels, (label) => (label === 'lesion' ? 1 : 0)) },
      brain: { shape, affine, data: Uint8Array.from(labels, (label) => (label === 'air' ? 0 : 1)) },
    }));

  it('roi/brain is mass fraction over volume fraction where the lesion lies in the brain', () => {
    fc.assert(
      fc.property(maps, regions, (heat, masks) => {
        const scores = scoreMap({ heat, ...masks });
        const { massFraction, volumeFraction } = scores.companions;
        if (massFraction === null) expect(heatScoreOf(scores).score).toBeNull();
        else expect(heatScoreOf(scores).score).toBeCloseTo(massFraction / volumeFraction, 9);
      }),
    );
  });

  it('a positive factor changes no score', () => {
    fc.assert(
      fc.property(maps, regions, fc.integer({ min: -20, max: 20 }), (heat, masks, power) => {
        const scaled = { ...heat, data: heat.data.map((value) => value * 2 ** power) };
        // Powers of two are exact, but for values that underflow.
        fc.pre(scaled.data.every((value, at) => value / 2 ** power === heat.data[at]));
        const before = scoreMap({ heat, ...masks });
        const after = scoreMap({ heat: scaled, ...masks });
        expect(after.companions).toEqual(before.companions);
        after.heatScores.forEach(({ score }, index) => {
          const expected = before.heatScores[index].score;
          if (expected === null) expect(score).toBeNull();
          else expect(score).toBeCloseTo(expected, 9);
        });
      }),
    );
  });

  it('subtracting the minimum does: no map is normalised on the way', () => {
    const shifted = { ...heat, data: heat.data.map((value) => Math.max(value, 0) + 10) };
    expect(heatScoreOf(scoreMap({ heat: shifted, roi, brain })).score).toBeCloseTo(15.5 / 12.5, 12);
  });

  it('leave the map as it was', () => {
    const before = heat.data.slice();
    scoreMap({ heat, roi, brain });
    expect(heat.data).toEqual(before);
  });
});

describe('rank statistics', () => {
  const peer = `
import json, sys, numpy as np
from scipy.stats import rankdata
for values, labels in json.load(sys.stdin):
    x, y = np.array(values, np.float32), np.array(labels)
    p, n = y.sum(), (1 - y).sum()
    auroc = (rankdata(x)[y == 1].sum() - p * (p + 1) / 2) / (p * n)
    at = [(y[x >= t].sum(), (x >= t).sum()) for t in np.unique(x)[::-1]]
    recall = np.array([0] + [tp for tp, _ in at]) / p
    ap = float(np.sum(np.diff(recall) * np.array([tp / m for tp, m in at])))
    rng = np.random.default_rng(0)
    dice = np.mean([y[np.lexsort((rng.random(len(x)), -x))[:p]].sum() / p for _ in range(3000)])
    print(json.dumps([auroc, ap, dice]))`;

  it.skipIf(!havePython('scipy'))('agree with scipy ranks and numpy thresholds (needs python3-scipy)', () => {
    const random = Random.seeded(5);
    const cases = [400, 60, 7, 300].map((n, index) => {
      // Continuous, in few levels, tiny, and with the many zeros that a ReLU leaves.
      const value = [
        () => random.uniform(0, 50),
        () => random.integer(4) / 3,
        () => random.uniform() * 1e-40,
        () => Math.max(0, random.normal(-0.3)),
      ][index];
      const labels = Uint8Array.from({ length: n }, (_, v) => (v === 0 || random.chance(0.2) ? 1 : 0));
      labels[1] = 0;
      return { values: Float32Array.from({ length: n }, (_, v) => value() * (1 + labels[v] / 2)), labels };
    });
    const given = cases.map(({ values, labels }) => [[...values], [...labels]]);
    const lines = python(peer, [], JSON.stringify(given)).trim().split('\n');
    cases.forEach(({ values, labels }, index) => {
      const [auroc, ap, dice] = JSON.parse(lines[index]) as number[];
      const ours = rankStatistics(values, labels);
      expect(ours.auroc).toBeCloseTo(auroc, 10);
      expect(ours.averagePrecision).toBeCloseTo(ap, 10);
      expect(ours.topDice).toBeCloseTo(dice, 1);
    });
  });

  it('count the tied share at the cut of the hottest voxels', () => {
    // Three positives; above the cut one voxel (positive), then four tied of which one is positive: 1 + 2 x 1/4.
    const values = Float32Array.of(9, 5, 5, 5, 5, 1, 0);
    const labels = Uint8Array.of(1, 1, 0, 0, 0, 1, 0);
    expect(rankStatistics(values, labels).topDice).toBeCloseTo(1.5 / 3, 12);
  });

  it('order all bit patterns of floats, from the smallest subnormal to the largest number', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.integer({ min: 0, max: 0x7f7fffff }), { minLength: 2, maxLength: 40 }),
        (bits) => {
          const values = new Float32Array(Uint32Array.from(bits).buffer);
          const threshold = [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
          const labels = Uint8Array.from(values, (value) => (value >= threshold ? 1 : 0));
          expect(rankStatistics(values, labels)).toEqual({ auroc: 1, averagePrecision: 1, topDice: 1 });
        },
      ),
    );
  });

  it('are exact over four million voxels, which anything quadratic would never end with', () => {
    const n = 4_000_000;
    const random = Random.seeded(1);
    const values = Float32Array.from({ length: n }, () => random.uniform());
    const labels = new Uint8Array(n);
    labels.fill(1, 0, 30_000);
    const { auroc } = rankStatistics(values, labels);
    // Chance, with standard error sqrt(1 / (12 n+)) = 0.0017.
    expect(Math.abs(auroc - 0.5)).toBeLessThan(0.007);
  });
});
