import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { readNifti, valueAt } from '../../vscode/nifti-file';
import { openCheckpoint, untilShown } from '../support/checkpoint';
import { compute, extension, lens } from '../support/extension';
import { warningsOf } from '../support/notices';
import { readTensors } from '../support/safetensors';
import { rowsOfRuns } from '../support/views';
import { openVolume } from '../support/volume';
import { screenshot } from '../support/screenshot';
import { closeAll, workspace } from '../support/workspace';

afterEach(closeAll);

describe('in a folder that is not trusted', () => {
  it('the extension is there all the same', async () => {
    equal(vscode.workspace.isTrusted, false);
    equal((await extension()).isActive, true);
  });

  it('scans can be looked at, with their lesion mask', async () => {
    const { flair, mask } = workspace().scan;
    const file = readNifti(readFileSync(flair));
    const panel = await openVolume(flair);
    equal(panel.shown.roi, mask);
    const voxel = file.shape.map((length) => length >> 1);
    await panel.view({ voxel });
    const { values } = await panel.snapshot();
    ok(Math.abs(Number(values.image) - valueAt(file, voxel)) < 1e-3);
    await screenshot('untrusted-scan');
  });

  it('runs can be looked at', async () => {
    const { run } = workspace();
    deepEqual(
      (await rowsOfRuns()).map(({ path }) => path),
      [run],
    );
  });

  it('of a checkpoint the header is shown, and why not more; no process is there', async () => {
    const path = join(workspace().run, 'checkpoints', 'best', 'model.safetensors');
    const panel = await openCheckpoint(path);
    const { text, rows } = await untilShown(panel, 'the tree', ({ rowCount }) => rowCount > 3);
    match(text, /This workspace is not trusted, so no process reads the values/);
    ok(text.includes(`${readTensors(path).length} tensors`));
    ok(
      rows.some((row) => row.startsWith('conv1.weight')),
      rows.join('\n'),
    );
    await screenshot('untrusted-checkpoint');
    const pth = join(workspace().folder, 'weights.pth');
    writeFileSync(pth, 'Nobody reads this.');
    const refused = await openCheckpoint(pth);
    await untilShown(refused, 'the sentence', (one) =>
      /an untrusted workspace may not start one[\s\S]*Manage Workspace Trust/.test(one.text),
    );
    equal((await compute()).pid, undefined);
  });

  it('nothing is computed: the caller gets a sentence, and no process is there', async () => {
    const { run, scan } = workspace();
    const client = await compute();
    await rejects(
      client.request('predict', { model: run, images: [scan.flair] }),
      /not trusted.*Trust it first/,
    );
    equal(client.pid, undefined);
  });

  it('nothing is trained: a sentence asks for trust, and no run begins', async () => {
    const { cohort, folder } = workspace();
    const before = readdirSync(join(folder, 'runs'));
    const [sentence] = await warningsOf(() =>
      vscode.commands.executeCommand('fcd.trainModel', {
        cohort,
        modality: 'FLAIR',
        arch: 'resnet10',
        strategy: 'none',
        fold: 1,
        folds: 4,
        grid: 'small',
        epochs: 1,
        out: join(folder, 'runs', 'forbidden'),
      }),
    );
    match(sentence, /^Train FCD Model .*untrusted workspace may not/);
    equal((await lens()).tasks.running.length, 0);
    ok(!existsSync(join(folder, 'runs', 'forbidden')));
    deepEqual(readdirSync(join(folder, 'runs')), before);
  });

  it('nothing is installed: a sentence asks for trust', async () => {
    const [sentence] = await warningsOf(() => vscode.commands.executeCommand('fcd.installCudaBackend'));
    match(sentence, /^Install CUDA Backend .*untrusted workspace may not/);
  });

  it('a setting of the folder cannot name a program', async () => {
    for (const name of ['node.path', 'tensorflow.path']) {
      const configuration = vscode.workspace.getConfiguration('fcd');
      const before = configuration.get(name);
      await rejects(async () => configuration.update(name, '/bin/sh', vscode.ConfigurationTarget.Workspace));
      equal(vscode.workspace.getConfiguration('fcd').get(name), before);
    }
  });
});
