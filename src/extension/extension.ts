import { join } from 'node:path';
import * as vscode from 'vscode';
import { tensorflowEnvironment } from '../protocol/tensorflow';
import { CaseCommands } from './case/case-commands';
import { CheckpointEditor } from './checkpoint/checkpoint-editor';
import { registerImportCommand } from './checkpoint/import-command';
import { CohortCatalog } from './cohort/cohort-catalog';
import { CohortView } from './cohort/cohort-view';
import { ComputeClient } from './compute/client';
import type { Compute } from './compute/compute';
import { Log } from './log';
import { registerPhantomCommand } from './phantom/phantom-command';
import { PretrainCommand } from './pretrain/pretrain-command';
import { ReportCommand } from './report/report-command';
import { RunCommands } from './runs/run-commands';
import { Runs } from './runs/runs';
import { RunsView } from './runs/runs-view';
import { NodeRuntimes } from './runtime/node-runtimes';
import { registerSelectEngine } from './settings/select-engine';
import { StatusBar } from './status/status-bar';
import { FcdTaskProvider } from './tasks/task-provider';
import { TaskRunner } from './tasks/task-runner';
import { ShippedWeights } from './tasks/shipped-weights';
import { TASK_TYPE } from './tasks/task-definition';
import { registerInstallCuda } from './tensorflow/install-command';
import { placesOfWindow, tensorflowFolder } from './tensorflow/tensorflow-places';
import { TrainCommand } from './train/train-command';
import { VolumeEditor } from './volume/volume-editor';

/** What the extension gives to others that activate it: tests, and extensions that open cases. */
export interface FcdLens {
  readonly volumes: VolumeEditor;
  readonly checkpoints: CheckpointEditor;
  readonly compute: Compute;
  readonly runs: Runs;
  readonly runsView: RunsView;
  readonly cohortView: CohortView;
  readonly tasks: TaskRunner;
}

/**
 * Puts the features together; each lives in a folder of its own and returns what must be disposed of. Nothing is
 * searched, read or started here: that waits until somebody looks or asks.
 */
export function activate(context: vscode.ExtensionContext): FcdLens {
  const root = context.extensionPath;
  const log = new Log();
  const tensorflow = tensorflowFolder(context);
  const runtimes = new NodeRuntimes(root, log, () => tensorflowEnvironment(placesOfWindow(tensorflow)));
  const compute = new ComputeClient(root, runtimes, log);
  const tasks = new TaskRunner(
    { main: join(root, 'dist', 'cli', 'main.js'), runtime: () => runtimes.runtimeFor() },
    log,
  );
  const weights = new ShippedWeights(root, (message) => log.warn(message));
  const volumes = new VolumeEditor(context.extensionUri, log);
  const checkpoints = new CheckpointEditor(context.extensionUri, compute, log);
  const runs = new Runs(tasks, log);
  const cohorts = new CohortCatalog();
  const runsView = new RunsView(runs);
  const cohortView = new CohortView(cohorts, compute, runs, tasks.onDidChange);
  context.subscriptions.push(
    log,
    compute,
    tasks,
    volumes,
    checkpoints,
    runs,
    cohorts,
    runsView,
    cohortView,
    new CaseCommands(context, compute, volumes, log),
    new RunCommands(runs, tasks),
    new ReportCommand(runs, tasks),
    new TrainCommand(context.workspaceState, cohorts, compute, tasks, weights),
    new PretrainCommand(context.workspaceState, tasks),
    new StatusBar(compute, tasks, runs),
    registerPhantomCommand(tasks),
    registerImportCommand(compute, checkpoints),
    registerSelectEngine(compute, tensorflow),
    registerInstallCuda(tensorflow, () => compute.renew('with TensorFlow')),
    vscode.tasks.registerTaskProvider(TASK_TYPE, new FcdTaskProvider(tasks, cohorts, runs, weights)),
    vscode.commands.registerCommand('fcd.showLog', () => log.show()),
  );
  return { volumes, checkpoints, compute, runs, runsView, cohortView, tasks };
}
