import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, messageOf } from '../errors';
import { findRootSidecars, findSubjectFiles, type BidsFile, type SubjectFiles } from './bids-subject';
import { CONTRASTS, type Case, type Cohort, type Contrast, type Finding } from './cohort';
import { duplicateImages } from './duplicates';
import { bySeverity, counted, enumerated } from './findings';
import { fingerprintOf } from './fingerprint';
import { grouped } from './grouped';
import { inspectImage, type ImageFile } from './image-file';
import { inBatches } from './in-batches';
import { personOf, readParticipants, type Participant } from './participants';

/** One participant with what was found for them. */
interface Examined {
  person: Participant;
  files: SubjectFiles;
  /** What lies at the path of each picked file. */
  state: ReadonlyMap<BidsFile, ImageFile>;
  one: Case;
}

const CHOICE_RULE: Readonly<Record<string, string>> = {
  session: 'the one with the lesion mask, else with most contrasts, else the first',
};
const FILE_RULE = 'the lowest run, then the fewest entities, then the first by name, .nii.gz before .nii';

/**
 * Reads a BIDS directory: participants.tsv (participant_id, group, optional source, twin, sex, age) and the anat folders, with or
 * without sessions; brain masks and label maps from derivatives/masks and derivatives/labels. Throws an InputError where
 * there is no such directory or nobody in it has a group; everything else that is odd is a finding.
 * @param root absolute path
 */
export async function readBids(root: string): Promise<Cohort> {
  const subjects = await subjectFolders(root);
  const { path, participants, findings, age } = await readParticipants(root);
  if (participants.length === 0)
    throw new InputError(
      `${path}: no line names a participant with a group; column group must say fcd or control (hc).`,
    );
  const rootSidecars = await findRootSidecars(root);
  const examined = await inBatches(participants, (person) => examine(root, person, rootSidecars));
  const cases = examined.map(({ one }) => one).sort((a, b) => (a.participantId < b.participantId ? -1 : 1));
  const bytesOf = new Map(
    examined.flatMap(({ state }) => [...state].map(([file, { bytes }]) => [file.path, bytes] as const)),
  );
  return {
    path: root,
    root,
    kind: 'bids',
    cases,
    age,
    findings: bySeverity([
      ...findings,
      ...fileFindings(root, examined),
      ...completenessFindings(path, examined, subjects),
      ...maskFindings(path, examined),
      ...choiceFindings(examined),
      ...(await duplicateImages(cases, bytesOf)),
    ]),
    fingerprint: fingerprintOf(root, cases, bytesOf),
  };
}

async function subjectFolders(root: string): Promise<string[]> {
  let names: string[];
  try {
    names = await readdir(root);
  } catch (error) {
    throw new InputError(`${root} cannot be read as a directory: ${messageOf(error)}.`);
  }
  const subjects: string[] = [];
  for (const name of names.filter((name) => name.startsWith('sub-')).sort())
    if ((await stat(join(root, name)).catch(() => undefined))?.isDirectory()) subjects.push(name);
  if (names.includes('participants.tsv')) return subjects;
  throw new InputError(
    subjects.length > 0
      ? `${root} has ${counted(subjects.length, 'subject folder')} but no participants.tsv; without it nobody's group is known. Add one with the columns participant_id and group.`
      : `${root} is no BIDS data set: it holds neither participants.tsv nor sub-* folders. Give the folder that holds participants.tsv, or a .csv or .tsv manifest.`,
  );
}

async function examine(
  root: string,
  person: Participant,
  rootSidecars: readonly BidsFile[],
): Promise<Examined> {
  const files = await findSubjectFiles(root, person.participantId, rootSidecars);
  const { images, roi, brain, labels } = files;
  const picked = [images.T1w, images.FLAIR, roi?.file, brain, labels].filter((file) => file !== undefined);
  const state = new Map<BidsFile, ImageFile>();
  for (const file of picked) state.set(file, await inspectImage(file.path));

  const usable: Partial<Record<Contrast, string>> = {};
  const entities: Partial<Record<Contrast, Readonly<Record<string, string>>>> = {};
  const unavailable: Partial<Record<Contrast | 'roi', string>> = {};
  const there = (file: BidsFile | undefined): string | undefined =>
    file !== undefined && state.get(file)?.state === 'there' ? file.path : undefined;
  for (const contrast of CONTRASTS) {
    const file = images[contrast];
    if (file === undefined) continue;
    entities[contrast] = file.entities;
    const found = state.get(file);
    if (found?.state === 'there') usable[contrast] = file.path;
    else if (found) unavailable[contrast] = `${file.name} ${found.why}`;
  }
  const mask = person.group === 'fcd' ? roi : undefined;
  const maskPath = there(mask?.file);
  const maskState = mask && state.get(mask.file);
  if (mask && maskState && maskState.state !== 'there')
    unavailable.roi = `${mask.file.name} ${maskState.why}`;
  const one: Case = {
    ...personOf(person),
    images: usable,
    roi: mask && maskPath !== undefined ? { path: maskPath, drawnOn: mask.drawnOn } : undefined,
    brain: there(brain),
    labels: there(labels),
    unavailable,
    entities,
    sidecars: files.sidecars,
  };
  return { person, files, state, one };
}

