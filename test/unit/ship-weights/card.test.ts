import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cardOf, entryOf, headCardOf, headEntryOf } from '../../../scripts/ship-weights/card';
import { LIMIT_BYTES, shippedPlans, type ShippedPlan } from '../../../scripts/ship-weights/plan';
import { parseCatalogue } from '../../../src/protocol/catalogue';
import { saveNetwork } from '../../../src/core/model/checkpoint';
import { Network } from '../../../src/core/model/network';
import { buildProgram } from '../../../src/core/model/program';
import { networkSpec } from '../../../src/core/model/spec';
import { expectedTensors } from '../../../src/core/model/weights-of-network';
import type { PretrainingRecord } from '../../../src/core/transfer/pretraining-record';
import { readWeights } from '../../../src/core/weights/read-weights';
import { saveSegmentation, loadSegmentation } from '../../../src/core/pretrain/segmentation-checkpoint';
import { SegmentationNetwork } from '../../../src/core/pretrain/segmentation-network';
import { toFloat32 } from '../../../src/core/weights/tensors';
import { shipEncoder, shipSegmentation, type ShippedEncoder } from '../../../src/core/transfer/ship-encoder';

const RECORD: PretrainingRecord = {
  kind: 'segmentation',
  tasks: ['gm'],
  participants: { trained: ['sub-1', 'sub-2', 'sub-3'], heldOut: ['sub-4'] },
  data: 'f'.repeat(64),
  modality: 'T1w',
  grid: { shape: [56, 64, 56], spacing: [3.5, 3.5, 3.5] },
  seed: 1,
  command: ['pretrain', '--tasks', '/home/somebody/gm.json'],
  dice: [{ task: 'gm', mean: 0.8712, low: 0.86, high: 0.88, n: 1 }],
  steps: 120,
  secondsOfCompute: 61.4,
  samplesSeen: 240,
};
const PLAN: ShippedPlan = {
  arch: 'resnet18',
  width: '1/8',
  strategy: 'single:gm',
  name: 'single-gm-resnet18',
};
const ABOUT = { data: 'grey matter of 4 phantoms', origin: 'phantoms, drawn.', licence: 'MIT' };

