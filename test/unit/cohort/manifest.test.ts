import { afterEach, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import type { Cohort } from '../../../src/core/cohort/cohort';
import { readCohort } from '../../../src/core/cohort/read-cohort';
import { casesWith } from '../../../src/core/cohort/usable-cases';
import { DataSet } from './data-set';

const sets: DataSet[] = [];
afterEach(() => sets.splice(0).forEach((set) => set.discard()));

const IMAGES = {
  'img/a_t1.nii.gz': null,
  'img/a_flair.nii.gz': null,
  'img/a_roi.nii': null,
  'img/b_t1.nii.gz': null,
};

function manifest(text: string, name = 'cohort.csv'): Promise<Cohort> {
  const set = new DataSet({ ...IMAGES, [name]: text });
  sets.push(set);
  return readCohort(set.at(name));
}

const FULL =
  'participant_id,group,t1w,flair,roi,roi_on,brain,source,sex,age\n' +
  'p1,FCD,img/a_t1.nii.gz,img/a_flair.nii.gz,img/a_roi.nii,t1w,,head-a,female,31\n' +
  'p2,hc,img/b_t1.nii.gz,n/a,,,,,M,n/a\n';

describe('a manifest', () => {
  it('names the cases, with paths relative to itself', async () => {
    const cohort = await manifest(FULL);
    const { root } = sets[0];
    expect(cohort).toMatchObject({ kind: 'manifest', root, findings: [] });
    expect(cohort.cases).toMatchObject([
      {
        participantId: 'p1',
        group: 'fcd',
        source: 'head-a',
        images: { T1w: sets[0].at('img/a_t1.nii.gz'), FLAIR: sets[0].at('img/a_flair.nii.gz') },
        roi: { path: sets[0].at('img/a_roi.nii'), drawnOn: 'T1w' },
        sex: 'F',
        age: 31,
      },
      {
        participantId: 'p2',
        group: 'control',
        source: 'p2',
        images: { T1w: sets[0].at('img/b_t1.nii.gz') },
        sex: 'M',
      },
    ]);
    expect(casesWith(cohort, 'FLAIR').usable.map(({ participantId }) => participantId)).toEqual(['p1']);
  });

  it.each([
    ['semicolons', FULL.replaceAll(',', ';'), 'cohort.csv'],
    ['tabs', FULL.replaceAll(',', '\t'), 'cohort.tsv'],
    ['a byte order mark and CRLF', `\uFEFF${FULL.replaceAll('\n', '\r\n')}`, 'cohort.csv'],
    ['quotes', FULL.replace('img/a_t1.nii.gz', '"img/a_t1.nii.gz"'), 'cohort.csv'],
    ['empty lines and spaces', `${FULL.replaceAll(',', ' , ')}\n\n`, 'cohort.csv'],
  ])('may have %s', async (_name, text, name) => {
    const plain = await manifest(FULL);
    const other = await manifest(text, name);
    expect(other.fingerprint).toBe(plain.fingerprint);
    expect(other.findings).toEqual([]);
  });

  it('does not care for the order of its lines', async () => {
    const [header, first, second] = FULL.trim().split('\n');
    const turned = await manifest([header, second, first].join('\n'));
    expect(turned.fingerprint).toBe((await manifest(FULL)).fingerprint);
  });

  it('says where it assumes on which image the mask was drawn', async () => {
    const cohort = await manifest(FULL.replace(',t1w,,', ',,,'));
    expect(cohort.cases[0].roi?.drawnOn).toBe('FLAIR');
    expect(cohort.findings).toMatchObject([{ severity: 'info', line: 2 }]);
    expect(cohort.findings[0].message).toContain('taken as drawn on the FLAIR image');
  });

  it('takes a mask as drawn on the only image there is', async () => {
    const cohort = await manifest('participant_id,group,t1w,roi\np1,fcd,img/a_t1.nii.gz,img/a_roi.nii\n');
    expect(cohort.cases[0].roi?.drawnOn).toBe('T1w');
    expect(cohort.findings).toEqual([]);
  });

  it('names files that are not there, by line', async () => {
    const cohort = await manifest(FULL.replace('img/b_t1', 'img/c_t1'));
    expect(cohort.findings).toMatchObject([
      { severity: 'error', line: 3, message: 'p2: t1w img/c_t1.nii.gz does not exist.' },
    ]);
    expect(casesWith(cohort, 'T1w').excluded).toMatchObject([{ reason: 'img/c_t1.nii.gz does not exist' }]);
  });

  it('names columns that it does not know', async () => {
    const cohort = await manifest('participant_id,group,T1w,t1w\np1,hc,x,img/a_t1.nii.gz\n');
    expect(cohort.findings).toMatchObject([{ severity: 'info', line: 1 }]);
    expect(cohort.findings[0].message).toContain('1 column T1w');
  });

  it('says once who has no lesion mask', async () => {
    const cohort = await manifest(
      'participant_id,group,t1w\np1,fcd,img/a_t1.nii.gz\np2,fcd,img/b_t1.nii.gz\n',
    );
    expect(cohort.findings).toMatchObject([{ severity: 'warning', line: 2 }]);
    expect(cohort.findings[0].message).toContain('2 fcd participants without a lesion mask');
  });

  it('finds one image given to two participants', async () => {
    const cohort = await manifest('participant_id,group,t1w\np1,hc,img/a_t1.nii.gz\np2,hc,img/a_t1.nii.gz\n');
    expect(cohort.findings).toMatchObject([{ severity: 'error' }]);
    expect(cohort.findings[0].message).toContain('same bytes');
  });
});

describe('a bad manifest is refused with file and line', () => {
  it.each([
    ['no group column', 'participant_id,t1w\np1,a\n', 'line 1: there is no column group'],
    ['no image column', 'participant_id,group\np1,hc\n', 'neither a column t1w nor flair'],
    ['only a header', 'participant_id,group,t1w\n', 'has a header but no cases'],
    ['an unknown group', 'participant_id,group,t1w\np1,1,a\n', 'line 2: p1 cannot be used: the group is "1"'],
    ['an id twice', 'participant_id,group,t1w\np1,hc,a\np1,hc,b\n', 'line 3: p1 is already on line 2'],
    ['no id', 'participant_id,group,t1w\n,hc,a\n', 'line 2: There is no participant_id'],
    ['an odd roi_on', 'participant_id,group,t1w,roi_on\np1,fcd,a,T2\n', 'line 2: roi_on is "T2"'],
    ['an open quote', 'participant_id,group,t1w\np1,hc,"a\n', 'not a readable table'],
    ['missing cells', 'participant_id,group,t1w\np1,hc\n', 'line 2: 2 cells where the header has 3'],
  ])('%s', async (_name, text, sentence) => {
    const reading = manifest(text);
    await expect(reading).rejects.toThrow(InputError);
    await expect(reading).rejects.toThrow(sentence);
    await expect(reading).rejects.toThrow('cohort.csv');
  });

  it('all faulty lines at once', async () => {
    const lines = Array.from({ length: 12 }, (_, i) => `p${i},?,a`);
    await expect(manifest(`participant_id,group,t1w\n${lines.join('\n')}\n`)).rejects.toThrow(
      /has 12 faulty lines:\n {2}line 2: [^]*\n {2}line 11: [^]*\n {2}and 2 more$/,
    );
  });

  it('counts lines in CRLF files with empty lines as an editor does', async () => {
    const text = '\uFEFFparticipant_id,group,t1w\r\np1,hc,a\r\n\r\np2,?,b\r\n';
    await expect(manifest(text)).rejects.toThrow('line 4: p2');
    await expect(manifest(text.replaceAll(',', '\t'), 'cohort.tsv')).rejects.toThrow('line 4: p2');
    await expect(manifest(text.replaceAll('\r\n', '\n'))).rejects.toThrow('line 4: p2');
  });

  it('another kind of file', async () => {
    await expect(manifest(FULL, 'cohort.xlsx')).rejects.toThrow('a manifest that ends in .csv or .tsv');
  });

  it('the table of a BIDS folder in place of the folder', async () => {
    const table = 'participant_id\tgroup\nsub-1\thc\n';
    await expect(manifest(table, 'participants.tsv')).rejects.toThrow('is given by its folder');
  });
});
