import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { bufferSource } from '../../../src/core/weights/byte-source';
import { readWeights, readWeightsFrom } from '../../../src/core/weights/read-weights';
import { toFloat32 } from '../../../src/core/weights/tensors';
import type { TensorFile } from '../../../src/core/weights/tensors';
import { ROOT } from '../../peers';
import { described } from './described';
import type { Described } from './described';
import { bytesOf, dict, int, pickle, tensor, text, torchLegacy, torchZip } from './made-files';

const FOLDER = join(ROOT, 'test/unit/weights');

function read(bytes: Uint8Array): Promise<TensorFile> {
  return readWeightsFrom(bufferSource('made.pth', bytes));
}

describe('files that torch wrote, committed with what torch says is in them', () => {
  const expected = (
    JSON.parse(readFileSync(join(FOLDER, 'fixtures/expected.json'), 'utf8')) as {
      files: Record<string, Described>;
    }
  ).files;

  it.each(Object.keys(expected))('%s: every tensor bit for bit, in order', async (name) => {
    const file = await readWeights(join(FOLDER, 'fixtures', name));
    expect(described(file)).toEqual(expected[name]);
    expect([...file.tensors.keys()]).toEqual(Object.keys(expected[name]));
    expect(file.format).toBe(name.includes('legacy') ? 'torch-legacy' : 'torch-zip');
  });

  it.each(['zip', 'legacy'])(
    'a training checkpoint (%s): takes the state dict and says what it left',
    async (kind) => {
      const file = await readWeights(join(FOLDER, `fixtures/checkpoint_${kind}.pth`));
      expect([...file.tensors.keys()][0]).toBe('module.conv1.weight');
      expect(file.metadata).toEqual({ epoch: '12', best_acc: '0.803', arch: 'resnet18' });
      expect(file.warnings).toEqual([
        'The tensors are those under "state_dict".',
        'Left aside: "epoch" (12), "best_acc" (0.803), "arch" ("resnet18"), "optimizer" (a dict of 2), "history" (a list of 2).',
      ]);
    },
  );

  it('values come out as numbers', async () => {
    const { tensors } = await readWeights(join(FOLDER, 'fixtures/views_zip.pth'));
    const values = (name: string): number[] => [...toFloat32(tensors.get(name)!)];
    // arange(120) as 2x3x4x5, permuted to 5x2x4x3: the last axis steps by 20.
    expect(values('transposed').slice(0, 6)).toEqual([0, 20, 40, 5, 25, 45]);
    expect(values('expanded')).toEqual(new Array(12).fill(0));
    expect(values('f64').slice(0, 4)).toEqual([0, 6, 12, 18]);
    expect(values('f16').slice(0, 3)).toEqual([0, 4, 8]);
    expect(tensors.get('i64')!.data[1]).toBe(5_000_000_000_000n);
  });

  it('the suffix does not matter', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fcd-weights-'));
    try {
      for (const [from, to] of [
        ['views_zip.pth', 'a.safetensors'],
        ['views_legacy.pth', 'b.nii.gz'],
      ]) {
        await copyFile(join(FOLDER, 'fixtures', from), join(folder, to));
        expect(described(await readWeights(join(folder, to)))).toEqual(expected[from]);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('files made byte by byte', () => {
  const good = pickle(dict({ 'fc.bias': tensor() }));

  it('the smallest zip and legacy files', async () => {
    for (const bytes of [
      torchZip(good),
      torchLegacy(pickle(dict({ 'fc.bias': tensor({ part: bytesOf('N') }) }))),
    ]) {
      const { tensors } = await read(bytes);
      expect([...tensors.get('fc.bias')!.data]).toEqual([1.5, -2]);
    }
  });

  it('big-endian storages of a zip are turned', async () => {
    const swapped = Buffer.from(Float32Array.of(1.5, -2).buffer).swap32();
    const file = await read(
      torchZip(good, { '0': swapped }, [{ name: 'archive/byteorder', bytes: bytesOf('big') }]),
    );
    expect([...file.tensors.get('fc.bias')!.data]).toEqual([1.5, -2]);
  });

  it('a legacy tensor on a part of a storage', async () => {
    const part = bytesOf('(', text('view'), int(3), int(4), 't');
    const made = torchLegacy(
      pickle(dict({ v: tensor({ count: 8, part, offset: 1, shape: [3], stride: [1] }) })),
      [{ key: '0', count: 8, bytes: new Uint8Array(Float32Array.from({ length: 8 }, (_, i) => i).buffer) }],
    );
    expect([...(await read(made)).tensors.get('v')!.data]).toEqual([4, 5, 6]);
    const past = pickle(dict({ v: tensor({ count: 8, part, offset: 2, shape: [3], stride: [1] }) }));
    await expect(read(torchLegacy(past))).rejects.toThrow(/reaches past the 4 values of storage "0"/);
  });

  it('a legacy file passes over storages that belong to the optimiser, and says what lies behind the last', async () => {
    const made = torchLegacy(
      pickle(
        dict({
          optimizer: dict({
            momentum: tensor({ key: 'a', kind: 'DoubleStorage', count: 3, shape: [3], part: bytesOf('N') }),
          }),
          state_dict: dict({ w: tensor({ key: 'b', part: bytesOf('N') }) }),
        }),
      ),
      [
        { key: 'a', count: 3, bytes: new Uint8Array(24) },
        { key: 'b', count: 2, bytes: new Uint8Array(Float32Array.of(5, 6).buffer) },
      ],
    );
    const { tensors, warnings } = await read(bytesOf(made, 'more'));
    expect([...tensors.get('w')!.data]).toEqual([5, 6]);
    expect(warnings).toEqual([
      'The tensors are those under "state_dict".',
      'Left aside: "optimizer" (a dict of 1).',
      '4 bytes after the last storage were not read.',
    ]);
  });

  it('Python 2: an OrderedDict from a list of pairs, names as byte strings', async () => {
    const name = bytesOf('U\x07fc.bias');
    const { tensors } = await read(
      torchZip(pickle('ccollections\nOrderedDict\n(](](', name, tensor(), 'eetR')),
    );
    expect([...tensors.keys()]).toEqual(['fc.bias']);
  });

  it('a dict that holds itself ends', async () => {
    await expect(read(torchZip(pickle('}q\x00', text('state_dict'), 'h\x00s')))).rejects.toThrow(
      /holds a dict of 1, in which there is no state dict/,
    );
  });

  it.each([
    ['net'],
    ['model_state'],
    ['model', 'state_dict'],
    ['checkpoint', 'net', 'params'],
    ['state_dict', 'model'],
  ])('a state dict under %s %s %s is found', async (...path) => {
    const inside = path.reduceRight((value, key) => dict({ [key]: value }), dict({ 'fc.bias': tensor() }));
    const { tensors, warnings } = await read(torchZip(pickle(inside)));
    expect([...tensors.keys()]).toEqual(['fc.bias']);
    expect(warnings).toEqual(path.map((key) => `The tensors are those under "${key}".`));
  });

  it('dicts nested without end are not followed without end', async () => {
    const deep = bytesOf(
      ...Array.from({ length: 20_000 }, () => bytesOf('}', text('model'))),
      tensor(),
      ...Array.from({ length: 20_000 }, () => 's'),
    );
    await expect(read(torchZip(pickle(deep)))).rejects.toThrow(InputError);
    // Built from the inside out, no container waits unfinished while the next is begun.
    const chain = bytesOf(
      '}',
      ...Array.from({ length: 20_000 }, () => bytesOf('q\x010}', text('model'), 'h\x01s')),
    );
    await expect(read(torchZip(pickle(chain)))).rejects.toThrow(/no state dict/);
  });

  it('several dicts of tensors, none under a usual name: not guessed', async () => {
    const made = torchZip(pickle(dict({ ema: dict({ a: tensor() }), teacher: dict({ a: tensor() }) })));
    await expect(read(made)).rejects.toThrow(/no state dict/);
  });

  it.each([
    [
      'a shape past the end of its storage',
      { shape: [3] },
      /shape \[3\].*reaches past the 2 values of storage "0"/,
    ],
    ['an offset past the end', { offset: 1 }, /offset 1 that reaches past the 2 values/],
    ['a stride past the end', { stride: [2] }, /stride \[2\].*reaches past/],
    ['a shape and a stride of different rank', { shape: [1, 2] }, /do not go together/],
    ['a negative stride', { offset: 1, stride: [-1] }, /do not go together/],
    ['a negative length', { shape: [-2] }, /do not go together/],
    ['a negative offset', { offset: -1 }, /do not go together/],
    ['a negative count', { count: -1 }, /without a count of values/],
    [
      '65 axes',
      { shape: new Array<number>(65).fill(1), stride: new Array<number>(65).fill(1) },
      /do not go together/,
    ],
    ['a storage that is not there', { key: '7' }, /no entry "archive\/data\/7"/],
    ['a key that leaves its folder', { key: '../data.pkl' }, /no entry "archive\/data\/\.\.\/data\.pkl"/],
    [
      'a storage that is longer than its entry',
      { count: 3 },
      /should hold 3 values of F32 \(12 bytes\), its entry holds 8 bytes/,
    ],
    [
      'a storage that is shorter than its entry',
      { count: 1, shape: [1] },
      /should hold 1 values of F32 \(4 bytes\)/,
    ],
    ['a storage of another type than its bytes', { kind: 'DoubleStorage' }, /should hold 2 values of F64/],
    [
      'a terabyte by stride 0',
      { shape: [1_000_000, 1_000_000], stride: [0, 0] },
      /would take more than \d+, the most/,
    ],
    [
      'more values than numbers can count',
      { shape: new Array<number>(60).fill(2 ** 31 - 1), stride: new Array<number>(60).fill(0) },
      /would take more than/,
    ],
  ])('refuses %s', async (_, lie, sentence) => {
    const made = torchZip(pickle(dict({ w: tensor(lie) })));
    const error: unknown = await read(made).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(InputError);
    expect((error as InputError).message).toMatch(sentence);
    expect((error as InputError).message).toMatch(/^made\.pth/);
  });

  it('one storage described in two ways is refused', async () => {
    const made = torchZip(pickle(dict({ a: tensor(), b: tensor({ kind: 'IntStorage' }) })));
    await expect(read(made)).rejects.toThrow(/storage "0" as 2 x F32 and as 2 x I32/);
  });

  it('legacy: storages missing, twice, of another count, or cut off', async () => {
    const data = pickle(dict({ w: tensor({ part: bytesOf('N') }) }));
    const storage = { key: '0', count: 2, bytes: new Uint8Array(8) };
    await expect(read(torchLegacy(data, []))).rejects.toThrow(/storage "0" is not in it/);
    await expect(read(torchLegacy(data, [storage, storage]))).rejects.toThrow(
      /list of its storages does not fit/,
    );
    await expect(read(torchLegacy(data, [{ ...storage, count: 5 }]))).rejects.toThrow(
      /should hold 2 values, but says 5/,
    );
    await expect(read(torchLegacy(data).slice(0, -3))).rejects.toThrow(/cut off or damaged/);
  });

  it('what is no weights file gets a sentence', async () => {
    const cases: [Uint8Array, RegExp][] = [
      [bytesOf(), /is empty/],
      [bytesOf('PK'), /neither a file written by torch.save/],
      [bytesOf('hello, I am no weights'), /neither a file written by torch.save/],
      [bytesOf('<!DOCTYPE html><html>'), /is a web page/],
      [bytesOf('version https://git-lfs.github.com/spec/v1\noid sha256:0'), /is a Git LFS pointer/],
      [bytesOf('\x89HDF\r\n\x1a\n'), /is an HDF5 file/],
      [pickle(dict({ w: int(1) })), /neither a file written by torch.save/],
      [
        torchZip(good, {}, [{ name: 'archive/constants.pkl', bytes: bytesOf(')') }]),
        /is a TorchScript archive/,
      ],
      [
        torchZip(good, {}, [{ name: 'archive/code/net.py', bytes: bytesOf('x') }]),
        /is a TorchScript archive/,
      ],
      [torchZip(pickle('K\x05')), /holds 5, in which there is no state dict/],
    ];
    for (const [bytes, sentence] of cases) await expect(read(bytes)).rejects.toThrow(sentence);
    await expect(readWeights(join(FOLDER, 'no-such-file.pth'))).rejects.toThrow(/cannot be opened.*ENOENT/);
    await expect(readWeights(FOLDER)).rejects.toThrow(InputError);
  });
});
