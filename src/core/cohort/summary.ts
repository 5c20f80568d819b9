import {
  GROUPS,
  HEAD_MODALITIES,
  type AgeColumn,
  type Case,
  type Cohort,
  type Finding,
  type Group,
  type HeadModality,
} from './cohort';
import { bySeverity, counted } from './findings';
import { protocolCounts, type ProtocolCount } from './protocol';
import { casesWith } from './usable-cases';

/** Counts of one group. */
export interface GroupSummary {
  readonly cases: number;
  readonly sources: number;
  /** Cases that a model of the modality could use. */
  readonly usable: Readonly<Record<HeadModality, number>>;
  readonly masks: number;
  readonly brainMasks: number;
  readonly labelMaps: number;
  readonly sex: { readonly F: number; readonly M: number; readonly unknown: number };
  /** Smallest and largest age as the table has it (years, or class numbers: see `age` of the summary). */
  readonly ageRange: readonly [number, number] | null;
}

/** What is in a cohort and what is wrong with it; plain JSON. */
export interface CohortSummary {
  readonly root: string;
  readonly kind: Cohort['kind'];
  readonly fingerprint: string;
  readonly cases: number;
  readonly sources: number;
  readonly groups: Readonly<Record<Group, GroupSummary>>;
  readonly age: AgeColumn | null;
  /** How acquisition facts are spread over the groups; empty where neither file names nor sidecars state any. */
  readonly protocol: readonly ProtocolCount[];
  readonly findings: readonly Finding[];
}

/** From this gain over chance on, a single fact about the protocol is worth a warning. */
const TELLING_GAIN = 0.1;

/** Everything `fcd cohort` shows. Reads sidecars, no voxels. */
export async function summarizeCohort(cohort: Cohort): Promise<CohortSummary> {
  const { counts, unread } = await protocolCounts(cohort.cases);
  const findings: Finding[] = [...cohort.findings];
  for (const message of unread) findings.push({ severity: 'warning', message });
  findings.push(...confoundFindings(counts));
  const summaries = GROUPS.map((group) => [group, groupSummary(cohort, group)] as const);
  return {
    root: cohort.root,
    kind: cohort.kind,
    fingerprint: cohort.fingerprint,
    cases: cohort.cases.length,
    sources: sourcesOf(cohort.cases),
    groups: Object.fromEntries(summaries) as Record<Group, GroupSummary>,
    age: cohort.age ?? null,
    protocol: counts,
    findings: bySeverity(findings),
  };
}

function groupSummary(cohort: Cohort, group: Group): GroupSummary {
  const cases = cohort.cases.filter((one) => one.group === group);
  const usable = HEAD_MODALITIES.map(
    (modality) =>
      [modality, casesWith(cohort, modality).usable.filter((one) => one.group === group).length] as const,
  );
  const count = (holds: (one: Case) => boolean): number => cases.filter(holds).length;
  const ages = cases.flatMap(({ age }) => (age === undefined ? [] : [age]));
  return {
    cases: cases.length,
    sources: sourcesOf(cases),
    usable: Object.fromEntries(usable) as Record<HeadModality, number>,
    masks: count(({ roi }) => roi !== undefined),
    brainMasks: count(({ brain }) => brain !== undefined),
    labelMaps: count(({ labels }) => labels !== undefined),
    sex: {
      F: count(({ sex }) => sex === 'F'),
      M: count(({ sex }) => sex === 'M'),
      unknown: count(({ sex }) => sex === undefined),
    },
    ageRange: ages.length === 0 ? null : [Math.min(...ages), Math.max(...ages)],
  };
}

function sourcesOf(cases: readonly Case[]): number {
  return new Set(cases.map(({ source }) => source)).size;
}

function confoundFindings(counts: readonly ProtocolCount[]): Finding[] {
  return counts
    .filter(({ ruleAccuracy, chance }) => ruleAccuracy - chance >= TELLING_GAIN)
    .map(({ fact, ruleAccuracy, chance, n, matched }) => ({
      severity: 'warning',
      message:
        `${fact} alone tells the groups apart in ${percent(ruleAccuracy)} of ${counted(n, 'case')} (chance ${percent(chance)}): ` +
        `a model may learn the protocol instead of the lesion. Its values that occur in both groups cover ${matched.fcd} fcd and ${matched.control} control.`,
    }));
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
