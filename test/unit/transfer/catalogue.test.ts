import { copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  describeStrategy,
  parseCatalogue,
  parseCatalogueContents,
  type CatalogueEntry,
} from '../../../src/protocol/catalogue';
import { examineStart, loadInit } from '../../../src/core/experiment/init-weights';
import { saveNetwork } from '../../../src/core/model/checkpoint';
import { Network } from '../../../src/core/model/network';
import { networkSpec, type NetworkSpec } from '../../../src/core/model/spec';
import { readCatalogue } from '../../../src/core/transfer/catalogue';
import { shipEncoder } from '../../../src/core/transfer/ship-encoder';
import { float32ToHalf, halfToFloat32 } from '../../../src/core/weights/half';
import { readWeights } from '../../../src/core/weights/read-weights';
import { ROOT } from '../../peers';

const SPEC = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 1 / 8 });
let folder: string;
let source: string;
let trained: Network;
let entry: CatalogueEntry;
const environment = process.env.FCD_MODELS;

beforeAll(async () => {
  await tf.setBackend('cpu');
  folder = mkdtempSync(join(tmpdir(), 'fcd-catalogue-'));
  source = join(folder, 'trained.safetensors');
  trained = new Network(SPEC, 11);
  await saveNetwork(source, trained, { modality: 'T1w', seen: ['head-7'] });
  const { bytes, sha256 } = await shipEncoder(source, join(folder, 'multi23-resnet10.safetensors'));
  entry = {
    strategy: 'multi:23',
    tasks: Array.from({ length: 23 }, (_, n) => `structure ${n + 1}`),
    arch: 'resnet10',
    geometry: 'compact',
    shortcut: 'B',
    width: 1 / 8,
    axes: 'ijk',
    inChannels: 1,
    modality: 'T1w',
    file: 'multi23-resnet10.safetensors',
    bytes,
    sha256,
    card: 'cards/multi23-resnet10.md',
    data: '23 structures of phantoms',
    dice: { mean: 0.83, heads: 8 },
    licence: 'MIT',
  };
});
afterAll(() => {
  trained.dispose();
  rmSync(folder, { recursive: true });
});
afterEach(() => {
  if (environment === undefined) delete process.env.FCD_MODELS;
  else process.env.FCD_MODELS = environment;
});

/** A models folder of its own; `--init` looks there. */
function catalogueOf(...weights: CatalogueEntry[]): string {
  const models = mkdtempSync(join(folder, 'models-'));
  writeFileSync(join(models, 'catalogue.json'), JSON.stringify({ schema: 1, weights }));
  for (const { file } of weights) copyFileSync(join(folder, entry.file), join(models, file));
  process.env.FCD_MODELS = models;
  return models;
}

const start = (strategy: string, spec: Partial<NetworkSpec> = {}, modality: 'T1w' | 'FLAIR' = 'T1w') =>
  examineStart(strategy, { ...SPEC, ...spec }, modality, false);

describe('the catalogue that comes with the program', () => {
  it('is valid; every file is there with its bytes and its card; together they are at most 12 MB', async () => {
    const { folder: models, weights, heads } = await readCatalogue(join(ROOT, 'models'));
    expect(heads.map(({ task }) => task)).toEqual(['intracranial']);
    let bytes = 0;
    for (const one of [...weights, ...heads]) {
      const content = readFileSync(join(models, one.file));
      expect(content.length, one.file).toBe(one.bytes);
      expect(createHash('sha256').update(content).digest('hex'), one.file).toBe(one.sha256);
      expect(statSync(join(models, one.card)).size, one.card).toBeGreaterThan(200);
      bytes += content.length;
    }
    expect(bytes).toBeLessThanOrEqual(12e6);
  });
});

