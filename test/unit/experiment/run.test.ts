import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventSchema } from '../../../src/protocol/run';
import type { Case, Cohort } from '../../../src/core/cohort/cohort';
import { stratifiedFolds } from '../../../src/core/cohort/folds';
import { casesWith } from '../../../src/core/cohort/usable-cases';
import { closeEngine, currentEngine, openEngine } from '../../../src/core/engine/choose';
import { InputError } from '../../../src/core/errors';
import { runRecord } from '../../../src/core/experiment/begin-run';
import { CaseStore } from '../../../src/core/experiment/case-store';
import { examineInit } from '../../../src/core/experiment/init-weights';
import { executeRun } from '../../../src/core/experiment/run';
import { RunDirectory } from '../../../src/core/experiment/run-directory';
import { summarise } from '../../../src/core/experiment/summarise';
import { readCam } from '../../../src/core/explain/cam-file';
import { loadNetwork, readCheckpoint, saveNetwork } from '../../../src/core/model/checkpoint';
import { sameGrid } from '../../../src/core/volume/affine';
import { readNifti } from '../../../src/core/volume/nifti-read';
import { writeNifti } from '../../../src/core/volume/nifti-write';
import { readWeights } from '../../../src/core/weights/read-weights';
import { OPTIONS, RECIPE, SPEC, TRAINING, asked, begun, execute, scratchFolder, tinyCohort } from './tiny';

const folder = scratchFolder();
let cohort: Cohort;
let directory: RunDirectory;
let store: CaseStore;
let patient: Case;

beforeAll(async () => {
  await openEngine({ threads: 1 });
  cohort = await tinyCohort(folder);
  ({ directory, store } = await begun(join(folder, 'run'), { cohort }));
  await execute(directory, store);
  const { fold } = await directory.record();
  patient = cohort.cases.find((one) => one.group === 'fcd' && fold.test.includes(one.participantId)) as Case;
});
afterAll(closeEngine);

/** The heads that cases stem from, as weights remember whom they have seen. */
const sourcesOf = (ids: readonly string[]): string[] =>
  [
    ...new Set(
      cohort.cases.filter(({ participantId }) => ids.includes(participantId)).map(({ source }) => source),
    ),
  ].sort();
const inRun = (...names: string[]): string => join(directory.path, ...names);
const table = (name: string): Record<string, string>[] => {
  const [header, ...lines] = readFileSync(inRun(name), 'utf8').trimEnd().split('\n');
  const names = header.split(',');
  return lines.map((line) => Object.fromEntries(line.split(',').map((cell, at) => [names[at], cell])));
};

