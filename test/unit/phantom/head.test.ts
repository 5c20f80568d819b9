import { beforeAll, describe, expect, it } from 'vitest';
import { makePhantomHead, phantomGrid, type PhantomHead } from '../../../src/core/cohort/phantom/head';
import { LABEL, PHANTOM_STRUCTURES } from '../../../src/core/cohort/phantom/structures';
import { InputError } from '../../../src/core/errors';
import { voxelCount } from '../../../src/core/volume/volume';
import { brightestSpot, separation, sum } from './measures';

const small = phantomGrid(40);
const usual = phantomGrid(64);

describe('the grid', () => {
  it('always covers 196 x 224 x 196 mm, so that every head fits', () => {
    for (const size of [32, 64, 96, 128, 160]) {
      const { shape, spacing } = phantomGrid(size);
      expect(shape[1]).toBe(size);
      expect(shape[1] * spacing).toBe(224);
      expect(shape[0]).toBe(shape[2]);
      expect(shape[0] * spacing).toBeCloseTo(196, 6);
    }
  });

  it.each([0, 31, 300, 64.5, NaN])('refuses %s voxels a side in a sentence', (size) => {
    expect(() => phantomGrid(size)).toThrow(InputError);
    expect(() => phantomGrid(size)).toThrow(/32 to 256/);
  });
});

describe('a healthy head', () => {
  const [ni, nj, nk] = usual.shape;
  const ml = usual.spacing ** 3 / 1000;
  let head: PhantomHead;
  let volumes: Map<number, number>;
  beforeAll(() => {
    head = makePhantomHead({ seed: 1, subject: 1, ...usual });
    volumes = new Map();
    for (const label of head.labels.data) volumes.set(label, (volumes.get(label) ?? 0) + ml);
  });
  const meanOf = (image: Float32Array, label: number): number => {
    const values = image.filter((_, v) => head.labels.data[v] === label);
    return sum(values) / values.length;
  };

  it('has 23 differently named structures, numbered from 1, each in every head and at every size', () => {
    expect(PHANTOM_STRUCTURES.map(({ number }) => number)).toEqual(
      Array.from({ length: 23 }, (_, n) => n + 1),
    );
    expect(new Set(PHANTOM_STRUCTURES.map(({ name }) => name)).size).toBe(23);
    const all = Array.from({ length: 24 }, (_, n) => n);
    for (let subject = 1; subject <= 4; subject++)
      for (const size of subject === 1 ? [32, 48] : [40]) {
        const { labels } = makePhantomHead({ seed: 5, subject, ...phantomGrid(size) });
        expect([...new Set(labels.data)].sort((a, b) => a - b)).toEqual(all);
      }
  });

  it('lies within the field of view, the neck aside', () => {
    for (let subject = 1; subject <= 3; subject++) {
      const { labels } = makePhantomHead({ seed: 9, subject, ...small });
      const [si, sj, sk] = small.shape;
      labels.data.forEach((label, v) => {
        const [i, j, k] = [v % si, Math.floor(v / si) % sj, Math.floor(v / (si * sj))];
        if (i === 0 || j === 0 || i === si - 1 || j === sj - 1 || k === sk - 1) {
          if (k > 4 && label !== 0) throw new Error(`label ${label} at ${i}, ${j}, ${k}`);
        }
      });
    }
  });

  it('has the volumes of an adult: cortex 450 to 850 ml, white matter 400 to 750 ml, ventricles 5 to 40 ml', () => {
    const cortex = sum([4, 5, 6, 7, 8].map((label) => volumes.get(label)!));
    expect(cortex).toBeGreaterThan(450);
    expect(cortex).toBeLessThan(850);
    expect(volumes.get(LABEL['cerebral white matter'])).toBeGreaterThan(400);
    expect(volumes.get(LABEL['cerebral white matter'])).toBeLessThan(750);
    expect(volumes.get(LABEL['lateral ventricles'])).toBeGreaterThan(5);
    expect(volumes.get(LABEL['lateral ventricles'])).toBeLessThan(40);
    // Frontal cortex is the largest lobe's, insula the smallest.
    const lobes = [4, 5, 6, 7, 8].map((label) => volumes.get(label)!);
    expect(Math.max(...lobes)).toBe(lobes[0]);
    expect(Math.min(...lobes)).toBe(lobes[4]);
  });

  it('is folded: white matter has over 1.5 times the surface of the smooth brain around it', () => {
    const faces = (inside: (label: number) => boolean, outside: (label: number) => boolean): number => {
      let count = 0;
      const { data } = head.labels;
      for (let v = ni * nj; v < data.length - ni * nj; v++)
        for (const step of [1, ni, ni * nj])
          if (inside(data[v]) !== inside(data[v + step]) && (outside(data[v]) || outside(data[v + step])))
            count++;
      return count;
    };
    const isCortex = (label: number): boolean => label >= 4 && label <= 8;
    const smooth = faces(
      (label) => label === LABEL.skull || label === LABEL['scalp and face'],
      (label) => label === 3,
    );
    expect(faces((label) => label === 9, isCortex) / smooth).toBeGreaterThan(1.5);
  });

  it('shows white matter brightest in T1w and cortex brightest in FLAIR, CSF dark in both', () => {
    const [t1w, flair] = [head.t1w.data, head.flair.data];
    const white = LABEL['cerebral white matter'];
    const grey = LABEL['frontal cortex'];
    const fluid = LABEL['lateral ventricles'];
    expect(meanOf(t1w, white)).toBeGreaterThan(1.15 * meanOf(t1w, grey));
    expect(meanOf(t1w, grey)).toBeGreaterThan(1.5 * meanOf(t1w, fluid));
    expect(meanOf(flair, grey)).toBeGreaterThan(1.05 * meanOf(flair, white));
    expect(meanOf(flair, white)).toBeGreaterThan(1.8 * meanOf(flair, fluid));
  });

  it('has deep nuclei and lobes on both sides of the midline', () => {
    for (const name of ['caudate', 'putamen', 'pallidum', 'thalamus', 'hippocampus', 'amygdala'] as const) {
      let left = 0;
      let right = 0;
      head.labels.data.forEach((label, v) => {
        if (label !== LABEL[name]) return;
        if (v % ni < ni / 2) left++;
        else right++;
      });
      expect(left, name).toBeGreaterThan(0);
      expect(right, name).toBeGreaterThan(0);
    }
  });

  it('lies in RAS millimetres with the image values in whole numbers', () => {
    const { affine, shape } = head.t1w;
    expect(shape).toEqual([ni, nj, nk]);
    expect([affine[0], affine[5], affine[10]]).toEqual([3.5, 3.5, 3.5]);
    expect(affine.slice(12)).toEqual([0, 0, 0, 1]);
    expect(head.t1w.data.every(Number.isInteger) && head.flair.data.every(Number.isInteger)).toBe(true);
    expect(head.t1w.data.every((value) => value >= 0 && value < 3000)).toBe(true);
    expect(head.brain.data.every((inside, v) => inside === Number(head.labels.data[v] >= 4))).toBe(true);
  });

  it('is the same for a seed and subject, and another for another', () => {
    const of = (seed: number, subject: number): PhantomHead => makePhantomHead({ seed, subject, ...small });
    const first = of(1, 1);
    const again = of(1, 1);
    for (const image of ['t1w', 'flair', 'labels'] as const)
      expect(
        again[image].data.every((value, v) => value === first[image].data[v]),
        image,
      ).toBe(true);
    for (const other of [of(1, 2), of(2, 1)])
      expect(Buffer.compare(other.labels.data, first.labels.data)).not.toBe(0);
  });
});

