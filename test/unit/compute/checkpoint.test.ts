import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CancellationTokenSource } from 'vscode-jsonrpc/node';
import { readCheckpoint } from '../../../src/core/model/checkpoint';
import { buildProgram } from '../../../src/core/model/program';
import { networkSpec } from '../../../src/core/model/spec';
import { expectedTensors } from '../../../src/core/model/weights-of-network';
import { readWeights } from '../../../src/core/weights/read-weights';
import { writeSafetensors } from '../../../src/core/weights/safetensors';
import { statisticsOf } from '../../../src/core/weights/statistics';
import { ComputeChild } from '../../../src/extension/compute/child';
import {
  COMPUTE,
  COMPUTE_ERROR,
  USUAL_SETTINGS,
  type ComputeMethod,
  type ComputeParams,
  type ComputeResult,
  type Progress,
} from '../../../src/protocol/compute';
import { COMPUTE_MAIN } from './tiny-study';

const runtime = { path: process.execPath, args: [], env: {}, version: process.version, reason: 'the test' };
const folder = mkdtempSync(join(tmpdir(), 'fcd-checkpoint-'));
const path = join(folder, 'weights.safetensors');
const other = join(folder, 'later.safetensors');
const large = join(folder, 'large.safetensors');
const engines: unknown[] = [];
let child: ComputeChild;

const spec = networkSpec({ arch: 'resnet10', width: 0.125 });

async function write(file: string, scale: (name: string) => number): Promise<void> {
  const tensors = expectedTensors(buildProgram(spec, { fused: true }))
    .filter(({ name }) => !name.startsWith('fc.'))
    .map(({ name, shape }) => ({
      ...{ name: `module.${name}`, shape, dtype: 'F32' as const },
      data: Float32Array.from(
        { length: shape.reduce((a, b) => a * b, 1) },
        (_, i) => scale(name) * Math.cos(i),
      ),
    }));
  await writeSafetensors(file, tensors, { comment: 'made up' });
}

beforeAll(async () => {
  await write(path, () => 1);
  await write(other, (name) => (name === 'conv1.weight' ? 1.5 : 1));
  await writeSafetensors(large, [
    { name: 'w', shape: [2 ** 12, 2 ** 12], dtype: 'F32', data: new Float32Array(2 ** 24).fill(1) },
  ]);
  child = new ComputeChild(
    { main: COMPUTE_MAIN, runtime, settings: USUAL_SETTINGS },
    { onEngine: (report) => engines.push(report), onLine: () => {} },
  );
});
afterAll(async () => {
  child.kill();
  await child.ended;
  rmSync(folder, { recursive: true, force: true });
});

async function ask<M extends ComputeMethod>(
  method: M,
  params: ComputeParams<M>,
  onProgress: (progress: Progress) => void = () => {},
  source = new CancellationTokenSource(),
): Promise<ComputeResult<M>> {
  const raw = await child.send(method, params, source.token, onProgress);
  return v.parse(COMPUTE[method].result, raw) as ComputeResult<M>;
}

