import { describe, expect, it } from 'vitest';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { foldFault, folderFault, wholeNumberFault } from '../../../src/extension/guide/faults';

describe('what is typed into a guide', () => {
  it('is a whole number that is large enough, or a sentence says so', () => {
    expect(wholeNumberFault(' 5 ', 2, 'The number of folds')).toBeUndefined();
    for (const text of ['1', '-3', '2.5', 'five', ''])
      expect(wholeNumberFault(text, 2, 'The number of folds'), text).toBe(
        'The number of folds is a whole number of at least 2.',
      );
  });

  it('is one fold of two or more, written k/K', () => {
    for (const text of ['1/5', ' 5/5 ', '2/2']) expect(foldFault(text), text).toBeUndefined();
    for (const text of ['0/5', '6/5', '1/1', '1', '1/', 'one/five', '1/5/2'])
      expect(foldFault(text), text).toMatch(/^Give k\/K/);
  });

  it('is a folder that is new or empty', () => {
    const root = mkdtempSync(join(tmpdir(), 'fcd-guide-'));
    try {
      mkdirSync(join(root, 'empty'));
      mkdirSync(join(root, 'heads'));
      writeFileSync(join(root, 'heads', 'participants.tsv'), '');
      for (const text of ['new', 'empty', 'new/deeper', join(root, 'elsewhere')])
        expect(folderFault(root, text), text).toBeUndefined();
      expect(folderFault(root, ' heads ')).toBe(
        'heads is there already. Give the name of a new or empty folder.',
      );
      expect(folderFault(root, 'heads/participants.tsv')).toMatch(/is there already/);
      expect(folderFault(root, '  ')).toBe('Give the name of a new folder.');
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
});
