import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MUSE_STRUCTURES } from '../../../src/core/cohort/plant/muse-structures';
import { makeTwins, plantCohort, type Twins } from '../../../src/core/cohort/plant/plant-cohort';
import { readCohort } from '../../../src/core/cohort/read-cohort';
import { InputError } from '../../../src/core/errors';
import { readNifti } from '../../../src/core/volume/nifti-read';
import { writeNifti } from '../../../src/core/volume/nifti-write';
import { reorient } from '../../../src/core/volume/orientation';
import type { Volume } from '../../../src/core/volume/volume';
import { madeUpHead } from './made-up-head';

const settings = { seed: 3, strength: 1, spacing: 3, difficulty: 0.5 };
const { head, phantom, labels } = madeUpHead(1);
/** Whether two images hold the same numbers (vitest's own comparison is slow on them). */
const equal = (a: Volume, b: Volume): boolean =>
  a.data.every((value, v) => value === b.data[v]) && a.data.length === b.data.length;
const size = (mask: ArrayLike<number>): number => Array.from(mask).reduce((sum, value) => sum + value, 0);

describe('a copy of a head, with and without its lesion', () => {
  let twins: Twins;
  beforeAll(() => {
    twins = makeTwins(head, 'head', 1, settings);
  });

  it('lies on 48 x 60 x 48 voxels of 3 mm in RAS, by default', () => {
    for (const { shape, affine } of [
      twins.control.t1w,
      twins.fcd.flair,
      twins.labels,
      twins.brain,
      twins.roi,
    ]) {
      expect(shape).toEqual([48, 60, 48]);
      expect([affine[0], affine[5], affine[10]]).toEqual([3, 3, 3]);
    }
  });

  it('is equal voxel by voxel outside of the reach of the lesion, and differs inside its mask', () => {
    const [ni, nj] = [48, 60];
    const lesion = [...twins.roi.data.keys()].filter((v) => twins.roi.data[v] === 1);
    const middle = [0, 1, 2].map(
      (axis) =>
        lesion
          .map((v) => [v % ni, Math.floor(v / ni) % nj, Math.floor(v / (ni * nj))][axis])
          .reduce((sum, at) => sum + at, 0) / lesion.length,
    );
    const away = (v: number): number =>
      3 *
      Math.hypot(
        (v % ni) - middle[0],
        (Math.floor(v / ni) % nj) - middle[1],
        Math.floor(v / (ni * nj)) - middle[2],
      );
    const reach = Math.max(...lesion.map(away)) + 8;
    for (const contrast of ['t1w', 'flair'] as const) {
      const [sick, well] = [twins.fcd[contrast].data, twins.control[contrast].data];
      let changed = 0;
      sick.forEach((value, v) => {
        if (value !== well[v] && away(v) > reach) throw new Error(`${contrast} differs ${away(v)} mm away`);
        if (twins.roi.data[v] && value !== well[v]) changed++;
      });
      expect(changed, contrast).toBeGreaterThan(0.95 * lesion.length);
    }
  });

  it('differs by nothing at all at strength 0: both go through the same steps with the same noise', () => {
    const none = makeTwins(head, 'head', 1, { ...settings, strength: 0 });
    for (const contrast of ['t1w', 'flair'] as const) {
      expect(equal(none.fcd[contrast], none.control[contrast])).toBe(true);
      expect(equal(none.control[contrast], twins.control[contrast])).toBe(true);
    }
  });

  it('changes in proportion to the strength', () => {
    const double = makeTwins(head, 'head', 1, { ...settings, strength: 2 });
    const change = (pair: Twins): number =>
      size(pair.fcd.flair.data.map((value, v) => value - pair.control.flair.data[v]));
    expect(change(double) / change(twins)).toBeCloseTo(2, 1);
  });

  it('has lesions of 3 to 30 ml at 3 mm, of the volume that was drawn, inside the brain', () => {
    for (let copy = 1; copy <= 2; copy++) {
      const { roi, signs, brain } = makeTwins(head, 'head', copy, settings);
      const volume = size(roi.data) * 0.027;
      expect(Math.abs(volume - signs.volumeMl)).toBeLessThan(0.03);
      expect(signs.volumeMl).toBeGreaterThanOrEqual(3);
      expect(signs.volumeMl).toBeLessThanOrEqual(30);
      expect(size(roi.data.map((inside, v) => inside & brain.data[v]))).toBeGreaterThan(0.8 * size(roi.data));
    }
  });

  it('is brighter in FLAIR, darker in T1w where white matter turned grey', () => {
    const ratio = (contrast: 't1w' | 'flair'): number => {
      const inside = (data: Float32Array): number => size(data.filter((_, v) => twins.roi.data[v] === 1));
      return inside(twins.fcd[contrast].data) / inside(twins.control[contrast].data);
    };
    expect(ratio('flair')).toBeGreaterThan(1.05);
    expect(ratio('t1w')).toBeLessThan(0.98);
  });

  it('changes with seed, copy and head, and is the same for the same', () => {
    const same = makeTwins(head, 'head', 1, settings);
    expect(equal(same.fcd.t1w, twins.fcd.t1w) && equal(same.fcd.flair, twins.fcd.flair)).toBe(true);
    expect(same.signs).toEqual(twins.signs);
    for (const [id, copy, seed] of [
      ['other', 1, 3],
      ['head', 2, 3],
      ['head', 1, 4],
    ] as const) {
      const { control } = makeTwins(head, id, copy, { ...settings, seed });
      expect(equal(control.t1w, twins.control.t1w)).toBe(false);
    }
  });

  it('keeps the brain whole, whatever the scale, and about its volume', () => {
    const before = [...labels].filter((number) => number > 1).length * head.voxelSize[0] ** 3;
    for (let copy = 1; copy <= 2; copy++) {
      const { brain } = makeTwins(head, 'head', copy, settings);
      const after = size(brain.data) * 27;
      expect(after / before).toBeGreaterThan(0.93 ** 3 * 0.95);
      expect(after / before).toBeLessThan(1.07 ** 3 * 1.05);
    }
  });

  it('names sides right in mirrored copies: label numbers of the right lie on the right', () => {
    for (let copy = 1; copy <= 3; copy++) {
      const { data } = makeTwins(head, 'head', copy, settings).labels;
      let wrong = 0;
      let count = 0;
      data.forEach((number, v) => {
        if (number !== 81 && number !== 82) return;
        count++;
        if ((number === 81) !== v % 48 >= 24) wrong++;
      });
      expect(wrong / count).toBeLessThan(0.1);
    }
  });

  it('plants on a finer grid where a finer one is written, with lesions from 1 ml on', () => {
    const fine = makeTwins(head, 'head', 1, { ...settings, spacing: 2 });
    expect(fine.labels.shape).toEqual([72, 90, 72]);
    expect(Math.abs(size(fine.roi.data) * 0.008 - fine.signs.volumeMl)).toBeLessThan(0.01);
    expect(() => makeTwins(head, 'head', 1, { ...settings, spacing: 9 })).toThrow(/1 to 6 mm/);
  });
});

