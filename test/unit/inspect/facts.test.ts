import { describe, expect, it } from 'vitest';
import { factsOfFile, gridOfFile } from '../../../src/core/inspect/facts-of-file';

const facts = (metadata: Record<string, string>) => factsOfFile({ metadata });
const ours = (record: object) => facts({ 'fcd-lens': JSON.stringify({ schema: 1, ...record }) });

describe('what a file says of itself', () => {
  it('tells what weights were pre-trained on, and how well that went', () => {
    const pretraining = {
      ...{ kind: 'segmentation', tasks: ['caudate', 'putamen'], modality: 'T1w' },
      participants: { trained: ['a', 'b', 'c'], heldOut: ['d', 'e'] },
      dice: [{ mean: 0.8 }, { mean: 0.7 }, { mean: null }],
    };
    expect(ours({ pretraining, seen: ['a', 'b', 'c'] })).toEqual([
      {
        name: 'Pre-trained on',
        value: 'segmentation of 2 tasks, T1w, 3 heads, mean Dice 0.75 on 2 held-out heads',
      },
      { name: 'Has seen', value: '3 heads' },
    ]);
    expect(ours({ pretraining: { ...pretraining, modality: 'mixed' } })[0].value).toBe(
      'segmentation of 2 tasks, mixed, 3 images, mean Dice 0.75 on 2 held-out images',
    );
    const single = { kind: 'segmentation', tasks: ['caudate'], dice: [{ mean: null }] };
    expect(ours({ pretraining: single })[0].value).toBe('segmentation of caudate');
  });

  it('tells the grid that its network was trained on, for people and for programs', () => {
    const record = JSON.stringify({ recipe: { spacing: [3.5, 3.5, 3.5], shape: [56, 64, 48] } });
    expect(facts({ 'fcd-lens': record })).toEqual([
      { name: 'Prepared as', value: '56 × 64 × 48 voxels, 3.5 × 3.5 × 3.5 mm' },
    ]);
    expect(gridOfFile({ metadata: { 'fcd-lens': record } })).toEqual([56, 64, 48]);
    const free = JSON.stringify({ recipe: { spacing: null, shape: null } });
    for (const metadata of [{}, { 'fcd-lens': free }, { 'fcd-lens': 'none' }] as Record<string, string>[])
      expect(gridOfFile({ metadata })).toBeNull();
  });

  it('takes nothing for granted: no JSON, another form, long texts', () => {
    expect(facts({ 'fcd-lens': 'none' })).toEqual([]);
    expect(ours({ pretraining: { kind: 7 } })).toEqual([]);
    expect(facts({ note: 'x'.repeat(1000) })[0].value).toBe(`${'x'.repeat(300)}… (1000 characters)`);
  });
});
