import { equal, match, ok } from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { RunningTask } from '../../src/extension/tasks/task-runner';
import { eventually } from './support/eventually';
import { lens } from './support/extension';
import { eventsOf } from './support/run-files';
import { rowsOfRuns } from './support/views';
import { screenshot } from './support/screenshot';
import { closeAll, workspace } from './support/workspace';

afterEach(closeAll);

describe('FCD: Train FCD Model', () => {
  it('trains on a cohort to the end; the Runs view has its row from the start', async () => {
    const { cohort, folder } = workspace();
    const out = join(folder, 'runs', 'by-command');
    const running = await vscode.commands.executeCommand<RunningTask>('fcd.trainModel', {
      cohort,
      modality: 'FLAIR',
      arch: 'resnet10',
      strategy: 'none',
      fold: 1,
      folds: 4,
      grid: 'small',
      epochs: 1,
      out,
    });
    await eventually('a row of what has just been started', async () =>
      (await rowsOfRuns()).find(({ path }) => path === out),
    );
    await screenshot('training');
    equal(await running.exit, 0);
    equal(eventsOf(out).at(-1)?.type, 'finished');
    for (const file of ['predictions.csv', 'heatscores.csv', 'checkpoints/best/model.safetensors'])
      ok(existsSync(join(out, file)), file);
    const row = await eventually('a row that says finished', async () =>
      (await rowsOfRuns()).find(({ path, context }) => path === out && context.includes('results')),
    );
    match(row.description, /accuracy|finished/);
    ok(!row.context.includes('active'), row.context);
  });

  it('makes the report of a run and opens it', async () => {
    const { run } = workspace();
    await vscode.commands.executeCommand('fcd.openReport', run);
    ok(existsSync(join(run, 'report.html')));
    const { input } = await eventually('the report in a tab', () =>
      vscode.window.tabGroups.all.flatMap(({ tabs }) => tabs).find(({ label }) => label === 'Report: first'),
    );
    ok(input instanceof vscode.TabInputWebview);
    await screenshot('report');
  });
});

describe('FCD: Create Phantom Cohort', () => {
  it('makes a cohort that the Cohort view shows', async () => {
    const { folder } = workspace();
    const running = await vscode.commands.executeCommand<RunningTask>('fcd.createPhantomCohort', {
      out: 'more-heads',
      subjects: 2,
      difficulty: 0.1,
    });
    equal(await running.exit, 0);
    ok(existsSync(join(folder, 'more-heads', 'participants.tsv')));
    const { cohortView } = await lens();
    await eventually('the cohort in the view', async () => {
      await vscode.commands.executeCommand('fcd.refreshCohort');
      const nodes = await cohortView.getChildren();
      return nodes.some((node) => node.kind === 'cohort' && node.path === join(folder, 'more-heads'));
    });
  });
});
