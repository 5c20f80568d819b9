import { equal, match, ok } from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { RunningTask } from '../../src/extension/tasks/task-runner';
import { TINY_TRAINING } from '../vscode/workspace';
import { eventually } from './support/eventually';
import { eventsOf } from './support/run-files';
import { start } from './support/tasks';
import { rowsOfRuns } from './support/views';
import { closeAll, workspace } from './support/workspace';

afterEach(closeAll);

describe('FCD: Pre-train on Segmentation', () => {
  it('learns to the end; the Runs view tells its Dice and offers no report of cases', async () => {
    const { cohort, folder } = workspace();
    const out = join(folder, 'runs', 'pretrained');
    const running = await vscode.commands.executeCommand<RunningTask>('fcd.pretrain', {
      tasks: cohort,
      single: 'thalamus',
      arch: 'resnet10',
      fold: 1,
      folds: 4,
      grid: 'small',
      epochs: 1,
      out,
    });
    equal(await running.exit, 0);
    equal(eventsOf(out).at(-1)?.type, 'finished');
    for (const file of ['results.json', 'checkpoints/best/model.safetensors'])
      ok(existsSync(join(out, file)), file);
    const row = await eventually('a row that says how well it segments', async () =>
      (await rowsOfRuns()).find(({ path, description }) => path === out && /Dice/.test(description)),
    );
    match(row.description, /^Dice \d\.\d\d \(n 2\)/);
    ok(!row.context.includes('results'), row.context);
  });

  it('is offered for the cohort that brings label maps, and stops and goes on as a task', async () => {
    const { folder } = workspace();
    const offered = await eventually('the task', async () =>
      (await vscode.tasks.fetchTasks({ type: 'fcd' })).find(
        ({ definition }) => definition.task === 'pretrain',
      ),
    );
    equal(offered.definition.tasks, join('cohort', 'derivatives', 'labels', 'tasks.json'));
    const out = join(folder, 'runs', 'pretrained-long');
    const definition: vscode.TaskDefinition = {
      ...offered.definition,
      type: 'fcd',
      arch: 'resnet10',
      fold: '1/4',
      epochs: 500,
      out: 'runs/pretrained-long',
      args: TINY_TRAINING,
    };
    const scope = offered.scope ?? vscode.TaskScope.Workspace;
    const task = new vscode.Task(definition, scope, 'pretrained long', 'fcd', offered.execution);
    const { exit } = await start(task);
    await eventually('an epoch', () => existsSync(out) && eventsOf(out).some(({ type }) => type === 'epoch'));
    await vscode.commands.executeCommand('fcd.stopRun', out);
    equal(await exit, 130);
    equal(eventsOf(out).at(-1)?.type, 'stopped');
    await vscode.commands.executeCommand('fcd.resumeRun', out);
    await eventually('it goes on', () => eventsOf(out).some(({ type }) => type === 'resumed'));
    await eventually('a row that can be stopped', async () =>
      (await rowsOfRuns()).find(({ path, context }) => path === out && context.includes('active')),
    );
    await vscode.commands.executeCommand('fcd.stopRun', out);
    await eventually('it stops again', () => eventsOf(out).at(-1)?.type === 'stopped');
  });
});
