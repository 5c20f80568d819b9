import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../../../src/core/random';
import { bufferSource } from '../../../src/core/weights/byte-source';
import { readWeightsFrom } from '../../../src/core/weights/read-weights';
import { encodeSafetensors } from '../../../src/core/weights/safetensors';
import { ROOT, realData } from '../../peers';
import { dict, pickle, tensor, torchZip } from './made-files';
import { mutated, outcome, repacked } from './mutations';

const fixture = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(join(ROOT, 'test/unit/weights/fixtures', name)));

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

  const data = realData();
  it.skipIf(!data).each([
    ['brainchop_conversion_example_zip_bn.pth', 0], // its checksums tell every change
    ['hippodeep_affine_legacy.pt', 1],
    ['meshnet_model21_104class.safetensors', 1],
  ])(
    'published files with random changes near their edges: %s [needs the real data]',
    async (name, least) => {
      const bytes = new Uint8Array(readFileSync(join(data!, 'weights', name)));
      const random = Random.seeded(9, name);
      const counts = { read: 0, refused: 0 };
      for (let i = 0; i < 150; i++) counts[await outcome(mutated(bytes, random, 20_000))]++;
      expect(counts.read).toBeGreaterThanOrEqual(least);
      expect(counts.refused).toBeGreaterThan(50);
    },
  );

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
