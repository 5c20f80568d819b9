import { readFile, realpath, stat } from 'node:fs/promises';
import * as path from 'node:path';
import type { MapProvenance } from '../../protocol/viewer';
import { imageCandidates, parseProvenance, provenancePath } from './map-provenance';

/** A class map on disk with what its .json says. */
export interface MapFile {
  readonly path: string;
  readonly provenance: MapProvenance;
  /** The scan that it belongs to; undefined where it is not (any more) where the record says. */
  readonly image: string | undefined;
  readonly modifiedMs: number;
}

/**
 * Reads the record beside a NIfTI file. Undefined where the file is no class map.
 *
 * @param roots folders (of the workspace) from which a relative path in the record may count.
 */
export async function readMapFile(map: string, roots: readonly string[]): Promise<MapFile | undefined> {
  const folder = path.dirname(map);
  const parent = path.dirname(folder);
  // <run>/cams/<map>: the run is named by its directory, a cross-validation's with the fold.
  const run = path.basename(folder) === 'cams' ? runName(parent) : null;
  try {
    const provenance = parseProvenance(await readFile(provenancePath(map), 'utf8'), run);
    if (!provenance) return undefined;
    const { mtimeMs } = await stat(map);
    const candidates =
      provenance.image === null ? [] : imageCandidates(provenance.image, [folder, parent, ...roots], path);
    return { path: map, provenance, image: await firstFile(candidates), modifiedMs: mtimeMs };
  } catch {
    return undefined; // no record, no readable map: not a class map that could be shown
  }
}

/** The maps that belong to a scan, newest first. */
export async function mapsOf(
  image: string,
  maps: readonly string[],
  roots: readonly string[],
): Promise<MapFile[]> {
  const own = await real(image);
  const read = await Promise.all(maps.map((map) => readMapFile(map, roots)));
  const fitting: MapFile[] = [];
  for (const map of read) if (map?.image !== undefined && (await real(map.image)) === own) fitting.push(map);
  return fitting.sort((a, b) => b.modifiedMs - a.modifiedMs);
}

function runName(directory: string): string | null {
  const name = path.basename(directory);
  if (name === '.fcd') return null;
  return /^fold-?\d+$/i.test(name) ? `${path.basename(path.dirname(path.dirname(directory)))}/${name}` : name;
}

async function firstFile(candidates: readonly string[]): Promise<string | undefined> {
  for (const candidate of candidates)
    if ((await stat(candidate).catch(() => undefined))?.isFile()) return candidate;
  return undefined;
}

/** Links resolved, so that one scan reached by two paths is one scan. */
async function real(file: string): Promise<string> {
  return realpath(file).catch(() => path.resolve(file));
}
