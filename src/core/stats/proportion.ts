import { InputError } from '../errors';
import { normalQuantile } from './normal';

export interface Limits {
  readonly low: number;
  readonly high: number;
}

/**
 * Score interval of a proportion (Wilson 1927), without continuity correction. Independent trials only: where cases
 * share a source, count sources or use {@link clusterInterval}.
 */
export function wilsonInterval(successes: number, trials: number, level = 0.95): Limits {
  checkCounts(successes, trials, level);
  const z = normalQuantile(0.5 + level / 2);
  const share = successes / trials;
  const shrink = 1 + (z * z) / trials;
  const centre = (share + (z * z) / (2 * trials)) / shrink;
  const half = (z / shrink) * Math.sqrt((share * (1 - share)) / trials + (z * z) / (4 * trials * trials));
  return {
    low: successes === 0 ? 0 : centre - half,
    high: successes === trials ? 1 : centre + half,
  };
}

/** Exact interval of a proportion (Clopper & Pearson 1934): each tail of the binomial holds (1 - level) / 2. */
export function exactInterval(successes: number, trials: number, level = 0.95): Limits {
  checkCounts(successes, trials, level);
  const tail = (1 - level) / 2;
  const logChoose = logBinomials(trials);
  const atLeast = (p: number): number => binomialSum(logChoose, trials, successes, trials, p);
  const atMost = (p: number): number => binomialSum(logChoose, trials, 0, successes, p);
  return {
    low: successes === 0 ? 0 : bisect((p) => atLeast(p) < tail),
    high: successes === trials ? 1 : bisect((p) => atMost(p) > tail),
  };
}

function checkCounts(successes: number, trials: number, level: number): void {
  if (!Number.isInteger(trials) || trials < 1)
    throw new InputError(`An interval of a proportion needs at least one trial, not ${trials}.`);
  if (!Number.isInteger(successes) || successes < 0 || successes > trials)
    throw new InputError(`${successes} successes in ${trials} trials is no proportion.`);
  if (!(level > 0 && level < 1))
    throw new InputError(`A confidence level lies between 0 and 1, not at ${level}.`);
}

function logBinomials(n: number): Float64Array {
  const logs = new Float64Array(n + 1);
  for (let k = 1; k <= n; k++) logs[k] = logs[k - 1] + Math.log((n - k + 1) / k);
  return logs;
}

function binomialSum(logChoose: Float64Array, n: number, from: number, to: number, p: number): number {
  let sum = 0;
  for (let k = from; k <= to; k++) sum += Math.exp(logChoose[k] + k * Math.log(p) + (n - k) * Math.log1p(-p));
  return sum;
}

/** The p in (0, 1) at which a condition that holds below it stops holding. */
function bisect(holds: (p: number) => boolean): number {
  let low = 0;
  let high = 1;
  while (true) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) return middle;
    if (holds(middle)) low = middle;
    else high = middle;
  }
}
