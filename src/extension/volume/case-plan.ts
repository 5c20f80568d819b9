import { readdir, stat } from 'node:fs/promises';
import * as path from 'node:path';
import type { MapProvenance, Overlay } from '../../protocol/viewer';
import { bidsMaskOf, bidsScanOf } from './bids-mask';
import { readMapFile } from './map-files';

/** An overlay before its header is read. */
export interface PlannedOverlay {
  readonly kind: Overlay['kind'];
  readonly path: string;
  readonly origin: string;
  readonly provenance: MapProvenance | null;
}

/** What opening a file means: the scan at the bottom, and what lies over it. */
export interface CasePlan {
  readonly image: string;
  readonly overlays: readonly PlannedOverlay[];
  readonly remarks: readonly string[];
}

/**
 * Finds what belongs to a file by the file's own folder and its record: a scan brings its BIDS lesion mask, a class map
 * brings the scan that it was made of, and that scan's mask, and a mask the scan that it was drawn on. Maps of the workspace are looked for elsewhere.
 */
export async function planCase(file: string, roots: readonly string[]): Promise<CasePlan> {
  const map = await readMapFile(file, roots);
  if (!map) return (await planMask(file)) ?? { image: file, overlays: await maskBeside(file), remarks: [] };
  const heat = { kind: 'heat' as const, path: file, provenance: map.provenance };
  if (map.image === undefined)
    return {
      image: file,
      overlays: [{ ...heat, origin: 'the opened file' }],
      remarks: [
        map.provenance.image === null
          ? 'The map’s record does not name the scan it was made of; it is shown over itself.'
          : `The scan that the map was made of is not found (${map.provenance.image}); the map is shown over itself.`,
      ],
    };
  return {
    image: map.image,
    overlays: [...(await maskBeside(map.image)), { ...heat, origin: 'the opened file' }],
    remarks: [],
  };
}

async function planMask(file: string): Promise<CasePlan | undefined> {
  const folder = path.dirname(file);
  const scan = bidsScanOf(path.basename(file), await readdir(folder).catch(() => []));
  if (scan === undefined) return undefined;
  return {
    image: path.join(folder, scan),
    overlays: [{ kind: 'mask', path: file, origin: 'the opened file', provenance: null }],
    remarks: [],
  };
}

async function maskBeside(image: string): Promise<PlannedOverlay[]> {
  const folder = path.dirname(image);
  const names = await readdir(folder).catch(() => []);
  const mask = bidsMaskOf(path.basename(image), names);
  if (mask === undefined) return [];
  return [{ kind: 'mask', path: path.join(folder, mask), origin: 'found beside the scan', provenance: null }];
}

/** What a file that a person adds is: a class map where it has the record of one, else by its name, else as asked. */
export async function overlayOf(
  file: string,
  roots: readonly string[],
  origin: string,
): Promise<PlannedOverlay> {
  const map = await readMapFile(file, roots);
  if (map) return { kind: 'heat', path: file, origin, provenance: map.provenance };
  return {
    kind: /(heat|cam|prob|saliency|zstat|tstat|map)/i.test(path.basename(file)) ? 'heat' : 'mask',
    path: file,
    origin,
    provenance: null,
  };
}

/** Whether a path is a file now. */
export async function isFile(file: string): Promise<boolean> {
  return (await stat(file).catch(() => undefined))?.isFile() ?? false;
}