describe("a run's directory", () => {
  it('says in run.json what was asked, on what, by what', async () => {
    const record = await directory.record();
    const engine = currentEngine();
    expect(record).toMatchObject({
      schema: 1,
      cohort: { path: cohort.root, fingerprint: cohort.fingerprint, cases: 10 },
      modality: 'FLAIR',
      seed: 42,
      network: SPEC,
      recipe: RECIPE,
      training: TRAINING,
      init: { kind: 'none' },
      engine: { name: 'wasm', module: engine?.module, threads: 1, node: process.version },
      command: ['test'],
    });
    expect(record.commit ?? '0'.repeat(40)).toMatch(/^[0-9a-f]{40}$/);
    const { train, validation, test } = record.fold;
    expect([...train, ...validation, ...test].sort()).toEqual(
      cohort.cases.map(({ participantId }) => participantId).sort(),
    );
  });

  it('says in events.jsonl what happened, a line each', () => {
    const lines = readFileSync(inRun('events.jsonl'), 'utf8').trimEnd().split('\n');
    const events = lines.map((line) => v.parse(eventSchema, JSON.parse(line)));
    const [first] = events.filter(({ type }) => type !== 'phase');
    expect(first).toMatchObject({ type: 'started', epochs: 3, stepsPerEpoch: 3 });
    const phases = new Set(events.flatMap((event) => (event.type === 'phase' ? [event.phase] : [])));
    expect([...phases]).toEqual(['reading', 'predicting', 'explaining']);
    expect(events.filter(({ type }) => type === 'step')).toHaveLength(9);
    expect(events.filter(({ type }) => type === 'epoch')).toHaveLength(3);
    expect(events.at(-1)).toMatchObject({ type: 'finished', epochs: 3 });
    const times = events.map(({ time }) => Date.parse(time));
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });

  it('holds checkpoints with PyTorch names; the last one also the moments and where training stood', async () => {
    const best = await readWeights(directory.checkpoint('best'));
    const last = await readWeights(directory.checkpoint('last'));
    for (const name of [
      'conv1.weight',
      'bn1.running_mean',
      'layer1.0.conv1.weight',
      'layer2.0.downsample.0.weight',
      'fc.weight',
    ])
      expect(best.tensors.get(name), name).toEqual(last.tensors.get(name));
    expect([...best.tensors.keys()].filter((name) => name.startsWith('optimizer.'))).toEqual([]);
    expect(last.tensors.has('optimizer.m.conv1.weight') && last.tensors.has('optimizer.v.conv1.weight')).toBe(
      true,
    );
    expect(JSON.parse(last.metadata.state)).toMatchObject({ epoch: 3, step: 0, optimiserSteps: 9 });
    const { meta, network } = await loadNetwork(directory.path, {});
    network.dispose();
    const { fold } = await directory.record();
    expect(meta).toMatchObject({ spec: SPEC, recipe: RECIPE, modality: 'FLAIR', brainMasks: ['given'] });
    expect(meta.seen).toEqual(sourcesOf(fold.train));
  });

  it('holds a prediction of every test case', async () => {
    const { fold } = await directory.record();
    const rows = table('predictions.csv');
    expect(rows.map((row) => row.participant_id)).toEqual(fold.test);
    for (const row of rows) {
      const [control, fcd] = [Number(row.logit_control), Number(row.logit_fcd)];
      expect(Number(row.p_fcd)).toBeCloseTo(1 / (1 + Math.exp(control - fcd)), 12);
      expect(row.y_pred).toBe(fcd > control ? '1' : '0');
      const { group, source } = store.case(row.participant_id);
      expect(row).toMatchObject({ y_true: group === 'fcd' ? '1' : '0', source, fold: '0', seed: '42' });
    }
  });

  it('holds a class map and Heat-Scores of every test patient, and none of a control', async () => {
    const cams = readdirSync(inRun('cams')).sort();
    const id = patient.participantId;
    expect(cams).toEqual([`${id}.json`, `${id}.nii.gz`, `${id}.safetensors`]);
    const rows = table('heatscores.csv');
    expect(rows.map(({ participant_id, variant }) => `${participant_id} ${variant}`)).toEqual(
      ['roi/brain', 'roi/outside', 'roi/grid', 'z'].map((variant) => `${id} ${variant}`),
    );
    const brain = rows[0];
    expect(Number(brain.score)).toBeCloseTo(Number(brain.in_roi_mean) / Number(brain.reference_mean), 6);
    const cam = await readCam(directory.cam(id));
    expect(cam.record).toMatchObject({
      layer: 'layer4',
      class: { index: 1, name: 'fcd' },
      method: 'gradcam',
    });
    expect(cam.record.logit).toBeCloseTo(
      Number(table('predictions.csv').find((row) => row.participant_id === id)?.logit_fcd),
      5,
    );
    const { volume: onScan } = await readNifti(directory.camNifti(id));
    const { volume: scan } = await readNifti(patient.images.FLAIR as string);
    expect(sameGrid(onScan, scan)).toBe(true);
  });

  it('is not begun over another run', async () => {
    const again = begun(directory.path, { cohort });
    await expect(again).rejects.toThrow(InputError);
    await expect(again).rejects.toThrow(`${directory.path} holds a run already`);
  });
});

