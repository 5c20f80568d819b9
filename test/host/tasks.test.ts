import { deepEqual, equal, ok } from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { BROKEN_LINE, BROKEN_NAME, LONG_EPOCHS } from '../vscode/workspace';
import { eventually } from './support/eventually';
import { eventsOf, untilEvent } from './support/run-files';
import { start, taskNamed } from './support/tasks';
import { rowsOfRuns } from './support/views';
import { workspace } from './support/workspace';

const run = (name: string) => join(workspace().folder, 'runs', name);

describe('tasks of type fcd', () => {
  it('are offered for the cohort of the folder: a fit, and every depth and contrast as an experiment', async () => {
    const offered = (await vscode.tasks.fetchTasks({ type: 'fcd' })).filter(({ source }) => source === 'fcd');
    const experiments = offered
      .map(({ definition }) => definition)
      .filter(({ task, cohort }) => task === 'experiment' && cohort === 'cohort');
    deepEqual(
      [...new Set(experiments.map(({ arch, modality }) => `${arch} ${modality}`))].sort(),
      ['resnet18', 'resnet34', 'resnet50'].flatMap((arch) => [`${arch} FLAIR`, `${arch} T1w`]),
    );
    ok(offered.some(({ definition }) => definition.task === 'train' && definition.cohort === 'cohort'));
    ok(
      offered.some(
        ({ definition }) => definition.task === 'report' && definition.run === join('runs', 'first'),
      ),
    );
  });

  it('keep the definition that tasks.json gives them', async () => {
    const { definition } = await taskNamed('tiny');
    equal(definition.type, 'fcd');
    equal(definition.cohort, 'cohort');
    equal(definition.out, 'runs/tiny');
  });

  it('train to the end and end with 0', async () => {
    equal(await (await start(await taskNamed('tiny'))).exit, 0);
    equal(eventsOf(run('tiny')).at(-1)?.type, 'finished');
    ok(existsSync(join(run('tiny'), 'predictions.csv')));
  });

  it('fail with 1 where the cohort is wrong, and point at the line', async () => {
    const manifest = vscode.Uri.file(join(workspace().folder, BROKEN_NAME));
    equal(await (await start(await taskNamed('broken'))).exit, 1);
    const [problem] = await eventually('a problem in the manifest', () => {
      const all = vscode.languages.getDiagnostics(manifest);
      return all.length > 0 && all;
    });
    equal(problem.range.start.line, BROKEN_LINE - 1);
    ok(/perhaps/.test(problem.message), problem.message);
    ok(!existsSync(run('broken')), 'nothing is half-written');
  });

  it('stop cleanly when they are terminated, and go on to the end', async () => {
    const { execution, exit } = await start(await taskNamed('long'));
    await untilEvent(run('long'), 'epoch', 3);
    execution.terminate();
    await untilEvent(run('long'), 'stopped');
    await exit; // VS Code knows no code of a task that it has ended itself; the run's own record says how
    await eventually('a row that can be resumed', async () =>
      (await rowsOfRuns()).find(({ path, context }) => path === run('long') && context.includes('resumable')),
    );
    const done = eventsOf(run('long')).filter(({ type }) => type === 'epoch').length;
    ok(done < LONG_EPOCHS, 'it was not over yet');

    await vscode.commands.executeCommand('fcd.resumeRun', run('long'));
    await untilEvent(run('long'), 'finished');
    const events = eventsOf(run('long'));
    ok(events.some(({ type }) => type === 'resumed'));
    const epochs = events.flatMap((event) => (event.type === 'epoch' ? [event.epoch] : []));
    deepEqual(
      [...new Set(epochs)],
      Array.from({ length: LONG_EPOCHS }, (_, epoch) => epoch),
    );
  });

  it('stop by the command that the Runs view gives, with the exit code of a run that can be resumed', async () => {
    const task = await taskNamed('long');
    const again = { ...task.definition, type: 'fcd', out: 'runs/stopped' };
    const second = new vscode.Task(
      again,
      task.scope ?? vscode.TaskScope.Workspace,
      'stopped',
      'fcd',
      task.execution,
    );
    const { exit } = await start(second);
    await untilEvent(run('stopped'), 'epoch', 2);
    await vscode.commands.executeCommand('fcd.stopRun', run('stopped'));
    equal(await exit, 130);
    equal(eventsOf(run('stopped')).at(-1)?.type, 'stopped');
    ok(readFileSync(join(run('stopped'), 'checkpoints', 'last', 'model.safetensors')).length > 0);
  });
});
