import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { Case } from '../../../src/core/cohort/cohort';
import { writePhantomCohort } from '../../../src/core/cohort/phantom/write-phantom-cohort';
import { readCohort } from '../../../src/core/cohort/read-cohort';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { saveNetwork } from '../../../src/core/model/checkpoint';
import { Network } from '../../../src/core/model/network';
import { networkSpec } from '../../../src/core/model/spec';
import { STANDARD, type Recipe } from '../../../src/core/volume/recipe';
import { ROOT } from '../../peers';

/** The program that the extension forks, as it is built. */
export const COMPUTE_MAIN = join(ROOT, 'dist', 'compute', 'main.js');

/** The scan's own grid, so that a map on the subject's grid and one on the network's are the same. */
export const OWN_GRID: Recipe = { ...STANDARD, spacing: null, shape: null };

/** Large enough that a pass takes dozens of milliseconds per layer. */
export const LARGE_GRID: Recipe = { ...STANDARD, spacing: [2, 2, 2], shape: [80, 96, 80] };

/** Four phantom heads and checkpoints that nobody has trained, in a folder that goes with the test file. */
export interface TinyStudy {
  readonly folder: string;
  readonly cohort: string;
  readonly patient: Case;
  readonly control: Case;
  /** A tiny network that wants FLAIR images on their own grid. */
  readonly model: string;
  /** A larger one on a larger grid: a request that takes a while. */
  readonly slowModel: string;
}

export function tinyStudy(): () => TinyStudy {
  let study: TinyStudy | undefined;
  beforeAll(async () => {
    if (!existsSync(COMPUTE_MAIN)) throw new Error(`${COMPUTE_MAIN} is not built: run npm run build.`);
    const folder = mkdtempSync(join(tmpdir(), 'fcd-compute-'));
    const cohort = join(folder, 'cohort');
    await writePhantomCohort({ out: cohort, subjects: 4, size: 32, seed: 7, difficulty: 0 });
    const { cases } = await readCohort(cohort);
    const of = (group: Case['group']): Case => {
      const found = cases.find((one) => one.group === group);
      if (!found) throw new Error(`The phantom cohort has nobody in the group ${group}.`);
      return found;
    };
    await openEngine({ threads: 1 });
    const model = join(folder, 'tiny.safetensors');
    await saveFresh(model, 0.125, 'resnet10', OWN_GRID);
    const slowModel = join(folder, 'slow.safetensors');
    await saveFresh(slowModel, 1, 'resnet18', LARGE_GRID);
    await closeEngine();
    study = { folder, cohort, patient: of('fcd'), control: of('control'), model, slowModel };
  });
  afterAll(() => {
    if (study) rmSync(study.folder, { recursive: true, force: true });
  });
  return () => {
    if (!study) throw new Error('The study is not made yet.');
    return study;
  };
}

async function saveFresh(
  path: string,
  width: number,
  arch: 'resnet10' | 'resnet18',
  recipe: Recipe,
): Promise<void> {
  const network = new Network(networkSpec({ arch, geometry: 'compact', width }), 11);
  const meta = { recipe, modality: 'FLAIR', seen: ['head-a'], brainMasks: ['given'] } as const;
  await saveNetwork(path, network, meta);
  network.dispose();
}

/** FLAIR, brain mask and lesion mask of a case. */
export function flairOf(one: Case): { images: string[]; brain: string; roi: string | undefined } {
  const { FLAIR } = one.images;
  if (FLAIR === undefined || one.brain === undefined)
    throw new Error(`${one.participantId} is not complete.`);
  return { images: [FLAIR], brain: one.brain, roi: one.roi?.path };
}
