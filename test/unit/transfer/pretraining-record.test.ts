import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkpointMeta, checkpointMetadata } from '../../../src/core/model/checkpoint';
import { networkSpec } from '../../../src/core/model/spec';
import {
  parsePretrainingRecord,
  type PretrainingRecord,
} from '../../../src/core/transfer/pretraining-record';

const record: PretrainingRecord = {
  kind: 'segmentation',
  tasks: ['caudate', 'putamen'],
  participants: { trained: ['sub-00001', 'sub-00002'], heldOut: ['sub-00003'] },
  data: 'a'.repeat(64),
  modality: 'T1w',
  grid: { shape: [56, 64, 56], spacing: [3.5, 3.5, 3.5] },
  seed: 7,
  command: ['fcd', 'pretrain'],
  dice: [
    { task: 'caudate', mean: 0.8, low: 0.7, high: 0.9, n: 1 },
    { task: 'putamen', mean: null, low: null, high: null, n: 0 },
  ],
  steps: 12,
  samplesSeen: 24,
};

describe('the record of pre-training', () => {
  it('travels in a checkpoint as it is', () => {
    const metadata = checkpointMetadata({ spec: networkSpec({ arch: 'resnet10' }), pretraining: record });
    expect(checkpointMeta({ metadata }, 'a.safetensors')?.pretraining).toEqual(record);
  });

  it.each([
    ['tasks', { tasks: [] }],
    ['participants.trained', { participants: { heldOut: [] } }],
    ['dice.0.mean', { dice: [{ task: 'caudate', mean: 1.2, low: 0, high: 1, n: 1 }] }],
    ['steps', { steps: -1 }],
    ['grid.shape', { grid: { shape: [1, 2], spacing: null } }],
  ])('is refused where %s is not valid, by the name of the field', (field, wrong) => {
    const where = join('weights', 'a.safetensors');
    expect(() => parsePretrainingRecord({ ...record, ...wrong }, where)).toThrow(
      new RegExp(`^${where}: its record of pre-training is not valid at ${field.replaceAll('.', '\\.')}`),
    );
  });
});
