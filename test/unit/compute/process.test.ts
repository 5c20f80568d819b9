import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CancellationTokenSource } from 'vscode-jsonrpc/node';
import { percentiles } from '../../../src/core/volume/intensity';
import { readNifti } from '../../../src/core/volume/nifti-read';
import { writeNifti } from '../../../src/core/volume/nifti-write';
import { ComputeChild } from '../../../src/extension/compute/child';
import {
  COMPUTE,
  COMPUTE_ERROR,
  USUAL_SETTINGS,
  type ComputeMethod,
  type ComputeParams,
  type ComputeResult,
  type EngineReportMessage,
  type Progress,
} from '../../../src/protocol/compute';
import { ROOT } from '../../peers';
import { COMPUTE_MAIN, flairOf, tinyStudy } from './tiny-study';

const study = tinyStudy();
const runtime = { path: process.execPath, args: [], env: {}, version: process.version, reason: 'the test' };

const engines: EngineReportMessage[] = [];
const lines: string[] = [];
let child: ComputeChild;

beforeAll(() => {
  child = new ComputeChild(
    { main: COMPUTE_MAIN, runtime, settings: USUAL_SETTINGS },
    { onEngine: (report) => engines.push(report), onLine: (line) => lines.push(line) },
  );
});
afterAll(async () => {
  child.kill();
  await child.ended;
});

/** Asks the process and holds the answer to the protocol. */
async function ask<M extends ComputeMethod>(
  method: M,
  params: ComputeParams<M>,
  onProgress: (progress: Progress) => void = () => {},
  source = new CancellationTokenSource(),
): Promise<ComputeResult<M>> {
  const raw = await child.send(method, params, source.token, onProgress);
  return v.parse(COMPUTE[method].result, raw) as ComputeResult<M>;
}

/** Two processes may choose different kernels, which round differently: float32's own error and a little. */
const TOLERANCE = 1e-5;

/** Largest difference / largest value. */
function agreement(values: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (values.length !== expected.length) return Infinity;
  let error = 0;
  let largest = 0;
  for (let at = 0; at < values.length; at++) {
    error = Math.max(error, Math.abs(values[at] - expected[at]));
    largest = Math.max(largest, Math.abs(expected[at]));
  }
  return error / largest;
}

function fcd(...args: string[]): unknown {
  const run = spawnSync(process.execPath, [join(ROOT, 'dist', 'cli', 'main.js'), ...args, '--json'], {
    encoding: 'utf8',
  });
  if (run.status !== 0) throw new Error(run.stderr);
  return JSON.parse(run.stdout);
}

