import { describe, expect, it } from 'vitest';
import { atHand, modalityCounts } from '../../../src/extension/train/modality-counts';
import type { Subject } from '../../../src/protocol/compute';

const subject = (images: Subject['images']): Subject => ({
  participantId: 'sub-01',
  group: 'fcd',
  source: 'sub-01',
  images,
  ...{ roi: null, roiDrawnOn: null, brain: null, labels: null, twin: null, sex: null, age: null },
  unavailable: [],
});
const MODALITIES = ['FLAIR', 'T1w', 'T1w+FLAIR', 'mixed'] as const;

describe('what of a cohort a network can see', () => {
  it('is counted in cases that have all its images, and in images where each is a case', () => {
    const subjects = [subject({ T1w: 'a', FLAIR: 'b' }), subject({ T1w: 'c' }), subject({})];
    const counts = modalityCounts({ subjects });
    expect(MODALITIES.map((modality) => counts[modality].text)).toEqual([
      '1 of 3 cases',
      '2 of 3 cases',
      '1 of 3 cases',
      '3 images',
    ]);
  });

  it('moves the focus off a modality that no case has', () => {
    const counts = modalityCounts({ subjects: [subject({ T1w: 'a' })] });
    expect(atHand('FLAIR', MODALITIES, counts)).toBe('T1w');
    expect(atHand('T1w', MODALITIES, counts)).toBe('T1w');
    expect(atHand('FLAIR', MODALITIES, modalityCounts({ subjects: [] }))).toBe('FLAIR');
  });
});
