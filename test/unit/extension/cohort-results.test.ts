import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { heatScoresCsv, predictionsCsv } from '../../../src/core/experiment/run-directory';
import type { EngineReportMessage, Subject } from '../../../src/protocol/compute';
import type { HeatScoreRow, PredictionRow } from '../../../src/protocol/run';
import { csvRecords, parseHeatScores, parsePredictions } from '../../../src/protocol/result-tables';
import { newestFinished, readResults } from '../../../src/extension/cohort/case-results';
import { countsOf, subjectDescription, subjectFacts } from '../../../src/extension/cohort/case-text';
import { FollowedRun, observerOn, type RunSnapshot } from '../../../src/extension/runs/follow-run';
import { statusFacts, statusText, type Doing } from '../../../src/extension/status/status-text';
import { madeUpRecord, started, writeRun } from './made-up-run';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fcd-cohort-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function prediction(participantId: string, pFcd: number, fold = 0): PredictionRow {
  const yPred = pFcd > 0.5 ? 1 : 0;
  return {
    participantId,
    source: participantId,
    fold,
    seed: 42,
    yTrue: 1,
    logits: [-0.25, 1e-7],
    pFcd,
    yPred,
  };
}

function heat(
  participantId: string,
  score: number | null,
  changes: Partial<HeatScoreRow> = {},
): HeatScoreRow {
  return {
    participantId,
    fold: 0,
    layer: 'layer4',
    method: 'gradcam',
    align: 'half-pixel',
    variant: 'roi/brain',
    score,
    inRoiMean: 0.5,
    referenceMean: score === null ? null : 0.25,
    roiVoxels: 12,
    flags: score === null ? ['zero map', 'no brain'] : [],
    ...changes,
  };
}

const subject: Subject = {
  participantId: 'sub-1',
  group: 'fcd',
  source: 'sub-1',
  images: { FLAIR: '/h/flair.nii.gz' },
  roi: '/h/roi.nii.gz',
  roiDrawnOn: 'FLAIR',
  brain: null,
  labels: null,
  twin: null,
  sex: null,
  age: null,
  unavailable: [],
};

describe('the tables of a run', () => {
  it('are read back as the program wrote them', () => {
    const rows = [prediction('sub-1', 0.75), { ...prediction('sub-2', 0.25), source: 'head "2", left' }];
    expect(parsePredictions(predictionsCsv(rows))).toEqual(rows);
    const scores = [heat('sub-1', 2.5), heat('sub-2', null)];
    expect(parseHeatScores(heatScoresCsv(scores))).toEqual(scores);
  });

  it('keep what a spreadsheet makes of them: carriage returns, other orders, lines that are no rows', () => {
    const text =
      'y_pred,p_fcd,participant_id,fold,seed,y_true,logit_control,logit_fcd,source\r\n1,0.75,sub-1,0,42,1,-1,1,a\r\n,,,,\r\n';
    expect(parsePredictions(text)).toMatchObject([{ participantId: 'sub-1', pFcd: 0.75, source: 'a' }]);
    expect(parsePredictions('')).toEqual([]);
  });

  it('may hold cells with commas, quotes and line ends', () => {
    expect(csvRecords('a,"b,""c""\nd"\ne,f\n')).toEqual([
      ['a', 'b,"c"\nd'],
      ['e', 'f'],
    ]);
  });
});