describe('the compute process, asked about files', () => {
  it('tells a header without an engine', async () => {
    const [path] = flairOf(study().patient).images;
    const header = await ask('header', { path });
    const { volume, header: expected } = await readNifti(path);
    expect(header).toMatchObject({
      path,
      format: 'nifti1',
      shape: [...volume.shape],
      volumes: 1,
      affine: [...volume.affine],
      orientation: 'RAS',
      dataType: expected.dtype,
      voxels: volume.data.length,
      voxelBytes: volume.data.length * expected.bytesPerVoxel,
      fileBytes: readFileSync(path).length,
      gzip: true,
      warnings: [],
    });
    expect(engines).toEqual([]);
  });

  it('counts voxels, all of them and inside a mask', async () => {
    const { images, brain } = flairOf(study().patient);
    const { volume } = await readNifti(images[0]);
    const inside = (await readNifti(brain)).volume.data;
    const whole = await ask('statistics', { path: images[0] });
    expect(whole.voxels).toBe(volume.data.length);
    expect(whole.max).toBe(Math.max(...volume.data));
    expect(whole.percentiles).toEqual({
      ...Object.fromEntries(
        [1, 2, 25, 50, 75, 98, 99].map((p) => [String(p), percentiles(volume.data, [p])[0]]),
      ),
    });
    const masked = await ask('statistics', { path: images[0], mask: brain });
    const values = volume.data.filter((_value, at) => inside[at] !== 0);
    expect(masked.voxels).toBe(values.length);
    expect(masked.mean).toBeCloseTo(values.reduce((sum, value) => sum + value, 0) / values.length, 6);
  });

  it('tells labels from grey values', async () => {
    const { images, brain, roi } = flairOf(study().patient);
    expect((await ask('statistics', { path: images[0] })).labels).toBeNull();
    const mask = await ask('statistics', { path: brain });
    expect(mask.labels?.map(({ value }) => value)).toEqual([0, 1]);
    expect(mask.labels?.reduce((sum, { voxels }) => sum + voxels, 0)).toBe(mask.voxels);
    if (roi === undefined) throw new Error('The patient has no lesion mask.');
    expect((await ask('statistics', { path: roi })).labels).toHaveLength(2);
  });

  it('leaves out voxels that are no numbers, and says how many', async () => {
    const path = join(study().folder, 'holes.nii');
    const affine = [2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1];
    const data = Float32Array.from([1.5, NaN, 3.5, Infinity]);
    await writeNifti(path, { shape: [2, 2, 1], affine, data });
    expect(await ask('statistics', { path })).toMatchObject({
      voxels: 4,
      notFinite: 2,
      ml: 0.032,
      min: 1.5,
      max: 3.5,
      mean: 2.5,
      sd: 1,
      labels: null,
    });
  });

  it('lists a cohort with its findings', async () => {
    const { cohort, patient } = study();
    const listing = await ask('cohort', { path: cohort });
    expect(listing).toMatchObject({ path: cohort, root: cohort, kind: 'bids' });
    expect(listing.subjects.map(({ group }) => group).sort()).toEqual(['control', 'control', 'fcd', 'fcd']);
    expect(listing.subjects.find((one) => one.participantId === patient.participantId)).toMatchObject({
      images: patient.images,
      roi: patient.roi?.path,
      roiDrawnOn: 'FLAIR',
      brain: patient.brain,
    });
    const broken = join(study().folder, 'broken.csv');
    writeFileSync(broken, 'participant_id,group,flair\nsub-1,fcd,nowhere.nii.gz\n');
    const { findings } = await ask('cohort', { path: broken });
    expect(findings[0]).toMatchObject({ severity: 'error', file: broken, line: 2 });
  });

  it('tells what a checkpoint is without an engine', async () => {
    const { model } = study();
    const listing = await ask('model', { model });
    expect(listing).toMatchObject({
      file: model,
      arch: 'resnet10',
      width: 0.125,
      classes: ['control', 'fcd'],
      modality: 'FLAIR',
      recipe: true,
      seen: ['head-a'],
      stages: ['layer1', 'layer2', 'layer3', 'layer4'],
      remarks: [],
    });
    expect(listing.layers).toContain('layer2.0.conv1');
    expect(engines).toEqual([]);
  });
});

