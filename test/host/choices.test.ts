import { deepEqual, equal, ok } from 'node:assert/strict';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { answering } from './support/answers';
import { eventually } from './support/eventually';
import { compute, lens } from './support/extension';
import { caseOf, firstMap } from './support/run-files';
import { openVolume } from './support/volume';
import { closeAll, workspace } from './support/workspace';

afterEach(closeAll);

const engineSetting = () => vscode.workspace.getConfiguration('fcd').get<string>('engine');

describe('commands that ask', () => {
  it('FCD: Select Engine offers what computes here, and the compute process takes the choice', async () => {
    let offered: string[] = [];
    await answering(
      {
        pick: (items) => {
          offered = items.map(({ label }) => label);
          return items.find(({ label }) => label.includes('simd128-strict'));
        },
      },
      () => vscode.commands.executeCommand('fcd.selectEngine'),
    );
    try {
      ok(offered.some((label) => label.includes('Automatic')));
      ok(offered.some((label) => label.includes('JavaScript')));
      equal(engineSetting(), 'simd128-strict');
      const report = await (await compute()).request('engine', {});
      equal(report.module, 'simd128-strict');
    } finally {
      await vscode.workspace
        .getConfiguration('fcd')
        .update('engine', undefined, vscode.ConfigurationTarget.Workspace);
    }
  });

  it('FCD: Add Overlay… lays the files that were chosen over the scan', async () => {
    const { run, cohort } = workspace();
    const map = firstMap(run);
    const { image, roi } = caseOf(cohort, map);
    const panel = await openVolume(image);
    equal(panel.shown.roi, roi, 'the mask is found beside the scan');
    await answering({ open: [map] }, () => vscode.commands.executeCommand('fcd.addOverlay'));
    await panel.whenDrawn();
    const { overlays } = await panel.snapshot();
    deepEqual(overlays.map(({ kind }) => kind).sort(), ['heat', 'mask']);
    equal(panel.shown.map, map);
  });

  it("FCD: Choose Map… lists the scan's maps and shows the one that is picked", async () => {
    const { run, cohort } = workspace();
    const map = firstMap(run);
    const { image } = caseOf(cohort, map);
    const panel = await openVolume(image);
    let offered: readonly vscode.QuickPickItem[] = [];
    await answering(
      {
        pick: (items) => {
          offered = items;
          return items.find((item) => (item as { map?: { path: string } }).map?.path === map);
        },
      },
      () => vscode.commands.executeCommand('fcd.chooseMap'),
    );
    await panel.whenDrawn();
    ok(offered.length > 0);
    for (const { label } of offered) ok(/^(Grad-CAM|HiResCAM) · layer/.test(label), label);
    equal(panel.shown.map, map);
  });
});

describe('rows of the views', () => {
  it('Reveal Run selects the run in the explorer', async () => {
    const { run } = workspace();
    await vscode.commands.executeCommand('fcd.revealRun', run);
    await vscode.commands.executeCommand('copyFilePath');
    const copied = await eventually('the path of what is selected', async () => {
      const text = await vscode.env.clipboard.readText();
      return text.includes(join('runs')) && text;
    });
    equal(copied, run);
  });

  it('Refresh Runs and Refresh Cohort read the folder again', async () => {
    const { runsView, cohortView } = await lens();
    const before = (await runsView.getChildren()).length;
    await vscode.commands.executeCommand('fcd.refreshRuns');
    await vscode.commands.executeCommand('fcd.refreshCohort');
    equal((await runsView.getChildren()).length, before);
    ok((await cohortView.getChildren()).some((node) => node.kind === 'cohort'));
  });

  it('Predict Case and Show Grad-CAM of a subject act on its scan', async () => {
    const { cohort, run } = workspace();
    const { cohortView, volumes } = await lens();
    const { image } = caseOf(cohort, firstMap(run));
    const root = (await cohortView.getChildren()).find(
      (node) => node.kind === 'cohort' && node.path === cohort,
    );
    const subject = (await cohortView.getChildren(root)).find(
      (node) => node.kind === 'subject' && image.includes(node.subject.participantId),
    );
    ok(subject);
    // The model, then the layer, the method and the class: the first of each list.
    const pick = (items: readonly vscode.QuickPickItem[]) =>
      items.find(({ kind }) => kind !== vscode.QuickPickItemKind.Separator);
    await answering({ pick }, () => vscode.commands.executeCommand('fcd.cohort.predict', subject));
    const predicted = await eventually('the case', () =>
      volumes.open.find(({ shown }) => shown.image === image),
    );
    await predicted.whenDrawn();
    ok(/probability/i.test((await predicted.snapshot()).text));
    await answering({ pick }, () => vscode.commands.executeCommand('fcd.cohort.showGradCam', subject));
    await eventually('a map', () => volumes.open.some(({ shown }) => shown.image === image && shown.map));
  });
});
