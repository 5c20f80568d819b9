import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Results } from '../../../src/protocol/results';
import type { Cohort } from '../../../src/core/cohort/cohort';
import { writePhantomCohort } from '../../../src/core/cohort/phantom/write-phantom-cohort';
import { readCohort } from '../../../src/core/cohort/read-cohort';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { InputError, StoppedError } from '../../../src/core/errors';
import { CaseStore } from '../../../src/core/experiment/case-store';
import { crossValidate, type CrossValidation } from '../../../src/core/experiment/cross-validation';
import { examineInit } from '../../../src/core/experiment/init-weights';
import { RunDirectory } from '../../../src/core/experiment/run-directory';
import { summarise } from '../../../src/core/experiment/summarise';
import { readResults, writeReport } from '../../../src/core/report/write-report';
import { epochBatches } from '../../../src/core/train/batches';
import type { TrainingConfig } from '../../../src/core/train/config';
import { OPTIONS, SPEC, TRAINING, asked, begun, execute, outcome, scratchFolder, tinyCohort } from './tiny';

const folder = scratchFolder();
let cohort: Cohort;
let whole: Results;
const FOLDS = 3;

beforeAll(async () => {
  await openEngine({ threads: 1 });
  cohort = await tinyCohort(folder);
  whole = await crossValidate(experiment('whole'), OPTIONS);
});
afterAll(closeEngine);

function experiment(name: string, training: TrainingConfig = { ...TRAINING, epochs: 2 }): CrossValidation {
  return { ...asked({ cohort, training }), folds: FOLDS, out: join(folder, name), notes: ['a note'] };
}

const foldOf = (name: string, fold: number): RunDirectory =>
  new RunDirectory(join(folder, name, 'runs', `fold-${fold}`));

/** Results without what belongs to the place and the time they were computed at. */
function comparable({ created: _created, seconds: _seconds, cases, ...rest }: Results): object {
  return {
    ...rest,
    cases: cases.map((one) => ({ ...one, maps: one.maps.map(({ nifti: _nifti, ...map }) => map) })),
  };
}

describe('a cross-validation', () => {
  it('shares its folds with other seeds where a split seed says so, and starts every fold from weights of its own', async () => {
    const asking = (seed: number, splitSeed?: number) => ({
      ...experiment(`split-${seed}`),
      seed,
      splitSeed,
    });
    const none = { kind: 'none' as const };
    const tested = async (seed: number, splitSeed?: number): Promise<string[][]> => {
      const controller = new AbortController();
      controller.abort();
      const request = asking(seed, splitSeed);
      const folds: string[][] = [];
      await crossValidate(
        {
          ...request,
          init: (fold) => {
            folds[fold.index] = [...fold.test];
            return none;
          },
        },
        { ...OPTIONS, signal: controller.signal },
      ).catch((error: unknown) => {
        if (!(error instanceof StoppedError)) throw error;
      });
      return folds;
    };
    const [first, same, other] = [await tested(101, 5), await tested(102, 5), await tested(103)];
    expect(first).toHaveLength(3);
    expect(same).toEqual(first);
    expect(other).not.toEqual(first);
    // One fold's weights have seen its training part: in that fold they are welcome, in the others refused.
    const own = foldOf('whole', 1);
    const { record: init } = await examineInit(own.path, SPEC, false);
    const start = (path: string, which: (index: number) => boolean) =>
      crossValidate(
        { ...experiment(path), init: ({ index }) => (which(index) ? init : none) },
        { ...OPTIONS, signal: AbortSignal.abort() },
      );
    await expect(start('own', (index) => index === 0)).rejects.toThrow(StoppedError);
    await expect(start('all', () => true)).rejects.toThrow(/tested or validated on/);
  });

  it('tests every case once and puts the folds together', () => {
    expect(whole.cases.map(({ participantId }) => participantId).sort()).toEqual(
      cohort.cases.map(({ participantId }) => participantId).sort(),
    );
    expect(whole).toMatchObject({ schema: 1, folds: 3, cohort: { patients: 5, controls: 5, sources: 10 } });
    expect(whole.metrics.accuracy).toMatchObject({ n: 10, sources: 10 });
    expect(whole.maps).toHaveLength(1);
    expect(whole.maps[0].heatScore.n + whole.maps[0].zeroMaps).toBe(5);
    // A map of random weights may be zero everywhere, and is then left out.
    const { untrained } = whole.maps[0];
    expect(untrained?.n).toBeGreaterThan(0);
    expect(untrained?.n).toBeLessThanOrEqual(5);
    expect(untrained?.value).not.toBeCloseTo(whole.maps[0].heatScore.value ?? 0, 6);
    expect(whole.baseline?.metrics.accuracy.n).toBe(10);
    expect(whole.curves.map(({ loss }) => loss.length)).toEqual([2, 2, 2]);
  });

  it('goes on at the run where it was stopped, and comes to the same results', async () => {
    const controller = new AbortController();
    const going = crossValidate(experiment('stopped'), {
      ...OPTIONS,
      signal: controller.signal,
      onProgress: ({ index }, { phase, done }) => {
        if (index === 1 && phase === 'training' && done === 2) controller.abort();
      },
    });
    await expect(going).rejects.toThrow(StoppedError);
    expect(readdirSync(join(folder, 'stopped', 'runs')).sort()).toEqual(['fold-1', 'fold-2']);
    expect(readdirSync(join(folder, 'stopped'))).not.toContain('results.json');
    const finishedFirst = statSync(foldOf('stopped', 1).checkpoint('best')).mtimeMs;

    const trained = new Set<number>();
    const results = await crossValidate(experiment('stopped'), {
      ...OPTIONS,
      onProgress: ({ index }, { phase }) => {
        if (phase === 'training') trained.add(index);
      },
    });
    expect([...trained]).toEqual([1, 2]);
    expect(statSync(foldOf('stopped', 1).checkpoint('best')).mtimeMs).toBe(finishedFirst);
    expect(
      foldOf('stopped', 2)
        .events()
        .map(({ type }) => type),
    ).toContain('resumed');
    expect(comparable(results)).toEqual(comparable(whole));
    for (let fold = 1; fold <= FOLDS; fold++)
      expect(await outcome(foldOf('stopped', fold)), `fold ${fold}`).toEqual(
        await outcome(foldOf('whole', fold)),
      );
  });

  it('whose runs are all finished is put together again without training', async () => {
    const phases = new Set<string>();
    const results = await crossValidate(experiment('whole'), {
      ...OPTIONS,
      onProgress: (_fold, { phase }) => phases.add(phase),
    });
    expect([...phases].sort()).toEqual(['explaining', 'predicting']);
    expect(comparable(results)).toEqual(comparable(whole));
  });

  it('does not go on with other options or another cohort, and says which', async () => {
    const other = crossValidate(experiment('whole', TRAINING), OPTIONS);
    await expect(other).rejects.toThrow(InputError);
    await expect(other).rejects.toThrow(/whole.*holds a run with another training\. Give another --out/);
    await expect(crossValidate({ ...experiment('whole'), seed: 1 }, OPTIONS)).rejects.toThrow(
      /another (fold|seed)/,
    );
    const changed = { ...experiment('whole'), cohort: { ...cohort, fingerprint: 'f'.repeat(64) } };
    await expect(crossValidate(changed, OPTIONS)).rejects.toThrow(
      /another cohort, or the cohort .* has changed/,
    );
  });
});