describe('the compute process, asked to compute', () => {
  it('predicts what fcd predict predicts, and tells of the engine once', async () => {
    const { model, patient } = study();
    const { images, brain } = flairOf(patient);
    const prediction = await ask('predict', { model, images, brain });
    const [row] = fcd('predict', '--model', model, '--input', images[0], '--brain', brain) as {
      logits: number[];
      probability: number;
      predicted: string;
    }[];
    expect(agreement(prediction.logits, row.logits)).toBeLessThan(TOLERANCE);
    expect(prediction.probability).toBeCloseTo(row.probability, 5);
    expect(prediction).toMatchObject({ predicted: row.predicted, brainSource: 'given', remarks: [] });
    await ask('engine', {});
    expect(engines).toHaveLength(1);
    expect(engines[0]).toMatchObject({ engine: 'wasm', background: false, node: process.version });
  });

  it('says that another kind of brain mask was used in training', async () => {
    const { model, patient } = study();
    const { brainSource, remarks } = await ask('predict', { model, images: flairOf(patient).images });
    expect(brainSource).toBe('intracranial');
    expect(remarks).toEqual([
      'Brain mask intracranial; in training it was given, so the image is normalised differently here.',
    ]);
  });

  it.each(['gradcam', 'hirescam'] as const)(
    'explains as fcd explain and fcd heatscore do (%s)',
    async (method) => {
      const { folder, model, patient } = study();
      const { images, brain, roi } = flairOf(patient);
      const out = join(folder, `${method}.nii.gz`);
      const layer = 'layer2';
      const params = {
        model,
        images,
        brain,
        roi,
        layer,
        method,
        align: 'half-pixel',
        class: 'fcd',
        out,
      } as const;
      const explanation = await ask('explain', params);

      const byCli = join(folder, `${method}-cli.nii.gz`);
      const asked = ['--model', model, '--input', images[0], '--brain', brain, '--layer', layer];
      const cli = fcd('explain', ...asked, '--method', method, '--class', 'fcd', '--out', byCli) as {
        logit: number;
        raw: { shape: number[]; min: number; max: number };
        flags: string[];
      };
      expect(cli.raw.max).toBeGreaterThan(0);
      expect(explanation).toMatchObject({ out, layer, method, class: 'fcd', align: 'half-pixel' });
      expect(explanation.flags).toEqual(cli.flags);
      expect(explanation.raw.shape).toEqual(cli.raw.shape);
      expect(agreement([explanation.logit], [cli.logit])).toBeLessThan(TOLERANCE);
      expect(agreement([explanation.raw.max], [cli.raw.max])).toBeLessThan(TOLERANCE);
      const written = (await readNifti(out)).volume;
      expect(agreement(written.data, (await readNifti(byCli)).volume.data)).toBeLessThan(TOLERANCE);
      expect(written.shape).toEqual((await readNifti(images[0])).volume.shape);
      expect(explanation.written.max).toBe(Math.max(...written.data));
      expect(JSON.parse(readFileSync(explanation.provenance, 'utf8'))).toMatchObject({ layer, method });

      const score = fcd('heatscore', '--cam', out, '--roi', String(roi), '--brain', brain) as {
        scores: { variant: string; score: number }[];
        companions: { massFraction: number; auroc: number };
      };
      const { heatScore } = explanation;
      expect(heatScore?.variant).toBe('roi/brain');
      expect(heatScore?.score).toBeCloseTo(score.scores[0].score, 5);
      expect(heatScore?.companions.massFraction).toBeCloseTo(score.companions.massFraction, 6);
      expect(heatScore?.companions.auroc).toBeCloseTo(score.companions.auroc, 4);
    },
  );

  it('explains the predicted class by default, and scores fcd whatever was explained', async () => {
    const { folder, model, patient } = study();
    const { images, brain, roi } = flairOf(patient);
    const at = {
      model,
      images,
      brain,
      roi,
      layer: 'layer2',
      method: 'gradcam',
      align: 'half-pixel',
    } as const;
    const byDefault = await ask('explain', { ...at, out: join(folder, 'default.nii') });
    expect(byDefault.class).toBe(byDefault.prediction.predicted);
    const control = await ask('explain', { ...at, class: 'control', out: join(folder, 'control.nii') });
    const fcdMap = await ask('explain', { ...at, class: 'fcd', out: join(folder, 'fcd.nii') });
    expect(control.logit).toBe(control.prediction.logits[0]);
    expect(fcdMap.logit).toBe(fcdMap.prediction.logits[1]);
    expect(control.raw).not.toEqual(fcdMap.raw);
    expect(control.heatScore).toEqual(fcdMap.heatScore);
  });

  it('reads neither network nor scan again for the next layer, and both when they have changed', async () => {
    const { folder, model, patient } = study();
    const copied = join(folder, 'copied.nii.gz');
    copyFileSync(flairOf(patient).images[0], copied);
    const explained = async (layer: string): Promise<string[]> => {
      const said: string[] = [];
      const at = { layer, method: 'gradcam', align: 'receptive', out: join(folder, 'again.nii') } as const;
      await ask('explain', { model, images: [copied], ...at }, ({ detail }) => said.push(detail));
      return said;
    };
    expect(await explained('layer3')).toContain('Reading the scan');
    const next = await explained('layer4');
    expect(next.filter((detail) => detail.startsWith('Reading'))).toEqual([]);
    expect(next).toContain('Running layer1');
    utimesSync(copied, 1, 1);
    expect(await explained('layer4')).toContain('Reading the scan');
  });

  it('tells how far it is, from start to end', async () => {
    const { folder, model, control } = study();
    const { images, brain } = flairOf(control);
    const fractions: number[] = [];
    const details = new Set<string>();
    await ask(
      'explain',
      {
        ...{ model, images, brain, layer: 'layer4', method: 'gradcam', align: 'half-pixel' },
        out: join(folder, 'progress.nii'),
      },
      ({ detail, fraction }) => {
        details.add(detail);
        if (fraction !== null) fractions.push(fraction);
      },
    );
    expect([...details]).toEqual(
      expect.arrayContaining(['Reading the scan', 'Running conv1', 'Running layer4', 'Writing the map']),
    );
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
    expect(Math.min(...fractions)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...fractions)).toBeLessThanOrEqual(1);
  });

  it('writes a map without a score where the mask is no lesion of this scan, and says why', async () => {
    const { folder, model, patient } = study();
    const { images, brain } = flairOf(patient);
    const out = join(folder, 'unscored.nii');
    const at = {
      model,
      images,
      brain,
      layer: 'layer4',
      method: 'gradcam',
      align: 'half-pixel',
      out,
    } as const;
    const missing = join(folder, 'no-roi.nii.gz');
    const { heatScore, remarks } = await ask('explain', { ...at, roi: missing });
    expect(heatScore).toBeNull();
    expect(remarks).toEqual([`No Heat-Score: There is no file ${missing}. Check the path.`]);
    const empty = join(folder, 'empty.nii');
    const { shape, affine, data } = (await readNifti(brain)).volume;
    await writeNifti(empty, { shape, affine, data: new Uint8Array(data.length) });
    expect((await ask('explain', { ...at, roi: empty })).remarks[0]).toMatch(
      /^No Heat-Score: .*empty\.nii: the lesion mask has no voxel on the prepared grid/,
    );
  });

  it('stops between two layers when a request is cancelled, writes nothing, and goes on with the next', async () => {
    const { folder, slowModel, model, patient } = study();
    const { images, brain } = flairOf(patient);
    const out = join(folder, 'cancelled.nii');
    const source = new CancellationTokenSource();
    const after: string[] = [];
    const cancelled = ask(
      'explain',
      { model: slowModel, images, brain, layer: 'layer1', method: 'gradcam', align: 'half-pixel', out },
      ({ detail }) => {
        if (source.token.isCancellationRequested) after.push(detail);
        else if (detail === 'Running layer1') source.cancel();
      },
      source,
    );
    const behind = ask('predict', { model, images, brain });
    await expect(cancelled).rejects.toMatchObject({ code: COMPUTE_ERROR.cancelled });
    expect(existsSync(out)).toBe(false);
    expect(after).not.toContain('Running layer4');
    expect((await behind).logits).toHaveLength(2);
  });

  it('answers small questions while it computes', async () => {
    const { folder, slowModel, patient } = study();
    const { images, brain } = flairOf(patient);
    const out = join(folder, 'busy.nii');
    let detail = '';
    let header: Promise<string> | undefined;
    await ask(
      'explain',
      { model: slowModel, images, brain, layer: 'layer4', method: 'gradcam', align: 'half-pixel', out },
      (progress) => {
        detail = progress.detail;
        if (detail === 'Running layer1') header ??= ask('header', { path: images[0] }).then(() => detail);
      },
    );
    expect(await header).toMatch(/^Running layer[1-4]$/);
  });
});

