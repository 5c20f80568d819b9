import type { MetricRecord, Results } from '../protocol/results';
import { table } from './terminal';

/** The figures of results.json as a terminal shows them. */
export function resultLines(results: Results): string {
  const { metrics, baseline } = results;
  const rows = (Object.keys(metrics) as (keyof typeof metrics)[]).map((name) => [
    NAMES[name],
    withInterval(metrics[name]),
    ...(baseline ? [withInterval(baseline.metrics[name])] : []),
  ]);
  const header = ['out of fold', 'network', ...(baseline ? ['trivial intensity baseline'] : [])];
  const maps = results.maps.map((map) => {
    const chance = map.null;
    const verdict = chance
      ? `null 95th percentile ${chance.p95.toFixed(2)}, p ${chance.p < 0.001 ? '< 0.001' : `= ${chance.p.toFixed(3)}`}: ${chance.exceeds ? 'above' : 'NOT above'} the null`
      : 'no null';
    const untrained =
      map.untrained?.value != null ? `; untrained network ${withInterval(map.untrained)}` : '';
    const zero = map.zeroMaps > 0 ? `; ${map.zeroMaps} maps were zero everywhere` : '';
    return `Heat-Score roi/brain, ${map.method} at ${map.layer} (${map.align}): ${withInterval(map.heatScore)}, n = ${map.heatScore.n}; chance 1; ${verdict}${untrained}${zero}`;
  });
  return [table(header, rows), '', ...maps].join('\n');
}

const NAMES = {
  accuracy: 'accuracy',
  balancedAccuracy: 'balanced accuracy',
  sensitivity: 'sensitivity',
  specificity: 'specificity',
  f1: 'F1',
  auc: 'AUC',
};

/** `0.912 [0.871, 0.946]`, the 95 % interval clustered by head; a dash where there is no value. */
export function withInterval({ value, low, high }: MetricRecord): string {
  if (value === null) return '-';
  return low === null || high === null
    ? value.toFixed(3)
    : `${value.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`;
}
