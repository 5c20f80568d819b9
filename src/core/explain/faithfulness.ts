import { InputError } from '../errors';

/** Whether a map shows what the network used: confidence on the image against confidence on the image weighted by the map. */
export interface Faithfulness {
  /** Mean over cases of max(0, before - after) / before: 0 to 1, lower is better. */
  readonly averageDrop: number;
  /** Share of cases whose confidence rises: 0 to 1, higher is better. */
  readonly increase: number;
  readonly n: number;
}

/**
 * Average drop and increase in confidence (Chattopadhyay et al. 2018, Grad-CAM++; the names are torch-cam's).
 *
 * @param before probability of the explained class on each image, in (0, 1].
 * @param after the same on the image multiplied by its map, which is scaled to a maximum of 1 for this purpose.
 * @throws InputError where lengths differ, nothing is given or a value is no probability.
 */
export function faithfulness(before: readonly number[], after: readonly number[]): Faithfulness {
  if (before.length !== after.length || before.length === 0)
    throw new InputError(
      `Faithfulness compares one confidence before with one after masking, for at least one case; given are ${before.length} and ${after.length}.`,
    );
  let drop = 0;
  let increased = 0;
  before.forEach((confidence, index) => {
    const masked = after[index];
    if (!(confidence > 0 && confidence <= 1 && masked >= 0 && masked <= 1))
      throw new InputError(
        `Case ${index} has confidence ${confidence} before and ${masked} after masking: both must be probabilities, the first above 0.`,
      );
    drop += Math.max(0, confidence - masked) / confidence;
    if (masked > confidence) increased++;
  });
  return { averageDrop: drop / before.length, increase: increased / before.length, n: before.length };
}
