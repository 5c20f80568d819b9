import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { InputError, messageOf } from '../errors';
import { readBids } from './bids';
import type { Cohort } from './cohort';
import { readManifest } from './manifest';

/**
 * Reads a cohort: a BIDS directory, or a .csv or .tsv manifest (columns: {@link readManifest}). Voxels are not read.
 * Throws an InputError where it is neither; what is wrong inside it stands in the findings.
 */
export async function readCohort(path: string): Promise<Cohort> {
  const absolute = resolve(path);
  const info = await stat(absolute).catch((error: unknown) => {
    throw new InputError(`There is no cohort at ${absolute}: ${messageOf(error)}.`);
  });
  if (info.isDirectory()) return readBids(absolute);
  if (/\.(csv|tsv)$/i.test(absolute)) return readManifest(absolute);
  throw new InputError(
    `${absolute} is no cohort: give a BIDS folder, or a manifest that ends in .csv or .tsv.`,
  );
}
