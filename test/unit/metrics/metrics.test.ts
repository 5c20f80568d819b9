import { describe, expect, it } from 'vitest';
import { Random } from '../../../src/core/random';
import { wilsonInterval } from '../../../src/core/stats/proportion';
import {
  classificationMetrics,
  confusion,
  fcdProbability,
  METRIC_NAMES,
  predictedClass,
  type Prediction,
} from '../../../src/core/train/metrics';

/** A prediction with logit difference `margin` (positive: fcd). */
const said = (participantId: string, yTrue: 0 | 1, margin: number, source = participantId): Prediction => ({
  participantId,
  source,
  yTrue,
  logits: [-margin / 2, margin / 2],
});

// tp 3, fn 1, tn 2, fp 2
const EIGHT = [
  ...[2, 1, 0.5, -1].map((margin, i) => said(`f${i}`, 1, margin)),
  ...[-2, -1.5, 0.7, 3].map((margin, i) => said(`c${i}`, 0, margin)),
];
const options = { seed: 1, resamples: 500 };

describe('a prediction', () => {
  it('is the class with the larger logit; equal logits mean control, as argmax has it', () => {
    expect(predictedClass([0, 1])).toBe(1);
    expect(predictedClass([1, 0])).toBe(0);
    expect(predictedClass([1, 1])).toBe(0);
  });
  it('has the softmax probability of fcd, without overflow', () => {
    expect(fcdProbability([0, Math.log(3)])).toBeCloseTo(0.75, 14);
    expect(fcdProbability([-1000, 1000])).toBe(1);
    expect(fcdProbability([1000, -1000])).toBe(0);
  });
});

describe('classification metrics', () => {
  it('have the values that the four cells give by hand', () => {
    expect(confusion(EIGHT)).toEqual({ tp: 3, fn: 1, tn: 2, fp: 2 });
    const metrics = classificationMetrics(EIGHT, options);
    expect(metrics.accuracy).toMatchObject({ value: 5 / 8, n: 8, sources: 8 });
    expect(metrics.sensitivity).toMatchObject({ value: 3 / 4, n: 4 });
    expect(metrics.specificity).toMatchObject({ value: 2 / 4, n: 4 });
    expect(metrics.balancedAccuracy.value).toBe(5 / 8);
    expect(metrics.f1.value).toBe(6 / 9);
    // Pairs won by f: 2 beats 3 of 4, 1 beats 3, 0.5 beats 2, -1 beats 2.
    expect(metrics.auc.value).toBe(10 / 16);
  });

  it('lie inside their intervals, which lie inside 0 to 1', () => {
    const metrics = classificationMetrics(EIGHT, options);
    for (const name of METRIC_NAMES) {
      const { value, low, high } = metrics[name];
      expect(low).toBeGreaterThanOrEqual(0);
      expect(low).toBeLessThan(value as number);
      expect(high).toBeGreaterThan(value as number);
      expect(high).toBeLessThanOrEqual(1);
    }
  });

  it('have wider intervals where heads were copied than the number of images suggests', () => {
    const random = Random.seeded(8);
    const heads = Array.from({ length: 40 }, (_, i) => ({
      yTrue: (i % 2) as 0 | 1,
      right: random.chance(0.75),
    }));
    const copies = heads.flatMap(({ yTrue, right }, head) =>
      [0, 1, 2, 3].map((copy) =>
        said(`${head}-${copy}`, yTrue, right === (yTrue === 1) ? 1 : -1, `head ${head}`),
      ),
    );
    const width = (predictions: readonly Prediction[]): number => {
      const { low, high } = classificationMetrics(predictions, options).accuracy;
      return (high as number) - (low as number);
    };
    const clustered = width(copies);
    const pretended = width(copies.map((one) => ({ ...one, source: one.participantId })));
    expect(clustered / pretended).toBeGreaterThan(1.6);
    expect(clustered / pretended).toBeLessThan(2.4);
  });

  it('are null with the reason where they are undefined, as on the official test part without controls', () => {
    const patients = EIGHT.filter(({ yTrue }) => yTrue === 1);
    const metrics = classificationMetrics(patients, options);
    expect(metrics.specificity).toEqual({
      value: null,
      low: null,
      high: null,
      n: 0,
      sources: 0,
      note: 'there are no controls',
    });
    expect(metrics.auc).toMatchObject({ value: null, note: 'needs both fcd cases and controls' });
    expect(metrics.balancedAccuracy.value).toBeNull();
    expect(metrics.sensitivity.value).toBe(3 / 4);
  });

  it('are all null without predictions', () => {
    const metrics = classificationMetrics([], options);
    for (const name of METRIC_NAMES)
      expect(metrics[name]).toMatchObject({ value: null, low: null, high: null, n: 0 });
  });

  it('have no F1 where nobody has or is said to have fcd', () => {
    expect(classificationMetrics([said('a', 0, -1), said('b', 0, -2)], options).f1.value).toBeNull();
  });

  it('do not pretend certainty where everything is right', () => {
    const perfect = Array.from({ length: 24 }, (_, i) =>
      said(`p${i}`, (i % 2) as 0 | 1, i % 2 ? 1 : -1, `head ${i >> 1}`),
    );
    const metrics = classificationMetrics(perfect, options);
    expect(metrics.accuracy).toMatchObject({ value: 1, ...wilsonInterval(12, 12), sources: 12 });
    expect(metrics.accuracy.note).toContain('Wilson');
    expect(metrics.auc).toMatchObject({ value: 1, low: 1, high: 1 });
    expect(metrics.auc.note).toContain('the interval says little');
  });

  it('have no interval where one head is all there is', () => {
    const one = [said('a', 1, 1, 'head'), said('b', 0, 1, 'head')];
    expect(classificationMetrics(one, options).accuracy).toMatchObject({ value: 0.5, low: null, high: null });
  });

  it('count resamples in which they are undefined', () => {
    const few = [said('a', 1, 1), said('b', 0, -1), said('c', 0, 2)];
    expect(classificationMetrics(few, options).auc.note).toMatch(/^undefined in \d+ of 500 resamples/);
  });

  it('repeat for a seed, whatever the order', () => {
    expect(classificationMetrics([...EIGHT].reverse(), options)).toEqual(
      classificationMetrics(EIGHT, options),
    );
  });

  it('refuse logits that are no numbers, by participant', () => {
    expect(() => classificationMetrics([said('sub-7', 1, NaN)], options)).toThrow('The prediction of sub-7');
  });
});
