import { open } from 'node:fs/promises';
import { gunzipSync, constants } from 'node:zlib';
import type { FileHeader } from '../../protocol/viewer';
import { HEADER_BYTES, parseHeader, Unshowable } from './nifti-header';

/** How much of a compressed file is read for its header: more than enough for 544 bytes and any extensions' start. */
const FIRST_BYTES = 32 * 1024;

/** A file's header and what is needed to tell whether the file changed. */
export interface HeaderOfFile {
  readonly header: FileHeader;
  /** Length of the file on disk. */
  readonly fileBytes: number;
  /** Changes when the file does. */
  readonly version: string;
  readonly modifiedMs: number;
}

/**
 * Reads the first bytes of a file (never all of it) and its header from them. Whether it is compressed is told by its
 * bytes, not by its name. Throws {@link Unshowable} with a sentence.
 */
export async function readHeader(path: string, name: string): Promise<HeaderOfFile> {
  const { first, size, modifiedMs } = await firstBytes(path, name);
  const gzip = first[0] === 0x1f && first[1] === 0x8b;
  const header = parseHeader(gzip ? inflateStart(first, name) : first, name);
  if (!gzip && size < header.totalBytes)
    throw new Unshowable(
      `${name} is cut off: it has ${size} of the ${header.totalBytes} bytes that its header asks for. Copy or download it again.`,
    );
  return { header, fileBytes: size, modifiedMs, version: `${modifiedMs}-${size}` };
}

async function firstBytes(
  path: string,
  name: string,
): Promise<{ first: Uint8Array; size: number; modifiedMs: number }> {
  try {
    const handle = await open(path, 'r');
    try {
      const { size, mtimeMs } = await handle.stat();
      const buffer = new Uint8Array(Math.min(size, FIRST_BYTES));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
      if (bytesRead === 0) throw new Unshowable(`${name} is empty. Copy or download it again.`);
      return { first: buffer.subarray(0, bytesRead), size, modifiedMs: mtimeMs };
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof Unshowable) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') throw new Unshowable(`${name} does not exist (any more). Check the path ${path}.`);
    if (code === 'EACCES' || code === 'EPERM')
      throw new Unshowable(`${name} may not be read. Check the permissions of ${path}.`);
    throw new Unshowable(
      `${name} cannot be read: ${error instanceof Error ? error.message : String(error)}.`,
    );
  }
}

/** Inflates what the first bytes of a gzip file hold; the end of the stream is of course missing. */
function inflateStart(first: Uint8Array, name: string): Uint8Array {
  try {
    return gunzipSync(first, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, HEADER_BYTES);
  } catch (error) {
    throw new Unshowable(
      `${name} is damaged: its gzip stream cannot be inflated (${error instanceof Error ? error.message : String(error)}). Copy or download it again.`,
    );
  }
}
