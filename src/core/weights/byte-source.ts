import { open } from 'node:fs/promises';
import { InputError, messageOf } from '../errors';

/** Bytes that are read piece by piece: a file, or a buffer. */
export interface ByteSource {
  /** What messages call it: the path as it was given. */
  readonly name: string;
  /** Bytes in all. */
  readonly size: number;
  /** `length` bytes from `offset` on, in a buffer of their own. Throws an {@link InputError} where they reach past the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Fills the targets, one after the other, with the bytes from `offset` on; errors as {@link read}. */
  readInto(targets: readonly Uint8Array[], offset: number): Promise<void>;
}

/** Node reads at most 2^31 - 1 bytes into a buffer. */
const LARGEST_READ = 1 << 30;

/** Opens a file, lets `use` read from it, closes it. A path that cannot be read ends in an {@link InputError}. */
export async function withFile<T>(path: string, use: (source: ByteSource) => Promise<T>): Promise<T> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw new InputError(`${path} cannot be opened (${messageOf(error)}). Give the path of a readable file.`);
  });
  try {
    const status = await handle.stat();
    if (!status.isFile()) throw new InputError(`${path} is not a file. Give the path of a weights file.`);
    return await use({
      name: path,
      size: status.size,
      async read(offset, length) {
        checkRange(this, offset, length);
        const bytes = unfilled(length);
        await this.readInto([bytes], offset);
        return bytes;
      },
      async readInto(targets, offset) {
        checkRange(this, offset, totalLength(targets));
        let left = targets.flatMap(inParts);
        for (let at = offset; left.length > 0;) {
          const { bytesRead } = await handle.readv(left, at);
          if (bytesRead === 0)
            throw new InputError(`${path} became shorter while it was read. Read it again.`);
          at += bytesRead;
          left = without(left, bytesRead);
        }
      },
    });
  } finally {
    await handle.close();
  }
}

function totalLength(targets: readonly Uint8Array[]): number {
  return targets.reduce((sum, { length }) => sum + length, 0);
}

/** A buffer in parts that are not too long for one reading; none where it is empty. */
function inParts(target: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < target.length; at += LARGEST_READ) parts.push(target.subarray(at, at + LARGEST_READ));
  return parts;
}

/** What is left to fill once the first `bytes` are there. */
function without(parts: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let done = bytes;
  let whole = 0;
  while (whole < parts.length && parts[whole].length <= done) done -= parts[whole++].length;
  const left = parts.slice(whole);
  if (done > 0) left[0] = left[0].subarray(done);
  return left;
}

/** Bytes in a buffer of their own that are not set to zero first: every one of them is about to be written. */
export function unfilled(length: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}

/** Bytes in memory as a source. */
export function bufferSource(name: string, content: Uint8Array): ByteSource {
  return {
    name,
    size: content.length,
    async read(offset, length) {
      checkRange(this, offset, length);
      return content.slice(offset, offset + length);
    },
    async readInto(targets, offset) {
      checkRange(this, offset, totalLength(targets));
      let at = offset;
      for (const target of targets) {
        target.set(content.subarray(at, at + target.length));
        at += target.length;
      }
    },
  };
}

/** Checked before a buffer is made: a lying length must not become an allocation. */
export function checkRange(source: ByteSource, offset: number, length: number): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= source.size))
    throw new InputError(
      `${source.name} is cut off or damaged: ${length} bytes are wanted at byte ${offset}, but the file has ` +
        `${source.size} bytes. Copy or download it again.`,
    );
}
