import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

let counter = 0;

/** Node writes less than 2^31 bytes at once. */
const LARGEST_WRITE = 1 << 30;

/**
 * Writes a file whole or not at all: temporary name in the same directory, fsync, rename. A reader never sees half of
 * it and a crash leaves the former version in place. Missing parent directories are made.
 */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  await writeWholeBy(path, (file) => file.writeFile(content));
}

/** As {@link writeWhole}, by a function that writes into the temporary file; where it throws, nothing is left. */
export async function writeWholeBy(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
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
    throw error;
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
