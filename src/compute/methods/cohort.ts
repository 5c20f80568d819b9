import type { Case, Finding } from '../../core/cohort/cohort';
import { readCohort } from '../../core/cohort/read-cohort';
import { summarizeCohort } from '../../core/cohort/summary';
import type { CohortListing, ComputeParams, Subject } from '../../protocol/compute';
import type { Job } from '../job';

/** Who is in a cohort, and what is odd or wrong with it; voxels are not read. */
export async function cohort({ path }: ComputeParams<'cohort'>, job: Job): Promise<CohortListing> {
  job.say('Reading the cohort');
  const found = await readCohort(path);
  await job.breathe();
  const { findings } = await summarizeCohort(found);
  return {
    path,
    root: found.root,
    kind: found.kind,
    fingerprint: found.fingerprint,
    subjects: found.cases.map(subjectOf),
    findings: findings.map(findingOf),
  };
}

function subjectOf(one: Case): Subject {
  return {
    participantId: one.participantId,
    group: one.group,
    source: one.source,
    images: { ...one.images },
    roi: one.roi?.path ?? null,
    roiDrawnOn: one.roi?.drawnOn ?? null,
    brain: one.brain ?? null,
    labels: one.labels ?? null,
    twin: one.twin ?? null,
    sex: one.sex ?? null,
    age: one.age ?? null,
    unavailable: Object.entries(one.unavailable ?? {}).map(([what, why]) => `${what} ${why}`),
  };
}

function findingOf({ severity, message, file, line }: Finding): CohortListing['findings'][number] {
  return {
    severity: severity === 'info' ? 'information' : severity,
    message,
    file: file ?? null,
    line: line ?? null,
  };
}
