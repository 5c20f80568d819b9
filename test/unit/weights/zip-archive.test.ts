import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { bufferSource } from '../../../src/core/weights/byte-source';
import { ZipArchive, crc32ByTable } from '../../../src/core/weights/zip-archive';
import { havePython, python } from '../../peers';
import { bytesOf, zip } from './made-files';

function open(bytes: Uint8Array): Promise<ZipArchive> {
  return ZipArchive.open(bufferSource('made.zip', bytes));
}

async function readAll(bytes: Uint8Array): Promise<Record<string, string>> {
  const archive = await open(bytes);
  const all: Record<string, string> = {};
  for (const entry of archive.entries.values())
    all[entry.name] = Buffer.from(await archive.read(entry)).toString('latin1');
  expect(archive.checkChecksums()).toBeUndefined();
  return all;
}

/** The bytes with one run replaced, found by what stands there. */
function replaced(bytes: Uint8Array, marker: string, offset: number, values: readonly number[]): Uint8Array {
  const out = bytes.slice();
  out.set(values, Buffer.from(bytes.buffer).indexOf(marker, 0, 'latin1') + offset);
  return out;
}

const good = zip([
  { name: 'a/data.pkl', bytes: bytesOf('hello') },
  { name: 'a/data/0', bytes: bytesOf('x'.repeat(1000)), deflate: true },
  { name: 'a/empty', bytes: bytesOf() },
]);

describe('zip archives', () => {
  it('stored, deflated and empty entries', async () => {
    expect(await readAll(good)).toEqual({
      'a/data.pkl': 'hello',
      'a/data/0': 'x'.repeat(1000),
      'a/empty': '',
    });
  });

  it('an end record that stands in a comment is not taken for the end', async () => {
    const comment = bytesOf('PK\x05\x06', new Uint8Array(30));
    const commented = replaced(good, 'PK\x05\x06', 20, [comment.length, 0]);
    expect(Object.keys(await readAll(bytesOf(commented, comment)))).toHaveLength(3);
  });

  it.skipIf(!havePython('zipfile'))(
    'as Python writes them, also with 64-bit sizes and many entries [needs python3]',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'fcd-zip-'));
      try {
        python(
          `import sys, zipfile
for name, kind in (('stored', zipfile.ZIP_STORED), ('deflated', zipfile.ZIP_DEFLATED)):
    with zipfile.ZipFile(f'{sys.argv[1]}/{name}.zip', 'w', kind) as z:
        for i in range(3): z.writestr(f'r/data/{i}', bytes(range(256)) * i)
zipfile.ZIP64_LIMIT = 10  # everything above ten bytes is large
with zipfile.ZipFile(sys.argv[1] + '/large.zip', 'w') as z:
    for i in range(3): z.writestr(f'r/data/{i}', bytes(range(256)) * i)
zipfile.ZIP_FILECOUNT_LIMIT = 10
with zipfile.ZipFile(sys.argv[1] + '/many.zip', 'w') as z:
    for i in range(300): z.writestr(str(i), str(i))`,
          [folder],
        );
        const ramp = Buffer.from(Uint8Array.from({ length: 256 }, (_, i) => i)).toString('latin1');
        for (const name of ['stored', 'deflated', 'large']) {
          const bytes = new Uint8Array(readFileSync(join(folder, `${name}.zip`)));
          expect(await readAll(bytes)).toEqual({ 'r/data/0': '', 'r/data/1': ramp, 'r/data/2': ramp + ramp });
          expect(Buffer.from(bytes).includes('PK\x06\x06')).toBe(name === 'large');
        }
        expect(
          Object.keys(await readAll(new Uint8Array(readFileSync(join(folder, 'many.zip'))))),
        ).toHaveLength(300);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );

  it.each([
    ['cut off', good.slice(0, -30), /no zip directory at its end/],
    [
      'an entry elsewhere than the directory says',
      replaced(good, 'PK\x01\x02', 42, [1]),
      /"a\/data.pkl" is not where/,
    ],
    [
      'an entry beyond the end',
      replaced(good, 'PK\x01\x02', 42, [0, 0, 0, 0x70]),
      /bytes are wanted at byte/,
    ],
    [
      'a size beyond the end',
      replaced(good, 'PK\x01\x02', 20, [0, 0, 0, 0x70, 0, 0, 0, 0x70]),
      /1879048192 bytes are wanted/,
    ],
    ['a stored entry with two sizes', replaced(good, 'PK\x01\x02', 24, [9]), /its two sizes differ/],
    [
      'a 64-bit size that is not there',
      replaced(good, 'PK\x01\x02', 24, [255, 255, 255, 255]),
      /lacks its 64-bit sizes/,
    ],
    ['an encrypted entry', replaced(good, 'PK\x01\x02', 8, [1]), /encrypted or packed by a method/],
    ['an unknown method', replaced(good, 'PK\x01\x02', 10, [93]), /method that is not read here \(93\)/],
    ['another local name', replaced(good, 'a/data.pkl', 0, [0x62]), /not where the zip directory says/],
    ['a directory elsewhere', replaced(good, 'PK\x05\x06', 16, [3]), /directory is broken at byte 0/],
    ['a directory of another length', replaced(good, 'PK\x05\x06', 12, [60, 0]), /directory is broken/],
    [
      'a huge directory',
      replaced(good, 'PK\x05\x06', 12, [0, 0, 0, 0x70]),
      /directory claims 1879048192 bytes/,
    ],
    ['another count', replaced(good, 'PK\x05\x06', 10, [2]), /holds 3 entries where 2 are announced/],
    [
      'a name twice',
      zip([
        { name: 'a', bytes: bytesOf('1') },
        { name: 'a', bytes: bytesOf('2') },
      ]),
      /names "a" twice/,
    ],
  ])('refuses %s', async (_, bytes, sentence) => {
    await expect(readAll(bytes)).rejects.toMatchObject({
      name: 'InputError',
      message: expect.stringMatching(sentence),
    });
  });

  it('deflated bytes must be as many as the directory says', async () => {
    const at = Buffer.from(good.buffer).indexOf(
      'PK\x01\x02',
      Buffer.from(good.buffer).indexOf('PK\x01\x02', 0, 'latin1') + 1,
      'latin1',
    );
    for (const [size, sentence] of [
      [999, /cannot be unpacked/],
      [1001, /unpacks to 1000 bytes, not 1001/],
    ] as const) {
      const lying = good.slice();
      new DataView(lying.buffer).setUint32(at + 24, size, true);
      await expect(readAll(lying)).rejects.toThrow(sentence);
    }
  });

  it('one wrong checksum is damage; none right means that there are none', async () => {
    const flipped = replaced(good, 'hello', 0, [0x48]);
    await expect(readAll(flipped)).rejects.toThrow(/checksum of zip entry "a\/data.pkl" does not match/);
    const without = await open(
      zip([
        { name: 'a', bytes: bytesOf('1'), crc: 0 },
        { name: 'b', bytes: bytesOf('2'), crc: 0 },
      ]),
    );
    for (const entry of without.entries.values()) await without.read(entry);
    expect(without.checkChecksums()).toMatch(/no valid checksums/);
  });

  it('CRC-32 by table is the one of zlib; of "123456789" it is cbf43926', () => {
    expect(crc32ByTable(bytesOf('123456789'))).toBe(0xcbf43926);
    expect(crc32ByTable(good)).toBe(crc32(good));
  });
});
