import { basename, dirname } from 'node:path';
import type { ComputeMethod, ComputeParams } from '../../protocol/compute';

/** A request in words: what the process is doing, and what it did when it ended. */
export interface Doing {
  /** `explaining sub-00002` */
  readonly now: string;
  /** `explained sub-00002` */
  readonly then: string;
}

type Words = { readonly [M in ComputeMethod]: (params: ComputeParams<M>) => Doing };

const WORDS: Words = {
  engine: () => ({ now: 'starting the engine', then: 'started the engine' }),
  header: ({ path }) => verb('reading', 'read', `the header of ${caseName(path)}`),
  statistics: ({ path }) => verb('counting', 'counted', `the voxels of ${caseName(path)}`),
  cohort: ({ path }) => verb('reading', 'read', `the cohort ${basename(path)}`),
  model: ({ model }) => verb('reading', 'read', `the network ${modelName(model)}`),
  predict: ({ images }) => verb('predicting', 'predicted', caseName(images[0])),
  explain: ({ images }) => verb('explaining', 'explained', caseName(images[0])),
  checkpoint: ({ path }) => verb('reading', 'read', `the header of ${basename(path)}`),
  tensors: ({ path }) => verb('reading', 'read', `the tensors of ${basename(path)}`),
  match: ({ path, other }) => verb('comparing', 'compared', `${basename(path)} with ${basename(other)}`),
  changes: ({ path, other }) => verb('comparing', 'compared', `${basename(path)} with ${basename(other)}`),
  filters: ({ name }) => verb('reading', 'read', `filters of ${name}`),
  layers: ({ path }) => verb('counting', 'counted', `the layers of ${basename(path)}`),
  identify: ({ path }) => verb('hashing', 'hashed', basename(path)),
  planImport: ({ path }) => verb('examining', 'examined', basename(path)),
  importWeights: ({ path }) => verb('importing', 'imported', basename(path)),
  shutdown: () => ({ now: 'ending', then: 'ended' }),
};

export function doing<M extends ComputeMethod>(method: M, params: ComputeParams<M>): Doing {
  return WORDS[method](params);
}

function verb(now: string, then: string, object: string): Doing {
  return { now: `${now} ${object}`, then: `${then} ${object}` };
}

/** `sub-00002` of a BIDS file name, else the file's name without its endings. */
export function caseName(path: string): string {
  const file = basename(path);
  return /^sub-[A-Za-z0-9]+/.exec(file)?.[0] ?? (file.replace(/\.nii(\.gz)?$/i, '') || path);
}

/** A run directory by its name, a checkpoint within one by the run's, any other file by its own. */
function modelName(path: string): string {
  const run = /^(.*)[\\/]checkpoints[\\/](best|last)[\\/]model\.safetensors$/.exec(path);
  return run ? `${basename(run[1])} (${run[2]})` : basename(path) || dirname(path);
}
