import { describe, expect, it } from 'vitest';
import type { LesionSigns } from '../../../src/core/cohort/plant/lesion-signs';
import { plantLesion, type PlantedDelta } from '../../../src/core/cohort/plant/plant-lesion';
import type { WarpedCopy } from '../../../src/core/cohort/plant/warped-copy';
import { Random } from '../../../src/core/random';

const SPACING = 1;
const SIZE = 48;
const GREY = { t1w: 0.6, flair: 1 };
const WHITE = { t1w: 1, flair: 0.72 };

/** A flat sheet of frontal cortex, 3 mm thick, between CSF below and white matter above; a ventricle at the top. */
function sheet(): WarpedCopy {
  const labels = new Uint8Array(SIZE ** 3);
  const t1w = new Float32Array(SIZE ** 3);
  const flair = new Float32Array(SIZE ** 3);
  labels.forEach((_, v) => {
    const k = Math.floor(v / SIZE ** 2);
    const [label, signal] =
      k < 6
        ? [1, { t1w: 0.2, flair: 0.15 }]
        : k < 9
          ? [190, GREY]
          : k < 40
            ? [81, WHITE]
            : [51, { t1w: 0.2, flair: 0.15 }];
    labels[v] = label;
    t1w[v] = signal.t1w;
    flair[v] = signal.flair;
  });
  return { shape: [SIZE, SIZE, SIZE], spacing: SPACING, t1w, flair, labels };
}

const signs: LesionSigns = {
  lobe: 'frontal',
  volumeMl: 4,
  thickeningMm: 3,
  hyperintensity: 0,
  contrastLoss: 0,
  transmantle: false,
};

/** The voxel column through the middle of the lesion, from the cortex up. */
function middleColumn(mask: Float32Array): number {
  let [i, j, n] = [0, 0, 0];
  mask.forEach((inside, v) => {
    if (!inside) return;
    i += v % SIZE;
    j += Math.floor(v / SIZE) % SIZE;
    n++;
  });
  return Math.round(i / n) + SIZE * Math.round(j / n);
}

