import fc from 'fast-check';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bufferSource } from '../../../src/core/weights/byte-source';
import { readWeights, readWeightsFrom } from '../../../src/core/weights/read-weights';
import { encodeSafetensors, readSafetensors, writeSafetensors } from '../../../src/core/weights/safetensors';
import { DTYPE_BYTES, elementCount, tensorOver, toFloat32 } from '../../../src/core/weights/tensors';
import type { Dtype, NamedTensor, TensorFile } from '../../../src/core/weights/tensors';
import { havePython, python, realData } from '../../peers';
import { bytesOf, uint64 } from './made-files';

let folder: string;
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'fcd-safetensors-'))));
afterAll(() => rmSync(folder, { recursive: true }));

/** A file from a header's text and the number of bytes behind it. */
function made(header: string, dataBytes = 0): Uint8Array {
  return bytesOf(
    uint64(Buffer.byteLength(header)),
    new TextEncoder().encode(header),
    new Uint8Array(dataBytes),
  );
}

function read(bytes: Uint8Array): Promise<TensorFile> {
  return readSafetensors(bufferSource('made.safetensors', bytes));
}

const weight: NamedTensor = {
  name: 'conv1.weight',
  shape: [2, 1],
  dtype: 'F32',
  data: Float32Array.of(1.5, -2),
};
const counter: NamedTensor = { name: 'n', shape: [], dtype: 'I64', data: BigInt64Array.of(-7n) };
const mask: NamedTensor = { name: 'mask', shape: [3], dtype: 'BOOL', data: Uint8Array.of(1, 0, 1) };

describe('writing', () => {
  it('is the format byte by byte: length, padded header, then data with the widest first', () => {
    const bytes = encodeSafetensors([mask, weight, counter], { b: '2', a: '1' });
    const header =
      '{"__metadata__":{"a":"1","b":"2"},"n":{"dtype":"I64","shape":[],"data_offsets":[0,8]},' +
      '"conv1.weight":{"dtype":"F32","shape":[2,1],"data_offsets":[8,16]},"mask":{"dtype":"BOOL","shape":[3],"data_offsets":[16,19]}}';
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8, ' ');
    expect(Buffer.from(bytes).toString('latin1')).toBe(
      Buffer.from(
        bytesOf(
          uint64(padded.length),
          padded,
          [0xf9, 255, 255, 255, 255, 255, 255, 255],
          [0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0],
          [1, 0, 1],
        ),
      ).toString('latin1'),
    );
  });

  it('does not depend on the order of the tensors', () => {
    const tens: NamedTensor[] = Array.from({ length: 12 }, (_, i) => ({ ...weight, name: String(i) }));
    expect(encodeSafetensors([...tens].reverse())).toEqual(encodeSafetensors(tens));
    expect(encodeSafetensors([])).toEqual(made('{}      '));
  });

  it('leaves a whole file, and nothing beside it', async () => {
    const path = join(folder, 'deep/down/model.safetensors');
    await writeSafetensors(path, [weight]);
    await writeSafetensors(path, [weight, mask], { format: 'pt' });
    expect(readdirSync(join(folder, 'deep/down'))).toEqual(['model.safetensors']);
    const file = await readWeights(path);
    expect(file).toMatchObject({ format: 'safetensors', metadata: { format: 'pt' }, warnings: [] });
    expect([...file.tensors.values()]).toEqual([weight, mask]);
  });

  it('a part of a larger array is written as that part', async () => {
    const part: NamedTensor = { ...weight, data: Float32Array.of(0, 5, 6, 0).subarray(1, 3) };
    expect([...(await read(encodeSafetensors([part]))).tensors.values()]).toEqual([
      { ...part, data: Float32Array.of(5, 6) },
    ]);
  });

  it('refuses tensors that do not fit their shape, and names twice', () => {
    expect(() => encodeSafetensors([{ ...weight, shape: [3] }])).toThrow(
      /conv1.weight.*needs 12 bytes, its data has 8/,
    );
    expect(() => encodeSafetensors([weight, weight])).toThrow(/names of their own/);
    expect(() => encodeSafetensors([{ ...weight, name: '__metadata__' }])).toThrow(/names of their own/);
  });

  it('any tensors come back as they were, at addresses that fit their type', async () => {
    const dtypes = Object.keys(DTYPE_BYTES) as Dtype[];
    const tensor = fc
      .record({
        name: fc.string({ maxLength: 12, unit: 'binary' }),
        shape: fc.array(fc.nat(4), { maxLength: 4 }),
        dtype: fc.constantFrom(...dtypes),
        seed: fc.nat(255),
      })
      .map(({ name, shape, dtype, seed }) =>
        tensorOver(
          name,
          shape,
          dtype,
          Uint8Array.from(
            { length: elementCount(shape) * DTYPE_BYTES[dtype] },
            (_, i) => (i * 37 + seed) & 255,
          ),
        ),
      )
      .filter(({ name }) => name !== '__metadata__');
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 8 }),
        fc.dictionary(fc.string(), fc.string()),
        async (tensors, metadata) => {
          const bytes = encodeSafetensors(tensors, metadata);
          const file = await read(bytes);
          const byName = (a: NamedTensor, b: NamedTensor): number => (a.name < b.name ? -1 : 1);
          expect([...file.tensors.values()].sort(byName)).toEqual([...tensors].sort(byName));
          expect({ ...file.metadata }).toEqual({ ...metadata });
          const dataStart = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
          expect(dataStart % 8).toBe(0);
        },
      ),
      { seed: 3, numRuns: 200 },
    );
  });

  it.skipIf(!havePython('numpy'))(
    'is what an independent reader of the format sees [needs python3-numpy]',
    async () => {
      const path = join(folder, 'peer.safetensors');
      await writeSafetensors(path, [weight, counter, mask], { note: 'ü' });
      const seen: unknown = JSON.parse(
        python(
          `import json, sys, numpy as np
raw = open(sys.argv[1], 'rb').read()
n = int.from_bytes(raw[:8], 'little')
header = json.loads(raw[8:8 + n])
kinds = {'F32': '<f4', 'I64': '<i8', 'BOOL': '?'}
out = {'metadata': header.pop('__metadata__')}
for name, e in header.items():
    a, b = e['data_offsets']
    out[name] = np.frombuffer(raw[8 + n + a:8 + n + b], kinds[e['dtype']]).reshape(e['shape']).tolist()
print(json.dumps(out))`,
          [path],
        ),
      );
      expect(seen).toEqual({
        metadata: { note: 'ü' },
        'conv1.weight': [[1.5], [-2]],
        n: -7,
        mask: [true, false, true],
      });
    },
  );
});