describe('the compute process, asked about a checkpoint', () => {
  it('tells from the header alone what is in it and which network it is', async () => {
    const listing = await ask('checkpoint', { path });
    expect(listing).toMatchObject({
      ...{ path, format: 'safetensors', fileBytes: readFileSync(path).length, reason: null, warnings: [] },
      facts: [{ name: 'comment', value: 'made up' }],
      network: {
        ...{ depth: 'ResNet-10', shortcut: 'B', width: 0.125, geometry: 'paper', geometryFrom: 'assumed' },
        ...{ geometries: ['paper', 'medicalnet', 'monai'], classes: null, inChannels: 1 },
      },
    });
    const conv = listing.tensors.find(({ name }) => name === 'module.conv1.weight');
    expect(conv).toEqual({
      name: 'module.conv1.weight',
      dtype: 'F32',
      shape: [8, 1, 7, 7, 7],
      bytes: 4 * 8 * 343,
    });
  });

  it('gives the statistics of the tensors that are asked for', async () => {
    const file = await readWeights(path);
    const names = ['module.conv1.weight', 'module.bn1.weight'];
    const { statistics } = await ask('tensors', { path, names });
    expect(statistics.map(({ name }) => name).sort()).toEqual([...names].sort());
    for (const { name, min, mean, sd, max, histogram } of statistics) {
      const tensor = file.tensors.get(name);
      if (!tensor) throw new Error(name);
      const expected = statisticsOf(tensor);
      expect({ min, mean, sd, max, histogram }).toEqual({
        ...{ min: expected.min, mean: expected.mean, sd: expected.sd, max: expected.max },
        histogram: expected.histogram,
      });
    }
  });

  it('tells what moved between two files', async () => {
    const { pairs, missing, unexpected } = await ask('match', { path, other });
    expect([missing, unexpected]).toEqual([[], []]);
    const { changes } = await ask('changes', {
      path,
      other,
      pairs: pairs.map(({ name, other: o }) => ({ name, other: o })),
    });
    expect(changes.length).toBe(pairs.length);
    const [moved, ...more] = changes.filter(({ changed }) => changed > 0);
    expect(more).toEqual([]);
    expect(moved.name).toBe('module.conv1.weight');
    expect(moved.relative).toBeCloseTo(0.5, 6);
    expect(moved.cosine).toBeCloseTo(1, 6);
  });

  it('gives the filters of some channels', async () => {
    const at = { outputs: { from: 2, count: 1 }, inputs: { from: 0, count: 1 } };
    const block = await ask('filters', { path, name: 'module.conv1.weight', ...at });
    expect(block.kernel).toEqual([7, 7, 7]);
    expect(block.values).toEqual(Array.from({ length: 343 }, (_, i) => Math.fround(Math.cos(2 * 343 + i))));
  });

  it('lists layers on a grid, in the geometry asked for', async () => {
    const { title, layers } = await ask('layers', { path, grid: '64', geometry: 'medicalnet' });
    expect(title).toBe('ResNet-10 (medicalnet, shortcut B, width 1/8, axes kji) without a classifier');
    expect(layers.find(({ name }) => name === 'layer4.0.conv1')?.grid).toEqual([8, 8, 8]);
    await expect(ask('layers', { path, grid: 'large' })).rejects.toThrow(/"large" is no grid/);
  });

  it('says by all bytes whose file it is', async () => {
    const { sha256, match, sentence } = await ask('identify', { path });
    expect(sha256).toBe(createHash('sha256').update(readFileSync(path)).digest('hex'));
    expect([match, sentence]).toEqual([null, 'Not among the files that the registry knows by their bytes.']);
  });

  it('plans an import, then does what was planned', async () => {
    const plan = await ask('planImport', { path });
    expect(plan).toMatchObject({
      trainedBy: 'nobody',
      geometry: 'paper',
      missing: ['fc.weight', 'fc.bias'],
      prefixes: ['module.'],
    });
    expect(plan.warnings.join()).toMatch(/Nobody says how these weights were trained/);
    const out = join(folder, 'imported.safetensors');
    expect(existsSync(out)).toBe(false);
    const said: string[] = [];
    const done = await ask(
      'importWeights',
      { path, out, geometry: 'medicalnet', axes: 'kji' },
      ({ detail }) => said.push(detail),
    );
    // The plan has hashed the file.
    expect(said.join()).not.toContain('Hashing');
    expect(done).toMatchObject({ trainedBy: 'flags', geometry: 'medicalnet', warnings: [] });
    const { meta } = await readCheckpoint(out, {});
    expect(meta.imported).toMatchObject({ file: 'weights.safetensors', loaded: plan.loaded.length });
    const { facts } = await ask('checkpoint', { path: out });
    expect(facts[0]).toEqual({
      name: 'Imported from',
      value:
        'weights.safetensors; trained with geometry medicalnet, axes kji (as was said at import); 2 tensors not in it: fc.bias, fc.weight',
    });
  });

  it('stops in the middle of a tensor, and answers small questions there', async () => {
    const source = new CancellationTokenSource();
    const fractions: number[] = [];
    let between: Promise<unknown> | undefined;
    const reading = ask(
      'tensors',
      { path: large, names: ['w'] },
      ({ fraction }) => {
        fractions.push(fraction ?? 0);
        between ??= ask('checkpoint', { path }).then(() => source.cancel());
      },
      source,
    );
    await expect(reading).rejects.toMatchObject({ code: COMPUTE_ERROR.cancelled });
    await between;
    expect(Math.max(...fractions)).toBeLessThan(1);
  });

  it('answers with a sentence where a file is none, and opens no engine for any of it', async () => {
    const text = join(folder, 'notes.pth');
    writeFileSync(text, 'These are notes.');
    await expect(ask('checkpoint', { path: text })).rejects.toMatchObject({
      code: COMPUTE_ERROR.input,
      message: expect.stringMatching(/notes\.pth is neither a file written by torch\.save/),
    });
    await expect(ask('checkpoint', { path: '/nowhere/a.pth' })).rejects.toThrow(/cannot be opened/);
    await expect(
      ask('filters', { path, name: 'none', outputs: { from: 0, count: 1 }, inputs: { from: 0, count: 1 } }),
    ).rejects.toThrow(/has no tensor none/);
    expect(engines).toEqual([]);
  });
});
