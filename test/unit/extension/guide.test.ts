import { describe, expect, it } from 'vitest';
import { foldFault, wholeNumberFault } from '../../../src/extension/guide/faults';

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
});
