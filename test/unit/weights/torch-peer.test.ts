import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { float32ToBfloat16 } from '../../../src/core/weights/half';
import { readWeights } from '../../../src/core/weights/read-weights';
import { ROOT, havePython, python, realData } from '../../peers';
import { bytesIn, described } from './described';
import type { Described } from './described';

const torch = havePython('torch');
const data = realData();

const PUBLISHED = {
  'brainchop_conversion_example_zip_bn.pth': { format: 'torch-zip', tensors: 135 },
  'hippodeep_affine_legacy.pt': { format: 'torch-legacy', tensors: 18 },
} as const;
const published = data ? Object.keys(PUBLISHED).map((name) => join(data, 'weights', name)) : [];

/** What torch says; see torch_files.py. */
interface Peer {
  files: Record<string, Described>;
  hostile: Record<string, string>;
  read: Record<string, [number[], string]>[];
  bfloat16: { words: string; rounded: string };
}

let folder: string;
let peer: Peer;
beforeAll(() => {
  if (!torch) return;
  folder = mkdtempSync(join(tmpdir(), 'fcd-weights-'));
  const script = readFileSync(join(ROOT, 'test/unit/weights/torch_files.py'), 'utf8');
  peer = JSON.parse(python(script, [folder, ...published])) as Peer;
});
afterAll(() => {
  if (torch) rmSync(folder, { recursive: true });
});

describe('the torch of this machine', () => {
  it.skipIf(!torch)(
    'dtypes, views, shared storages, parameters, nesting, protocols 1 to 5: bit for bit [needs python3-torch]',
    async () => {
      expect(Object.keys(peer.files).length).toBe(28);
      for (const [name, tensors] of Object.entries(peer.files)) {
        const file = await readWeights(join(folder, name));
        expect(described(file), name).toEqual(tensors);
        expect([...file.tensors.keys()], name).toEqual(Object.keys(tensors));
      }
    },
  );

  it.skipIf(!torch)('tensors of one storage become arrays of their own [needs python3-torch]', async () => {
    const { tensors } = await readWeights(join(folder, 'shared_zip.pth'));
    expect(new Set(['a', 'b', 'row'].map((name) => tensors.get(name)?.data.buffer)).size).toBe(3);
  });

  it.skipIf(!torch)(
    'programs, whole modules and lists are refused by a sentence [needs python3-torch]',
    async () => {
      await expect(readWeights(join(folder, 'script.pt'))).rejects.toThrow(/is a TorchScript archive/);
      for (const name of ['module_zip.pth', 'module_legacy.pth'])
        await expect(readWeights(join(folder, name))).rejects.toThrow(
          /asks for "torch\.nn\.modules\.container\.Sequential".*Nothing of it was executed.*state_dict\(\)/,
        );
      await expect(readWeights(join(folder, 'list.pth'))).rejects.toThrow(
        /holds a list of 1, in which there is no state dict/,
      );
    },
  );

  it.skipIf(!torch)(
    'files whose loading runs code in torch run none here [needs python3-torch]',
    async () => {
      const marker = join(folder, 'executed');
      expect(existsSync(marker), 'torch itself has run the code').toBe(true);
      rmSync(marker);
      expect(Object.keys(peer.hostile).length).toBe(8);
      for (const [name, asked] of Object.entries(peer.hostile))
        await expect(readWeights(join(folder, name))).rejects.toThrow(`asks for "${asked}"`);
      expect(existsSync(marker)).toBe(false);
    },
  );

  it.skipIf(!torch)('rounds to bfloat16 alike [needs python3-torch]', () => {
    const bytes = (hex: string): ArrayBuffer => new Uint8Array(Buffer.from(hex, 'hex')).buffer;
    const words = new Float32Array(bytes(peer.bfloat16.words));
    expect(words.length).toBeGreaterThan(5000);
    expect(float32ToBfloat16(words)).toEqual(new Uint16Array(bytes(peer.bfloat16.rounded)));
  });
});

describe('published files', () => {
  it.skipIf(!data)('have the tensors they are known to have [needs the real data]', async () => {
    for (const [i, known] of Object.values(PUBLISHED).entries()) {
      const file = await readWeights(published[i]);
      expect({ format: file.format, tensors: file.tensors.size }).toEqual(known);
      expect(file.warnings).toEqual([]);
    }
  });

  it.skipIf(!data || !torch)(
    'agree with torch bit for bit [needs the real data and python3-torch]',
    async () => {
      for (const [i, path] of published.entries()) {
        const { tensors } = await readWeights(path);
        const sums = [...tensors].map(([name, tensor]) => [
          name,
          [tensor.shape, createHash('sha256').update(bytesIn(tensor)).digest('hex')],
        ]);
        expect(Object.fromEntries(sums)).toEqual(peer.read[i]);
      }
    },
  );
});
