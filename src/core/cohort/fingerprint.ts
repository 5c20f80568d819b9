import { createHash } from 'node:crypto';
import { relative, sep } from 'node:path';
import type { Case } from './cohort';

/**
 * sha256 (hex) over ids, groups, sources and the names (relative to the root) and sizes of the files. The place of
 * the cohort on the disk does not matter; the cases come sorted by participant id.
 */
export function fingerprintOf(
  root: string,
  cases: readonly Case[],
  bytesOf: ReadonlyMap<string, number>,
): string {
  const lines = cases.map((one) => {
    const files = [one.images.T1w, one.images.FLAIR, one.roi?.path, one.brain, one.labels].map((path) =>
      path === undefined ? null : [relative(root, path).split(sep).join('/'), bytesOf.get(path) ?? null],
    );
    return JSON.stringify([one.participantId, one.group, one.source, files]);
  });
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}
