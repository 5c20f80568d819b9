import { describe, expect, it } from 'vitest';
import { epochBatches, stepsPerEpoch } from '../../../src/core/train/batches';
import { DEFAULT_TRAINING, parseTraining } from '../../../src/core/train/config';
import { balancedWeights, crossEntropy, weightOf } from '../../../src/core/train/loss';
import { scheduleFactor } from '../../../src/core/train/schedule';

describe('class-weighted cross-entropy', () => {
  it('is PyTorch’s weighted mean, by hand', () => {
    // logits (0, ln 3): p = (1/4, 3/4); logits (ln 4, 0): p = (4/5, 1/5).
    const { loss, gradient } = crossEntropy([0, Math.log(3), Math.log(4), 0], [1, 1], [1, 2]);
    expect(loss).toBeCloseTo((-Math.log(0.75) - Math.log(0.2)) / 2, 12);
    [1 / 8, -1 / 8, 2 / 5, -2 / 5].forEach((g, i) => expect(gradient[i]).toBeCloseTo(g, 6));
  });

  it('adds up over the parts of a batch', () => {
    const logits = [0.3, -0.2, 1.5, 0.1, -0.7, 0.9];
    const labels = [0, 1, 1];
    const weights = [0.8, 1.3];
    const whole = crossEntropy(logits, labels, weights);
    const total = weightOf(labels, weights);
    const first = crossEntropy(logits.slice(0, 2), labels.slice(0, 1), weights, total);
    const rest = crossEntropy(logits.slice(2), labels.slice(1), weights, total);
    expect(first.loss + rest.loss).toBeCloseTo(whole.loss, 12);
    expect([...first.gradient, ...rest.gradient]).toEqual([...whole.gradient]);
  });

  it('survives logits that overflow an exponential', () => {
    expect(crossEntropy([1000, -1000], [1], [1, 1]).loss).toBeCloseTo(2000, 6);
  });

  it('weighs the rarer class up so that both count the same', () => {
    const weights = balancedWeights([0, 0, 0, 1], 2);
    expect(weights).toEqual([4 / 6, 2]);
    expect(balancedWeights([0, 0], 2)).toEqual([1, 1]);
  });
});

describe('schedules', () => {
  it('warm up, stay, fall to zero', () => {
    const trapezoid = { kind: 'trapezoid', warmup: 0.1, decay: 0.3 } as const;
    const factors = Array.from({ length: 20 }, (_, step) => scheduleFactor(trapezoid, step, 20, 5));
    expect(factors.slice(0, 2)).toEqual([0.5, 1]);
    expect(factors.slice(2, 14).every((factor) => factor === 1)).toBe(true);
    factors.slice(14).forEach((factor, i) => expect(factor).toBeCloseTo((6 - i) / 7, 12));
  });

  it('multiply per epoch as MedicalNet does', () => {
    expect(scheduleFactor({ kind: 'exponential', factor: 0.99 }, 25, 100, 10)).toBeCloseTo(0.99 ** 2, 12);
  });

  it('follow half a cosine', () => {
    const cosine = { kind: 'cosine', warmup: 0 } as const;
    expect(scheduleFactor(cosine, 0, 100, 10)).toBe(1);
    expect(scheduleFactor(cosine, 50, 100, 10)).toBeCloseTo(0.5, 12);
  });
});

describe('the batches of an epoch', () => {
  const samples = Array.from({ length: 30 }, (_, i) => ({
    participantId: `s${i}`,
    label: (i % 3 === 0 ? 1 : 0) as 0 | 1,
    twin: `head${Math.floor(i / 2)}`,
  }));

  it('hold every sample once, or all but a rest smaller than half a batch', () => {
    const full = epochBatches(samples, 10, false, 1, 0).flat();
    expect([...full].sort((a, b) => a - b)).toEqual(samples.map((_, i) => i));
    expect(epochBatches(samples, 9, false, 1, 0).flat()).toHaveLength(27);
    expect(stepsPerEpoch(samples, 9)).toBe(3);
    expect(epochBatches(samples, 8, false, 1, 0).map((batch) => batch.length)).toEqual([8, 8, 8, 6]);
    expect(stepsPerEpoch(samples, 8)).toBe(4);
  });

  it('take both groups in proportion', () => {
    for (const batch of epochBatches(samples, 10, false, 3, 2)) {
      const patients = batch.filter((index) => samples[index].label === 1).length;
      expect(patients).toBeGreaterThanOrEqual(2);
      expect(patients).toBeLessThanOrEqual(5);
    }
  });

  it('keep twins together when asked', () => {
    for (const batch of epochBatches(samples, 10, true, 5, 1)) {
      const twins = new Set(batch.map((index) => samples[index].twin));
      expect(twins.size).toBe(batch.length / 2);
    }
  });

  it('keep twins together among cases that have none, and do not leave those for the end', () => {
    // 10 pairs and 7 without a twin, mixed.
    const mixed = [
      ...samples.slice(0, 20),
      ...samples.slice(20, 27).map(({ twin: _twin, ...alone }) => alone),
    ]
      .map((sample, i) => ({ sample, place: (i * 11) % 27 }))
      .sort((a, b) => a.place - b.place)
      .map(({ sample }) => sample);
    let aloneInFirst = 0;
    for (let epoch = 0; epoch < 20; epoch++) {
      const batches = epochBatches(mixed, 6, true, 5, epoch);
      expect(batches).toHaveLength(stepsPerEpoch(mixed, 6));
      for (const batch of batches) {
        const twins = batch.flatMap((index) => ('twin' in mixed[index] ? [mixed[index].twin] : []));
        expect(new Set(twins).size).toBe(twins.length / 2);
      }
      if (batches[0].some((index) => !('twin' in mixed[index]))) aloneInFirst++;
      expect(new Set(batches.flat()).size).toBe(batches.flat().length);
    }
    expect(aloneInFirst).toBeGreaterThan(0);
    expect(aloneInFirst).toBeLessThan(20);
  });

  it('are of an even size where twins are to stay together', () => {
    expect(() =>
      parseTraining({ ...DEFAULT_TRAINING, twinBatches: true, batchSize: 7, microBatch: 7 }, 'x.json'),
    ).toThrow('x.json: twinBatches needs an even batchSize, not 7: twins come in pairs.');
  });

  it('follow from seed and epoch', () => {
    expect(epochBatches(samples, 8, false, 1, 4)).toEqual(epochBatches(samples, 8, false, 1, 4));
    expect(epochBatches(samples, 8, false, 1, 4)).not.toEqual(epochBatches(samples, 8, false, 1, 5));
  });
});
