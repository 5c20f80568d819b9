import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { processSchema } from '../../../src/protocol/run';
import type { Cohort } from '../../../src/core/cohort/cohort';
import { stratifiedFolds } from '../../../src/core/cohort/folds';
import { writePhantomCohort } from '../../../src/core/cohort/phantom/write-phantom-cohort';
import { readCohort } from '../../../src/core/cohort/read-cohort';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import type { EngineReport } from '../../../src/core/engine/engine';
import { StoppedError } from '../../../src/core/errors';
import { runRecord, type RunAsked } from '../../../src/core/experiment/begin-run';
import { CaseStore } from '../../../src/core/experiment/case-store';
import { crossValidate } from '../../../src/core/experiment/cross-validation';
import { executeRun, type RunOptions } from '../../../src/core/experiment/run';
import { RunDirectory } from '../../../src/core/experiment/run-directory';
import { networkSpec } from '../../../src/core/model/spec';
import { DEFAULT_TRAINING } from '../../../src/core/train/config';
import { STANDARD } from '../../../src/core/volume/recipe';
import * as v from 'valibot';

let folder: string;
let cohort: Cohort;
let engine: EngineReport;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fcd-stop-'));
  await writePhantomCohort({
    out: join(folder, 'heads'),
    subjects: 8,
    size: 32,
    seed: 1,
    difficulty: 0,
  });
  cohort = await readCohort(join(folder, 'heads'));
  engine = await openEngine({ threads: 1 });
});
afterAll(async () => {
  await closeEngine();
  await rm(folder, { recursive: true, force: true });
});

function asked(): Omit<RunAsked, 'fold'> {
  return {
    name: 'tiny',
    cohort,
    cases: cohort.cases,
    modality: 'FLAIR',
    seed: 3,
    spec: networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125, inChannels: 1 }),
    recipe: { ...STANDARD, spacing: null, shape: null, centre: 'grid' },
    training: { ...DEFAULT_TRAINING, epochs: 3, batchSize: 2, microBatch: 2, patience: 0 },
    init: { kind: 'none' },
    engine,
    command: ['train'],
  };
}

const store = (): CaseStore => new CaseStore(cohort.cases, asked());

async function begun(name: string): Promise<RunDirectory> {
  const directory = new RunDirectory(join(folder, name));
  const [fold] = stratifiedFolds(cohort.cases, 2, 3);
  await directory.begin(runRecord({ ...asked(), fold }));
  return directory;
}

/** Does something at the third training step. */
function atThirdStep(act: () => void): Pick<RunOptions, 'onProgress'> {
  let steps = 0;
  return {
    onProgress: ({ phase }) => {
      if (phase === 'training' && ++steps === 3) act();
    },
  };
}

describe('a file "stop" in the directory of a run', () => {
  it('stops it at a step, in a state that goes on to the same weights as a run that was never stopped', async () => {
    const whole = await begun('whole');
    await executeRun(whole, store(), { maps: [], niftis: false });

    const stopped = await begun('stopped');
    const stop = join(stopped.path, 'stop');
    const run = executeRun(stopped, store(), {
      maps: [],
      niftis: false,
      onProgress: ({ phase }) => {
        if (phase !== 'training' || existsSync(stop)) return;
        writeFileSync(stop, '');
        sleepSync(600);
      },
    });
    await expect(run).rejects.toThrow(StoppedError);
    // Written after the first step, seen after the second, of six.
    expect(stopped.events().filter(({ type }) => type === 'step')).toHaveLength(2);
    expect(stopped.events().at(-1)).toMatchObject({ type: 'stopped', epoch: 1, step: 0 });
    expect(existsSync(stop)).toBe(false);

    await executeRun(stopped, store(), { maps: [], niftis: false });
    expect(stopped.events().at(-1)).toMatchObject({ type: 'finished', epochs: 3 });
    const weights = (run: RunDirectory): Promise<Buffer> => readFile(run.checkpoint('best'));
    expect((await weights(stopped)).equals(await weights(whole))).toBe(true);
  });

  it('that was there before the run began is forgotten', async () => {
    const run = await begun('stale');
    await writeFile(join(run.path, 'stop'), '');
    await executeRun(run, store(), { maps: [], niftis: false });
    expect(run.events().at(-1)).toMatchObject({ type: 'finished' });
    expect(existsSync(join(run.path, 'stop'))).toBe(false);
  });

  it('in the directory of a cross-validation stops the fold at hand and with it the whole', async () => {
    const out = join(folder, 'experiment');
    const run = crossValidate(
      { ...asked(), folds: 2, out, notes: [] },
      {
        maps: [],
        niftis: false,
        onProgress: (_, { phase }) => {
          if (phase !== 'training' || existsSync(join(out, 'stop'))) return;
          writeFileSync(join(out, 'stop'), '');
          sleepSync(600);
        },
      },
    );
    await expect(run).rejects.toThrow(StoppedError);
    expect(new RunDirectory(join(out, 'runs', 'fold-1')).events().at(-1)).toMatchObject({ type: 'stopped' });
    expect(new RunDirectory(join(out, 'runs', 'fold-2')).exists).toBe(false);
    expect(existsSync(join(out, 'stop'))).toBe(false);
  });
});

describe('while a run is computed', () => {
  it('process.json names host and process, and is gone afterwards', async () => {
    const run = await begun('marked');
    let seen: unknown;
    await executeRun(run, store(), {
      maps: [],
      niftis: false,
      ...atThirdStep(() => {
        seen = JSON.parse(readFileSync(join(run.path, 'process.json'), 'utf8'));
      }),
    });
    expect(v.parse(processSchema, seen)).toMatchObject({ host: hostname(), pid: process.pid });
    expect(existsSync(join(run.path, 'process.json'))).toBe(false);
  });

  it('its phases beside training are told: reading, predicting, explaining', async () => {
    const run = await begun('phases');
    await executeRun(run, store(), { maps: [], niftis: false });
    const phases = run.events().flatMap((event) => (event.type === 'phase' ? [event.phase] : []));
    expect([...new Set(phases)]).toEqual(['reading', 'predicting', 'explaining']);
  });

  it('the record says where the command was given', async () => {
    const run = await begun('where');
    expect((await run.record()).cwd).toBe(process.cwd());
  });
});

/** Looks at the disk are half a second apart. */
function sleepSync(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
