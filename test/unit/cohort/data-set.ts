import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { realData } from '../../peers';

/** A whole NIfTI-1 file of 2 x 2 x 2 bytes, whose voxels depend on `content`. */
export function tinyNifti(content: string): Buffer {
  const file = Buffer.alloc(352 + 8);
  file.writeInt32LE(348, 0);
  [3, 2, 2, 2, 1, 1, 1, 1].forEach((size, i) => file.writeInt16LE(size, 40 + 2 * i));
  file.writeInt16LE(2, 70); // uint8
  file.writeInt16LE(8, 72);
  [1, 1, 1, 1].forEach((spacing, i) => file.writeFloatLE(spacing, 76 + 4 * i));
  file.writeFloatLE(352, 108);
  file.writeFloatLE(1, 112);
  file.write('n+1\0', 344, 'latin1');
  createHash('sha256').update(content).digest().copy(file, 352, 0, 8);
  return file;
}

/** A folder of files: text as it is, and for names in .nii or .nii.gz without a text a tiny image. */
export class DataSet {
  readonly root = mkdtempSync(join(tmpdir(), 'fcd-cohort-'));

  constructor(files: Readonly<Record<string, string | Buffer | null>> = {}) {
    for (const [path, content] of Object.entries(files)) this.put(path, content);
  }

  at(path: string): string {
    return join(this.root, path);
  }

  /** Null stands for a tiny image of its own. */
  put(path: string, content: string | Buffer | null): this {
    const absolute = this.at(path);
    mkdirSync(dirname(absolute), { recursive: true });
    const bytes = content ?? (path.endsWith('.gz') ? gzipSync(tinyNifti(path)) : tinyNifti(path));
    writeFileSync(absolute, bytes);
    return this;
  }

  remove(path: string): this {
    rmSync(this.at(path));
    return this;
  }

  discard(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}

const meta = realData() === undefined ? undefined : join(realData() as string, 'ds004199_meta');

/** Whether the real tables and sidecars of ds004199 are at hand. */
export const HAVE_DS004199 = meta !== undefined && existsSync(meta);

/** OpenNeuro ds004199 with its real tables, names and sidecars, and tiny images in place of the real ones. */
export function ds004199(): DataSet {
  if (meta === undefined) throw new Error('ds004199_meta is not at hand.');
  const set = new DataSet();
  for (const name of [
    'participants.tsv',
    'participants.json',
    'dataset_description.json',
    'README',
    'CHANGES',
  ])
    set.put(name, readFileSync(join(meta, name)));
  cpSync(join(meta, 'sidecars'), set.root, { recursive: true });
  const names = readFileSync(join(meta, 'FILES.txt'), 'utf8').split('\n');
  for (const name of names) if (name.endsWith('.nii.gz')) set.put(name, null);
  return set;
}
