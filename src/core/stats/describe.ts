import { InputError } from '../errors';

/** Arithmetic mean; throws on no values. */
export function mean(values: ArrayLike<number>): number {
  requireValues(values, 'A mean');
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i];
  return sum / values.length;
}

/** Sample standard deviation (n - 1), in two passes; null for fewer than two values. */
export function standardDeviation(values: ArrayLike<number>): number | null {
  if (values.length < 2) return null;
  const centre = mean(values);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] - centre) ** 2;
  return Math.sqrt(sum / (values.length - 1));
}

export function median(values: ArrayLike<number>): number {
  return quantile(values, 0.5);
}

/**
 * Quantile by linear interpolation between the order statistics at (n - 1) p (type 7 of Hyndman & Fan 1996: the default
 * of numpy and R). `p` in [0, 1]; values in any order; throws on no values.
 */
export function quantile(values: ArrayLike<number>, p: number): number {
  requireValues(values, 'A quantile');
  return quantileOfSorted(Float64Array.from(values).sort(), p);
}

/** {@link quantile} of values that are already in ascending order. */
export function quantileOfSorted(sorted: ArrayLike<number>, p: number): number {
  if (!(p >= 0 && p <= 1)) throw new InputError(`A quantile needs a share between 0 and 1, not ${p}.`);
  const position = (sorted.length - 1) * p;
  const below = Math.floor(position);
  const rest = position - below;
  // Without the case, infinite neighbours would turn a rest of zero into NaN.
  return rest === 0 ? sorted[below] : sorted[below] + rest * (sorted[below + 1] - sorted[below]);
}

function requireValues(values: ArrayLike<number>, what: string): void {
  if (values.length === 0) throw new InputError(`${what} needs at least one value.`);
}
