import { InputError } from '../errors';
import { Random } from '../random';
import { byCluster, checkedResamples, type ResamplingOptions } from './cluster';

export interface SignFlipResult {
  /** Two-sided. */
  readonly p: number;
  /** Mean difference. */
  readonly meanDifference: number;
  readonly n: number;
  readonly clusters: number;
  /** Whether every assignment of signs was visited; otherwise p carries the error of a random sample of them. */
  readonly exact: boolean;
}

/**
 * Paired permutation test of "the differences are symmetric about zero" (Fisher 1935): signs are flipped cluster by
 * cluster, the statistic is |mean difference|. All 2^clusters assignments where they are at most `resamples` (default
 * 9999), else a random sample with p = (hits + 1) / (resamples + 1), which never is zero (Phipson & Smyth 2010).
 * `clusters[i]` names the source of difference i; without it each difference is its own. Null for no differences.
 */
export function signFlipTest(
  differences: readonly number[],
  options: ResamplingOptions & { readonly clusters?: readonly string[] },
): SignFlipResult | null {
  const n = differences.length;
  const names = options.clusters;
  if (names !== undefined && names.length !== n)
    throw new InputError(
      `There are ${n} differences but ${names.length} cluster names; each difference needs one.`,
    );
  const bad = differences.findIndex((difference) => !Number.isFinite(difference));
  if (bad >= 0)
    throw new InputError(`Difference ${bad} is ${differences[bad]}; leave out pairs without a value.`);
  if (n === 0) return null;
  const resamples = checkedResamples({ ...options, resamples: options.resamples ?? 9999 });
  const sums = names === undefined ? [...differences] : clusterSums(differences, names);
  const total = sums.reduce((sum, value) => sum + value, 0);
  // Equal up to the rounding of a sum in another order counts as equally extreme.
  const slack = 1e-12 * sums.reduce((sum, value) => sum + Math.abs(value), 0);
  const extreme = (sum: number): boolean => Math.abs(sum) >= Math.abs(total) - slack;
  const exact = sums.length < 31 && 2 ** sums.length <= resamples;
  const p = exact ? exactShare(sums, extreme) : sampledShare(sums, extreme, resamples, options.seed);
  return { p, meanDifference: total / n, n, clusters: sums.length, exact };
}

function clusterSums(differences: readonly number[], names: readonly string[]): number[] {
  const indices = byCluster([...differences.keys()], (i) => names[i]);
  return [...indices.values()].map((members) => members.reduce((sum, i) => sum + differences[i], 0));
}

function exactShare(sums: readonly number[], extreme: (sum: number) => boolean): number {
  const assignments = 2 ** sums.length;
  let hits = 0;
  for (let signs = 0; signs < assignments; signs++) {
    let sum = 0;
    for (let i = 0; i < sums.length; i++) sum += (signs >>> i) & 1 ? -sums[i] : sums[i];
    if (extreme(sum)) hits++;
  }
  return hits / assignments;
}

function sampledShare(
  sums: readonly number[],
  extreme: (sum: number) => boolean,
  resamples: number,
  seed: number,
): number {
  const random = Random.seeded(seed, 'sign flips');
  let hits = 0;
  for (let resample = 0; resample < resamples; resample++) {
    let sum = 0;
    for (const value of sums) sum += random.chance(0.5) ? -value : value;
    if (extreme(sum)) hits++;
  }
  return (hits + 1) / (resamples + 1);
}
