import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { gunzipSync, gzipSync } from 'node:zlib';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { beforeAll, describe, expect, it } from 'vitest';
import { networkSpec } from '../../../src/core/model/spec';
import { NONE } from '../../../src/core/volume/recipe';
import { fcd, scratchFolder } from './run-fcd';
import { writeModel, writeScans, type Scans } from './scans';

const folder = scratchFolder();
let scans: Scans;
let model: string;
const bad: Record<string, string> = {};

/** The scan with its header or voxels changed. */
function damaged(name: string, change: (bytes: Buffer) => Buffer | void): string {
  const bytes = gunzipSync(readFileSync(scans.flair));
  const path = join(folder, name);
  writeFileSync(path, change(bytes) ?? bytes);
  return path;
}

beforeAll(async () => {
  await tf.setBackend('cpu');
  scans = await writeScans(folder);
  model = await writeModel(
    join(folder, 'model.safetensors'),
    networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 }),
    NONE,
  );
  bad.empty = damaged('empty.nii.gz', () => Buffer.alloc(0));
  bad.magic = damaged('magic.nii', (bytes) => void bytes.write('nope', 344, 'latin1'));
  bad.cut = damaged('cut.nii.gz', (bytes) => {
    const packed = gzipSync(bytes);
    return packed.subarray(0, packed.length - 200);
  });
  bad.dims = damaged('dims.nii', (bytes) => {
    for (const axis of [1, 2, 3]) bytes.writeInt16LE(30000, 40 + 2 * axis);
  });
  bad.nan = damaged('nan.nii', (bytes) => {
    bytes.writeInt16LE(16, 70); // float32
    bytes.writeInt16LE(32, 72);
    const voxels = (bytes.length - 352) / 2;
    const whole = Buffer.alloc(352 + 4 * voxels);
    bytes.copy(whole, 0, 0, 352);
    whole.writeFloatLE(NaN, 352 + 4 * 100);
    return whole;
  });
  bad.affine = damaged('affine.nii', (bytes) => {
    bytes.writeInt16LE(0, 252); // no qform
    bytes.writeInt16LE(1, 254); // an sform of zeros
    bytes.fill(0, 280, 328);
  });
  bad.missing = join(folder, 'missing.nii');
  bad.directory = join(folder, 'directory.nii');
  mkdirSync(bad.directory);
});

/** One sentence (after what was said of progress), with the name, without a stack; nothing new in the folder. */
async function refuses(args: readonly string[], name: string, saying: RegExp): Promise<void> {
  const before = readdirSync(folder).sort();
  const { code, stdout, stderr } = await fcd(args, { cwd: folder });
  expect(code, stderr).toBe(1);
  expect(stdout).toBe('');
  const sentences = stderr.split('\n').filter((line) => line.startsWith('fcd: '));
  expect(sentences, stderr).toHaveLength(1);
  expect(sentences[0]).toContain(name);
  expect(sentences[0]).toMatch(saying);
  expect(stderr).not.toMatch(/^\s+at |unexpected/m);
  expect(readdirSync(folder).sort()).toEqual(before);
}

const images: readonly (readonly [string, RegExp])[] = [
  ['empty', /empty \(0 bytes\)/],
  ['magic', /magic|no NIfTI/i],
  ['cut', /cut off/],
  ['dims', /30000 x 30000 x 30000|cut off/],
  ['nan', /NaN/],
  ['affine', /singular/],
  ['missing', /There is no file/],
  ['directory', /is a directory/],
];

describe('an image that cannot be used is one sentence with its name', () => {
  it.each(images)('predict: %s', async (kind, saying) => {
    await refuses(
      ['predict', '--engine', 'cpu', '--model', model, '--input', bad[kind], '--json'],
      bad[kind],
      saying,
    );
  });

  it.each(images)('heatscore, as lesion mask: %s', async (kind, saying) => {
    await refuses(['heatscore', '--cam', scans.flair, '--roi', bad[kind], '--json'], bad[kind], saying);
  });

  it('explain: as brain mask', async () => {
    const args = [
      'explain',
      '--engine',
      'cpu',
      '--model',
      model,
      '--input',
      scans.flair,
      '--out',
      'x.nii.gz',
    ];
    await refuses([...args, '--brain', bad.cut], bad.cut, /cut off/);
  });
});

describe('a model that cannot be used is one sentence with its name', () => {
  it.each([
    ['missing', 'nowhere', /There is no model/],
    ['an image', 'p_FLAIR.nii.gz', /gzip/],
    ['cut off', 'half.safetensors', /cut off/],
    ['a folder without a checkpoint', 'directory.nii', /holds no checkpoint/],
  ])('%s', async (_, name, saying) => {
    if (name === 'half.safetensors') {
      const whole = readFileSync(model);
      writeFileSync(join(folder, name), whole.subarray(0, whole.length - 100));
    }
    await refuses(['predict', '--engine', 'cpu', '--model', name, '--input', scans.flair], name, saying);
  });
});

describe('a place that cannot be written to is one sentence with its name', () => {
  const explain = (): string[] => ['explain', '--engine', 'cpu', '--model', model, '--input', scans.flair];

  it('below a file', async () => {
    await refuses(
      [...explain(), '--out', 'p_roi.nii.gz/x.nii.gz'],
      'p_roi.nii.gz',
      /a file stands where a folder/,
    );
    await refuses(
      ['phantom', '--subjects', '2', '--size', '32', '--out', 'p_roi.nii.gz/x'],
      'p_roi.nii.gz',
      /a file stands/,
    );
  });

  it('a folder in the place of the file', async () => {
    await refuses([...explain(), '--out', 'directory.nii'], 'directory.nii', /it is a folder/);
  });

  it('--raw-out as well, and then there is no map either', async () => {
    await refuses(
      [...explain(), '--out', 'x.nii.gz', '--raw-out', 'p_roi.nii.gz/r.safetensors'],
      'p_roi.nii.gz',
      /a file stands/,
    );
  });

  it.skipIf(process.platform !== 'linux')('a file system that makes no folders', async () => {
    await refuses([...explain(), '--out', '/proc/fcd/x.nii.gz'], '/proc/fcd', /cannot be made/);
  });
});

describe('a folder that is no cohort, no run, no result', () => {
  it.each([
    [['cohort', 'nowhere'], 'nowhere', /no cohort/],
    [['cohort', 'p_roi.nii.gz'], 'p_roi.nii.gz', /no cohort/],
    [['train', '--cohort', 'nowhere', '--arch', 'resnet10', '--out', 'r'], 'nowhere', /no cohort/],
    [['experiment', '--cohort', 'nowhere', '--out', 'r'], 'nowhere', /no cohort/],
    [['train', '--resume', 'directory.nii'], 'directory.nii', /holds no run\.json/],
    [['report', 'directory.nii'], 'directory.nii', /results\.json cannot be read/],
    [
      ['plant', '--images', 'directory.nii', '--labels', 'directory.nii', '--out', 'r'],
      'directory.nii',
      /no image/,
    ],
    [['weights', 'directory.nii'], 'directory.nii', /not a file/],
    [
      ['predict', '--model', 'model.safetensors', '--input', 'p_FLAIR.nii.gz', '--preprocess', 'nope.json'],
      'nope.json',
      /neither/,
    ],
    [
      ['train', '--cohort', 'x', '--arch', 'resnet10', '--out', 'r', '--training', 'nope.json'],
      'nope.json',
      /cannot be read as JSON/,
    ],
  ])('fcd %s', async (args, name, saying) => {
    await refuses(args, name, saying);
  });
});