describe('a map that is zero everywhere', () => {
  it('has no Heat-Score, is flagged, and counted', async () => {
    // Weights under which nothing speaks for fcd: activations are not negative, the gradients of its logit are.
    const path = join(folder, 'silent');
    const { directory: silent, store: cases } = await begun(path, { cohort });
    await executeRun(silent, cases, OPTIONS);
    const { network, meta } = await loadNetwork(path, {});
    const weights = network.weights.toBorder().get('fc.weight')!;
    const half = weights.data.length / 2;
    network.weights.setFromBorder(
      'fc.weight',
      weights.data.map((value, at) => (at < half ? value : -Math.abs(value))),
    );
    await saveNetwork(silent.checkpoint('best'), network, meta);
    network.dispose();

    const again = await executeRun(silent, cases, OPTIONS);
    expect(again.explained).toHaveLength(1);
    expect(again.heatScores.map(({ score }) => score)).toEqual([null, null, null, null]);
    const rows = readFileSync(join(path, 'heatscores.csv'), 'utf8').trimEnd().split('\n').slice(1);
    for (const row of rows) expect(row.split(',')[6], row).toBe('');
    for (const row of rows) expect(row).toMatch(/,all-zero-map/);
    expect((await readCam(silent.cam(patient.participantId))).record.flags).toContain('all-zero-map');
    const results = await summarise(
      [{ record: await silent.record(), result: again, events: silent.events() }],
      cases,
      { title: 't', command: [], version: '0', seconds: 1, cohort, notes: [] },
    );
    expect(results.maps[0]).toMatchObject({ zeroMaps: 1, heatScore: { value: null, n: 0 }, null: null });
    expect(
      results.cases.find(({ participantId }) => participantId === patient.participantId)?.maps[0],
    ).toMatchObject({
      heatScore: null,
      flags: ['all-zero-map'],
    });
  });
});

describe('a lesion mask that cannot be scored is found before training, and the file named', () => {
  /** The run with another mask for the test patient. */
  async function withRoi(
    name: string,
    change: (mask: Uint8Array, shape: readonly number[]) => void,
    shift = 0,
  ): Promise<unknown> {
    const { volume } = await readNifti(patient.roi!.path);
    const data = Uint8Array.from(volume.data);
    change(data, volume.shape);
    const affine = volume.affine.map((value, at) => (at === 3 ? value + shift : value));
    const path = join(folder, `${name}_FLAIR_roi.nii.gz`);
    await writeNifti(path, { data, shape: volume.shape, affine });
    const cases = cohort.cases.map((one) =>
      one === patient ? { ...one, roi: { path, drawnOn: 'FLAIR' as const } } : one,
    );
    const changed = { ...cohort, cases };
    const made = await begun(join(folder, name), { cohort: changed });
    const error: unknown = await execute(made.directory, made.store).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(InputError);
    expect(String(error)).toContain(path);
    expect(made.directory.events().map(({ type }) => type)).toEqual(['phase', 'failed']);
    return error;
  }

  it('an empty one', async () => {
    expect(String(await withRoi('empty', (mask) => mask.fill(0)))).toMatch(/no voxel.*empty/);
  });

  it('one off the grid', async () => {
    expect(String(await withRoi('off', () => {}, 1000))).toMatch(/no voxel.*off the grid/);
  });

  it('one outside the brain', async () => {
    const corner = (mask: Uint8Array, [ni, nj]: readonly number[]): void => {
      mask.fill(0);
      for (let k = 0; k < 3; k++)
        for (let j = 0; j < 3; j++) for (let i = 0; i < 3; i++) mask[i + ni * (j + nj * k)] = 1;
    };
    expect(String(await withRoi('outside', corner))).toMatch(/entirely outside the brain mask/);
  });
});