describe('catalogue.json', () => {
  const parse = (...weights: object[]) =>
    parseCatalogue(JSON.stringify({ schema: 1, weights }), 'catalogue.json');

  it('is refused where it contradicts itself or names what lies elsewhere', () => {
    expect(parse(entry)).toEqual([entry]);
    expect(() => parseCatalogue('{', 'catalogue.json')).toThrow('is not JSON');
    for (const [broken, reason] of [
      [{ strategy: 'twenty' }, /weights.0.strategy/],
      [{ strategy: 'multi:22' }, /another number of tasks/],
      [{ file: '../secret.safetensors' }, /weights.0.file/],
      [{ sha256: 'abc' }, /weights.0.sha256/],
      [{ dice: { mean: 1.2, heads: 3 } }, /weights.0.dice/],
      [{ extra: 1 }, /weights.0/],
    ] as const)
      expect(() => parse({ ...entry, ...broken }), JSON.stringify(broken)).toThrow(reason);
    expect(() => parse(entry, { ...entry, width: 1 })).toThrow('share a file');
    expect(() => parse(entry, { ...entry, file: 'other.safetensors' })).toThrow('for the same network');
  });

  it('lists whole segmentation networks apart, which no strategy starts from', () => {
    const head = Object.fromEntries(
      Object.entries({ ...entry, task: 'intracranial', file: 'intracranial.safetensors' }).filter(
        ([field]) => field !== 'strategy' && field !== 'tasks',
      ),
    );
    const contents = (heads: object[]) =>
      parseCatalogueContents(JSON.stringify({ schema: 1, weights: [entry], heads }), 'catalogue.json');
    expect(contents([head])).toMatchObject({ weights: [entry], heads: [head] });
    // Catalogues of before there were any.
    expect(parseCatalogueContents(JSON.stringify({ schema: 1, weights: [] }), 'x').heads).toEqual([]);
    expect(() => contents([{ ...head, file: entry.file }])).toThrow('share a file');
    expect(() => contents([{ ...head, strategy: 'single:gm' }])).toThrow(/heads.0/);
  });

  it("names strategies in the study's words", () => {
    expect(['none', 'single:gm', 'multi:23'].map(describeStrategy)).toEqual([
      'no TL',
      'TL from one segmentation task (gm)',
      'TL from 23 segmentation tasks',
    ]);
  });
});

describe('an encoder that is shipped', () => {
  it('has its filters in float16, batch normalisation in float32, and no classifier', async () => {
    const { tensors, metadata } = await readWeights(join(folder, entry.file));
    expect([...tensors.keys()].filter((name) => name.startsWith('fc.'))).toEqual([]);
    expect(tensors.get('conv1.weight')?.dtype).toBe('F16');
    expect(tensors.get('layer4.0.bn2.running_var')?.dtype).toBe('F32');
    expect(JSON.parse(metadata['fcd-lens'])).toMatchObject({ modality: 'T1w', seen: ['head-7'] });
    expect(entry.bytes).toBeLessThan(0.55 * statSync(source).size);
  });

  it('that does not fit into half precision is refused', async () => {
    const large = join(folder, 'large.safetensors');
    const network = new Network(SPEC, 11);
    const name = 'layer1.0.conv1.weight';
    const { shape, data } = network.weights.toBorder().get(name)!;
    network.weights.setFromBorder(name, new Float32Array(data.length).fill(1e6));
    expect(shape).toHaveLength(5);
    await saveNetwork(large, network, {});
    network.dispose();
    await expect(shipEncoder(large, join(folder, 'not.safetensors'))).rejects.toThrow(/half precision/);
  });
});

