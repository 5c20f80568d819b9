import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../errors';
import { sha256Of } from '../files/sha256';
import { loadSegmentation } from '../pretrain/segmentation-checkpoint';
import { readCatalogue } from '../transfer/catalogue';
import { toRas } from '../volume/orientation';
import type { Grid, Mask, Volume } from '../volume/volume';
import { doubtAbout, insideOn, segmentInside } from './segment-inside';

/** The task of the head that makes brain masks. */
export const INTRACRANIAL = 'intracranial';

/** A brain mask, to be had on any grid; or why there is none, a sentence for people. */
export type IntracranialMask = { readonly on: (grid: Grid) => Mask } | { readonly refused: string };

/**
 * What lies inside the skull of a raw scan, by the segmentation head that comes with the program. Needs an engine.
 * Refused, so that another mask serves, where no such head comes along, where the image has one value, and where what the
 * head says is not plausible (see {@link doubtAbout}).
 * @throws InputError where the head's file is damaged
 */
export async function intracranialMask(image: Volume): Promise<IntracranialMask> {
  const path = await shippedHead();
  if (path === undefined) return { refused: 'no intracranial head comes with this program' };
  const { data } = image;
  if (data.every((value) => value === data[0])) return { refused: 'the image has one value only' };
  const { network, meta } = await loadSegmentation(path);
  try {
    if (!meta.recipe)
      throw new InputError(`${path} does not say how its network wants scans prepared. Get models/ again.`);
    const raw = toRas(image);
    const inside = await segmentInside(network, meta.recipe, raw);
    const doubt = doubtAbout(inside, raw);
    return doubt === undefined ? { on: (grid) => insideOn(inside, grid) } : { refused: doubt };
  } finally {
    network.dispose();
  }
}

/** Path of the head's file; undefined where the catalogue has none. @throws InputError where it has other bytes */
async function shippedHead(): Promise<string | undefined> {
  const { folder, heads } = await readCatalogue();
  const entry = heads.find(({ task }) => task === INTRACRANIAL);
  if (!entry) return undefined;
  const path = join(folder, entry.file);
  if (!existsSync(path) || (await sha256Of(path)) !== entry.sha256)
    throw new InputError(
      `${path}, which makes brain masks, is not there or has other bytes than the catalogue says. Get the program's models/ folder again, give a brain mask, or choose another with --mask otsu.`,
    );
  return path;
}
