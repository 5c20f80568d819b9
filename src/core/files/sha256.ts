import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/**
 * SHA-256 of a file's bytes, in hexadecimal; read piece by piece.
 * @param onBytes awaited after every piece with the number of bytes read so far; what it throws ends the reading
 */
export async function sha256Of(path: string, onBytes?: (done: number) => Promise<void>): Promise<string> {
  const hash = createHash('sha256');
  let done = 0;
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) {
    hash.update(piece as Buffer);
    done += (piece as Buffer).length;
    await onBytes?.(done);
  }
  return hash.digest('hex');
}
