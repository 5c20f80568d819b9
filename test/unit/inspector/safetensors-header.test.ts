import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { encodeSafetensors } from '../../../src/core/weights/safetensors';
import { safetensorsListing } from '../../../src/extension/checkpoint/safetensors-header';
import { listingSchema } from '../../../src/protocol/inspection';

const folder = mkdtempSync(join(tmpdir(), 'fcd-header-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(bytes: Uint8Array): string {
  const path = join(folder, 'a.safetensors');
  writeFileSync(path, bytes);
  return path;
}

/** A file with a header that may say anything. */
function withHeader(text: string, length = BigInt(Buffer.byteLength(text))): string {
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(length);
  return file(Buffer.concat([size, Buffer.from(text), Buffer.alloc(64)]));
}

describe('the header of a safetensors file, read without a process', () => {
  it('gives names, types, shapes and sizes in the order of the bytes', async () => {
    const path = file(
      encodeSafetensors(
        [
          { name: 'w', shape: [2, 3], dtype: 'F32', data: new Float32Array(6) },
          { name: 'h', shape: [], dtype: 'F16', data: new Uint16Array(1) },
        ],
        { comment: 'made up', 'fcd-lens': '{}' },
      ),
    );
    const listing = await safetensorsListing(path);
    expect(v.parse(listingSchema, listing)).toEqual(listing);
    expect(listing.tensors).toEqual([
      { name: 'w', dtype: 'F32', shape: [2, 3], bytes: 24 },
      { name: 'h', dtype: 'F16', shape: [], bytes: 2 },
    ]);
    expect(listing.facts).toEqual([{ name: 'comment', value: 'made up' }]);
  });

  it.each([
    ['nothing', () => file(new Uint8Array(0)), /is no safetensors file, or is cut off/],
    ['a length past the end', () => withHeader('{}', 10_000n), /is no safetensors file, or is cut off/],
    ['a length of 2^63', () => withHeader('{}', 2n ** 63n), /is no safetensors file, or is cut off/],
    ['no JSON', () => withHeader('{"w":'), /its safetensors header is not JSON/],
    ['a list', () => withHeader('[1, 2]'), /header is not as the format wants it/],
    [
      'a negative shape',
      () => withHeader('{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}'),
      /header is not as the format wants it/,
    ],
    ['a tensor that is a number', () => withHeader('{"w":7}'), /header is not as the format wants it/],
  ])('refuses %s with a sentence', async (_, make, sentence) => {
    await expect(safetensorsListing(make())).rejects.toThrow(sentence);
  });

  it('says that a file is not there', async () => {
    await expect(safetensorsListing(join(folder, 'none.safetensors'))).rejects.toThrow(
      /none\.safetensors cannot be opened/,
    );
  });
});
