import type * as tf from '@tensorflow/tfjs-core';
import { unscale } from '../engine/ops/unscale';
import { InputError } from '../errors';

/** Where scaling stands between two steps: all that going on exactly needs. */
export interface LossScale {
  /** Power of two with which the loss is multiplied. */
  readonly scale: number;
  /** Steps since the scale changed or a gradient overflowed. */
  readonly goodSteps: number;
}

/** As in Micikevicius et al. (2018): high, for it falls at once where it is too high, and rises slowly. */
export const FIRST_LOSS_SCALE: LossScale = { scale: 2 ** 16, goodSteps: 0 };

/** Steps without overflow until the scale is doubled: a run of ours has hundreds to thousands. */
export const STEPS_UNTIL_DOUBLED = 500;

/** Beyond it nothing more is won: the smallest gradient of single precision that matters is in range long before. */
const LARGEST = 2 ** 24;

/**
 * Dynamic loss scaling for training in half precision. Gradients of the scaled loss overflow where the scale is too high:
 * such a step is left out and the scale is halved; after a while without overflow it is doubled. Powers of two change no
 * bit of a gradient that stays in range.
 */
export class LossScaler {
  constructor(private state: LossScale = FIRST_LOSS_SCALE) {}

  get scale(): number {
    return this.state.scale;
  }

  get now(): LossScale {
    return this.state;
  }

  /**
   * Takes the scale off a step's gradients, in place, and moves on.
   * @returns whether the step may be taken; where a gradient overflowed it may not
   * @throws InputError where even gradients of the loss itself overflow
   */
  async accepts(gradients: ReadonlyMap<string, tf.Tensor>): Promise<boolean> {
    const found = unscale(gradients.values(), this.scale);
    let overflow: boolean;
    try {
      overflow = (await found.data())[0] !== 0;
    } finally {
      found.dispose();
    }
    if (overflow && this.scale <= 1)
      throw new InputError(
        'Gradients are no finite numbers in half precision even without scaling the loss: training has diverged. Start anew with a lower learning rate (--lr), or in single precision (--precision f32).',
      );
    this.state = after(this.state, overflow);
    return !overflow;
  }
}

/** Where scaling stands behind a step. */
export function after({ scale, goodSteps }: LossScale, overflow: boolean): LossScale {
  if (overflow) return { scale: scale / 2, goodSteps: 0 };
  if (goodSteps + 1 < STEPS_UNTIL_DOUBLED) return { scale, goodSteps: goodSteps + 1 };
  return { scale: Math.min(LARGEST, 2 * scale), goodSteps: 0 };
}