/** Pointers that were never fetched (one finding for all of them) and damaged files (one each). */
function fileFindings(root: string, examined: readonly Examined[]): Finding[] {
  const all = examined.flatMap(({ state }) => [...state]);
  const pointers = all.filter(([, { state }]) => state === 'pointer').map(([{ path }]) => path);
  const findings: Finding[] = all.flatMap(([{ path, name }, found]) =>
    found.state === 'there' || found.state === 'pointer'
      ? []
      : [{ severity: 'error', message: `${name} ${found.why}; download it again.`, file: path }],
  );
  if (pointers.length > 0)
    findings.unshift({
      severity: 'error',
      message:
        `${pointers.length} of ${counted(all.length, 'image file')} are git-annex or git-lfs pointers whose content was never fetched. ` +
        `Fetch it with "datalad get ." or "git annex get ." (git-lfs: "git lfs pull") in ${root}, or download the data set without git.`,
      file: pointers[0],
    });
  return findings;
}

/** Participants without files, files without participants, and who lacks a contrast that others have. */
function completenessFindings(
  table: string,
  examined: readonly Examined[],
  subjects: readonly string[],
): Finding[] {
  const findings: Finding[] = [];
  const listed = new Set(examined.map(({ person }) => person.participantId));
  const unlisted = subjects.filter((subject) => !listed.has(subject));
  if (unlisted.length > 0)
    findings.push({
      severity: 'warning',
      message: `${counted(unlisted.length, 'subject folder')} not used, for participants.tsv gives them no group: ${enumerated(unlisted)}.`,
      file: table,
    });
  const without = examined.filter(({ files }) => Object.keys(files.images).length === 0);
  if (without.length > 0)
    findings.push({
      severity: 'warning',
      message: `${counted(without.length, 'participant')} listed without any T1w or FLAIR image in sub-*/anat: ${names(without)}.`,
      file: table,
      line: without[0].person.line,
    });
  for (const contrast of CONTRASTS) {
    const lacking = examined.filter(
      (one) => !without.includes(one) && one.files.images[contrast] === undefined,
    );
    if (lacking.length === 0 || lacking.length === examined.length - without.length) continue;
    findings.push({
      severity: 'warning',
      message: `${counted(lacking.length, 'participant')} without a ${contrast} image: ${names(lacking)}.`,
      file: table,
      line: lacking[0].person.line,
    });
  }
  return findings;
}

function maskFindings(table: string, examined: readonly Examined[]): Finding[] {
  const findings: Finding[] = [];
  const unmasked = examined.filter(
    ({ person, files }) =>
      person.group === 'fcd' && Object.keys(files.images).length > 0 && files.roi === undefined,
  );
  if (unmasked.length > 0)
    findings.push({
      severity: 'warning',
      message: `${counted(unmasked.length, 'fcd participant')} without a lesion mask (*_FLAIR_roi or *_T1w_roi): ${names(unmasked)}; they can be classified but have no Heat-Score.`,
      file: table,
      line: unmasked[0].person.line,
    });
  for (const { person, files } of examined) {
    const { roi } = files;
    if (roi === undefined) continue;
    const { name, path } = roi.file;
    const image = files.images[roi.drawnOn];
    if (person.group === 'control')
      findings.push({
        severity: 'warning',
        message: `${person.participantId} is a control but has a lesion mask, ${name}; it is not used. Check the group.`,
        file: path,
      });
    else if (image === undefined)
      findings.push({
        severity: 'warning',
        message: `${name} was drawn on a ${roi.drawnOn} image that is not there.`,
        file: path,
      });
    else if (roi.file.entities.acq !== image.entities.acq)
      findings.push({
        severity: 'info',
        message: `${name} says acq-${roi.file.entities.acq ?? '(none)'}, its image ${image.name} acq-${image.entities.acq ?? '(none)'}; they are taken as belonging together.`,
        file: path,
      });
  }
  return findings;
}

/** Says by which rule one of several files was taken: one finding for each kind of choice, with its first case. */
function choiceFindings(examined: readonly Examined[]): Finding[] {
  const choices = examined.flatMap(({ person, files }) =>
    files.choices.map((choice) => ({ person, ...choice })),
  );
  return [...grouped(choices, ({ what }) => what)].map(([what, same]) => {
    const { person, taken, left } = same[0];
    const example = `${person.participantId}: ${taken}, not ${left.join(', ')}`;
    return {
      severity: 'warning',
      message: `${counted(same.length, 'participant')} with more than one ${what}. Taken is ${CHOICE_RULE[what] ?? FILE_RULE} (${example}).`,
    };
  });
}

function names(examined: readonly Examined[]): string {
  return enumerated(examined.map(({ person }) => person.participantId));
}
