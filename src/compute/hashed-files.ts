import { stat } from 'node:fs/promises';
import { sha256Of } from '../core/files/sha256';

/** Files whose hash is kept: the few that a person has before them. */
const KEPT = 16;

/**
 * SHA-256 of files, each read once: looking whose weights a file holds, planning its import and importing it ask for the
 * same hash. A file that has changed since (time, size or inode) is read again.
 */
export class HashedFiles {
  private readonly known = new Map<string, { readonly stamp: string; readonly sha256: string }>();

  /** @param onBytes as in {@link sha256Of}; not called where the hash is known */
  async sha256(path: string, onBytes?: (done: number) => Promise<void>): Promise<string> {
    const before = await stampOf(path);
    const kept = this.known.get(path);
    if (kept && kept.stamp === before) return kept.sha256;
    this.known.delete(path);
    const sha256 = await sha256Of(path, onBytes);
    // What was written to meanwhile has no hash that could be kept.
    if (before !== undefined && before === (await stampOf(path))) {
      this.known.set(path, { stamp: before, sha256 });
      const [oldest] = this.known.keys();
      if (this.known.size > KEPT) this.known.delete(oldest);
    }
    return sha256;
  }
}

/** Undefined where there is no such file: what is wrong is said by the one who reads it. */
async function stampOf(path: string): Promise<string | undefined> {
  const info = await stat(path, { bigint: true }).catch(() => undefined);
  return info && [info.mtimeNs, info.ctimeNs, info.size, info.ino].join(' ');
}
