import { describe, expect, it } from 'vitest';
import { withEngineOf } from '../../../src/cli/engine';
import type { RunRecord } from '../../../src/protocol/run';

/** What of a run's record decides on its engine. */
const begunBy = (engine: Partial<RunRecord['engine']>): RunRecord =>
  ({
    engine: { name: 'wasm', module: 'simd128-strict', threads: 1, node: 'v24.0.0', ...engine },
  }) as RunRecord;

const precisionOf = (record: RunRecord, flags: Parameters<typeof withEngineOf>[1] = {}) =>
  withEngineOf(record, flags, (engine) => Promise.resolve(engine.precision));

describe('the precision of a run that goes on', () => {
  it('is the one that it began with; single, where its record is older than the choice', async () => {
    expect(await precisionOf(begunBy({}))).toBe('f32');
    expect(await precisionOf(begunBy({ precision: 'f32' }))).toBe('f32');
    // No engine of this machine has it without a GPU, and nothing else is taken in its place.
    await expect(precisionOf(begunBy({ precision: 'f16', module: undefined }))).rejects.toThrow(
      'The engine "wasm" computes in single precision alone.',
    );
  });

  it('is no other than what is asked for: then it is refused', async () => {
    await expect(
      precisionOf(begunBy({ name: 'webgpu', precision: 'f16' }), { precision: 'f32' }),
    ).rejects.toThrow(
      'What is there was begun in f16 and goes on in it: leave out --precision f32, or give another --out.',
    );
    await expect(precisionOf(begunBy({}), { precision: 'f16' })).rejects.toThrow('was begun in f32');
    expect(await precisionOf(begunBy({}), { precision: 'f32' })).toBe('f32');
  });
});