describe('--init by strategy', () => {
  it('finds the weights of this depth, width and geometry; run.json says which file, which bytes, what was loaded', async () => {
    const models = catalogueOf(entry);
    const { record, sentences } = await start('multi:23');
    expect(record).toEqual({
      kind: 'file',
      strategy: 'multi:23',
      path: join(models, entry.file),
      sha256: entry.sha256,
      loaded: 60,
      fresh: ['fc.bias', 'fc.weight'],
      sourceModality: 'T1w',
      seen: ['head-7'],
      sameNamesAreOthers: false,
    });
    expect(sentences[0]).toBe(
      `TL from 23 segmentation tasks: 23 structures of phantoms, mean Dice 0.83 on 8 held-out heads, ${(entry.bytes / 1e6).toFixed(1)} MB.`,
    );
    expect(sentences.join(' ')).not.toMatch(/across modalities/);
  });

  it('puts the values in half precision into the network, and leaves the classifier fresh', async () => {
    catalogueOf(entry);
    const { record } = await start('multi:23');
    const network = new Network(SPEC, 4);
    const fresh = network.weights.toBorder();
    await loadInit(network, record);
    const expected = trained.weights.toBorder();
    for (const [name, { data, shape }] of network.weights.toBorder()) {
      const from = name.startsWith('fc.') ? fresh : expected;
      const values = from.get(name)!.data;
      expect(data, name).toEqual(shape.length === 5 ? halfToFloat32(float32ToHalf(values)) : values);
    }
    network.dispose();
  });

  it('spreads the first convolution over the two channels of T1w+FLAIR, and says so', async () => {
    catalogueOf(entry);
    const { record, sentences } = await examineStart(
      'multi:23',
      { ...SPEC, inChannels: 2 },
      'T1w+FLAIR',
      false,
    );
    expect(record).toMatchObject({ spreadOver: 2, loaded: 60 });
    expect(sentences.join(' ')).toMatch(/spread over 2 channels.*trained on T1w, this run is on T1w\+FLAIR/);
    const [one, two] = [new Network(SPEC, 4), new Network({ ...SPEC, inChannels: 2 }, 4)];
    await loadInit(one, (await start('multi:23')).record);
    await loadInit(two, record);
    const x = tf.randomNormal([1, 17, 16, 15, 1], 0, 1, 'float32', 5) as tf.Tensor5D;
    const [expected, found] = [one.predict(x), two.predict(tf.concat([x, x], 4) as tf.Tensor5D)];
    for (const [i, logit] of expected.entries()) expect(found[i]).toBeCloseTo(logit, 4);
    one.dispose();
    two.dispose();
  });

  it('prefers weights of the same contrast and says once where it is another one', async () => {
    const flair = { ...entry, modality: 'FLAIR', file: 'flair.safetensors' };
    const models = catalogueOf(entry, flair);
    expect((await start('multi:23', {}, 'FLAIR')).record).toMatchObject({ path: join(models, flair.file) });
    // Weights that know both contrasts are nearer than those of the other one.
    const mixed = { ...entry, modality: 'mixed', file: 'mixed.safetensors' };
    const either = catalogueOf(entry, mixed);
    expect((await start('multi:23', {}, 'FLAIR')).record).toMatchObject({ path: join(either, mixed.file) });
    catalogueOf(entry);
    const { sentences } = await start('multi:23', {}, 'FLAIR');
    expect(sentences.filter((one) => one.includes('across modalities'))).toEqual([
      'The weights were trained on T1w, this run is on FLAIR: a transfer across modalities. run.json says so.',
    ]);
  });

  it('says what exists where nothing fits, and how to make it', async () => {
    catalogueOf(entry);
    await expect(start('multi:23', { arch: 'resnet50' })).rejects.toThrow(
      /no such weights for resnet50 of width 1\/8, compact.*It exists for resnet10 of width 1\/8, compact, shortcut B, axes ijk: give --arch resnet10 --geometry compact --shortcut B --width 1\/8 --axes ijk.*fcd pretrain --arch resnet50/,
    );
    for (const other of [{ width: 1 }, { geometry: 'paper' }, { shortcut: 'A' }, { axes: 'kji' }] as const)
      await expect(start('multi:23', other), JSON.stringify(other)).rejects.toThrow('no such weights');
    await expect(start('single:gm')).rejects.toThrow(
      /The strategies that exist are none, multi:23, or a file/,
    );
    catalogueOf();
    await expect(start('multi:23')).rejects.toThrow(/no weights come with this program.*fcd pretrain/);
  });

  it('refuses files that are missing or have other bytes than the catalogue says', async () => {
    const models = catalogueOf(entry);
    const path = join(models, entry.file);
    const content = readFileSync(path);
    content[content.length - 1] ^= 1;
    writeFileSync(path, content);
    await expect(start('multi:23')).rejects.toThrow(/has other bytes than the catalogue says/);
    rmSync(path);
    await expect(start('multi:23')).rejects.toThrow(/which is not there/);
  });
});