describe('reading', () => {
  const data = realData();
  it.skipIf(!data || !havePython('numpy'))(
    'a published file as numpy reads it [needs the real data and python3-numpy]',
    async () => {
      const path = join(data!, 'weights/meshnet_model21_104class.safetensors');
      const { tensors } = await readWeights(path);
      const sums = JSON.parse(
        python(
          `import json, sys, numpy as np
raw = open(sys.argv[1], 'rb').read()
n = int.from_bytes(raw[:8], 'little')
header = json.loads(raw[8:8 + n]); header.pop('__metadata__', None)
print(json.dumps({k: [e['shape'], np.frombuffer(raw[8 + n + e['data_offsets'][0]:8 + n + e['data_offsets'][1]], '<f4').astype('f8').sum()] for k, e in header.items()}))`,
          [path],
        ),
      ) as Record<string, [number[], number]>;
      expect([...tensors.keys()].sort()).toEqual(Object.keys(sums).sort());
      for (const [name, [shape, sum]] of Object.entries(sums)) {
        const tensor = tensors.get(name)!;
        expect(tensor.shape).toEqual(shape);
        expect(toFloat32(tensor).reduce((a, b) => a + b, 0)).toBeCloseTo(sum, 6);
      }
    },
  );

  it('takes tensors in any order of the header, names like numbers and like prototypes', async () => {
    const file = await read(
      made(
        '{"2":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}, "__proto__" : {"dtype":"F16","shape":[1],"data_offsets":[0,2]},"__metadata__":{"__proto__":"x"}}  ',
        3,
      ),
    );
    expect([...file.tensors.keys()]).toEqual(['__proto__', '2']);
    expect(Object.keys(file.metadata)).toEqual(['__proto__']);
  });

  const u8 = (begin: number, end: number): string =>
    `{"dtype":"U8","shape":[${end - begin}],"data_offsets":[${begin},${end}]}`;
  it.each([
    [
      'a header longer than the format allows',
      bytesOf(uint64(100_000_001), '{}'),
      /claims a header of 100000001 bytes/,
    ],
    [
      'a header longer than any number',
      bytesOf(uint64(2n ** 64n - 1n), '{}'),
      /claims a header of 18446744073709551615 bytes/,
    ],
    ['a header past the end', bytesOf(uint64(50), '{}'), /cut off or damaged: 50 bytes are wanted at byte 8/],
    ['a file of five bytes', bytesOf('12345'), /cut off or damaged/],
    ['a header that is no JSON', made('{"a":'), /header is not JSON/],
    ['a header that is no UTF-8', bytesOf(uint64(4), '{"\xff"'), /header is not JSON/],
    ['a header that is a list', made('[]'), /not a JSON object/],
    ['a thousand brackets', made('['.repeat(100_000)), /not JSON/],
    ['a name twice', made(`{"a":${u8(0, 1)},"a":${u8(0, 1)}}`, 1), /names "a" twice/],
    ['a name twice, once by escapes', made(`{"a":${u8(0, 1)},"\\u0061" :${u8(0, 1)}}`, 1), /names "a" twice/],
    [
      'a shape twice',
      made('{"a":{"dtype":"U8","shape":[9],"shape":[1],"data_offsets":[0,1]}}', 1),
      /names "shape" twice/,
    ],
    [
      'metadata that are no strings',
      made('{"__metadata__":{"epoch":3}}'),
      /__metadata__.*map names to strings/,
    ],
    ['a tensor that is a number', made('{"a":1}'), /tensor "a": its header entry is not a JSON object/],
    [
      'an unknown dtype',
      made('{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}', 1),
      /dtype "F8_E4M3" is not read/,
    ],
    [
      'a dtype from the prototype',
      made('{"a":{"dtype":"toString","shape":[1],"data_offsets":[0,1]}}', 1),
      /dtype "toString"/,
    ],
    [
      'a negative length',
      made('{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}', 1),
      /whole numbers from 0 on/,
    ],
    [
      'a broken length',
      made('{"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}}', 1),
      /whole numbers from 0 on/,
    ],
    [
      'a shape past all numbers',
      made('{"a":{"dtype":"U8","shape":[9007199254740991,9007199254740991],"data_offsets":[0,1]}}', 1),
      /needs 8\.1.*e\+31 bytes/,
    ],
    [
      'offsets in reverse',
      made('{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}', 1),
      /data_offsets must be \[begin, end\]/,
    ],
    ['one offset', made('{"a":{"dtype":"U8","shape":[1],"data_offsets":[1]}}', 1), /data_offsets must be/],
    [
      'a shape that does not fit its bytes',
      made('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', 4),
      /needs 8 bytes, its data_offsets hold 4/,
    ],
    ['tensors that overlap', made(`{"a":${u8(0, 4)},"b":${u8(2, 6)}}`, 6), /"b".*overlaps another tensor/],
    [
      'two tensors on the same bytes',
      made(`{"a":${u8(0, 4)},"b":${u8(0, 4)}}`, 4),
      /overlaps another tensor/,
    ],
    ['a hole', made(`{"a":${u8(0, 4)},"b":${u8(5, 6)}}`, 6), /"b".*bytes before it belong to no tensor/],
    ['a hole at the start', made(`{"a":${u8(1, 4)}}`, 4), /bytes before it belong to no tensor/],
    ['bytes left over', made(`{"a":${u8(0, 4)}}`, 6), /2 bytes after the last tensor/],
    [
      'data cut off',
      made(`{"a":${u8(0, 4)},"b":${u8(4, 9)}}`, 7),
      /"b".*end at byte 9 of the data, but the file holds only 7/,
    ],
  ])('refuses %s', async (_, bytes, sentence) => {
    await expect(read(bytes)).rejects.toThrow(sentence);
    await expect(read(bytes)).rejects.toMatchObject({
      name: 'InputError',
      message: expect.stringMatching(/^made\.safetensors/),
    });
  });

  it('is found by its content under any name', async () => {
    const path = join(folder, 'model.pth');
    writeFileSync(path, encodeSafetensors([weight]));
    expect((await readWeights(path)).format).toBe('safetensors');
    const cut = readFileSync(path).subarray(0, -1);
    await expect(readWeightsFrom(bufferSource('cut.pth', new Uint8Array(cut)))).rejects.toThrow(/cut off/);
  });
});