describe('a head with a lesion', () => {
  const ml = small.spacing ** 3 / 1000;
  const pair = (subject: number, difficulty: number): { sick: PhantomHead; well: PhantomHead } => ({
    sick: makePhantomHead({ seed: 3, subject, ...small }, { group: 'fcd', difficulty }),
    well: makePhantomHead({ seed: 3, subject, ...small }, { group: 'control', difficulty }),
  });

  it('has a mask of 1 to 30 ml, to a voxel the volume that was drawn', () => {
    for (let subject = 1; subject <= 5; subject++) {
      const { lesion } = makePhantomHead({ seed: 3, subject, ...small }, { group: 'fcd' });
      const volume = sum(lesion!.mask.data) * ml;
      expect(Math.abs(volume - lesion!.volumeMl)).toBeLessThanOrEqual(ml);
      expect(lesion!.volumeMl).toBeGreaterThanOrEqual(1);
      expect(lesion!.volumeMl).toBeLessThanOrEqual(30);
    }
  });

  it('differs from the control of the same number only where the lesion is: no other difference tells them apart', () => {
    for (let subject = 1; subject <= 2; subject++) {
      const { sick, well } = pair(subject, 0.5);
      expect(well.lesion).toBeUndefined();
      expect(Buffer.compare(sick.labels.data, well.labels.data)).toBe(0);
      expect(Buffer.compare(sick.brain.data, well.brain.data)).toBe(0);
      const { strength, mask } = sick.lesion!;
      let changed = 0;
      for (let v = 0; v < voxelCount(small.shape); v++) {
        const same = sick.t1w.data[v] === well.t1w.data[v] && sick.flair.data[v] === well.flair.data[v];
        if (strength[v] === 0 && !same) throw new Error(`voxel ${v} differs outside of the lesion`);
        if (strength[v] === 0 && mask.data[v]) throw new Error(`voxel ${v} is in the mask and untouched`);
        if (mask.data[v] && !same) changed++;
      }
      expect(changed).toBeGreaterThan(0.9 * sum(mask.data));
    }
  });

  it('lies in brain tissue of one hemisphere, never in CSF, ventricles or deep nuclei', () => {
    for (let subject = 1; subject <= 4; subject++) {
      const { lesion, labels } = makePhantomHead({ seed: 3, subject, ...small }, { group: 'fcd' });
      const inside = new Set(labels.data.filter((_, v) => lesion!.mask.data[v] === 1));
      for (const label of inside) expect([4, 5, 6, 7, 8, 9]).toContain(label);
      expect(inside.has(LABEL[`${lesion!.lobe} cortex`])).toBe(true);
    }
  });

  it('is brighter in FLAIR by the drawn 10 to 30 % at difficulty 0.5, by twice that at 0, by nothing at 1', () => {
    const place = { seed: 4, subject: 2, ...phantomGrid(64) };
    const [easy, usualOne, hard] = [0, 0.5, 1].map((difficulty) =>
      makePhantomHead(place, { group: 'fcd', difficulty }),
    );
    const { strength, hyperintensity } = usualOne.lesion!;
    expect(hyperintensity).toBeGreaterThanOrEqual(0.1);
    expect(hyperintensity).toBeLessThanOrEqual(0.3);
    expect(easy.lesion!.hyperintensity).toBeCloseTo(2 * hyperintensity, 10);
    expect(hard.lesion!.hyperintensity).toBe(0);
    expect(hard.lesion!.contrastLoss).toBe(0);
    // The three have the same shape and noise, so their ratio in cortex at full strength is the brightness alone, a
    // little less where a voxel holds some CSF or white matter.
    const { labels } = hard;
    const cortex = [...labels.data.keys()].filter(
      (v) => labels.data[v] >= 4 && labels.data[v] <= 8 && strength[v] === 1,
    );
    expect(cortex.length).toBeGreaterThan(20);
    const total = ({ flair }: PhantomHead): number => sum(cortex.map((v) => flair.data[v]));
    for (const head of [easy, usualOne]) {
      const gain = total(head) / total(hard) - 1;
      expect(gain).toBeGreaterThan(0.8 * head.lesion!.hyperintensity);
      expect(gain).toBeLessThan(1.02 * head.lesion!.hyperintensity);
    }
  });

  it('has cortex that is 2 to 4 mm thicker, as measured in T1w', () => {
    // Grey matter gained by voxels of white matter, per area of junction that stands at full strength.
    const grid = phantomGrid(72);
    const place = { seed: 4, subject: 5, ...grid };
    const well = makePhantomHead(place);
    const { t1w, labels, lesion } = makePhantomHead(place, { group: 'fcd', difficulty: 1 });
    const [ni, nj] = grid.shape;
    const at = (v: number): number => labels.data[v];
    const full = (v: number): boolean => lesion!.strength[v] === 1;
    let gained = 0;
    let junction = 0;
    const contrast = contrastOf(well);
    for (let v = 0; v < labels.data.length; v++) {
      if (!full(v)) continue;
      gained += (well.t1w.data[v] - t1w.data[v]) / contrast;
      for (const step of [1, ni, ni * nj])
        if (full(v + step) && [at(v), at(v + step)].sort((a, b) => b - a)[0] === 9)
          if (Math.min(at(v), at(v + step)) >= 4 && at(v) !== at(v + step)) junction++;
    }
    // A surface at random angles crosses 1.5 voxel faces per voxel area.
    const thicker = (gained * grid.spacing) / (junction / 1.5);
    expect(lesion!.thickeningMm).toBeGreaterThanOrEqual(2);
    expect(lesion!.thickeningMm).toBeLessThanOrEqual(4);
    // In the narrow white matter of a gyrus both banks meet: less than the drawn thickening is gained.
    expect(thicker).toBeGreaterThan(0.45 * lesion!.thickeningMm);
    expect(thicker).toBeLessThan(1.25 * lesion!.thickeningMm);
  });

  it('is found by its brightness at difficulty 0 and not at difficulty 1', () => {
    const grid = phantomGrid(40);
    const subjects = Array.from({ length: 8 }, (_, n) => n + 1);
    const scores = (difficulty?: number): number[] =>
      subjects.map((subject) => {
        const group = difficulty === undefined ? 'control' : 'fcd';
        const { flair, brain } = makePhantomHead({ seed: 3, subject, ...grid }, { group, difficulty });
        return brightestSpot(flair, brain);
      });
    const controls = scores();
    expect(separation(scores(0), controls)).toBeGreaterThan(0.75);
    const hard = separation(scores(1), controls);
    expect(hard).toBeGreaterThan(0.4);
    expect(hard).toBeLessThan(0.6);
  });

  it('refuses a difficulty beyond 0 to 1', () => {
    expect(() =>
      makePhantomHead({ seed: 1, subject: 1, ...small }, { group: 'fcd', difficulty: 1.5 }),
    ).toThrow(/Difficulty is 1.5/);
  });
});

function contrastOf({ t1w, labels }: PhantomHead): number {
  const median = (label: number): number => {
    const values = t1w.data.filter((_, v) => labels.data[v] === label).sort();
    return values[Math.floor(values.length / 2)];
  };
  // The putamen has 0.72, cortex 0.62 of the signal of white matter; cortex itself is thinner than a voxel or two.
  return median(LABEL['cerebral white matter']) * (1 - 0.62);
}