describe('a lesion planted in a flat sheet of cortex', () => {
  const copy = sheet();
  const made = new Map<string, PlantedDelta>();
  const planted = (changed: Partial<LesionSigns> = {}): PlantedDelta => {
    const key = JSON.stringify(changed);
    const delta = made.get(key) ?? plantLesion(copy, { ...signs, ...changed }, Random.seeded(1));
    made.set(key, delta);
    return delta;
  };

  it('turns white matter grey by 0.9 / (1 + exp((d - t) / 0.7)), d from the border of the cortex', () => {
    const { flair, mask } = planted();
    const column = middleColumn(mask);
    for (let depth = 0; depth < 7; depth++) {
      const d = depth + 0.5; // the centre of the voxel
      const expected = 0.9 / (1 + Math.exp((d - 3) / 0.7));
      const v = column + SIZE ** 2 * (9 + depth);
      expect(flair[v] / (GREY.flair - WHITE.flair), `depth ${d}`).toBeCloseTo(expected, 5);
    }
  });

  it.each([2, 3, 4])('is thicker by 0.9 x %s mm, as grey matter summed over depth', (thickeningMm) => {
    const { flair, mask } = planted({ thickeningMm });
    const column = middleColumn(mask);
    let gained = 0;
    for (let k = 9; k < 40; k++)
      gained += (flair[column + SIZE ** 2 * k] / (GREY.flair - WHITE.flair)) * SPACING;
    // The integral of the formula over depth is 0.9 x 0.7 ln(1 + exp(t / 0.7)).
    expect(gained).toBeCloseTo(0.9 * 0.7 * Math.log(1 + Math.exp(thickeningMm / 0.7)), 1);
    expect(gained).toBeGreaterThan(0.85 * thickeningMm);
  });

  it('smears the junction in T1w: the steepest step between neighbours is less than half of what it was', () => {
    const { t1w, mask } = planted();
    const column = middleColumn(mask);
    const profile = Array.from({ length: 14 }, (_, n) => {
      const v = column + SIZE ** 2 * (6 + n);
      return copy.t1w[v] + t1w[v];
    });
    const steps = profile.slice(1).map((value, n) => value - profile[n]);
    expect(Math.max(...steps)).toBeLessThan(0.5 * (WHITE.t1w - GREY.t1w));
    expect(Math.min(...profile)).toBeGreaterThan(0.9 * GREY.t1w);
  });

  it('has the drawn volume, mask voxels being cortex or white matter of which a fifth turns grey', () => {
    for (const volumeMl of [1, 8]) {
      const { mask, flair } = planted({ volumeMl });
      expect(mask.reduce((sum, value) => sum + value, 0)).toBe(volumeMl * 1000);
      mask.forEach((inside, v) => {
        if (inside && copy.labels[v] === 81 && flair[v] < 0.5 * 0.19 * 0.28)
          throw new Error(`white voxel ${v} of the mask hardly changes`);
        if (inside && copy.labels[v] !== 81 && copy.labels[v] !== 190)
          throw new Error(`label ${copy.labels[v]}`);
      });
    }
  });

  it('brightens cortex in FLAIR by the drawn share, up to it and not over it', () => {
    const { flair, mask } = planted({ hyperintensity: 0.2 });
    const cortex = [...mask.keys()].filter((v) => copy.labels[v] === 190 && mask[v]);
    const gains = cortex.map((v) => flair[v] / copy.flair[v]);
    expect(Math.max(...gains)).toBeCloseTo(0.2, 6);
    expect(Math.min(...gains)).toBeGreaterThanOrEqual(0.1 - 1e-6); // half strength at the edge
    // Without a drawn share nothing becomes brighter than cortex is.
    const plain = planted().flair;
    expect(plain.every((delta, v) => copy.flair[v] + delta <= GREY.flair + 1e-6)).toBe(true);
  });

  it('takes a tenth of the grey-white contrast away in T1w', () => {
    const before = planted();
    const after = planted({ contrastLoss: 0.1 });
    const column = middleColumn(before.mask);
    const middle = (GREY.t1w + WHITE.t1w) / 2;
    for (const k of [7, 9, 12, 14]) {
      const v = column + SIZE ** 2 * k;
      const off = copy.t1w[v] + before.t1w[v] - middle;
      expect(copy.t1w[v] + after.t1w[v] - middle).toBeCloseTo(0.9 * off, 5);
    }
  });

  it('draws a funnel of half grey matter from the cortex to the ventricle', () => {
    const { flair, mask } = planted({ transmantle: true });
    const deep = [...flair.keys()].filter((v) => Math.floor(v / SIZE ** 2) === 30 && flair[v] > 0);
    expect(deep.length).toBeGreaterThan(4);
    expect(Math.max(...deep.map((v) => flair[v]))).toBeCloseTo(0.5 * (GREY.flair - WHITE.flair), 6);
    expect(deep.some((v) => mask[v] === 1)).toBe(true);
    expect(mask.reduce((sum, value) => sum + value, 0)).toBe(4000);
    const without = planted().flair;
    expect(without.every((delta, v) => Math.floor(v / SIZE ** 2) < 30 || delta === 0)).toBe(true);
  });

  it('leaves all else untouched: CSF, ventricle, and what lies beyond its rim', () => {
    const { t1w, flair, mask } = planted({ hyperintensity: 0.3, contrastLoss: 0.1 });
    let touched = 0;
    t1w.forEach((delta, v) => {
      const tissue = copy.labels[v] === 81 || copy.labels[v] === 190;
      if (!tissue && (delta !== 0 || flair[v] !== 0)) throw new Error(`label ${copy.labels[v]} changed`);
      if (delta !== 0 || flair[v] !== 0) touched++;
    });
    expect(touched).toBeLessThan(4 * mask.reduce((sum, value) => sum + value, 0));
  });
});
