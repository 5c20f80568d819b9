import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  LOBE_CORTEX,
  SIDE_OF_LABEL,
  Tissue,
  TISSUE_OF_LABEL,
} from '../../../src/core/cohort/plant/muse-labels';
import { MIRRORED_LABEL, MUSE_STRUCTURES } from '../../../src/core/cohort/plant/muse-structures';
import { makeTwins, type Twins } from '../../../src/core/cohort/plant/plant-cohort';
import { findRealHeads, readRealHead, type HeadFiles } from '../../../src/core/cohort/plant/real-heads';
import { realData } from '../../peers';

const folder = realData() && join(realData()!, 'ixi2mm');
const absent = !folder || !existsSync(folder);
const named = (what: string): string =>
  absent ? `${what} (skipped: no real heads in shared/data/ixi2mm)` : what;

describe('the label numbers in the code', () => {
  it.skipIf(absent)(named('are those of the MUSE tables'), () => {
    const groups = new Map(
      readFileSync(join(folder!, 'MUSE_mapping_derivedROIs.csv'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => {
          const [, name, ...numbers] = line.trim().split(',');
          return [name, numbers.filter(Boolean).map(Number)] as const;
        }),
    );
    const numbersOf = (...tissues: Tissue[]): number[] =>
      MUSE_STRUCTURES.map(({ number }) => number).filter((number) =>
        tissues.includes(TISSUE_OF_LABEL[number]),
      );
    const sorted = (numbers: Iterable<number>): number[] => [...numbers].sort((a, b) => a - b);
    expect(numbersOf(Tissue.Cortex, Tissue.DeepGrey, Tissue.CerebellarCortex)).toEqual(
      sorted(groups.get('GM')!),
    );
    // The table of white matter leaves out the brainstem and knows no optic chiasm.
    expect(numbersOf(Tissue.LobarWhite, Tissue.OtherWhite).filter((n) => n !== 35 && n !== 69)).toEqual(
      sorted(groups.get('WM')!),
    );
    expect(numbersOf(Tissue.Ventricle)).toEqual(sorted(groups.get('Ventricles')!));
    for (const [lobe, name] of [
      ['parietal', 'Parietal_GM'],
      ['temporal', 'Temporal_GM'],
      ['occipital', 'Occipital_GM'],
    ] as const)
      expect(sorted(LOBE_CORTEX[lobe])).toEqual(sorted(groups.get(name)!));
    expect(sorted([...LOBE_CORTEX.frontal, ...LOBE_CORTEX.insular])).toEqual(
      sorted(groups.get('Frontal_GM')!),
    );
    for (const side of ['R', 'L'] as const) {
      const ofSide = new Set([...groups.get(`GM_${side}`)!, ...groups.get(`WM_${side}`)!]);
      for (const { number } of MUSE_STRUCTURES)
        if (SIDE_OF_LABEL[number] > 0)
          expect(ofSide.has(number), `${number} ${side}`).toBe(
            SIDE_OF_LABEL[number] === (side === 'R' ? 1 : 2),
          );
    }
    for (const number of groups.get('GM_R')!) expect(groups.get('GM_L')).toContain(MIRRORED_LABEL[number]);
  });

  it('mirror onto each other: twice mirrored is the label itself, and the middle stays', () => {
    for (let number = 0; number < 256; number++) expect(MIRRORED_LABEL[MIRRORED_LABEL[number]]).toBe(number);
    for (const middle of [0, 1, 4, 11, 35, 71, 95]) expect(MIRRORED_LABEL[middle]).toBe(middle);
    expect([MIRRORED_LABEL[23], MIRRORED_LABEL[75], MIRRORED_LABEL[100]]).toEqual([30, 76, 101]);
  });
});

describe.skipIf(absent)(named('real heads'), () => {
  let heads: HeadFiles[];
  let twins: Twins;
  beforeAll(async () => {
    heads = await findRealHeads(folder!, folder!);
    const head = await readRealHead(heads[0]);
    twins = makeTwins(head, heads[0].id, 1, { seed: 1, strength: 1, spacing: 3, difficulty: 0.5 });
  });

  it('are found with their labels, sex and age', () => {
    expect(heads).toHaveLength(32);
    expect(heads.every(({ sex, age }) => (sex === 'F' || sex === 'M') && age! > 15 && age! < 90)).toBe(true);
    expect(heads[0]).toMatchObject({ id: 'IXI132-HH-1415' });
  });

  it('show in FLAIR-like contrast cortex 1, white matter 0.72, CSF 0.15 relative to each other', () => {
    const mean = (tissue: Tissue): number => {
      const { data } = twins.control.flair;
      const inside = data.filter((_, v) => TISSUE_OF_LABEL[twins.labels.data[v]] === tissue);
      return inside.reduce((sum, value) => sum + value, 0) / inside.length;
    };
    // Voxels of 3 mm mix cortex with CSF and white matter.
    expect(mean(Tissue.LobarWhite) / mean(Tissue.Cortex)).toBeGreaterThan(0.7);
    expect(mean(Tissue.LobarWhite) / mean(Tissue.Cortex)).toBeLessThan(0.9);
    expect(mean(Tissue.DeepGrey) / mean(Tissue.LobarWhite)).toBeGreaterThan(1.1);
    expect(mean(Tissue.Ventricle) / mean(Tissue.LobarWhite)).toBeLessThan(0.55);
  });

  it('show in T1w white matter brighter than cortex, and dark ventricles, as scanned', () => {
    const values = (tissue: Tissue): Float32Array =>
      twins.control.t1w.data.filter((_, v) => TISSUE_OF_LABEL[twins.labels.data[v]] === tissue).sort();
    const median = (tissue: Tissue): number => values(tissue)[values(tissue).length >> 1];
    expect(median(Tissue.LobarWhite)).toBeGreaterThan(1.15 * median(Tissue.Cortex));
    expect(values(Tissue.Ventricle)[0]).toBeLessThan(0.7 * median(Tissue.Cortex));
  });

  it('keep the whole brain in the field of view and gain a lesion of the drawn volume', () => {
    const [ni, nj, nk] = twins.brain.shape;
    let inside = 0;
    let atBorder = 0;
    twins.brain.data.forEach((brain, v) => {
      if (!brain) return;
      const [i, j, k] = [v % ni, Math.floor(v / ni) % nj, Math.floor(v / (ni * nj))];
      inside++;
      if (i === 0 || j === 0 || k === 0 || i === ni - 1 || j === nj - 1 || k === nk - 1) atBorder++;
    });
    expect(atBorder / inside).toBeLessThan(0.001);
    const volume = twins.roi.data.reduce((sum, inside) => sum + inside, 0) * 0.027;
    expect(Math.abs(volume - twins.signs.volumeMl)).toBeLessThan(0.03);
  });
});
