import { InputError } from '../errors';

/**
 * Standard normal distribution function, by the series of Marsaglia (2004), "Evaluating the Normal Distribution":
 * 1/2 + phi(x) (x + x^3/3 + x^5/(3 5) + ...). Absolute error below 1e-15 for |x| < 7; 0 or 1 beyond 8.
 */
export function normalCdf(x: number): number {
  if (x < -8) return 0;
  if (x > 8) return 1;
  let term = x;
  let sum = x;
  for (let i = 3; sum + term !== sum; i += 2) {
    term *= (x * x) / i;
    sum += term;
  }
  return 0.5 + sum * density(x);
}

/** The x below which a standard normal variable lies with probability p, 1e-6 <= p <= 1 - 1e-6 (Newton on {@link normalCdf}). */
export function normalQuantile(p: number): number {
  if (!(p >= 1e-6 && p <= 1 - 1e-6))
    throw new InputError(`A normal quantile needs a probability between 0.000001 and 0.999999, not ${p}.`);
  let x = 0;
  // From the mode Newton's steps on the convex or concave side never overshoot, so they converge from everywhere.
  for (let step = 0; step < 100; step++) {
    const change = (normalCdf(x) - p) / density(x);
    x -= change;
    if (Math.abs(change) < 1e-14) break;
  }
  return x;
}

function density(x: number): number {
  return Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
}
