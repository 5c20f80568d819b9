import { symlinkSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { parseBidsName } from '../../../src/core/cohort/bids-name';
import type { Case, Cohort, Finding } from '../../../src/core/cohort/cohort';
import { readSidecar } from '../../../src/core/cohort/protocol';
import { readCohort } from '../../../src/core/cohort/read-cohort';
import { summarizeCohort } from '../../../src/core/cohort/summary';
import { casesWith } from '../../../src/core/cohort/usable-cases';
import { DataSet, tinyNifti } from './data-set';

const sets: DataSet[] = [];
afterEach(() => sets.splice(0).forEach((set) => set.discard()));

function dataSet(files: Readonly<Record<string, string | Buffer | null>>): DataSet {
  const set = new DataSet(files);
  sets.push(set);
  return set;
}

const read = (files: Readonly<Record<string, string | Buffer | null>>): Promise<Cohort> =>
  readCohort(dataSet(files).root);
const only = (cohort: Cohort): Case => {
  expect(cohort.cases).toHaveLength(1);
  return cohort.cases[0];
};
const saying = (cohort: Cohort, text: string): Finding => {
  const found = cohort.findings.filter(({ message }) => message.includes(text));
  expect(found, `findings that say "${text}"`).toHaveLength(1);
  return found[0];
};

const HEADER = 'participant_id\tgroup\n';
const ONE_PATIENT = {
  'participants.tsv': `${HEADER}sub-1\tfcd\n`,
  'sub-1/anat/sub-1_FLAIR_roi.nii.gz': null,
};

describe('a BIDS file name', () => {
  it('is taken apart into entities, suffix and extension', () => {
    expect(parseBidsName('sub-00048_acq-32ch10_FLAIR_roi.nii.gz')).toEqual({
      entities: { sub: '00048', acq: '32ch10' },
      suffix: 'FLAIR_roi',
      extension: '.nii.gz',
    });
    expect(parseBidsName('T1w.json')).toEqual({ entities: {}, suffix: 'T1w', extension: '.json' });
  });
  it('is none where it is hidden, as the ._ files that macOS leaves', () => {
    expect(parseBidsName('._sub-1_T1w.nii.gz')).toBeUndefined();
  });
});

describe('a planted cohort', () => {
  const files = {
    'participants.tsv':
      'participant_id\tgroup\tsource\ttwin\tsex\tage\nsub-a1\tfcd\tIXI132\tIXI132-1\tF\t32.5\nsub-a0\tcontrol\tIXI132\tIXI132-1\tF\t32.5\n',
    ...Object.fromEntries(
      ['a0', 'a1'].flatMap((id) => [
        [`sub-${id}/anat/sub-${id}_T1w.nii.gz`, null],
        [`sub-${id}/anat/sub-${id}_FLAIR.nii.gz`, null],
        [`derivatives/masks/sub-${id}/anat/sub-${id}_desc-brain_mask.nii.gz`, null],
        [`derivatives/masks/sub-${id}/anat/sub-${id}_space-MNI152_desc-brain_mask.nii.gz`, null],
        [`derivatives/labels/sub-${id}/anat/sub-${id}_dseg.nii.gz`, null],
      ]),
    ),
    'sub-a1/anat/sub-a1_FLAIR_roi.nii.gz': null,
  };

  it('brings sources, brain masks, label maps and the lesion mask', async () => {
    const set = dataSet(files);
    const cohort = await readCohort(set.root);
    expect(cohort.kind).toBe('bids');
    expect(cohort.findings).toEqual([]);
    expect(cohort.age).toEqual({ column: 'age' });
    expect(cohort.cases.map(({ participantId, group, source }) => [participantId, group, source])).toEqual([
      ['sub-a0', 'control', 'IXI132'],
      ['sub-a1', 'fcd', 'IXI132'],
    ]);
    expect(cohort.cases[1]).toMatchObject({
      images: {
        T1w: set.at('sub-a1/anat/sub-a1_T1w.nii.gz'),
        FLAIR: set.at('sub-a1/anat/sub-a1_FLAIR.nii.gz'),
      },
      roi: { path: set.at('sub-a1/anat/sub-a1_FLAIR_roi.nii.gz'), drawnOn: 'FLAIR' },
      brain: set.at('derivatives/masks/sub-a1/anat/sub-a1_desc-brain_mask.nii.gz'),
      labels: set.at('derivatives/labels/sub-a1/anat/sub-a1_dseg.nii.gz'),
      twin: 'IXI132-1',
      sex: 'F',
      age: 32.5,
    });
  });

  it.each([
    ['a case alone', 'sub-1\tfcd\ts\tt\nsub-2\thc\ts\tn/a\n'],
    ['two cases of one group', 'sub-1\tfcd\ts\tt\nsub-2\tfcd\ts\tt\n'],
    ['two sources', 'sub-1\tfcd\ts\tt\nsub-2\thc\tother\tt\n'],
  ])('is faulty where %s has a twin name', async (_name, lines) => {
    const cohort = await read({ 'participants.tsv': `participant_id\tgroup\tsource\ttwin\n${lines}` });
    expect(saying(cohort, 'twin "t" names sub-1')).toMatchObject({ severity: 'error', line: 2 });
  });

  it('is summarized by group', async () => {
    const summary = await summarizeCohort(await read(files));
    expect(summary).toMatchObject({ cases: 2, sources: 1, protocol: [], age: { column: 'age' } });
    expect(summary.groups.fcd).toEqual({
      cases: 1,
      sources: 1,
      usable: { T1w: 1, FLAIR: 1, 'T1w+FLAIR': 1 },
      masks: 1,
      brainMasks: 1,
      labelMaps: 1,
      sex: { F: 1, M: 0, unknown: 0 },
      ageRange: [32.5, 32.5],
    });
    expect(summary.groups.control.masks).toBe(0);
    expect(JSON.parse(JSON.stringify(summary))).toEqual(summary);
  });

  it('takes a mask drawn on the T1w for what it is', async () => {
    const rest = Object.fromEntries(Object.entries(files).filter(([name]) => !name.includes('_roi')));
    const cohort = await read({ ...rest, 'sub-a1/anat/sub-a1_T1w_roi.nii.gz': null });
    expect(cohort.cases[1].roi?.drawnOn).toBe('T1w');
  });
});

describe('several files of one kind', () => {
  it('takes the lowest run, numerically, and says what it left', async () => {
    const cohort = await read({
      ...ONE_PATIENT,
      'sub-1/anat/sub-1_run-10_FLAIR.nii.gz': null,
      'sub-1/anat/sub-1_run-2_FLAIR.nii.gz': null,
    });
    expect(only(cohort).images.FLAIR).toMatch(/run-2_FLAIR/);
    expect(saying(cohort, 'more than one FLAIR image').message).toContain(
      'lowest run, then the fewest entities, then the first by name, .nii.gz before .nii (sub-1: sub-1_run-2_FLAIR.nii.gz, not sub-1_run-10_FLAIR.nii.gz)',
    );
  });

  it('takes the plain name before one with more entities, and .nii.gz before .nii', async () => {
    const cohort = await read({
      ...ONE_PATIENT,
      'sub-1/anat/sub-1_rec-norm_FLAIR.nii.gz': null,
      'sub-1/anat/sub-1_FLAIR.nii': null,
      'sub-1/anat/sub-1_FLAIR.nii.gz': null,
    });
    expect(only(cohort).images.FLAIR).toMatch(/sub-1_FLAIR\.nii\.gz$/);
  });

  it('takes the session with the mask before an earlier one, and does not mix sessions', async () => {
    const cohort = await read({
      'participants.tsv': `${HEADER}sub-1\tfcd\n`,
      'sub-1/ses-01/anat/sub-1_ses-01_T1w.nii.gz': null,
      'sub-1/ses-01/anat/sub-1_ses-01_FLAIR.nii.gz': null,
      'sub-1/ses-02/anat/sub-1_ses-02_FLAIR.nii.gz': null,
      'sub-1/ses-02/anat/sub-1_ses-02_FLAIR_roi.nii.gz': null,
    });
    expect(only(cohort).images.FLAIR).toMatch(/ses-02_FLAIR/);
    expect(only(cohort).images.T1w).toBeUndefined();
    expect(saying(cohort, 'more than one session').message).toContain('(sub-1: ses-02, not ses-01)');
  });

  it('takes the session with both contrasts, then the first', async () => {
    const control = await read({
      'participants.tsv': `${HEADER}sub-1\thc\n`,
      'sub-1/ses-1/anat/sub-1_ses-1_T1w.nii.gz': null,
      'sub-1/ses-10/anat/sub-1_ses-10_T1w.nii.gz': null,
      'sub-1/ses-10/anat/sub-1_ses-10_FLAIR.nii.gz': null,
      'sub-1/ses-2/anat/sub-1_ses-2_T1w.nii.gz': null,
      'sub-1/ses-2/anat/sub-1_ses-2_FLAIR.nii.gz': null,
    });
    expect(only(control).images.FLAIR).toMatch(/ses-2_FLAIR/);
  });

  it('takes of two masks the one named like the image', async () => {
    const cohort = await read({
      'participants.tsv': `${HEADER}sub-1\tfcd\n`,
      'sub-1/anat/sub-1_acq-b_FLAIR.nii.gz': null,
      'sub-1/anat/sub-1_acq-a_FLAIR_roi.nii.gz': null,
      'sub-1/anat/sub-1_acq-b_FLAIR_roi.nii.gz': null,
    });
    expect(only(cohort).roi?.path).toMatch(/acq-b_FLAIR_roi/);
  });
});

describe('what is wrong with a BIDS folder', () => {
  it('names participants without files and files without participants', async () => {
    const cohort = await read({
      ...ONE_PATIENT,
      'participants.tsv': `${HEADER}sub-1\tfcd\nsub-2\tcontrol\n`,
      'sub-1/anat/sub-1_FLAIR.nii.gz': null,
      'sub-3/anat/sub-3_FLAIR.nii.gz': null,
    });
    const absent = saying(cohort, 'listed without any T1w or FLAIR image');
    expect(absent).toMatchObject({ severity: 'warning', line: 3 });
    expect(absent.message).toContain('sub-2');
    expect(saying(cohort, 'not used, for participants.tsv gives them no group').message).toContain('sub-3');
    expect(cohort.cases.map(({ participantId }) => participantId)).toEqual(['sub-1', 'sub-2']);
    const { usable, excluded } = casesWith(cohort, 'T1w+FLAIR');
    expect(usable).toEqual([]);
    expect(excluded.map(({ case: one, reason }) => [one.participantId, reason])).toEqual([
      ['sub-1', 'has no T1w image'],
      ['sub-2', 'has no T1w image; has no FLAIR image'],
    ]);
  });

  it('says who lacks a contrast that others have', async () => {
    const cohort = await read({
      'participants.tsv': `${HEADER}sub-1\thc\nsub-2\thc\n`,
      'sub-1/anat/sub-1_T1w.nii.gz': null,
      'sub-1/anat/sub-1_FLAIR.nii.gz': null,
      'sub-2/anat/sub-2_T1w.nii.gz': null,
    });
    expect(saying(cohort, 'without a FLAIR image').message).toContain(
      '1 participant without a FLAIR image: sub-2',
    );
  });

  it.each([
    ['0 bytes', Buffer.alloc(0), 'is empty (0 bytes)'],
    ['no gzip', Buffer.from('<html>404</html>'), 'ends in .gz but is not gzip'],
  ])('names a damaged image: %s', async (_name, content, why) => {
    const cohort = await read({ ...ONE_PATIENT, 'sub-1/anat/sub-1_FLAIR.nii.gz': content });
    expect(saying(cohort, why)).toMatchObject({ severity: 'error' });
    expect(casesWith(cohort, 'FLAIR').excluded[0].reason).toBe(`sub-1_FLAIR.nii.gz ${why}`);
  });

  it.each([
    ['no NIfTI', Buffer.alloc(400), 'does not begin like a NIfTI file'],
    ['a cut-off header', tinyNifti('x').subarray(0, 100), 'has 100 bytes, fewer than a NIfTI header'],
  ])('names a damaged plain image: %s', async (_name, content, why) => {
    const cohort = await read({ ...ONE_PATIENT, 'sub-1/anat/sub-1_FLAIR.nii': content });
    expect(saying(cohort, why)).toMatchObject({ severity: 'error' });
  });

  it('tells a broken link from a pointer of git-annex', async () => {
    const set = dataSet(ONE_PATIENT);
    symlinkSync('../elsewhere.nii.gz', set.at('sub-1/anat/sub-1_FLAIR.nii.gz'));
    const cohort = await readCohort(set.root);
    expect(saying(cohort, 'is a link to ../elsewhere.nii.gz, which does not exist').severity).toBe('error');
  });

  it('finds the same image under two participants, unless they share a source', async () => {
    const image = gzipSync(tinyNifti('one head'));
    const files = {
      'participants.tsv': `${HEADER}sub-1\thc\nsub-2\thc\nsub-3\thc\n`,
      'sub-1/anat/sub-1_T1w.nii.gz': image,
      'sub-2/anat/sub-2_T1w.nii.gz': image,
      'sub-3/anat/sub-3_T1w.nii.gz': gzipSync(tinyNifti('another head')),
    };
    expect(saying(await read(files), 'same bytes').message).toContain('(sub-1, sub-2)');
    const table = 'participant_id\tgroup\tsource\nsub-1\thc\ts\nsub-2\thc\ts\nsub-3\thc\tn/a\n';
    const twins = await read({ ...files, 'participants.tsv': table });
    expect(twins.findings).toEqual([]);
    expect(twins.cases[2].source).toBe('sub-3');
  });

  it('does not use the mask of a control, and says of a patient without one what is lost', async () => {
    const cohort = await read({
      'participants.tsv': `${HEADER}sub-1\thc\nsub-2\tfcd\n`,
      'sub-1/anat/sub-1_FLAIR.nii.gz': null,
      'sub-1/anat/sub-1_FLAIR_roi.nii.gz': null,
      'sub-2/anat/sub-2_FLAIR.nii.gz': null,
    });
    expect(cohort.cases.map(({ roi }) => roi)).toEqual([undefined, undefined]);
    expect(saying(cohort, 'is a control but has a lesion mask').severity).toBe('warning');
    expect(saying(cohort, 'without a lesion mask').message).toContain('no Heat-Score');
  });

  it('keeps of equal lines the first, and of contradicting ones none', async () => {
    const cohort = await read({
      'participants.tsv': `${HEADER}sub-1\thc\nsub-1\thc\nsub-2\thc\nsub-2\tfcd\n`,
      'sub-1/anat/sub-1_T1w.nii.gz': null,
    });
    expect(only(cohort).participantId).toBe('sub-1');
    expect(saying(cohort, 'sub-1 is listed 2 times (lines 2, 3)')).toMatchObject({
      severity: 'warning',
      line: 3,
    });
    expect(saying(cohort, 'sub-2 is listed with different groups')).toMatchObject({
      severity: 'error',
      line: 5,
    });
  });

  it('names lines without a known group, by file and line', async () => {
    const cohort = await read({
      'participants.tsv': `${HEADER}sub-1\thc\nsub-2\tn/a\nsub-3\tMCD\n../x\thc\n`,
      'sub-1/anat/sub-1_T1w.nii.gz': null,
    });
    only(cohort);
    expect(saying(cohort, 'the group is "n/a"')).toMatchObject({ severity: 'error', line: 3 });
    expect(saying(cohort, 'the group is "MCD"')).toMatchObject({ severity: 'error', line: 4 });
    expect(saying(cohort, 'participant_id "../x"')).toMatchObject({ severity: 'error', line: 5 });
  });

  it('lists errors before warnings before notes', async () => {
    const cohort = await read({
      'participants.tsv': 'participant_id\tgroup\tsplit\nsub-1\tfcd\ttrain\nsub-2\t?\ttrain\n',
      'sub-1/anat/sub-1_T1w.nii.gz': null,
    });
    expect(cohort.findings.map(({ severity }) => severity)).toEqual(['error', 'warning', 'info']);
  });

  it.each<[string, Readonly<Record<string, string>>, string]>([
    ['no table', { 'sub-1/anat/sub-1_T1w.json': '{}' }, 'but no participants.tsv'],
    ['nothing', { 'notes.txt': '' }, 'is no BIDS data set'],
    ['an empty table', { 'participants.tsv': '' }, 'is empty'],
    ['no lines', { 'participants.tsv': HEADER }, 'no line names a participant with a group'],
    ['no group', { 'participants.tsv': 'participant_id\tsex\nsub-1\tF\n' }, 'there is no column group'],
    ['commas', { 'participants.tsv': 'participant_id,group\nsub-1,hc\n' }, 'must be separated by tabs'],
    [
      'a torn line',
      { 'participants.tsv': `${HEADER}sub-1\thc\nsub-2\n` },
      'line 3: 1 cells where the header has 2',
    ],
    [
      'a column twice',
      { 'participants.tsv': 'participant_id\tgroup\tgroup\n' },
      'column "group" occurs twice',
    ],
  ])('refuses a folder with %s', async (_name, files, sentence) => {
    const reading = read(files);
    await expect(reading).rejects.toThrow(InputError);
    await expect(reading).rejects.toThrow(sentence);
  });

  it('refuses UTF-16, which spreadsheets write', async () => {
    const table = Buffer.from(`\uFEFF${HEADER}sub-1\thc\n`, 'utf16le');
    await expect(read({ 'participants.tsv': table })).rejects.toThrow('is not UTF-8 text');
  });

  it('refuses a path where nothing lies', async () => {
    await expect(readCohort('no/such/cohort')).rejects.toThrow(/There is no cohort at .*no.such.cohort/);
  });
});

describe('sidecars', () => {
  const files = {
    'participants.tsv': `${HEADER}sub-1\thc\n`,
    'sub-1/anat/sub-1_acq-a_FLAIR.nii.gz': null,
    'FLAIR.json': '{"Manufacturer": "A", "DeviceSerialNumber": 7}',
    'acq-b_FLAIR.json': '{"Manufacturer": "B"}',
    'sub-1/anat/sub-1_acq-a_FLAIR.json': '\uFEFF{"DeviceSerialNumber": "8"}',
  };

  it('are inherited: a general one applies where a specific one does not say otherwise', async () => {
    const one = only(await read(files));
    expect(await readSidecar(one, 'FLAIR')).toEqual({ Manufacturer: 'A', DeviceSerialNumber: '8' });
    expect(await readSidecar(one, 'T1w')).toEqual({});
  });

  it('that are broken are named and do not stop the summary', async () => {
    const set = dataSet({ ...files, 'sub-1/anat/sub-1_acq-a_FLAIR.json': '{"DeviceSerialNumber": ' });
    const summary = await summarizeCohort(await readCohort(set.root));
    expect(summary.findings).toMatchObject([{ severity: 'warning' }]);
    expect(summary.findings[0].message).toContain('sub-1_acq-a_FLAIR.json is no readable JSON sidecar');
    expect(summary.protocol.map(({ fact }) => fact)).toEqual(['FLAIR acq']);
  });
});