describe('the compute process, asked wrongly', () => {
  it('names the parameter that is wrong', async () => {
    const none = new CancellationTokenSource().token;
    await expect(child.send('header', { path: 7 }, none, () => {})).rejects.toMatchObject({
      code: COMPUTE_ERROR.params,
      message: expect.stringMatching(/^The request "header" has a wrong parameter path: .*string/),
    });
    await expect(child.send('explain', { model: 'm' }, none, () => {})).rejects.toMatchObject({
      code: COMPUTE_ERROR.params,
    });
    await expect(child.send('nonsense', {}, none, () => {})).rejects.toThrow('Unhandled method nonsense');
  });

  it.each([
    ['header', { path: '/nowhere/scan.nii.gz' }, 'There is no file /nowhere/scan.nii.gz. Check the path.'],
    ['statistics', { path: '/nowhere/scan.nii' }, 'There is no file /nowhere/scan.nii. Check the path.'],
    ['cohort', { path: '/nowhere' }, /^There is no cohort at \/nowhere: /],
    [
      'model',
      { model: '/nowhere/run' },
      'There is no model at /nowhere/run. Give a checkpoint file or a run directory.',
    ],
  ] as const)('answers %s about a missing file with a sentence', async (method, params, sentence) => {
    await expect(ask(method, params)).rejects.toMatchObject({
      code: COMPUTE_ERROR.input,
      message: typeof sentence === 'string' ? sentence : expect.stringMatching(sentence),
    });
  });

  it('says which layers there are, how many images a network takes, and how a map must be named', async () => {
    const { folder, model, patient } = study();
    const { images, brain } = flairOf(patient);
    const out = join(folder, 'wrong.nii');
    const at = {
      model,
      images,
      brain,
      layer: 'layer4',
      method: 'gradcam',
      align: 'half-pixel',
      out,
    } as const;
    const wrong = (change: object) => expect(ask('explain', { ...at, ...change })).rejects;
    await wrong({ layer: 'layer9' }).toMatchObject({
      code: COMPUTE_ERROR.input,
      message: expect.stringMatching(/^There is no layer "layer9".*layer4/),
    });
    await wrong({ images: [images[0], images[0]] }).toThrow(
      'This network takes 1 input channel, but 2 images were given.',
    );
    await wrong({ out: join(folder, 'wrong.png') }).toThrow('its name must end in .nii or .nii.gz');
    expect(existsSync(out)).toBe(false);
  });

  it('recognises the network of a file of weights that does not say which it is, unless the request says another', async () => {
    const { folder, model } = study();
    const bare = join(folder, 'bare.safetensors');
    const bytes = readFileSync(model);
    // The same tensors without our entry of the metadata: its key becomes another one of the same length.
    writeFileSync(bare, Buffer.from(bytes.toString('latin1').replace('"fcd-lens"', '"somebody"'), 'latin1'));
    const listing = await ask('model', { model: bare });
    expect(listing).toMatchObject({ arch: 'resnet10', modality: null, recipe: false, seen: null });
    const wrong = { arch: 'resnet18', geometry: 'compact', width: 0.125 } as const;
    await expect(ask('model', { model: bare, network: wrong })).rejects.toThrow(
      'is a network with arch resnet10, but arch resnet18 was asked for',
    );
  });
});

