import { describe, expect, it } from 'vitest';
import { fuzzNifti } from './nifti-fuzz';
import { scratchFolder } from './scratch-folder';

const { folder } = scratchFolder();

describe('3000 damaged NIfTI files', () => {
  it('are read soundly or refused with a sentence, never with much memory', async () => {
    const outcome = await fuzzNifti(folder, 3000, 20250704);
    expect(outcome.failures).toEqual([]);
    expect(outcome.read + outcome.refused).toBe(3000);
    expect(outcome.read).toBeGreaterThan(300);
    expect(outcome.sentences.size).toBeGreaterThan(20);
    expect(outcome.mostBytes).toBeLessThan(256 * 2 ** 20);
  });
});
