import type { CohortListing, Subject } from '../../protocol/compute';
import { methodName } from '../../protocol/cam-method';
import type { CaseResult, CohortResults } from './case-results';

/** `8 patients, 8 controls`. */
export function countsOf({ subjects }: Pick<CohortListing, 'subjects'>): string {
  const patients = subjects.filter(({ group }) => group === 'fcd').length;
  const controls = subjects.length - patients;
  return `${patients} ${patients === 1 ? 'patient' : 'patients'}, ${controls} ${controls === 1 ? 'control' : 'controls'}`;
}

/** What stands behind a subject's id. */
export function subjectDescription(subject: Subject, result: CaseResult | undefined): string {
  const parts: string[] = [subject.group];
  if (result) {
    const right = result.predicted === subject.group;
    // Short, for views are narrow; the tooltip says it in full, and the icon's colour whether it is right.
    parts.push(`p(fcd) ${result.pFcd.toFixed(2)} ${right ? '✓' : '✗'}`);
    if (typeof result.heatScore === 'number') parts.push(`Heat-Score ${result.heatScore.toFixed(2)}`);
    else if (result.heatScore === null) parts.push('no Heat-Score');
  }
  if (subject.unavailable.length > 0) parts.push(subject.unavailable.join('; '));
  return parts.join(' · ');
}

/**
 * Facts of a subject, each with what it is.
 * @param shown how a path is written
 */
export function subjectFacts(
  subject: Subject,
  result: CaseResult | undefined,
  results: CohortResults | undefined,
  shown: (path: string) => string,
): (readonly [string, string])[] {
  const { T1w, FLAIR } = subject.images;
  const facts: (readonly [string, string | null | undefined])[] = [
    ['Group', subject.group],
    ['Head (source)', subject.source === subject.participantId ? undefined : subject.source],
    ['Twin', subject.twin],
    ['T1w', T1w && shown(T1w)],
    ['FLAIR', FLAIR && shown(FLAIR)],
    ['Lesion mask', subject.roi && shown(subject.roi)],
    ['Brain mask', subject.brain && shown(subject.brain)],
    ['Missing', subject.unavailable.length > 0 ? subject.unavailable.join('; ') : undefined],
    ['Prediction', result && `${result.predicted}, probability of fcd ${result.pFcd.toFixed(4)}`],
    [
      'Heat-Score (roi/brain, chance 1)',
      result &&
        (typeof result.heatScore === 'number'
          ? `${result.heatScore.toFixed(3)} (${methodName(result.method ?? 'map')} at ${result.layer})`
          : result.heatScore === null
            ? `none: ${result.flags.join(', ')}`
            : undefined),
    ],
    [
      'Predicted by',
      result &&
        `${results?.title ?? ''}, fold ${result.fold + 1}, which never saw this head (${shown(result.run)})`,
    ],
  ];
  return facts.flatMap(([name, value]) => (value ? [[name, value] as const] : []));
}
