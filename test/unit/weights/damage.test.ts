import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { Random } from '../../../src/core/random';
import { bufferSource } from '../../../src/core/weights/byte-source';
import { readWeightsFrom } from '../../../src/core/weights/read-weights';
import { encodeSafetensors } from '../../../src/core/weights/safetensors';
import { DTYPE_BYTES, elementCount } from '../../../src/core/weights/tensors';
import { ROOT } from '../../peers';
import { bytesOf, dict, pickle, tensor, torchZip, zip } from './made-files';
import { ZipArchive } from '../../../src/core/weights/zip-archive';

const fixture = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(join(ROOT, 'test/unit/weights/fixtures', name)));

/** Reads; anything but a whole file or an InputError fails the test. */
async function outcome(bytes: Uint8Array): Promise<'read' | 'refused'> {
  try {
    const { tensors } = await readWeightsFrom(bufferSource('damaged', bytes));
    for (const [name, { name: own, shape, dtype, data }] of tensors) {
      expect(own).toBe(name);
      expect(data.byteLength).toBe(elementCount(shape) * DTYPE_BYTES[dtype]);
    }
    return 'read';
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    expect(error.message).toMatch(/^damaged\b.*\.$/s);
    return 'refused';
  }
}

/** One to four changes: a bit, a byte, a number of 32 bits, a run copied elsewhere, bytes taken out or put in. */
function mutated(original: Uint8Array, random: Random): Uint8Array {
  let bytes: Uint8Array = original.slice();
  for (let changes = 1 + random.integer(4); changes > 0; changes--) {
    const at = random.integer(bytes.length);
    switch (random.integer(6)) {
      case 0:
        bytes[at] ^= 1 << random.integer(8);
        break;
      case 1:
        bytes[at] = random.integer(256);
        break;
      case 2:
        bytes.set(
          [
            [0xff, 0xff, 0xff, 0xff],
            [0, 0, 0, 0x80],
            [0, 0, 0, 0],
          ][random.integer(3)].slice(0, bytes.length - at),
          at,
        );
        break;
      case 3: {
        const from = random.integer(bytes.length);
        bytes.copyWithin(at, from, from + random.integer(40));
        break;
      }
      case 4:
        bytes = bytesOf(bytes.subarray(0, at), bytes.subarray(at + 1 + random.integer(8)));
        break;
      default:
        bytes = bytesOf(
          bytes.subarray(0, at),
          bytes.subarray(at, at + random.integer(16)),
          bytes.subarray(at),
        );
    }
  }
  return bytes;
}

/** The fixture's entries packed again around a changed pickle, with the right checksums. */
async function repacked(
  original: Uint8Array,
): Promise<(change: (pickle: Uint8Array) => Uint8Array) => Uint8Array> {
  const archive = await ZipArchive.open(bufferSource('fixture', original));
  const entries: { name: string; bytes: Uint8Array }[] = [];
  for (const entry of archive.entries.values())
    entries.push({ name: entry.name, bytes: await archive.read(entry) });
  return (change) =>
    zip(
      entries.map(({ name, bytes }) => ({ name, bytes: name.endsWith('data.pkl') ? change(bytes) : bytes })),
    );
}

describe('damaged files', () => {
  const safetensors = encodeSafetensors(
    [
      { name: 'conv1.weight', shape: [2, 1, 3], dtype: 'F32', data: new Float32Array(6) },
      { name: 'bn1.num_batches_tracked', shape: [], dtype: 'I64', data: BigInt64Array.of(3n) },
      { name: 'mask', shape: [5], dtype: 'U8', data: new Uint8Array(5) },
    ],
    { format: 'pt' },
  );
  const whole = {
    'a zip file': fixture('checkpoint_zip.pth'),
    'a legacy file': fixture('checkpoint_legacy.pth'),
    'a safetensors file': safetensors,
  };

  it.each(Object.entries(whole))('%s cut off anywhere is refused', async (_, bytes) => {
    for (let length = 0; length < bytes.length; length += length < 600 ? 1 : 7)
      expect(await outcome(bytes.slice(0, length)), `first ${length} bytes`).toBe('refused');
    expect(await outcome(bytes)).toBe('read');
  });

  it.each(Object.entries(whole))(
    '%s with random changes: read whole or refused by a sentence',
    async (name, bytes) => {
      const random = Random.seeded(7, name);
      const counts = { read: 0, refused: 0 };
      for (let i = 0; i < 1500; i++) counts[await outcome(mutated(bytes, random))]++;
      // Changed values of tensors are no fault of the format; most other bytes are.
      expect(counts.refused).toBeGreaterThan(200);
      expect(counts.read).toBeGreaterThan(20);
    },
  );

  it('a zip file whose pickle alone is changed, checksums right', async () => {
    const change = await repacked(fixture('views_zip.pth'));
    expect(await outcome(change((bytes) => bytes))).toBe('read');
    const random = Random.seeded(8);
    const counts = { read: 0, refused: 0 };
    for (let i = 0; i < 1500; i++) counts[await outcome(change((bytes) => mutated(bytes, random)))]++;
    expect(counts.refused).toBeGreaterThan(500);
    expect(counts.read).toBeGreaterThan(20);
  });

  it('every single bit of a legacy file', async () => {
    const bytes = whole['a legacy file'];
    let read = 0;
    for (let bit = 0; bit < bytes.length * 8; bit += 3) {
      const flipped = bytes.slice();
      flipped[bit >> 3] ^= 1 << (bit & 7);
      if ((await outcome(flipped)) === 'read') read++;
    }
    expect(read).toBeGreaterThan(100);
  });

  it('one flipped bit in the values of a zip file is found by its checksum', async () => {
    const bytes = torchZip(pickle(dict({ w: tensor() })));
    const at = Buffer.from(bytes.buffer).indexOf(Buffer.from(Float32Array.of(1.5, -2).buffer));
    bytes[at] ^= 1;
    await expect(readWeightsFrom(bufferSource('damaged', bytes))).rejects.toThrow(/checksum/);
  });
});
