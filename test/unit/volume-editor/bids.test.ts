import { describe, expect, it } from 'vitest';
import {
  brainMaskFolder,
  brainMaskIn,
  contrastOf,
  siblingOf,
} from '../../../src/extension/case/bids-siblings';
import { bidsMaskOf } from '../../../src/extension/volume/bids-mask';

const anat = [
  'sub-01_T1w.nii.gz',
  'sub-01_T1w.json',
  'sub-01_acq-T2sel_FLAIR.nii.gz',
  'sub-01_acq-T2sel_FLAIR_roi.nii.gz',
  'sub-011_FLAIR_roi.nii.gz',
];

describe('the lesion mask of a BIDS scan', () => {
  it('is the one named after it', () => {
    expect(bidsMaskOf('sub-01_acq-T2sel_FLAIR.nii.gz', anat)).toBe('sub-01_acq-T2sel_FLAIR_roi.nii.gz');
  });

  it('serves the T1w too, though it was drawn on the FLAIR', () => {
    expect(bidsMaskOf('sub-01_T1w.nii.gz', anat)).toBe('sub-01_acq-T2sel_FLAIR_roi.nii.gz');
  });

  it('prefers the scan’s own where both have one', () => {
    const both = [...anat, 'sub-01_T1w_roi.nii.gz'];
    expect(bidsMaskOf('sub-01_T1w.nii.gz', both)).toBe('sub-01_T1w_roi.nii.gz');
    expect(bidsMaskOf('sub-01_T2w.nii.gz', both)).toBe('sub-01_acq-T2sel_FLAIR_roi.nii.gz');
  });

  it('is never another subject’s or another visit’s', () => {
    expect(bidsMaskOf('sub-02_FLAIR.nii.gz', anat)).toBeUndefined();
    expect(bidsMaskOf('sub-0_FLAIR.nii.gz', anat)).toBeUndefined();
    const visits = ['sub-01_ses-1_FLAIR_roi.nii.gz'];
    expect(bidsMaskOf('sub-01_ses-2_FLAIR.nii.gz', visits)).toBeUndefined();
    expect(bidsMaskOf('sub-01_ses-1_T1w.nii.gz', visits)).toBe('sub-01_ses-1_FLAIR_roi.nii.gz');
  });

  it('does not exist for a mask, for other files, without the file', () => {
    expect(bidsMaskOf('sub-01_acq-T2sel_FLAIR_roi.nii.gz', anat)).toBeUndefined();
    expect(bidsMaskOf('patient07_FLAIR.nii.gz', [...anat, 'patient07_FLAIR_roi.nii.gz'])).toBeUndefined();
    expect(bidsMaskOf('sub-01_FLAIR.nii.gz', ['sub-01_FLAIR_roi.json'])).toBeUndefined();
  });
});

describe('the same subject’s other contrast', () => {
  it('is known by suffix, whatever its other entities are', () => {
    expect(siblingOf('sub-01_T1w.nii.gz', anat, 'FLAIR')).toBe('sub-01_acq-T2sel_FLAIR.nii.gz');
    expect(siblingOf('sub-01_acq-T2sel_FLAIR.nii.gz', anat, 'T1w')).toBe('sub-01_T1w.nii.gz');
    expect(siblingOf('sub-01_T1w.nii.gz', anat, 'T1w')).toBe('sub-01_T1w.nii.gz');
  });

  it('is never a mask, and does not exist outside of BIDS', () => {
    expect(siblingOf('sub-01_T1w.nii.gz', ['sub-01_FLAIR_roi.nii.gz'], 'FLAIR')).toBeUndefined();
    expect(siblingOf('scan.nii.gz', anat, 'FLAIR')).toBeUndefined();
    expect(contrastOf('sub-01_FLAIR_roi.nii.gz')).toBeUndefined();
  });
});

describe('the brain mask of a BIDS scan', () => {
  it('is looked for among the derivatives of its data set', () => {
    expect(brainMaskFolder(['', 'data', 'sub-01', 'anat', 'sub-01_FLAIR.nii.gz'])).toEqual([
      ...['', 'data', 'derivatives', 'masks', 'sub-01', 'anat'],
    ]);
    expect(brainMaskFolder(['data', 'sub-01', 'ses-2', 'anat', 'sub-01_ses-2_T1w.nii'])).toEqual([
      ...['data', 'derivatives', 'masks', 'sub-01', 'ses-2', 'anat'],
    ]);
    expect(brainMaskFolder(['data', 'scans', 'head.nii.gz'])).toBeUndefined();
    expect(brainMaskFolder(['anat', 'sub-01_T1w.nii.gz'])).toBeUndefined();
  });

  it('is the subject’s own, on the head and not in a template', () => {
    const masks = [
      'sub-01_space-MNI_desc-brain_mask.nii.gz',
      'sub-01_desc-brain_mask.nii.gz',
      'sub-01_mask.nii',
    ];
    expect(brainMaskIn('sub-01_FLAIR.nii.gz', masks)).toBe('sub-01_desc-brain_mask.nii.gz');
    expect(brainMaskIn('sub-0_FLAIR.nii.gz', masks)).toBeUndefined();
  });
});
