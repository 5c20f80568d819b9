import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makePhantomHead, phantomGrid } from '../../../src/core/cohort/phantom/head';
import { writePhantomCohort } from '../../../src/core/cohort/phantom/write-phantom-cohort';
import { readCohort } from '../../../src/core/cohort/read-cohort';
import { StoppedError } from '../../../src/core/errors';
import { readNifti } from '../../../src/core/volume/nifti-read';
import { havePython, python } from '../../peers';

const root = mkdtempSync(join(tmpdir(), 'fcd-phantom-'));
const out = join(root, 'cohort');
const request = { subjects: 4, size: 32, seed: 11, difficulty: 0.4 };

beforeAll(() => writePhantomCohort({ out, ...request }));
afterAll(() => rmSync(root, { recursive: true }));

const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();

describe('a phantom cohort on disk', () => {
  it('is laid out as BIDS, masks for patients only', () => {
    const table = readFileSync(join(out, 'participants.tsv'), 'utf8').trim().split('\n');
    expect(table[0]).toBe('participant_id\tgroup\tsource\tsex\tage');
    const people = table.slice(1).map((line) => line.split('\t'));
    const expected = [
      'README',
      'dataset_description.json',
      'participants.json',
      'participants.tsv',
      'derivatives/labels/dataset_description.json',
      'derivatives/labels/dseg.tsv',
      'derivatives/labels/tasks.json',
      'derivatives/masks/dataset_description.json',
    ];
    for (const [id, group] of people) {
      expected.push(`${id}/anat/${id}_T1w.nii.gz`, `${id}/anat/${id}_FLAIR.nii.gz`);
      if (group === 'fcd') expected.push(`${id}/anat/${id}_FLAIR_roi.nii.gz`);
      expected.push(
        `derivatives/masks/${id}/anat/${id}_desc-brain_mask.nii.gz`,
        `derivatives/labels/${id}/anat/${id}_dseg.nii.gz`,
      );
    }
    expect(filesOf(out)).toEqual(expected.sort());
    expect(people.map(([id]) => id)).toEqual(['sub-00001', 'sub-00002', 'sub-00003', 'sub-00004']);
    const names = readFileSync(join(out, 'derivatives/labels/dseg.tsv'), 'utf8').trim().split('\n');
    expect(names).toHaveLength(24);
    expect(names[4]).toBe('4\tfrontal cortex');
  });

  it('balances groups, and sex and age between them', () => {
    const rows = readFileSync(join(out, 'participants.tsv'), 'utf8').trim().split('\n').slice(1);
    const of = (group: string): string[] =>
      rows.filter((row) => row.split('\t')[1] === group).map((row) => row.split('\t').slice(3).join());
    expect(of('fcd')).toHaveLength(2);
    expect(of('fcd').sort()).toEqual(of('control').sort());
  });

  it('is read back without a finding, every case its own source', async () => {
    const cohort = await readCohort(out);
    expect(cohort.findings).toEqual([]);
    expect(cohort.cases).toHaveLength(4);
    const sources = [1, 2, 3, 4].map((number) => `phantom-${request.seed}-head-${number}`);
    expect(cohort.cases.map(({ source }) => source)).toEqual(sources);
    for (const one of cohort.cases) {
      expect(Boolean(one.roi)).toBe(one.group === 'fcd');
      expect(one.brain && one.labels && one.images.T1w && one.images.FLAIR).toBeTruthy();
    }
  });

  it('holds the heads of the generator: a patient is the control of the same number plus a lesion', async () => {
    const { cases } = await readCohort(out);
    const index = cases.findIndex(({ group }) => group === 'fcd');
    const { images, roi } = cases[index];
    const place = { seed: 11, subject: index + 1, ...phantomGrid(32) };
    const head = makePhantomHead(place, { group: 'fcd', difficulty: 0.4 });
    for (const [path, drawn] of [
      [images.T1w!, head.t1w.data],
      [images.FLAIR!, head.flair.data],
      [roi!.path, head.lesion!.mask.data],
    ] as const) {
      const { data } = (await readNifti(path)).volume;
      expect(data.length === drawn.length && data.every((value, v) => value === drawn[v]), path).toBe(true);
    }
  });

  it('gives patients and controls the same headers', async () => {
    const { cases } = await readCohort(out);
    const headers = await Promise.all(
      cases.map(async ({ images }) => {
        const { volume, dtype, spacing } = await readNifti(images.FLAIR!);
        return JSON.stringify({ shape: volume.shape, affine: volume.affine, dtype, spacing });
      }),
    );
    expect(new Set(headers).size).toBe(1);
  });

  it('is the same byte for byte when made again, in place or elsewhere, and another with another seed', async () => {
    const again = join(root, 'again');
    const other = join(root, 'other');
    await writePhantomCohort({ out: again, ...request });
    await writePhantomCohort({ out: other, ...request, seed: 12 });
    expect(filesOf(again)).toEqual(filesOf(out));
    for (const file of filesOf(out))
      expect(Buffer.compare(readFileSync(join(again, file)), readFileSync(join(out, file))), file).toBe(0);
    const image = 'sub-00001/anat/sub-00001_T1w.nii.gz';
    expect(Buffer.compare(readFileSync(join(other, image)), readFileSync(join(out, image)))).not.toBe(0);
    await writePhantomCohort({ out: again, ...request });
  });

  it('draws every head with its lesion and without it where twins are asked for: one source, equal outside', async () => {
    const paired = join(root, 'paired');
    await writePhantomCohort({ out: paired, ...request, twins: true });
    const { cases, findings } = await readCohort(paired);
    expect(findings).toEqual([]);
    expect(new Set(cases.map(({ source }) => source)).size).toBe(2);
    for (const twin of new Set(cases.map((one) => one.twin!))) {
      const [a, b] = cases.filter((one) => one.twin === twin);
      expect([a.group, b.group].sort()).toEqual(['control', 'fcd']);
      expect([a.source, a.sex, a.age]).toEqual([b.source, b.sex, b.age]);
      expect(Buffer.compare(readFileSync(a.labels!), readFileSync(b.labels!))).toBe(0);
      const [one, other] = await Promise.all([a, b].map((c) => readNifti(c.images.T1w!)));
      const differing = one.volume.data.filter((value, v) => value !== other.volume.data[v]).length;
      expect(differing).toBeGreaterThan(0);
      expect(differing).toBeLessThan(0.05 * one.volume.data.length);
    }
    const odd = { out: join(root, 'odd'), ...request, subjects: 3, twins: true };
    await expect(writePhantomCohort(odd)).rejects.toThrow(/even number/);
  });

  it('refuses a folder that holds something else', async () => {
    const taken = join(root, 'taken');
    await writePhantomCohort({ out: taken, ...request, subjects: 2 });
    await expect(writePhantomCohort({ out: taken, ...request })).rejects.toThrow(/is not empty/);
    const notes = mkdtempSync(join(root, 'notes-'));
    writeFileSync(join(notes, 'notes.txt'), 'mine');
    await expect(writePhantomCohort({ out: notes, ...request })).rejects.toThrow(/name a new folder/);
    expect(readdirSync(notes)).toEqual(['notes.txt']);
  });

  it('can be stopped: nothing that looks like a cohort is left, and the same command completes it', async () => {
    const stopped = join(root, 'stopped');
    const controller = new AbortController();
    const seen: number[] = [];
    const onProgress = ({ done }: { done: number }): void => {
      seen.push(done);
      if (done === 2) controller.abort();
    };
    await expect(
      writePhantomCohort({ out: stopped, ...request, onProgress, signal: controller.signal }),
    ).rejects.toThrow(StoppedError);
    expect(seen).toEqual([1, 2]);
    expect(readdirSync(stopped)).not.toContain('participants.tsv');
    await writePhantomCohort({ out: stopped, ...request });
    expect(filesOf(stopped)).toEqual(filesOf(out));
  });

  it.each([
    [{ subjects: 1 }, /2 on/],
    [{ subjects: 2.5 }, /whole number/],
    [{ size: 8 }, /32 to 256/],
    [{ difficulty: -1 }, /Difficulty is -1/],
    [{ seed: 0.5 }, /seed/],
  ])('refuses %o in a sentence, before anything is written', async (wrong, sentence) => {
    const nowhere = join(root, 'nowhere');
    await expect(writePhantomCohort({ out: nowhere, ...request, ...wrong })).rejects.toThrow(sentence);
    expect(readdirSync(root)).not.toContain('nowhere');
  });

  const nibabel = havePython('nibabel');
  it.skipIf(!nibabel)(
    `reads the same in nibabel: int16, RAS, the lesion inside the brain${nibabel ? '' : ' (skipped: python3 has no nibabel)'}`,
    async () => {
      const { cases } = await readCohort(out);
      const one = cases.find(({ group }) => group === 'fcd')!;
      const answer = python(
        `import sys, json, nibabel, numpy
image, roi, brain = [nibabel.load(path) for path in sys.argv[1:]]
inside = numpy.asarray(roi.dataobj) > 0
print(json.dumps([str(image.get_data_dtype()), ''.join(nibabel.aff2axcodes(image.affine)), list(image.shape),
  int(inside.sum()), int((inside & (numpy.asarray(brain.dataobj) == 0)).sum()),
  bool(numpy.allclose(image.affine, roi.affine))]))`,
        [one.images.FLAIR!, one.roi!.path, one.brain!],
      );
      const voxels = (await readNifti(one.roi!.path)).volume.data.filter((value) => value > 0).length;
      expect(JSON.parse(answer)).toEqual(['int16', 'RAS', [28, 32, 28], voxels, 0, true]);
    },
  );
});
