import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { CONTRASTS, type Case, type Finding } from './cohort';
import { counted } from './findings';
import { grouped } from './grouped';
import { inBatches } from './in-batches';

const SAMPLE_BYTES = 16384;

/**
 * Images that are the same bytes under different sources: one head in two folds would be learnt and tested at once.
 * Only files of equal size are read, first a piece of their middle, and whole where that agrees.
 */
export async function duplicateImages(
  cases: readonly Case[],
  bytesOf: ReadonlyMap<string, number>,
): Promise<Finding[]> {
  const files = cases.flatMap((one) =>
    CONTRASTS.flatMap((contrast) => {
      const path = one.images[contrast];
      return path === undefined ? [] : [{ path, one, bytes: bytesOf.get(path) ?? 0 }];
    }),
  );
  let groups = severalSources([files], ({ bytes }) => String(bytes));
  const sampled = await inBatches(
    groups.flat(),
    async (file) => [file.path, await sample(file.path, file.bytes)] as const,
  );
  const sampleOf = new Map(sampled);
  groups = severalSources(groups, ({ path }) => sampleOf.get(path) ?? '');
  const hashed = await inBatches(groups.flat(), async ({ path }) => [path, await wholeHash(path)] as const);
  const hashOf = new Map(hashed);
  groups = severalSources(groups, ({ path }) => hashOf.get(path) ?? '');
  return groups.map((same) => ({
    severity: 'error',
    message:
      `${counted(same.length, 'image')} hold the same bytes under different participants ` +
      `(${same.map(({ one }) => one.participantId).join(', ')}): remove the copies, or give them one source so that they share a fold.`,
    file: same[1].path,
  }));
}

interface ImageOfCase {
  path: string;
  one: Case;
  bytes: number;
}

/** Splits groups further by a key; keeps those that still join several sources. */
function severalSources(
  groups: readonly ImageOfCase[][],
  key: (file: ImageOfCase) => string,
): ImageOfCase[][] {
  return groups
    .flatMap((group) => [...grouped(group, key).values()])
    .filter((group) => new Set(group.map(({ one }) => one.source)).size > 1);
}

async function sample(path: string, bytes: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(Math.min(SAMPLE_BYTES, bytes));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, Math.floor((bytes - buffer.length) / 2));
    return createHash('sha256').update(buffer.subarray(0, bytesRead)).digest('hex');
  } finally {
    await file.close();
  }
}

async function wholeHash(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
