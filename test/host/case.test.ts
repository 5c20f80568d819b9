import { deepEqual, equal, ok } from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import * as vscode from 'vscode';
import type { Explanation, Prediction } from '../../src/protocol/compute';
import { readNifti, valueAt } from '../vscode/nifti-file';
import { eventually } from './support/eventually';
import { lens } from './support/extension';
import { caseOf, firstMap } from './support/run-files';
import { openVolume } from './support/volume';
import { screenshot } from './support/screenshot';
import { closeAll, workspace } from './support/workspace';

afterEach(closeAll);

describe('a case through a network', () => {
  it('FCD: Predict Case says it over the scan', async () => {
    const { run, cohort } = workspace();
    const { image } = caseOf(cohort, firstMap(run));
    const prediction = await vscode.commands.executeCommand<Prediction>('fcd.predictCase', {
      image,
      model: run,
    });
    ok(prediction.probability > 0 && prediction.probability < 1);
    const panel = await openVolume(image);
    const { text } = await panel.snapshot();
    ok(text.includes(prediction.predicted), text);
    ok(text.toLowerCase().includes('probability'), text);
  });

  it('FCD: Show Grad-CAM lays the map over the scan, beside the code', async () => {
    const { run, cohort, folder } = workspace();
    const { image, roi } = caseOf(cohort, firstMap(run));
    const code = await vscode.workspace.openTextDocument(
      vscode.Uri.joinPath(vscode.Uri.file(folder), 'train.py'),
    );
    await vscode.window.showTextDocument(code, vscode.ViewColumn.One);
    const explanation = await vscode.commands.executeCommand<Explanation>('fcd.showGradCam', {
      image,
      roi,
      model: run,
      layer: 'layer2',
      method: 'gradcam',
      class: 'fcd',
    });
    ok(existsSync(explanation.out));
    equal(explanation.layer, 'layer2');
    equal(explanation.class, 'fcd');

    const { volumes } = await lens();
    const panel = await eventually('an editor of the case', () =>
      volumes.open.find(({ shown }) => shown.image === image),
    );
    await panel.whenDrawn();
    equal(panel.panel.viewColumn, vscode.ViewColumn.Two);
    ok(
      vscode.window.tabGroups.all[0].tabs.some(({ input }) => input instanceof vscode.TabInputText),
      'the code is still in the first column',
    );
    equal(panel.shown.map, explanation.out);
    const map = readNifti(readFileSync(explanation.out));
    const voxel = map.shape.map((length) => length >> 1);
    await panel.view({ voxel });
    const { values, overlays, text } = await panel.snapshot();
    ok(Math.abs(Number(values.heat) - valueAt(map, voxel)) <= 1e-4 * Math.max(1, explanation.raw.max));
    deepEqual(overlays.map(({ kind }) => kind).sort(), ['heat', 'mask']);
    ok(/layer2/.test(text) && /gradcam|grad-cam/i.test(text), text);
    await screenshot('grad-cam');
  });
});

describe('the Cohort view', () => {
  it('lists every subject with its group and, where there is one, its prediction; a click opens the case', async () => {
    const { cohort, run } = workspace();
    const { cohortView } = await lens();
    const root = (await cohortView.getChildren()).find(
      (node) => node.kind === 'cohort' && node.path === cohort,
    );
    ok(root);
    const subjects = (await cohortView.getChildren(root)).filter((node) => node.kind === 'subject');
    equal(subjects.length, 8);
    const items = await Promise.all(subjects.map((node) => cohortView.getTreeItem(node)));
    for (const item of items) ok(/fcd|control/.test(String(item.description)), String(item.description));

    const predicted = readFileSync(`${run}/predictions.csv`, 'utf8').trim().split('\n').slice(1);
    for (const line of predicted) {
      const [participant] = line.split(',');
      const item = items.find(({ label }) => label === participant);
      ok(
        /p\(fcd\) [01]\.\d\d/.test(String(item?.description)),
        `${participant}: ${String(item?.description)}`,
      );
    }

    const patient = items.find(({ description }) => String(description).includes('fcd'));
    ok(patient?.command);
    equal(patient.command.command, 'fcd.openCase');
    await vscode.commands.executeCommand(patient.command.command, ...(patient.command.arguments ?? []));
    const { volumes } = await lens();
    const { shown } = await eventually('an editor', () => volumes.active);
    ok(shown.image.includes(String(patient.label)));
    ok(shown.roi, 'with its lesion mask');
  });
});