describe('the compute process itself', () => {
  it('says nothing on its standard output and error where nothing is odd', () => {
    expect(lines).toEqual([]);
  });

  it('takes one thread in the background, at low priority where the system allows it', async () => {
    const reports: EngineReportMessage[] = [];
    const quiet = new ComputeChild(
      { main: COMPUTE_MAIN, runtime, settings: { ...USUAL_SETTINGS, background: true, threads: 2 } },
      { onEngine: (report) => reports.push(report), onLine: () => {} },
    );
    await quiet.send('engine', {}, new CancellationTokenSource().token, () => {});
    expect(reports[0]).toMatchObject({ threads: 1, background: true });
    expect(getPriority(quiet.pid)).toBeGreaterThan(getPriority(child.pid));
    await quiet.send('shutdown', {}, new CancellationTokenSource().token, () => {});
    expect(await quiet.ended).toBe('exit code 0');
  });

  it('computes with the kernels and threads that it is given, and still tells how all kernels do', async () => {
    const engine = 'simd128-strict';
    const given = new ComputeChild(
      { main: COMPUTE_MAIN, runtime, settings: { ...USUAL_SETTINGS, engine, threads: 2 } },
      { onEngine: () => {}, onLine: () => {} },
    );
    const none = new CancellationTokenSource().token;
    const report = v.parse(COMPUTE.engine.result, await given.send('engine', {}, none, () => {}));
    expect(report).toMatchObject({ engine: 'wasm', module: engine, threads: 2, precision: 'f32' });
    expect(report.selfTest.map(({ module }) => module)).toEqual(
      expect.arrayContaining(['simd256', 'simd128-relaxed', 'simd128-strict']),
    );
    given.kill();
    expect(await given.ended).toBe('signal SIGKILL');
  });

  it('ends when the editor is gone', async () => {
    // An editor that starts the process and is killed before it can tidy up.
    const script = `
      const { fork } = require('node:child_process');
      const child = fork(${JSON.stringify(COMPUTE_MAIN)}, { stdio: 'ignore' });
      child.on('message', () => { console.log(child.pid); process.kill(process.pid, 'SIGKILL'); });`;
    const editor = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
    expect(editor.signal).toBe('SIGKILL');
    const pid = Number(editor.stdout);
    expect(pid).toBeGreaterThan(0);
    await expect.poll(() => isRunning(pid), { timeout: 10_000 }).toBe(false);
  });
});

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // An ended process whose new parent has not looked yet is still in the table.
  const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '';
  return !/\) Z /.test(stat);
}
