import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { InputError, messageOf } from '../errors';

/** The bytes of a file from its beginning, inflated where it is a gzip file. */
export interface ByteSource {
  readonly gzip: boolean;
  /** No more bytes than this can come: known without reading. */
  readonly mostBytes: number;
  /** Fills the target; returns how many bytes came before the end. InputError for a damaged gzip file. */
  read(target: Uint8Array): Promise<number>;
  /** Passes over bytes; returns how many there were before the end. */
  skip(count: number): Promise<number>;
  close(): Promise<void>;
}

const CHUNK = 1 << 16;

/** Deflate cannot do better: a match of 258 bytes takes at least 2 bits. */
const MOST_INFLATION = 1032;

/**
 * Opens a file; what it is (gzip or not) is told by its first bytes, not by its name. InputError for a missing file, a
 * directory, an empty or an unreadable file.
 */
export async function openBytes(path: string): Promise<ByteSource> {
  let handle: FileHandle;
  try {
    handle = await open(path, 'r');
  } catch (error) {
    throw new InputError(unopened(path, error));
  }
  try {
    const stat = await handle.stat();
    if (stat.isDirectory())
      throw new InputError(`${path} is a directory, not an image. Give the .nii or .nii.gz file itself.`);
    if (!stat.isFile()) throw new InputError(`${path} is no plain file. Give a .nii or .nii.gz file.`);
    if (stat.size === 0)
      throw new InputError(`${path} is empty (0 bytes). Copy or download the image again.`);
    const magic = new Uint8Array(2);
    await handle.read(magic, 0, 2, 0);
    const gzip = magic[0] === 0x1f && magic[1] === 0x8b;
    return gzip ? new GzipSource(path, handle, stat.size) : new PlainSource(handle, stat.size);
  } catch (error) {
    await handle.close();
    throw error instanceof InputError ? error : new InputError(unopened(path, error));
  }
}

function unopened(path: string, error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') return `There is no file ${path}. Check the path.`;
  if (code === 'EACCES' || code === 'EPERM') return `${path} may not be read. Check its permissions.`;
  return `${path} cannot be read: ${messageOf(error)}.`;
}

class PlainSource implements ByteSource {
  readonly gzip = false;
  private position = 0;

  constructor(
    private readonly handle: FileHandle,
    readonly mostBytes: number,
  ) {}

  async read(target: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < target.length) {
      const { bytesRead } = await this.handle.read(
        target,
        filled,
        target.length - filled,
        this.position + filled,
      );
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    this.position += filled;
    return filled;
  }

  skip(count: number): Promise<number> {
    const skipped = Math.max(0, Math.min(count, this.mostBytes - this.position));
    this.position += skipped;
    return Promise.resolve(skipped);
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

class GzipSource implements ByteSource {
  readonly gzip = true;
  readonly mostBytes: number;
  private readonly inflated;
  private readonly chunks: AsyncIterator<Uint8Array>;
  private pending: Uint8Array = new Uint8Array(0);

  constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
    size: number,
  ) {
    this.mostBytes = size * MOST_INFLATION;
    const file = handle.createReadStream({ start: 0, highWaterMark: CHUNK, autoClose: false });
    // Errors of either stream reach the reader through the iterator; the callback only keeps them from being thrown twice.
    this.inflated = pipeline(file, createGunzip({ chunkSize: CHUNK }), () => {});
    this.chunks = this.inflated[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  }

  async read(target: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < target.length && (await this.more())) {
      const part = this.pending.subarray(0, target.length - filled);
      target.set(part, filled);
      filled += part.length;
      this.pending = this.pending.subarray(part.length);
    }
    return filled;
  }

  async skip(count: number): Promise<number> {
    let skipped = 0;
    while (skipped < count && (await this.more())) {
      const part = Math.min(this.pending.length, count - skipped);
      skipped += part;
      this.pending = this.pending.subarray(part);
    }
    return skipped;
  }

  async close(): Promise<void> {
    this.inflated.destroy();
    await this.handle.close();
  }

  private async more(): Promise<boolean> {
    while (this.pending.length === 0) {
      const next = await this.chunks.next().catch((error: unknown) => {
        throw new InputError(this.damaged(error));
      });
      if (next.done) return false;
      this.pending = next.value;
    }
    return true;
  }

  private damaged(error: unknown): string {
    const cut = (error as NodeJS.ErrnoException).code === 'Z_BUF_ERROR';
    return cut
      ? `${this.path} is cut off: its gzip stream ends before its end mark. Copy or download it again.`
      : `${this.path} is damaged: its gzip stream cannot be inflated (${messageOf(error)}). Copy or download it again.`;
  }
}
