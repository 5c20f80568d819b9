import { describe, expect, it } from 'vitest';
import { bestThreshold, smoothedMaximum, trivialBaseline } from '../../../src/core/cohort/trivial-baseline';
import { Random } from '../../../src/core/random';
import { havePython, python } from '../../peers';

const everywhere = (size: number): Uint8Array => new Uint8Array(size).fill(1);

describe('the smoothed maximum', () => {
  it('of a point far from the borders is the cube of the kernel centre', () => {
    // Kernel for sigma 1: exp(-d^2 / 2), d = -4..4, normalised; centre 1 / 2.506628... truncated at 4 sigma: 0.398943.
    const weights = [0, 1, 2, 3, 4].map((d) => Math.exp(-d * d * 0.5));
    const centre = 1 / (weights[0] + 2 * (weights[1] + weights[2] + weights[3] + weights[4]));
    const image = new Float32Array(11 ** 3);
    image[5 + 11 * (5 + 11 * 5)] = 10;
    expect(smoothedMaximum(image, [11, 11, 11], everywhere(11 ** 3), 1)).toBeCloseTo(10 * centre ** 3, 6);
  });

  it('without smoothing is the maximum inside the mask', () => {
    const mask = Uint8Array.of(1, 1, 0, 1);
    expect(smoothedMaximum(Float32Array.of(-3, -2, 9, -4), [4, 1, 1], mask, 0)).toBe(-2);
  });

  it('lets nothing from outside the mask leak in', () => {
    const mask = Uint8Array.of(1, 1, 1, 0, 0, 0);
    const dark = Float32Array.of(1, 2, 1, 0, 0, 0);
    const bright = Float32Array.of(1, 2, 1, 500, 500, 500);
    expect(smoothedMaximum(bright, [6, 1, 1], mask, 1)).toBe(smoothedMaximum(dark, [6, 1, 1], mask, 1));
  });

  it('is refused for an empty mask, a wrong size or values that are not numbers', () => {
    expect(() => smoothedMaximum(new Float32Array(8), [2, 2, 2], new Uint8Array(8), 1)).toThrow(
      'mask is empty',
    );
    expect(() => smoothedMaximum(new Float32Array(7), [2, 2, 2], everywhere(8), 1)).toThrow('not 7 and 8');
    expect(() => smoothedMaximum(Float32Array.of(1, NaN), [2, 1, 1], everywhere(2), 0)).toThrow(
      'not numbers',
    );
    expect(() => smoothedMaximum(new Float32Array(2), [2, 1, 1], everywhere(2), -1)).toThrow(
      'at least 0, not -1',
    );
  });

  it.skipIf(!havePython('scipy'))('agrees with scipy.ndimage (skipped without python3-scipy)', () => {
    const shape = [7, 9, 12] as const;
    const size = shape[0] * shape[1] * shape[2];
    const random = Random.seeded(5);
    const image = Float32Array.from({ length: size }, () => random.normal());
    const mask = Uint8Array.from({ length: size }, () => Number(random.chance(0.7)));
    const sigmas = [0.6, 1, 2.3];
    const code = [
      'import sys, json, numpy as np, scipy.ndimage as nd',
      'image, mask, shape, sigmas = json.load(sys.stdin)',
      'image = np.reshape(image, shape, order="F"); mask = np.reshape(mask, shape, order="F") > 0',
      'inside = np.where(mask, image, 0.0)',
      'print(json.dumps([nd.gaussian_filter(inside, s, mode="constant")[mask].max() for s in sigmas]))',
    ].join('\n');
    const expected = JSON.parse(
      python(code, [], JSON.stringify([[...image], [...mask], shape, sigmas])),
    ) as number[];
    sigmas.forEach((sigma, i) =>
      expect(smoothedMaximum(image, shape, mask, sigma)).toBeCloseTo(expected[i], 5),
    );
  });
});

describe('the threshold', () => {
  const cases = (...pairs: readonly (readonly [number, 0 | 1])[]) =>
    pairs.map(([score, yTrue]) => ({ score, yTrue }));

  it('lies halfway between groups that are apart', () => {
    expect(bestThreshold(cases([1, 0], [2, 0], [4, 1], [9, 1]))).toBe(3);
  });
  it('has the best balanced accuracy, not the best accuracy', () => {
    // At 2.5: sensitivity 2/2, specificity 3/4; at 3.5 accuracy would be 5/6 too, but balanced (1/2 + 1) / 2.
    expect(bestThreshold(cases([1, 0], [1.5, 0], [2, 0], [3, 1], [4, 0], [5, 1]))).toBe(2.5);
  });
  it('does not part equal scores', () => {
    expect(bestThreshold(cases([1, 0], [2, 0], [2, 1], [3, 1]))).toBe(1.5);
  });
  it('calls everybody fcd where high scores do not speak for it', () => {
    expect(bestThreshold(cases([1, 1], [2, 0]))).toBeLessThan(1);
  });
  it('needs both groups', () => {
    expect(() => bestThreshold(cases([1, 1], [2, 1]))).toThrow('both groups');
  });
});

describe('the trivial baseline', () => {
  const scored = ['a', 'b', 'c', 'd', 'e', 'f'].map((participantId, i) => ({
    participantId,
    source: participantId,
    yTrue: (i % 2) as 0 | 1,
    score: [1, 5, 2, 6, 7, 8][i],
  }));
  const folds = [
    { index: 0, count: 2, train: ['a', 'b', 'c', 'd'], test: ['e', 'f'] },
    { index: 1, count: 2, train: ['c', 'd', 'e', 'f'], test: ['a', 'b'] },
  ];

  it('applies the threshold of the training part to the test part', () => {
    const out = trivialBaseline(scored, folds);
    expect(out.map(({ participantId, fold, threshold }) => [participantId, fold, threshold])).toEqual([
      ['e', 0, 3.5],
      ['f', 0, 3.5],
      ['a', 1, 4],
      ['b', 1, 4],
    ]);
    // Controls e (7 > 3.5) is called fcd, a (1 < 4) is not.
    expect(out.map(({ logits }) => logits)).toEqual([
      [0, 3.5],
      [0, 4.5],
      [0, -3],
      [0, 1],
    ]);
  });

  it('never looks at the test part when it chooses', () => {
    const changed = scored.map((one) => (one.participantId === 'e' ? { ...one, score: -100 } : one));
    expect(trivialBaseline(changed, folds)[0].threshold).toBe(3.5);
  });

  it('names a case without a score', () => {
    expect(() => trivialBaseline(scored.slice(1), folds)).toThrow('The folds name a,');
  });
});