describe('what the newest finished run says about a cohort', () => {
  const isHeads = (path: string): boolean => path === '/data/heads';

  async function run(
    name: string,
    ended: boolean,
    test: readonly string[],
    cohort = '/data/heads',
  ): Promise<RunSnapshot> {
    const path = join(folder, name);
    const record = madeUpRecord({
      cohort: { path: cohort, fingerprint: 'f', cases: 2 },
      fold: {
        index: Number(/\d+$/.exec(name)?.[0] ?? 1) - 1,
        count: 2,
        train: [],
        validation: [],
        test: [...test],
      },
    });
    await writeRun(path, ended ? [started, { type: 'finished', epochs: 3, seconds: 1 }] : [started], record);
    const rows = ['sub-1', 'sub-2'].map((id) => prediction(id, id === test[0] ? 0.9 : 0.1));
    await writeFile(join(path, 'predictions.csv'), predictionsCsv(rows));
    await writeFile(
      join(path, 'heatscores.csv'),
      heatScoresCsv([heat('sub-1', 2.5), heat('sub-1', 9, { variant: 'z' })]),
    );
    const snapshot = await new FollowedRun(path, observerOn('here')).look();
    if (!snapshot) throw new Error(`${name} is not there.`);
    return snapshot;
  }

  it('is about held-out cases only, each by the fold that held it out', async () => {
    const folds = [await run('x/runs/fold-1', true, ['sub-1']), await run('x/runs/fold-2', true, ['sub-2'])];
    const results = await readResults(newestFinished(folds, isHeads));
    expect(results).toMatchObject({ from: join(folder, 'x'), finished: 2, folds: 2 });
    expect(results?.byParticipant.get('sub-1')).toMatchObject({
      pFcd: 0.9,
      fold: 0,
      heatScore: 2.5,
      predicted: 'fcd',
    });
    expect(results?.byParticipant.get('sub-2')).toMatchObject({ pFcd: 0.9, run: folds[1].path });
  });

  it('leaves out runs that are not finished, and runs on other cohorts', async () => {
    const runs = [await run('a', false, ['sub-1']), await run('b', true, ['sub-1'], '/data/others')];
    expect(newestFinished(runs, isHeads)).toEqual([]);
    expect(await readResults([])).toBeUndefined();
  });

  it('is shown behind the subject, right or wrong', async () => {
    const results = await readResults([await run('a', true, ['sub-1'])]);
    const result = results?.byParticipant.get('sub-1');
    expect(subjectDescription(subject, result)).toBe('fcd · p(fcd) 0.90 ✓ · Heat-Score 2.50');
    expect(subjectDescription({ ...subject, group: 'control' }, result)).toContain('p(fcd) 0.90 ✗');
    expect(subjectDescription(subject, undefined)).toBe('fcd');
    const facts = new Map(subjectFacts(subject, result, results, (path) => path.replace('/h/', '')));
    expect(facts.get('FLAIR')).toBe('flair.nii.gz');
    expect(facts.get('Heat-Score (roi/brain, chance 1)')).toBe('2.500 (Grad-CAM at layer4)');
    expect(facts.get('Prediction')).toBe('fcd, probability of fcd 0.9000');
  });
});

describe('the counts of a cohort', () => {
  it('are of patients and controls', () => {
    expect(
      countsOf({ subjects: [subject, { ...subject, group: 'control' }, { ...subject, group: 'control' }] }),
    ).toBe('1 patient, 2 controls');
  });
});

describe('the status bar', () => {
  const quiet: Doing = { engine: undefined, busy: undefined, crashed: undefined, tasks: 0, run: undefined };
  const engine = { engine: 'wasm', module: 'simd256', threads: 2, precision: 'f32' } as const;

  it.each<[Doing, string]>([
    [quiet, '$(beaker) FCD idle'],
    [{ ...quiet, engine }, '$(beaker) FCD simd256 · 2 threads · idle'],
    [
      { ...quiet, engine: { engine: 'webgpu', module: null, threads: 1, precision: 'f16' } },
      '$(beaker) FCD webgpu f16 · idle',
    ],
    [
      { ...quiet, engine, busy: { what: 'explaining sub-1', fraction: 0.5 } },
      '$(loading~spin) FCD simd256 · 2 threads · explaining sub-1 50 %',
    ],
    [
      { ...quiet, engine, tasks: 1, run: 'epoch 3/6, 8 s left' },
      '$(loading~spin) FCD simd256 · 2 threads · epoch 3/6, 8 s left',
    ],
    [{ ...quiet, tasks: 2 }, '$(loading~spin) FCD 2 tasks running'],
    [{ ...quiet, crashed: 'It ended.' }, '$(warning) FCD compute process ended'],
  ])('%#: tells engine and activity', (doing, text) => expect(statusText(doing)).toBe(text));

  const report: EngineReportMessage = {
    ...engine,
    ...{ node: 'v24.21.0', reason: 'the fastest', gpu: null, background: true, selfTest: [] },
  };

  it('tells in its tooltip what a task computes with, although the editor itself computes nothing', () => {
    const run = { progress: 'epoch 3/6, 8 s left', engine };
    expect(statusFacts({ tasks: ['long'], run, state: 'not running', engine: undefined })).toEqual([
      ['Task', 'long: epoch 3/6, 8 s left'],
      ['Task computes with', 'wasm simd256, 2 threads'],
      ['Compute process', 'not running'],
      ['Engine', 'chosen when the editor first computes'],
    ]);
  });

  it('tells the threads of a processor and the precision of a GPU', () => {
    const facts = (of: EngineReportMessage) =>
      new Map(statusFacts({ tasks: [], run: undefined, state: 'idle', engine: of }));
    expect(facts(report).get('Threads')).toBe('2, at low priority: a task has the machine');
    expect(facts(report).get('Precision')).toBe('f32: single precision');
    const gpu = facts({ ...report, engine: 'webgpu', module: null, precision: 'f16' });
    expect(gpu.has('Threads')).toBe(false);
    expect(gpu.get('Engine')).toBe('webgpu');
    expect(gpu.get('Precision')).toBe('f16: convolutions multiply in half precision');
  });
});
