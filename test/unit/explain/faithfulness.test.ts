import { describe, expect, it } from 'vitest';
import { faithfulness } from '../../../src/core/explain/faithfulness';

describe('faithfulness, as torch-cam names it', () => {
  it('has average drop 0.6 and increase 0 where confidence falls to two fifths', () => {
    const result = faithfulness([1, 0.5], [0.4, 0.2]);
    expect(result.averageDrop).toBeCloseTo(0.6, 12);
    expect(result).toMatchObject({ increase: 0, n: 2 });
  });

  it('counts a rise as no drop, and as an increase', () => {
    const result = faithfulness([0.5, 0.8], [0.9, 0.2]);
    expect(result.averageDrop).toBeCloseTo(0.375, 12);
    expect(result.increase).toBe(0.5);
  });

  it('drops nothing where nothing changes', () => {
    expect(faithfulness([0.3], [0.3])).toEqual({ averageDrop: 0, increase: 0, n: 1 });
  });

  it('refuses what is no pair of probabilities', () => {
    expect(() => faithfulness([], [])).toThrow('at least one case; given are 0 and 0');
    expect(() => faithfulness([0.1, 0.2], [0.1])).toThrow('given are 2 and 1');
    expect(() => faithfulness([0], [0.5])).toThrow('Case 0 has confidence 0 before');
    expect(() => faithfulness([0.4, 0.4], [0.2, 1.5])).toThrow(
      'Case 1 has confidence 0.4 before and 1.5 after',
    );
    expect(() => faithfulness([NaN], [0.5])).toThrow('Case 0');
  });
});