describe('a patient without a mask', () => {
  it('is predicted, not scored, and said', async () => {
    const cases = cohort.cases.map(({ roi, ...one }) =>
      one.participantId === patient.participantId ? one : { ...one, roi },
    );
    const made = await begun(join(folder, 'maskless'), { cohort: { ...cohort, cases } });
    const advice: string[] = [];
    const { predictions, explained } = await executeRun(made.directory, made.store, {
      ...OPTIONS,
      onAdvice: (sentence) => advice.push(sentence),
    });
    expect(predictions).toHaveLength(2);
    expect(explained).toEqual([]);
    expect(advice).toEqual([
      expect.stringMatching(/^A training step needs about .* GB, in micro-batches of 2\.$/),
      expect.stringMatching(/^Batches of 3 are computed in micro-batches of 2/),
      expect.stringContaining(patient.participantId),
    ]);
    expect(made.directory.events()).toContainEqual(
      expect.objectContaining({ type: 'warning', message: advice[2] }),
    );
  });
});

describe('weights to start from', () => {
  it('are refused where they have seen a head that is held out, and taken where a person says they are others', async () => {
    const { fold } = await directory.record();
    const init = (await examineInit(directory.path, SPEC, false)).record;
    expect(init).toMatchObject({ kind: 'file', seen: sourcesOf(fold.train), fresh: [] });
    // Fold 2 of the same split tests heads that fold 1 has trained on.
    const other = asked({ cohort, fold: 1, init });
    const [seen] = sourcesOf(other.fold.test);
    expect(() => runRecord(other)).toThrow(InputError);
    expect(() => runRecord(other)).toThrow(new RegExp(`was trained on 2 of the heads.*${seen}`));
    expect(
      runRecord({ ...other, init: { ...init, sameNamesAreOthers: true } as typeof init }).init,
    ).toMatchObject({
      sameNamesAreOthers: true,
    });
    // The same fold holds out the same heads: those weights may go on.
    expect(runRecord(asked({ cohort, fold: 0, init })).init).toEqual(init);
  });

  it('are refused for early stopping as well: a validation head counts as held out', async () => {
    const init = (await examineInit(directory.path, SPEC, false)).record;
    const training = { ...TRAINING, patience: 2, validationFraction: 0.25 };
    expect(() => runRecord(asked({ cohort, fold: 0, init, training }))).toThrow(/tested or validated on/);
  });

  it('make a difference, and what they had seen is remembered', async () => {
    const init = (await examineInit(directory.path, SPEC, true)).record;
    const made = await begun(join(folder, 'transferred'), { cohort, fold: 1, init });
    const { predictions } = await execute(made.directory, made.store);
    const fresh = await begun(join(folder, 'fresh'), { cohort, fold: 1 });
    expect(predictions).not.toEqual((await execute(fresh.directory, fresh.store)).predictions);
    const { meta, network } = await loadNetwork(made.directory.path, {});
    network.dispose();
    const both = [...(await directory.record()).fold.train, ...(await made.directory.record()).fold.train];
    expect(meta.seen).toEqual(sourcesOf(both));
  });

  it('that changed since the run began are refused', async () => {
    const copy = join(folder, 'weights.safetensors');
    const { network, meta } = await loadNetwork(directory.path, {});
    await saveNetwork(copy, network, { ...meta, seen: [] });
    const init = (await examineInit(copy, SPEC, false)).record;
    const made = await begun(join(folder, 'changed'), { cohort, init });
    network.weights.setFromBorder('fc.bias', new Float32Array([1, 2]));
    await saveNetwork(copy, network, { ...meta, seen: [] });
    network.dispose();
    await expect(execute(made.directory, made.store)).rejects.toThrow(
      `${copy} has changed since this run began`,
    );
  });
});

