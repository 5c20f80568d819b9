import { readdirSync, symlinkSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Case, Cohort } from '../../../src/core/cohort/cohort';
import { readSidecar } from '../../../src/core/cohort/protocol';
import { readCohort } from '../../../src/core/cohort/read-cohort';
import { summarizeCohort, type CohortSummary } from '../../../src/core/cohort/summary';
import { casesWith } from '../../../src/core/cohort/usable-cases';
import { ds004199, HAVE_DS004199, type DataSet } from './data-set';

const suite = describe.skipIf(!HAVE_DS004199);
const withGroup = (cases: readonly Case[], group: string): number =>
  cases.filter((one) => one.group === group).length;

suite('ds004199 as downloaded (skipped where its real tables and sidecars are not at hand)', () => {
  let set: DataSet;
  let cohort: Cohort;
  let summary: CohortSummary;
  const named = (id: string): Case => cohort.cases.find(({ participantId }) => participantId === id) as Case;

  beforeAll(async () => {
    set = ds004199();
    cohort = await readCohort(set.root);
    summary = await summarizeCohort(cohort);
  });
  afterAll(() => set.discard());

  it('has 85 patients and 85 controls in spite of the byte order mark and CRLF', () => {
    expect(withGroup(cohort.cases, 'fcd')).toBe(85);
    expect(withGroup(cohort.cases, 'control')).toBe(85);
    expect(cohort.cases[0].participantId).toBe('sub-00001');
  });

  it('gives each its T1w and its FLAIR, those with 2D FLAIRs and rare acquisitions included', () => {
    for (const modality of ['T1w', 'FLAIR', 'T1w+FLAIR'] as const) {
      const { usable, excluded } = casesWith(cohort, modality);
      expect(usable).toHaveLength(170);
      expect(excluded).toEqual([]);
    }
    const acquisitions = summary.protocol.find(({ fact }) => fact === 'FLAIR MRAcquisitionType');
    expect(acquisitions?.values.find(({ value }) => value === '2D')).toEqual({
      value: '2D',
      control: 0,
      fcd: 7,
    });
  });

  it('never takes a mask for an image', () => {
    for (const { images } of cohort.cases) {
      expect(images.T1w).toMatch(/_T1w\.nii\.gz$/);
      expect(images.FLAIR).toMatch(/_FLAIR\.nii\.gz$/);
    }
  });

  it('finds the 85 masks, for exactly the patients, drawn on the FLAIR', () => {
    for (const one of cohort.cases) expect(one.roi !== undefined).toBe(one.group === 'fcd');
    expect(summary.groups.fcd.masks).toBe(85);
    expect(new Set(cohort.cases.flatMap(({ roi }) => roi?.drawnOn ?? []))).toEqual(new Set(['FLAIR']));
  });

  it('pairs sub-00048 with its mask although their acq- differ, and says so', () => {
    expect(named('sub-00048').images.FLAIR).toMatch(/sub-00048_acq-T2sel_FLAIR\.nii\.gz$/);
    expect(named('sub-00048').roi?.path).toMatch(/sub-00048_acq-32ch10_FLAIR_roi\.nii\.gz$/);
    const told = cohort.findings.filter(({ message }) => message.includes('acq-32ch10'));
    expect(told).toHaveLength(1);
    expect(told[0].severity).toBe('info');
  });

  it('names the official split, its lack of controls, and does not use it', () => {
    const [split] = cohort.findings.filter(({ message }) => message.includes('split'));
    expect(split.message).toContain('train: 57 fcd + 85 control');
    expect(split.message).toContain('test: 28 fcd + 0 control');
    expect(split.message).toContain('test has no control');
    expect(split.message).toContain('not used');
  });

  it('reads sex and the age classes with their meaning', () => {
    expect(cohort.age).toMatchObject({ column: 'age_scan', levels: { '4': '16-20 years' } });
    expect(named('sub-00058')).toMatchObject({ sex: 'M', age: 4, source: 'sub-00058' });
    expect(summary.groups.fcd.sex.M + summary.groups.control.sex.M).toBe(92);
    expect(summary.groups.fcd.sex.unknown + summary.groups.control.sex.unknown).toBe(0);
  });

  it('finds nothing wrong with the complete set', () => {
    expect(cohort.findings.filter(({ severity }) => severity !== 'info')).toEqual([]);
  });

  it('counts how protocol tells the groups apart: scanner 75.3 %, FLAIR acq 75.9 %', () => {
    const fact = (name: string) => summary.protocol.find(({ fact }) => fact === name);
    for (const contrast of ['T1w', 'FLAIR']) {
      const scanner = fact(`${contrast} DeviceSerialNumber`);
      expect(scanner?.values).toEqual([
        { value: '35083', control: 85, fcd: 42 },
        { value: '20619', control: 0, fcd: 43 },
      ]);
      expect(scanner?.ruleAccuracy).toBeCloseTo(128 / 170, 12);
      expect(scanner?.matched).toEqual({ control: 85, fcd: 42 });
    }
    const flair = fact('FLAIR acq');
    const others = flair?.values.filter(({ value }) => value !== 'T2sel') ?? [];
    expect(others.reduce((sum, { fcd }) => sum + fcd, 0)).toBe(44);
    expect(others.reduce((sum, { control }) => sum + control, 0)).toBe(0);
    expect(flair?.ruleAccuracy).toBeCloseTo(129 / 170, 12);
    const pair = fact('T1w acq + FLAIR acq')?.values.find(({ value }) => value === 'iso08 + T2sel');
    expect(pair).toEqual({ value: 'iso08 + T2sel', control: 78, fcd: 41 });
    expect(summary.findings.filter(({ message }) => message.startsWith('FLAIR acq alone'))[0]).toMatchObject({
      severity: 'warning',
      message: expect.stringContaining('75.9 % of 170 cases (chance 50.0 %)') as string,
    });
  });

  it('keeps what an audit needs: acq not T2sel or age up to 20 years tells 80.0 % apart', () => {
    const says = (one: Case): boolean => one.entities?.FLAIR?.acq !== 'T2sel' || (one.age ?? 99) <= 4;
    expect(withGroup(cohort.cases.filter(says), 'fcd')).toBe(51);
    expect(withGroup(cohort.cases.filter(says), 'control')).toBe(0);
  });

  it('reads a sidecar', async () => {
    const sidecar = await readSidecar(named('sub-00001'), 'FLAIR');
    expect(sidecar).toMatchObject({
      DeviceSerialNumber: '35083',
      RepetitionTime: 5,
      MRAcquisitionType: '3D',
    });
  });

  it('says of a clone whose images were never fetched how to get them, and still counts the protocol', async () => {
    const clone = ds004199();
    try {
      const subjects = readdirSync(clone.root).filter((name) => name.startsWith('sub-'));
      let links = 0;
      for (const subject of subjects)
        for (const name of readdirSync(clone.at(`${subject}/anat`)).filter((file) =>
          file.endsWith('.nii.gz'),
        )) {
          const path = `${subject}/anat/${name}`;
          const key = 'SHA256E-s7859096--0123.nii.gz';
          clone.remove(path);
          // Three forms: a broken link, an unlocked pointer, a checkout without symbolic links.
          if (links % 3 === 0) symlinkSync(`../../.git/annex/objects/aa/bb/${key}/${key}`, clone.at(path));
          else
            clone.put(
              path,
              links % 3 === 1 ? `/annex/objects/${key}\n` : `../../.git/annex/objects/aa/bb/${key}/${key}`,
            );
          links++;
        }
      const bare = await readCohort(clone.root);
      const errors = bare.findings.filter(({ severity }) => severity === 'error');
      expect(errors).toHaveLength(1);
      expect(errors[0].message).toContain('425 of 425 image files');
      expect(errors[0].message).toContain('datalad get .');
      expect(bare.findings.some(({ message }) => message.includes('without a lesion mask'))).toBe(false);
      const { usable, excluded } = casesWith(bare, 'FLAIR');
      expect(usable).toEqual([]);
      expect(excluded[0].reason).toBe(
        'sub-00001_acq-T2sel_FLAIR.nii.gz is a git-annex pointer whose content was never fetched',
      );
      const { protocol } = await summarizeCohort(bare);
      expect(protocol.find(({ fact }) => fact === 'FLAIR acq')?.n).toBe(170);
    } finally {
      clone.discard();
    }
  });

  it('has one fingerprint wherever it lies, and another one when a file changes', async () => {
    const elsewhere = ds004199();
    try {
      expect((await readCohort(elsewhere.root)).fingerprint).toBe(cohort.fingerprint);
      elsewhere.put('sub-00001/anat/sub-00001_acq-iso08_T1w.nii.gz', Buffer.from([0x1f, 0x8b, 0, 0]));
      expect((await readCohort(elsewhere.root)).fingerprint).not.toBe(cohort.fingerprint);
    } finally {
      elsewhere.discard();
    }
  });
});
