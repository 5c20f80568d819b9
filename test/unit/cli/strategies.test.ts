import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { saveNetwork } from '../../../src/core/model/checkpoint';
import { Network } from '../../../src/core/model/network';
import { networkSpec } from '../../../src/core/model/spec';
import { shipEncoder } from '../../../src/core/transfer/ship-encoder';
import { runSchema, type RunRecord } from '../../../src/protocol/run';
import * as v from 'valibot';
import { fcd, scratchFolder } from './run-fcd';

const folder = scratchFolder();
const cohort = join(folder, 'heads');
const models = join(folder, 'models');
const NETWORK = ['--arch', 'resnet10', '--geometry', 'compact', '--width', '1/8'];
const SMALL = [...NETWORK, '--spacing', '9', '--shape', '20x24x20', '--threads', '1', '--patience', '0'];
const environment = process.env.FCD_MODELS;

beforeAll(async () => {
  await tf.setBackend('cpu');
  process.env.FCD_MODELS = models;
  mkdirSync(models);
  const network = new Network(networkSpec({ arch: 'resnet10', geometry: 'compact', width: 1 / 8 }), 5);
  const trained = join(folder, 'trained.safetensors');
  await saveNetwork(trained, network, { modality: 'T1w', seen: ['elsewhere-1'] });
  for (const fold of [1, 2])
    await saveNetwork(join(folder, `fold-${fold}.safetensors`), network, { seen: [] });
  network.dispose();
  const file = 'single-gm-resnet10.safetensors';
  const { bytes, sha256 } = await shipEncoder(trained, join(models, file));
  const entry = {
    ...{ strategy: 'single:gm', tasks: ['gm'], arch: 'resnet10', geometry: 'compact', shortcut: 'B' },
    ...{ width: 1 / 8, axes: 'ijk', inChannels: 1, modality: 'T1w', file, bytes, sha256 },
    ...{ card: 'cards/x.md', data: 'grey matter of phantoms', dice: null, licence: 'MIT' },
  };
  writeFileSync(join(models, 'catalogue.json'), JSON.stringify({ schema: 1, weights: [entry] }));
  const made = await fcd(['phantom', '--out', cohort, '--subjects', '8', '--size', '32']);
  expect(made.code, made.stderr).toBe(0);
});
afterAll(() => {
  if (environment === undefined) delete process.env.FCD_MODELS;
  else process.env.FCD_MODELS = environment;
});

const recordOf = (run: string): RunRecord =>
  v.parse(runSchema, JSON.parse(readFileSync(join(run, 'run.json'), 'utf8')));

describe('fcd train by a strategy', () => {
  it('starts from shipped weights, freezes and thaws as asked; run.json says all of it', async () => {
    const run = join(folder, 'by-name');
    const { code, stderr } = await fcd([
      ...['train', '--cohort', cohort, '--modality', 'FLAIR', '--fold', '1/4', '--out', run, '--epochs', '2'],
      ...['--init', 'single:gm', '--freeze', 'stem,layer1', '--unfreeze-every', '1'],
      ...['--lr-encoder-factor', '0.01', '--lr-decay-per-stage', '0.5', ...SMALL],
    ]);
    expect(code, stderr).toBe(0);
    const { init, training } = recordOf(run);
    expect(init).toMatchObject({
      ...{ kind: 'file', strategy: 'single:gm', loaded: 60, sourceModality: 'T1w', seen: ['elsewhere-1'] },
      fresh: ['fc.bias', 'fc.weight'],
    });
    expect(training.fineTuning).toEqual({
      ...{ encoderFactor: 0.01, decayPerStage: 0.5, freeze: ['stem', 'layer1'], unfreezeEvery: 1 },
    });
    expect(stderr).toContain('TL from one segmentation task (gm): grey matter of phantoms');
    expect(stderr.match(/a transfer across modalities/g)).toHaveLength(1);
    expect(stderr).toMatch(/stem, layer1 are frozen and one of them begins to learn after every 1 epochs/);
    const { training: told } = JSON.parse(readFileSync(join(run, 'results.json'), 'utf8')) as {
      training: string;
    };
    expect(told).toContain('init single:gm, TL from one segmentation task (gm) (60 tensors, trained on T1w)');
    expect(told).toContain('are frozen');
  });

  it('says what exists where nothing fits, and which parts can be frozen', async () => {
    const train = ['train', '--cohort', cohort, '--fold', '1/4', '--out', join(folder, 'never')];
    const other = await fcd([...train, ...SMALL, '--init', 'multi:23']);
    expect(other).toMatchObject({ code: 1 });
    expect(other.stderr).toMatch(
      /strategies that exist are none, single:gm, or a file.*fcd pretrain --arch resnet10/,
    );
    const wrong = await fcd([...train, ...SMALL, '--freeze', 'fc']);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toMatch(/no part "fc".*stem, layer1/);
  });

  it('warns where random weights are frozen', async () => {
    const run = join(folder, 'random');
    const { code, stderr } = await fcd([
      ...['train', '--cohort', cohort, '--fold', '1/4', '--out', run, '--epochs', '1'],
      ...['--freeze', 'encoder', ...SMALL],
    ]);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/starts from random weights .* those parts stay random/);
  });
});

describe('fcd experiment with weights of every fold', () => {
  it('starts each fold from its own file, and says once what is the same', async () => {
    const out = join(folder, 'nested');
    const { code, stderr } = await fcd([
      ...['experiment', '--cohort', cohort, '--folds', '2', '--out', out, '--epochs', '1', ...SMALL],
      ...['--init', join(folder, 'fold-{fold}.safetensors'), '--seed', '3', '--split-seed', '1'],
    ]);
    expect(code, stderr).toBe(0);
    const runs = [1, 2].map((fold) => recordOf(join(out, 'runs', `fold-${fold}`)));
    expect(runs.map(({ init }) => (init.kind === 'file' ? init.path : 'none'))).toEqual(
      [1, 2].map((fold) => join(folder, `fold-${fold}.safetensors`)),
    );
    expect(runs.map(({ seed }) => seed)).toEqual([3, 3]);
    expect(stderr.match(/tensors loaded/g)).toHaveLength(2);
  });
});
