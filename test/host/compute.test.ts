import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { readNifti } from '../vscode/nifti-file';
import { compute, extension } from './support/extension';
import { caseOf, firstMap } from './support/run-files';
import { workspace } from './support/workspace';

describe('the compute process', () => {
  it('predicts what the command line predicts', async () => {
    const { run, cohort } = workspace();
    const { image } = caseOf(cohort, firstMap(run));
    const answer = await (await compute()).request('predict', { model: run, images: [image] });
    const cli = join((await extension()).extensionPath, 'dist', 'cli', 'main.js');
    const said = spawnSync(process.execPath, [cli, 'predict', '--model', run, '--input', image, '--json'], {
      encoding: 'utf8',
    });
    equal(said.status, 0, said.stderr);
    const [expected] = JSON.parse(said.stdout) as {
      logits: number[];
      probability: number;
      predicted: string;
    }[];
    answer.logits.forEach((logit, i) => ok(Math.abs(logit - expected.logits[i]) < 1e-5, `${logit}`));
    equal(answer.predicted, expected.predicted);
  });

  it('explains a case as a map on the grid of the scan', async () => {
    const { run, cohort, folder } = workspace();
    const { image, roi } = caseOf(cohort, firstMap(run));
    const out = join(folder, 'map.nii.gz');
    const answer = await (
      await compute()
    ).request('explain', {
      model: run,
      images: [image],
      roi,
      layer: 'layer4',
      method: 'gradcam',
      align: 'half-pixel',
      out,
    });
    equal(answer.layer, 'layer4');
    ok(existsSync(out));
    const [scan, map] = [image, out].map((path) => readNifti(readFileSync(path)));
    deepEqual(map.shape, scan.shape);
    map.affine.forEach((one, i) => ok(Math.abs(one - scan.affine[i]) < 1e-3));
    ok(map.values.every((value) => value >= 0));
  });

  it('stops when it is told to', async () => {
    const { run, cohort } = workspace();
    const { image } = caseOf(cohort, firstMap(run));
    const stop = new vscode.CancellationTokenSource();
    const asked = (await compute()).request(
      'predict',
      { model: run, images: [image] },
      { token: stop.token },
    );
    stop.cancel();
    await rejects(asked, (error) => error instanceof vscode.CancellationError);
  });

  // It is held still by SIGSTOP, so that it is certain to be at work when it is killed.
  const lacking = process.platform === 'win32' ? ' (skipped: Windows has no SIGSTOP)' : '';
  const unlessWindows = lacking ? it.skip : it;
  unlessWindows(
    `may be killed while it works: the caller gets a sentence, and the next request is answered${lacking}`,
    async () => {
      const { run, cohort } = workspace();
      const { image } = caseOf(cohort, firstMap(run));
      const client = await compute();
      const before = await client.request('predict', { model: run, images: [image] });
      const { pid } = client;
      ok(pid);
      process.kill(pid, 'SIGSTOP'); // from here on it works and never gets done
      const asked = client.request('predict', { model: run, images: [image] });
      const sentence = rejects(asked, (error: Error) => {
        match(error.message, /^The compute process ended \(.*SIGKILL.*\).*try once more\.$/s);
        return true;
      });
      process.kill(pid, 'SIGKILL');
      await sentence;
      const after = await client.request('predict', { model: run, images: [image] });
      deepEqual(after.logits, before.logits);
      ok(client.pid !== pid, 'it is another process');
    },
  );

  it('says what is wrong with a file', async () => {
    await rejects((await compute()).request('header', { path: workspace().cutOff + '.nothing' }), /nothing/);
    await rejects((await compute()).request('statistics', { path: workspace().cutOff }), /cut-off\.nii\.gz/);
  });
});
