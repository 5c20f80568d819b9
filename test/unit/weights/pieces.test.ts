import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { Random } from '../../../src/core/random';
import { bufferSource, withFile, type ByteSource } from '../../../src/core/weights/byte-source';
import { readPieces, type Piece } from '../../../src/core/weights/pieces';

const folder = mkdtempSync(join(tmpdir(), 'fcd-pieces-'));
afterAll(() => rmSync(folder, { recursive: true }));

const MEGABYTE = 2 ** 20;
const content = Uint8Array.from({ length: 20 * MEGABYTE }, (_, n) => (n * 2654435761) >>> 24);

type Place = Pick<Piece<unknown>, 'offset' | 'length' | 'lead'>;

/** Runs that follow each other, empty ones, gaps, an overlap, and one larger than a batch; in no order. */
const places: readonly Place[] = Random.seeded(1).shuffled([
  ...Array.from({ length: 400 }, (_, n) => ({ offset: 1000 + 100 * n, length: 100, lead: n % 8 })),
  { offset: 41_000, length: 0 },
  { offset: 500_000, length: 3 * MEGABYTE },
  { offset: 500_000 + 3 * MEGABYTE, length: 6 * MEGABYTE },
  { offset: 500_000 + 9 * MEGABYTE, length: 10 * MEGABYTE, lead: 5 },
  { offset: 600_000, length: 7 },
]);

/** Where each piece that came lies, and whether its bytes are the file's. */
async function read(source: ByteSource, lent: boolean): Promise<{ place: Place; right: boolean }[]> {
  const pieces = places.map((place) => ({
    ...place,
    take: (bytes: Uint8Array) => ({ place, bytes }),
  }));
  const all: { place: Place; bytes: Uint8Array }[] = [];
  const check = ({ place, bytes }: (typeof all)[number]): { place: Place; right: boolean } => ({
    place,
    right:
      bytes.byteOffset % 8 === (place.lead ?? 0) &&
      Buffer.compare(bytes, content.subarray(place.offset, place.offset + place.length)) === 0,
  });
  const checked: ReturnType<typeof check>[] = [];
  for await (const one of readPieces(source, pieces, { lent })) {
    all.push(one);
    if (lent) checked.push(check(one));
  }
  // Those that own their memory still hold it when all have come.
  return lent ? checked : all.map(check);
}

describe('pieces of a file', () => {
  const inOrder = [...places].sort((a, b) => a.offset - b.offset);

  it.each([
    ['owned', false],
    ['lent', true],
  ])(
    'come whole, aligned as asked and in the order of the file (%s), from memory and from disk',
    async (_, lent) => {
      const path = join(folder, `content-${lent}`);
      writeFileSync(path, content);
      const expected = inOrder.map((place) => ({ place, right: true }));
      expect(await read(bufferSource('content', content), lent)).toEqual(expected);
      expect(await withFile(path, (source) => read(source, lent))).toEqual(expected);
    },
  );

  it('that reach past the end are refused before memory is taken', async () => {
    const lying = [{ offset: 0, length: 2 ** 45, take: () => 1 }];
    for (const lent of [true, false])
      await expect(readPieces(bufferSource('lying.pth', content), lying, { lent }).next()).rejects.toThrow(
        /lying\.pth is cut off or damaged: 35184372088832 bytes/,
      );
  });

  it('of a file that becomes shorter meanwhile end in a sentence', async () => {
    const path = join(folder, 'shrinking');
    writeFileSync(path, content);
    const reading = withFile(path, async (source) => {
      truncateSync(path, 1000);
      for await (const one of readPieces(source, [{ offset: 500, length: 1000, take: () => 1 }], {}))
        expect(one).toBe('never');
    });
    await expect(reading).rejects.toThrow(InputError);
    await expect(reading).rejects.toThrow(/became shorter/);
  });

  it('are read no more once nobody wants the next', async () => {
    const asked: number[] = [];
    const counted: ByteSource = {
      ...bufferSource('counted', content),
      readInto: (targets, offset) => {
        asked.push(offset);
        return bufferSource('counted', content).readInto(targets, offset);
      },
    };
    const pieces = Array.from({ length: 10 }, (_, n) => ({
      offset: 2 * n * MEGABYTE,
      length: MEGABYTE,
      take: () => n,
    }));
    for await (const n of readPieces(counted, pieces, {})) if (n === 1) break;
    expect(asked.length).toBeLessThan(5);
  });
});