let folder: string;
let shipped: ShippedEncoder;
beforeAll(async () => {
  await tf.setBackend('cpu');
  folder = mkdtempSync(join(tmpdir(), 'fcd-ship-'));
  const network = new Network(networkSpec({ arch: 'resnet18', geometry: 'compact', width: 1 / 8 }), 3);
  const source = join(folder, 'run.safetensors');
  await saveNetwork(source, network, { modality: 'T1w', pretraining: RECORD });
  network.dispose();
  shipped = await shipEncoder(source, join(folder, 'single-gm-resnet18.safetensors'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('the weights that are shipped', () => {
  it('are all depths of the study with one task and with 23, and fit into their limit', () => {
    const plans = shippedPlans();
    expect(plans.map(({ name }) => name)).toEqual([
      ...['single-gm-resnet18', 'multi-23-resnet18', 'single-gm-resnet34', 'multi-23-resnet34'],
      ...['single-gm-resnet50', 'multi-23-resnet50'],
    ]);
    let bytes = 0;
    for (const { arch, width } of plans) {
      const spec = networkSpec({ arch, geometry: 'compact', width: 1 / Number(width.slice(2)) });
      for (const { name, shape } of expectedTensors(buildProgram(spec, { fused: true })))
        if (!name.startsWith('fc.'))
          bytes += shape.reduce((product, n) => product * n, shape.length === 5 ? 2 : 4);
      // Names, shapes and the checkpoint's record of itself.
      bytes += 60_000;
    }
    expect(bytes).toBeLessThan(LIMIT_BYTES);
    // The wider networks would not fit: the width is as large as it can be.
    expect(4 * bytes).toBeGreaterThan(LIMIT_BYTES);
  });

  it('stand in the catalogue with what their checkpoint says of itself', () => {
    const entry = entryOf(PLAN, shipped, ABOUT);
    expect(entry).toMatchObject({
      ...{ strategy: 'single:gm', tasks: ['gm'], arch: 'resnet18', geometry: 'compact', shortcut: 'A' },
      ...{ width: 1 / 8, axes: 'ijk', inChannels: 1, modality: 'T1w', sha256: shipped.sha256 },
      dice: { mean: 0.8712, heads: 1 },
    });
    expect(parseCatalogue(JSON.stringify({ schema: 1, weights: [entry] }), 'x')).toEqual([entry]);
    const none = { ...RECORD, participants: { ...RECORD.participants, heldOut: [] } };
    expect(
      entryOf(PLAN, { ...shipped, meta: { ...shipped.meta, pretraining: none } }, ABOUT).dice,
    ).toBeNull();
  });

  it('are refused where they are another network or learned something else than was planned', () => {
    expect(() => entryOf({ ...PLAN, arch: 'resnet34' }, shipped, ABOUT)).toThrow(/resnet34 of 1 was planned/);
    expect(() => entryOf({ ...PLAN, strategy: 'multi:23' }, shipped, ABOUT)).toThrow(/23 was planned/);
    const bare = { ...shipped, meta: { ...shipped.meta, pretraining: undefined } };
    expect(() => entryOf(PLAN, bare, ABOUT)).toThrow(/no record of its pre-training/);
  });

  it('say nothing of the machine that trained them', async () => {
    const { metadata } = await readWeights(join(folder, 'single-gm-resnet18.safetensors'));
    expect(metadata['fcd-lens']).toContain('gm.json');
    expect(metadata['fcd-lens']).not.toContain('somebody');
  });

  it('have a card: data, command, seed, Dice with intervals, hash, licence, limits', () => {
    const card = cardOf(entryOf(PLAN, shipped, ABOUT), shipped, ABOUT);
    for (const part of [
      'ResNet-18 (compact, shortcut A, width 1/8, axes ijk)',
      'fcd train --init single:gm',
      'phantoms, drawn.',
      '3 heads to learn from, 1 held out',
      '`fcd pretrain --tasks gm.json`',
      '**Seed** 1; 120 steps, 240 volumes. 61 s of compute.',
      shipped.sha256,
      '**Licence**: MIT',
      '**Limits**',
      '**0.871**',
      '| gm | 0.871 | 0.86 to 0.88 | 1 |',
    ])
      expect(card).toContain(part);
  });
});

describe('the head that is shipped', () => {
  const spec = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 1 / 8 });
  const record: PretrainingRecord = {
    ...RECORD,
    tasks: ['intracranial'],
    participants: { trained: ['a_T1w', 'a_FLAIR', 'b_T1w'], heldOut: ['c_FLAIR', 'c_T1w'] },
    modality: 'mixed',
  };
  const measured = [{ task: 'intracranial', mean: 0.961, low: 0.95, high: 0.97, n: 2 }];
  let network: SegmentationNetwork;
  let head: ShippedEncoder;
  const out = (): string => join(folder, 'intracranial.safetensors');
  beforeAll(async () => {
    network = new SegmentationNetwork(spec, { tasks: ['intracranial'], channels: 4 }, 5);
    const source = join(folder, 'segmentation.safetensors');
    await saveSegmentation(source, network, { modality: 'mixed', pretraining: record });
    head = await shipSegmentation(source, out(), measured);
  });
  afterAll(() => network.dispose());

  it('is the whole network, filters in half precision, with the Dice that was measured as it is used', async () => {
    const { network: back, meta } = await loadSegmentation(out());
    const file = await readWeights(out());
    const before = network.weights.toBorder();
    expect([...file.tensors.keys()].sort()).toEqual([...before.keys()].sort());
    for (const [name, tensor] of file.tensors) {
      expect(tensor.dtype, name).toBe(tensor.shape.length === 5 ? 'F16' : 'F32');
      const exact = before.get(name)?.data ?? [];
      toFloat32(tensor).forEach((value, n) => {
        expect(Math.abs(value - exact[n]), name).toBeLessThanOrEqual(Math.abs(exact[n]) / 1024 + 1e-7);
      });
    }
    expect(meta.pretraining?.dice).toEqual(measured);
    expect(file.metadata['fcd-lens']).not.toContain('somebody');
    back.dispose();
  });

  it('stands among the heads of the catalogue, and its card counts heads, not images', () => {
    const entry = headEntryOf('intracranial', head, ABOUT);
    expect(entry).toMatchObject({ task: 'intracranial', modality: 'mixed', dice: { mean: 0.961, heads: 1 } });
    const card = headCardOf(entry, head, ABOUT);
    for (const part of [
      '3 images of 2 heads to learn from, 2 of 1 held out',
      '**0.961** (95 % over heads 0.950 to 0.970, 2 images)',
      head.sha256,
      'phantoms, drawn.',
    ])
      expect(card).toContain(part);
    expect(() => headEntryOf('brain', head, ABOUT)).toThrow('brain: a network of intracranial was made.');
  });

  it('is refused where there is none', async () => {
    await expect(
      shipSegmentation(join(folder, 'run.safetensors'), join(folder, 'x.safetensors')),
    ).rejects.toThrow(/holds no segmentation heads/);
  });
});
