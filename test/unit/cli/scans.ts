import { join } from 'node:path';
import { makePhantomHead, phantomGrid } from '../../../src/core/cohort/phantom/head';
import { saveNetwork } from '../../../src/core/model/checkpoint';
import { Network } from '../../../src/core/model/network';
import type { NetworkSpec } from '../../../src/core/model/spec';
import type { Recipe } from '../../../src/core/volume/recipe';
import { writeNifti } from '../../../src/core/volume/nifti-write';

export interface Scans {
  readonly t1w: string;
  readonly flair: string;
  readonly roi: string;
  readonly brain: string;
}

/** One phantom patient of 32 voxels as files. */
export async function writeScans(folder: string): Promise<Scans> {
  const head = makePhantomHead({ seed: 4, subject: 1, ...phantomGrid(32) }, { group: 'fcd', difficulty: 0 });
  const paths = {
    t1w: join(folder, 'p_T1w.nii.gz'),
    flair: join(folder, 'p_FLAIR.nii.gz'),
    roi: join(folder, 'p_roi.nii.gz'),
    brain: join(folder, 'p_brain.nii.gz'),
  };
  await writeNifti(paths.t1w, head.t1w, { dtype: 'int16' });
  await writeNifti(paths.flair, head.flair, { dtype: 'int16' });
  await writeNifti(paths.brain, head.brain);
  if (!head.lesion) throw new Error('The phantom patient has no lesion.');
  await writeNifti(paths.roi, head.lesion.mask);
  return paths;
}

/** A checkpoint of a network that was never trained. Needs a tfjs backend. */
export async function writeModel(path: string, spec: NetworkSpec, recipe?: Recipe): Promise<string> {
  const network = new Network(spec, 9);
  await saveNetwork(path, network, {
    recipe,
    modality: spec.inChannels === 2 ? 'T1w+FLAIR' : 'FLAIR',
    seen: [],
  });
  network.dispose();
  return path;
}