describe('the report', () => {
  it('is one self-contained page, made again from results.json alone', async () => {
    const path = join(folder, 'whole', 'results.json');
    const results = await readResults(path, () => Promise.resolve(readFileSync(path, 'utf8')));
    const out = join(folder, 'whole', 'report.html');
    await writeReport(results, out);
    const page = readFileSync(out, 'utf8');
    expect(page).toContain('For research, not for diagnosis.');
    expect(page).toContain('a note');
    // Pictures lie within the page, nothing is fetched: no link, script, style sheet, import or remote address.
    expect(page).toMatch(/data:image\/png;base64/);
    expect(page).not.toMatch(/<(script|link|iframe|object|embed)\b/i);
    for (const [, address] of page.matchAll(/(?:src|href)\s*=\s*["']([^"']*)/gi))
      expect(address).toMatch(/^(data:|#|runs\/|[^:]*\.(csv|jsonl?)$)/);
    expect(page).not.toMatch(/@import|url\((?!["']?data:)/i);
  });

  it('says of a results.json that is none what is wrong', async () => {
    const broken = readResults('r.json', () => Promise.resolve(JSON.stringify({ ...whole, folds: 'three' })));
    await expect(broken).rejects.toThrow(/r\.json: field "folds" is not valid/);
    await expect(readResults('r.json', () => Promise.resolve('{'))).rejects.toThrow(/r\.json cannot be read/);
  });
});

describe('a single run whose lesion has no counterpart to be compared with', () => {
  it('has results without a null, not an error', async () => {
    const { directory, store } = await begun(join(folder, 'alone'), {
      cohort,
      training: { ...TRAINING, epochs: 1 },
    });
    const result = await execute(directory, store);
    const id = result.explained[0].participantId;
    const prepared = await store.get(id);
    // The lesion mirrored falls outside of this brain mask: the lesion itself and the lowest slice of the grid.
    const [ni, nj] = prepared.grid.shape;
    const brain = {
      ...prepared.brain,
      data: prepared.roi!.data.map((value, at) => (at < ni * nj ? 1 : value)),
    };
    const narrow = Object.assign(Object.create(CaseStore.prototype) as CaseStore, store, {
      get: async (one: string) => (one === id ? { ...prepared, brain } : store.get(one)),
    });
    const record = await directory.record();
    const results = await summarise([{ record, result, events: [] }], narrow, {
      title: 't',
      command: [],
      version: '0',
      seconds: 0,
      cohort,
      notes: [],
    });
    expect(results.maps[0].null).toBeNull();
  });
});

describe('twins', () => {
  it('share a fold and every batch', async () => {
    const out = join(folder, 'twins');
    await writePhantomCohort({ out, subjects: 10, twins: true, size: 32, seed: 2, difficulty: 0 });
    const twins = await readCohort(out);
    const training: TrainingConfig = { ...TRAINING, batchSize: 2, microBatch: 2, twinBatches: true };
    const store = new CaseStore(twins.cases, asked({ cohort: twins, training }));
    const ids = twins.cases.map(({ participantId }) => participantId);
    const samples = await Promise.all(ids.map((id) => store.sample(id)));
    for (let epoch = 0; epoch < 4; epoch++)
      for (const batch of epochBatches(samples, 2, true, 42, epoch)) {
        const [one, other] = batch.map((index) => samples[index]);
        expect(one.twin).toBeDefined();
        expect(one.twin).toBe(other.twin);
        expect(one.source).toBe(other.source);
        expect(one.label).not.toBe(other.label);
      }
    const { train, test } = asked({ cohort: twins, training }).fold;
    const sources = (of: readonly string[]): Set<string> => new Set(of.map((id) => store.case(id).source));
    for (const source of sources(test)) expect(sources(train).has(source)).toBe(false);
  });
});
