import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import type { EngineMemory } from '../../../src/core/engine/engine';
import type { RunDirectory } from '../../../src/core/experiment/run-directory';
import { fitStepOfRun, remarksOnStep } from '../../../src/core/experiment/step-of-run';
import { buildProgram } from '../../../src/core/model/program';
import type { TrainingConfig } from '../../../src/core/train/config';
import { bytesOfStep } from '../../../src/core/train/memory-need';
import { SPEC, TRAINING, begun, scratchFolder, tinyCohort } from './tiny';

const folder = scratchFolder();
const program = buildProgram(SPEC, { fused: true });
const training: TrainingConfig = { ...TRAINING, batchSize: 4, microBatch: 4 };
const shape = [64, 64, 64, 1] as const;
let directory: RunDirectory;

beforeAll(async () => {
  await openEngine({ module: 'simd128-strict', threads: 1 });
  const cohort = await tinyCohort(folder);
  ({ directory } = await begun(join(folder, 'run'), { cohort, training }));
});
afterAll(closeEngine);

/** Memory in which steps of so many volumes fit, and of twice as many do not. */
function roomFor(microBatch: number): EngineMemory {
  const parts = { ...training, microBatch, checkpointActivations: true };
  return { inUse: 0, reserved: 0, peak: 0, atMost: 1.06 * bytesOfStep(program, parts, shape) };
}

const fitted = (memory: EngineMemory | undefined) =>
  fitStepOfRun(directory, { program, training, shape, memory });

describe('the parts in which a run computes its steps', () => {
  it('are not written down where an engine has no limit', async () => {
    expect(await fitted(undefined)).toEqual({ training, said: [], spare: Infinity });
    expect((await directory.record()).step).toBeUndefined();
  });

  it('are kept in run.json when it begins; what was asked for stays there too', async () => {
    const { training: config, changed } = await fitted(roomFor(2));
    expect(config.microBatch).toBe(2);
    expect(changed).toBeUndefined();
    const record = await directory.record();
    expect(record.step).toEqual({ microBatch: 2, checkpointActivations: config.checkpointActivations });
    expect(record.training).toMatchObject({ batchSize: 4, microBatch: 4 });
    expect(remarksOnStep(record)).toEqual([expect.stringContaining('micro-batches of 2')]);
  });

  it('are the same when it goes on where there is more memory', async () => {
    const { training: config, said, changed } = await fitted({ ...roomFor(4), atMost: Infinity });
    expect(config.microBatch).toBe(2);
    expect(said[0]).toContain('in micro-batches of 2');
    expect(changed).toBeUndefined();
  });

  it('are others where they do not fit any more, which is said', async () => {
    const { training: config, changed } = await fitted(roomFor(1));
    expect(config.microBatch).toBe(1);
    expect(changed).toMatch(/^The run began with 2 volumes at a time and goes on with 1,/);
    expect((await directory.record()).step).toMatchObject({ microBatch: 1 });
  });
});