describe('a planted cohort on disk', () => {
  const root = mkdtempSync(join(tmpdir(), 'fcd-plant-'));
  const images = join(root, 'heads');
  const out = join(root, 'cohort');
  const request = { images, labels: images, out, seed: 5, copies: 2 };

  beforeAll(async () => {
    mkdirSync(images);
    const { t1w } = phantom;
    // The order of axes that real files may have.
    for (const id of ['A1', 'B2']) {
      await writeNifti(join(images, `${id}_T1.nii.gz`), reorient(t1w, 'PSR'), { dtype: 'int16' });
      const map = reorient({ shape: t1w.shape, affine: t1w.affine, data: labels }, 'PSR');
      await writeNifti(join(images, `${id}_T1_DLMUSE.nii.gz`), map);
    }
    writeFileSync(join(images, 'participants.csv'), 'MRID,Age,Sex\nB2,41.7,F\n');
    await plantCohort(request);
  });
  afterAll(() => rmSync(root, { recursive: true }));

  it('is read as a cohort without a finding: heads as sources, every copy a pair of twins', async () => {
    const cohort = await readCohort(out);
    expect(cohort.findings).toEqual([]);
    expect(cohort.cases).toHaveLength(2 * 2 * 2);
    const twins = new Map<string, string[]>();
    for (const { twin, source, group, roi } of cohort.cases) {
      expect(['A1', 'B2']).toContain(source);
      expect(twin!.startsWith(`${source}-`)).toBe(true);
      twins.set(twin!, [...(twins.get(twin!) ?? []), group]);
      expect(Boolean(roi)).toBe(group === 'fcd');
    }
    expect(twins.size).toBe(4);
    for (const groups of twins.values()) expect(groups.sort()).toEqual(['control', 'fcd']);
  });

  it('has a table that tells the group and no more, with sex and age where they are known', () => {
    const lines = readFileSync(join(out, 'participants.tsv'), 'utf8').trim().split('\n');
    expect(lines[0]).toBe('participant_id\tgroup\tsource\ttwin\tsex\tage');
    for (const line of lines.slice(1)) {
      const [, , source, , sex, age] = line.split('\t');
      expect([sex, age]).toEqual(source === 'B2' ? ['F', '41'] : ['n/a', 'n/a']);
    }
  });

  it('shares brain mask and labels between twins byte for byte, and says what is not a FLAIR scan', async () => {
    const { cases } = await readCohort(out);
    const [a, b] = cases.filter(({ twin }) => twin === 'A1-1');
    expect(Buffer.compare(readFileSync(a.labels!), readFileSync(b.labels!))).toBe(0);
    expect(Buffer.compare(readFileSync(a.brain!), readFileSync(b.brain!))).toBe(0);
    expect(readFileSync(join(out, 'README'), 'utf8')).toMatch(/NOT a FLAIR scan/);
    expect(JSON.parse(readFileSync(join(out, 'dataset_description.json'), 'utf8')).Name).toMatch(
      /FLAIR-like/,
    );
  });

  it('is the same byte for byte when made again', async () => {
    const again = join(root, 'again');
    await plantCohort({ ...request, out: again });
    const files = readdirSync(out, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    expect(files.length).toBeGreaterThan(8 * 4 + 4);
    for (const { parentPath, name } of files) {
      const path = join(parentPath, name);
      expect(Buffer.compare(readFileSync(path), readFileSync(path.replace(out, again))), name).toBe(0);
    }
  });

  it('reports progress and can be stopped before it is a cohort', async () => {
    const stopped = join(root, 'stopped');
    const controller = new AbortController();
    const seen: string[] = [];
    const onProgress = ({ done, total }: { done: number; total: number }): void => {
      seen.push(`${done}/${total}`);
      if (done === 2) controller.abort();
    };
    await expect(
      plantCohort({ ...request, out: stopped, onProgress, signal: controller.signal }),
    ).rejects.toThrow(/Stopped after/);
    expect(seen.slice(0, 2)).toEqual(['1/8', '2/8']);
    expect(readdirSync(stopped)).not.toContain('participants.tsv');
  });

  it('says which head lacks labels, or whose labels lie on another grid', async () => {
    const alone = mkdtempSync(join(root, 'alone-'));
    writeFileSync(join(alone, 'C3_T1.nii.gz'), '');
    const elsewhere = { ...request, out: join(root, 'nowhere') };
    await expect(plantCohort({ ...elsewhere, images: alone })).rejects.toThrow(
      /C3_T1.nii.gz has no label map/,
    );
    await expect(plantCohort({ ...elsewhere, images: root })).rejects.toThrow(/holds no image/);
    await expect(plantCohort({ ...elsewhere, images: join(root, 'absent') })).rejects.toThrow(InputError);
    const shifted = mkdtempSync(join(root, 'shifted-'));
    const { volume } = await readNifti(join(images, 'A1_T1_DLMUSE.nii.gz'));
    const affine = volume.affine.map((value, n) => (n === 3 ? value + 5 : value));
    await writeNifti(join(shifted, 'A1_DLMUSE.nii.gz'), { ...volume, affine }, { dtype: 'uint8' });
    await writeNifti(join(shifted, 'B2_DLMUSE.nii.gz'), { ...volume, affine }, { dtype: 'uint8' });
    await expect(plantCohort({ ...elsewhere, labels: shifted })).rejects.toThrow(/does not lie on the grid/);
  });

  it.each([
    [{ copies: 0 }, /0 copies/],
    [{ strength: 0 }, /strength of the lesions is 0/],
    [{ spacing: 0.2 }, /1 to 6 mm/],
    [{ difficulty: 2 }, /Difficulty is 2/],
    [{ seed: NaN }, /seed/],
  ])('refuses %o in a sentence', async (wrong, sentence) => {
    await expect(plantCohort({ ...request, ...wrong, out: join(root, 'never') })).rejects.toThrow(sentence);
    expect(readdirSync(root)).not.toContain('never');
  });

  it('names every label number that it writes', async () => {
    const { cases } = await readCohort(out);
    const known = new Set(MUSE_STRUCTURES.map(({ number }) => number));
    for (const number of new Set((await readNifti(cases[0].labels!)).volume.data))
      if (number !== 0) expect(known.has(number)).toBe(true);
  });
});