describe('the memory that a cohort needs', () => {
  it('is refused with a sentence where the machine does not have it, and said where it is tight', async () => {
    const needed = await store.bytesNeeded();
    // 10 cases; image in four bytes and the brain mask in one, for patients the lesion mask in another.
    const { grid } = await store.get(patient.participantId);
    const voxels = grid.shape.reduce((a, b) => a * b);
    expect(needed / (voxels * (10 * 5 + 5))).toBeGreaterThan(0.9);
    expect(needed / (voxels * (10 * 5 + 5))).toBeLessThan(1.2);

    expect(await store.memoryAdvice(needed * 2)).toBeUndefined();
    expect(await store.memoryAdvice(needed * 1.2)).toMatch(/10 cases.*about .* GB.*Should it run out/);
    await expect(store.memoryAdvice(needed * 0.9)).rejects.toThrow(InputError);
    await expect(store.memoryAdvice(needed * 0.9)).rejects.toThrow(/do not fit: choose a coarser --spacing/);
  });

  it('grows with the contrasts', async () => {
    const both = new CaseStore(cohort.cases, asked({ cohort, modality: 'T1w+FLAIR' }));
    expect((await both.bytesNeeded()) / (await store.bytesNeeded())).toBeCloseTo(
      (10 * 9 + 5) / (10 * 5 + 5),
      6,
    );
  });
});

describe('two contrasts', () => {
  it('are two channels of one network', async () => {
    const made = await begun(join(folder, 'both'), {
      cohort,
      modality: 'T1w+FLAIR',
      training: { ...TRAINING, epochs: 1 },
    });
    const { predictions, explained } = await execute(made.directory, made.store);
    expect(predictions).toHaveLength(2);
    expect(explained).toHaveLength(1);
    const { tensors } = await readWeights(made.directory.checkpoint('best'));
    expect(tensors.get('conv1.weight')?.shape.slice(0, 2)).toEqual([8, 2]);
    expect(existsSync(made.directory.camNifti(patient.participantId))).toBe(true);
  });

  it('mixed, are cases of their own through one channel, both of a head in the same fold', async () => {
    const { usable } = casesWith(cohort, 'mixed');
    expect(usable).toHaveLength(20);
    expect(new Set(usable.map(({ source }) => source)).size).toBe(10);
    const request = { ...asked({ cohort, modality: 'mixed' }), cases: usable };
    for (const fold of stratifiedFolds(usable, 5, 42)) {
      const heads = (ids: readonly string[]) => new Set(ids.map((id) => id.replace(/_(T1w|FLAIR)$/, '')));
      const [train, test] = [heads(fold.train), heads(fold.test)];
      expect([...test].filter((head) => train.has(head))).toEqual([]);
      expect(fold.test).toHaveLength(2 * test.size);
    }
    const fold = stratifiedFolds(usable, 5, 42)[0];
    const made = new RunDirectory(join(folder, 'mixed'));
    const record = runRecord({ ...request, fold, training: { ...TRAINING, epochs: 1 } });
    await made.begin(record);
    const mixed = new CaseStore(usable, request);
    const result = await execute(made, mixed);
    expect(result.predictions.map(({ participantId }) => participantId).sort()).toEqual(
      [...fold.test].sort(),
    );
    expect(result.explained).toHaveLength(2);
    const [head] = fold.test.map((id) => id.replace(/_(T1w|FLAIR)$/, ''));
    const [t1w, flair] = [await mixed.sample(`${head}_T1w`), await mixed.sample(`${head}_FLAIR`)];
    expect(t1w.shape).toEqual([...flair.shape.slice(0, 3), 1]);
    expect(t1w.data).not.toEqual(flair.data);
    const alone = new CaseStore(cohort.cases, { ...request, modality: 'FLAIR' });
    expect(flair.data).toEqual((await alone.sample(head)).data);
    expect(await mixed.bytesNeeded()).toBeGreaterThan(1.5 * (await alone.bytesNeeded()));
    const results = await summarise([{ record, result, events: made.events() }], mixed, {
      ...{ title: 'mixed', command: [], version: '0', seconds: 1, cohort, notes: [] },
    });
    expect(results.notes).toEqual([
      expect.stringMatching(/^Batches of 3 are computed in micro-batches of 2/),
      expect.stringMatching(/^Of the T1w images alone: accuracy .*n 2\.$/),
      expect.stringMatching(/^Of the FLAIR images alone: accuracy .*n 2\.$/),
    ]);
    expect((await readCheckpoint(made.path, {})).meta.modality).toBe('mixed');
  });
});
