import { InputError } from '../errors';
import { Random } from '../random';
import { quantileOfSorted } from './describe';

export interface ResamplingOptions {
  readonly seed: number;
  /** Default 2000. */
  readonly resamples?: number;
}

export interface IntervalOptions extends ResamplingOptions {
  /** Coverage, default 0.95. */
  readonly level?: number;
}

export interface ClusterInterval {
  readonly low: number;
  readonly high: number;
  readonly level: number;
  readonly clusters: number;
  readonly resamples: number;
  /** Resamples in which the statistic was undefined (null): they are left out of the percentiles. */
  readonly undefinedResamples: number;
}

/** Items by cluster, clusters in the order of their names: what follows does not depend on the order of the items. */
export function byCluster<T>(items: readonly T[], clusterOf: (item: T) => string): Map<string, T[]> {
  const clusters = new Map<string, T[]>();
  for (const item of items) {
    const name = clusterOf(item);
    const members = clusters.get(name);
    if (members) members.push(item);
    else clusters.set(name, [item]);
  }
  return new Map([...clusters].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Percentile bootstrap interval in which whole clusters are drawn with replacement (Davison & Hinkley 1997, 3.8): items
 * of one cluster (copies or twins of one head) are not independent. The statistic returns null where it is undefined.
 * Null where nothing can be estimated: fewer than two clusters, or no resample with a defined statistic.
 * Where every cluster says the same the interval collapses to a point; use {@link wilsonInterval} over clusters then.
 */
export function clusterInterval<T>(
  items: readonly T[],
  clusterOf: (item: T) => string,
  statistic: (items: readonly T[]) => number | null,
  options: IntervalOptions,
): ClusterInterval | null {
  const { seed, level = 0.95 } = options;
  const resamples = checkedResamples(options);
  if (!(level > 0 && level < 1))
    throw new InputError(`A confidence level lies between 0 and 1, not at ${level}.`);
  const clusters = [...byCluster(items, clusterOf).values()];
  if (clusters.length < 2) return null;
  const random = Random.seeded(seed, 'cluster bootstrap');
  const values = new Float64Array(resamples);
  const drawn: T[] = [];
  let defined = 0;
  for (let resample = 0; resample < resamples; resample++) {
    let length = 0;
    for (let i = 0; i < clusters.length; i++)
      for (const item of clusters[random.integer(clusters.length)]) drawn[length++] = item;
    drawn.length = length;
    const value = statistic(drawn);
    if (value !== null) values[defined++] = value;
  }
  if (defined === 0) return null;
  const sorted = values.subarray(0, defined).sort();
  return {
    low: quantileOfSorted(sorted, (1 - level) / 2),
    high: quantileOfSorted(sorted, (1 + level) / 2),
    level,
    clusters: clusters.length,
    resamples,
    undefinedResamples: resamples - defined,
  };
}

/** The number of resamples asked for, or 2000. */
export function checkedResamples({ resamples = 2000 }: ResamplingOptions): number {
  if (!Number.isInteger(resamples) || resamples < 1)
    throw new InputError(`The number of resamples is a whole number of at least 1, not ${resamples}.`);
  return resamples;
}
