import { describe, expect, it } from 'vitest';
import {
  after,
  FIRST_LOSS_SCALE,
  STEPS_UNTIL_DOUBLED,
  type LossScale,
} from '../../../src/core/train/loss-scale';

/** Where scaling stands behind so many steps without overflow. */
function good(from: LossScale, steps: number): LossScale {
  let now = from;
  for (let step = 0; step < steps; step++) now = after(now, false);
  return now;
}

describe('the scale of the loss', () => {
  it('begins at 2^16, halves on overflow and begins to count anew', () => {
    const counted = good(FIRST_LOSS_SCALE, 7);
    expect(counted).toEqual({ scale: 65536, goodSteps: 7 });
    expect(after(counted, true)).toEqual({ scale: 32768, goodSteps: 0 });
    expect(after(after(counted, true), true)).toEqual({ scale: 16384, goodSteps: 0 });
  });

  it('doubles behind as many steps without overflow, and again behind as many more', () => {
    expect(good(FIRST_LOSS_SCALE, STEPS_UNTIL_DOUBLED - 1).scale).toBe(2 ** 16);
    expect(good(FIRST_LOSS_SCALE, STEPS_UNTIL_DOUBLED)).toEqual({ scale: 2 ** 17, goodSteps: 0 });
    expect(good(FIRST_LOSS_SCALE, 2 * STEPS_UNTIL_DOUBLED).scale).toBe(2 ** 18);
  });

  it('does not grow without end', () => {
    expect(good({ scale: 2 ** 24, goodSteps: 0 }, STEPS_UNTIL_DOUBLED).scale).toBe(2 ** 24);
  });
});
