import type { CaseResult, Results } from '../../protocol/results';

/** How many cases of each kind a report shows. */
const SHOWN = 3;

/**
 * The best and the worst localised patients by the Heat-Score of the first map (the study's Figure 1): the best among
 * those that the network found, the worst among all. At most one per head, so that copies of one head do not fill the
 * page. An all-zero map counts as the worst. No head is in both lists.
 */
export function selectCases(results: Results): { best: CaseResult[]; worst: CaseResult[] } {
  const scored = results.cases
    .filter((one) => one.roi !== null && one.maps.length > 0)
    .sort((a, b) => scoreOf(b) - scoreOf(a) || a.participantId.localeCompare(b.participantId));
  const best = distinctSources(scored.filter(({ yPred }) => yPred === 1)).slice(0, SHOWN);
  const rest = scored.filter((one) => !best.some(({ source }) => source === one.source)).reverse();
  return { best, worst: distinctSources(rest).slice(0, SHOWN) };
}

function scoreOf(one: CaseResult): number {
  return one.maps[0].heatScore ?? -1;
}

function distinctSources(cases: readonly CaseResult[]): CaseResult[] {
  const seen = new Set<string>();
  return cases.filter(({ source }) => !seen.has(source) && seen.add(source));
}
