import { mkdir, open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { InputError, messageOf } from '../errors';

let counter = 0;

/** Node writes less than 2^31 bytes at once. */
const LARGEST_WRITE = 1 << 30;

/**
 * Writes a file whole or not at all: temporary name in the same directory, fsync, rename. A reader never sees half of
 * it and a crash leaves the former version in place. Missing parent directories are made.
 * @throws InputError that names the path where it cannot be written
 */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  await writeWholeBy(path, (file) => file.writeFile(content));
}

/**
 * As {@link writeWhole}, by a function that writes into the temporary file. Where it throws, nothing is left; what is no
 * fault of the file system (a source that turns out to be damaged) is thrown on as it is.
 */
export async function writeWholeBy(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  await makeFolder(dirname(path));
  const temporary = `${path}.${process.pid}.${counter++}.tmp`;
  try {
    const file = await open(temporary, 'w');
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    if (codeOf(error) === undefined) throw error;
    throw new InputError(`${path} cannot be written: ${reason(error)}`, { cause: error });
  }
}

/** All of `bytes` at `position` of a file: one write may take only a part. */
export async function writeAt(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const length = Math.min(bytes.length - done, LARGEST_WRITE);
    done += (await file.write(bytes, done, length, position + done)).bytesWritten;
  }
}

/** A JSON file, indented, written whole. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeWhole(path, JSON.stringify(value, null, 2) + '\n');
}

/** Makes a folder, and those above it, where it is missing. @throws InputError that names the path */
export async function makeFolder(path: string): Promise<void> {
  try {
    await make(path);
  } catch (error) {
    throw new InputError(`The folder ${path} cannot be made: ${reason(error)}`, { cause: error });
  }
}

/** Step by step: Node's own recursive mkdir never returns where a file system answers ENOENT (Linux' /proc). */
async function make(path: string): Promise<void> {
  const error = await attempt(path);
  if (error === undefined) return;
  const above = dirname(path);
  if (codeOf(error) !== 'ENOENT' || above === path) throw error;
  await make(above);
  const again = await attempt(path);
  if (again !== undefined) throw again;
}

/** Undefined where the folder is there now, whoever made it; else what mkdir said. */
async function attempt(path: string): Promise<unknown> {
  try {
    await mkdir(path);
    return undefined;
  } catch (error) {
    return (await stat(path).catch(() => undefined))?.isDirectory() ? undefined : error;
  }
}

function reason(error: unknown): string {
  switch (codeOf(error)) {
    case 'EEXIST':
    case 'ENOTDIR':
      return 'a file stands where a folder is needed. Choose another place.';
    case 'EISDIR':
      return 'it is a folder. Choose another name.';
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return 'writing is not allowed there. Choose another place, or mend its permissions.';
    case 'ENOSPC':
    case 'EDQUOT':
      return 'there is no space left on the disk. Make room, or choose another place.';
    default:
      return `${messageOf(error)}.`;
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}
