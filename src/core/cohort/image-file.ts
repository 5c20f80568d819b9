import { lstat, open, readlink, stat } from 'node:fs/promises';
import { messageOf } from '../errors';

/** What lies at the path of an image. */
export type ImageFile =
  | { readonly state: 'there'; readonly bytes: number }
  | { readonly state: 'pointer' | 'absent' | 'damaged'; readonly bytes: number; readonly why: string };

const NOT_FETCHED = 'is a git-annex pointer whose content was never fetched';
/** Text that git-annex, a git checkout without symbolic links, or git-lfs leaves in place of a file. */
const POINTER_TEXT = /^(\/annex\/objects\/|(\.\.\/)*\.git\/annex\/objects\/|version https:\/\/git-lfs)/;
const HEADER_BYTES = 348;

/**
 * Looks at a file without decoding it: is it there, is it a pointer of git-annex, datalad or git-lfs that was never
 * fetched, does it begin like NIfTI or gzip. Voxels and the rest of the header are the volume reader's business.
 */
export async function inspectImage(path: string): Promise<ImageFile> {
  try {
    const info = await stat(path);
    if (!info.isFile()) return { state: 'damaged', bytes: 0, why: 'is not a file' };
    if (info.size === 0) return { state: 'damaged', bytes: 0, why: 'is empty (0 bytes)' };
    const start = await firstBytes(path, HEADER_BYTES);
    if (POINTER_TEXT.test(start.toString('latin1')))
      return { state: 'pointer', bytes: info.size, why: NOT_FETCHED };
    const why = path.endsWith('.gz') ? gzipFault(start) : niftiFault(start);
    return why === undefined
      ? { state: 'there', bytes: info.size }
      : { state: 'damaged', bytes: info.size, why };
  } catch (error) {
    return absence(path, error);
  }
}

async function absence(path: string, error: unknown): Promise<ImageFile> {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
    return { state: 'damaged', bytes: 0, why: `cannot be read (${messageOf(error)})` };
  const link = await lstat(path).catch(() => undefined);
  if (link === undefined) return { state: 'absent', bytes: 0, why: 'does not exist' };
  const target = await readlink(path);
  if (/[/\\]annex[/\\]objects[/\\]/.test(target)) return { state: 'pointer', bytes: 0, why: NOT_FETCHED };
  return { state: 'absent', bytes: 0, why: `is a link to ${target}, which does not exist` };
}

async function firstBytes(path: string, count: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(count);
    const { bytesRead } = await file.read(buffer, 0, count, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function gzipFault(start: Buffer): string | undefined {
  return start[0] === 0x1f && start[1] === 0x8b ? undefined : 'ends in .gz but is not gzip';
}

function niftiFault(start: Buffer): string | undefined {
  if (start.length < HEADER_BYTES) return `has ${start.length} bytes, fewer than a NIfTI header`;
  const sizes = [start.readInt32LE(0), start.readInt32BE(0)];
  return sizes.includes(348) || sizes.includes(540) ? undefined : 'does not begin like a NIfTI file';
}
