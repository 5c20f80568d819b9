import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as vscode from 'vscode';
import { STOP_FILE } from '../../protocol/run';
import type { TaskRunner } from '../tasks/task-runner';
import type { RunSnapshot } from './follow-run';
import { experimentOf, type ExperimentGroup } from './run-groups';
import { runDescription, experimentDescription } from './run-text';
import type { Runs } from './runs';
import type { RunNode } from './runs-view';

/** A row that a command works on. */
interface Target {
  readonly path: string;
  readonly label: string;
  readonly description: string;
  readonly state: RunSnapshot['state'] | ExperimentGroup['state'];
  readonly runs: readonly RunSnapshot[];
}

/** Stop, resume, reveal: from a row of the view, with the path of a directory, or from the palette by choice. */
export class RunCommands implements vscode.Disposable {
  private readonly disposables: vscode.Disposable[];

  constructor(
    private readonly runs: Runs,
    private readonly runner: TaskRunner,
  ) {
    this.disposables = [
      vscode.commands.registerCommand('fcd.stopRun', (node?: RunNode | string) => this.stop(node)),
      vscode.commands.registerCommand('fcd.resumeRun', (node?: RunNode | string) => this.resume(node)),
      vscode.commands.registerCommand('fcd.revealRun', (node?: RunNode | string) => this.reveal(node)),
      vscode.commands.registerCommand('fcd.refreshRuns', () => runs.refresh()),
    ];
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }

  /** Asks by a file, which is heard wherever the run is computed; work that has no directory yet is signalled. */
  private async stop(node?: RunNode | string): Promise<void> {
    if (typeof node === 'object' && node.kind === 'pending') {
      node.work.stop();
      return;
    }
    const target = await this.target(node, 'Which run shall stop?', isActive, 'No run is being computed.');
    if (!target) return;
    await writeFile(join(target.path, STOP_FILE), '');
    vscode.window.setStatusBarMessage(`$(debug-pause) ${target.label} stops at its next step`, 5000);
  }

  private async resume(node?: RunNode | string): Promise<void> {
    const target = await this.target(
      node,
      'Which run shall go on?',
      ({ state }) => state === 'stopped' || state === 'lost' || state === 'failed' || state === 'waiting',
      'No run can be resumed: none was stopped, failed or was lost.',
    );
    if (!target) return;
    const folder = vscode.workspace.getWorkspaceFolder(vscode.Uri.file(target.path));
    const scope = folder ?? vscode.TaskScope.Workspace;
    const name = `resume ${basename(target.path)}`;
    const record = target.runs.find((run) => run.record)?.record;
    const single = target.runs.length === 1 && target.runs[0].path === target.path;
    if (single || !record) {
      const task = record?.segmentation ? 'pretrain' : 'train';
      await this.runner.run({ type: 'fcd', task, resume: target.path }, name, scope);
      return;
    }
    // An experiment goes on by the command that began it, in the folder where it was given.
    if (record.command.length === 0 || record.cwd === undefined) {
      await vscode.window.showWarningMessage(
        `${target.path} does not say by which command it was begun. Give the same command again in a terminal; it goes on by itself.`,
      );
      return;
    }
    await this.runner.run({ type: 'fcd', task: 'experiment', out: target.path }, name, scope, {
      args: record.command,
      cwd: record.cwd,
      target: target.path,
    });
  }

  private async reveal(node?: RunNode | string): Promise<void> {
    const target = await this.target(node, 'Which run?', () => true, 'There is no run in this workspace.');
    if (!target) return;
    const uri = vscode.Uri.file(target.path);
    const command = vscode.workspace.getWorkspaceFolder(uri) ? 'revealInExplorer' : 'revealFileInOS';
    await vscode.commands.executeCommand(command, uri);
  }

  private async target(
    node: RunNode | string | undefined,
    question: string,
    fits: (target: Target) => boolean,
    none: string,
  ): Promise<Target | undefined> {
    if (node !== undefined && typeof node !== 'string')
      return node.kind === 'pending' ? undefined : targetOf(node);
    await this.runs.refresh();
    const all: Target[] = this.runs.rows.map((row) =>
      targetOf(row.kind === 'run' ? row : { kind: 'experiment', group: row }),
    );
    if (node !== undefined) {
      const run = this.runs.runs.find(({ path }) => path === node);
      return all.find(({ path }) => path === node) ?? (run && targetOf({ kind: 'run', run }));
    }
    const fitting = all.filter(fits);
    if (fitting.length === 0) {
      await vscode.window.showInformationMessage(none);
      return undefined;
    }
    if (fitting.length === 1) return fitting[0];
    const items = fitting.map((target) => ({
      label: target.label,
      description: target.description,
      detail: vscode.workspace.asRelativePath(target.path),
      target,
    }));
    return (await vscode.window.showQuickPick(items, { title: question, matchOnDetail: true }))?.target;
  }
}

function isActive({ state }: Target): boolean {
  return state === 'running' || state === 'starting';
}

function targetOf(node: Exclude<RunNode, { kind: 'pending' }>): Target {
  if (node.kind === 'run') {
    const { run } = node;
    const experiment = experimentOf(run.path);
    const name = run.record?.name ?? run.path;
    return {
      path: run.path,
      label: experiment === undefined ? name : `${name} of ${basename(experiment)}`,
      description: runDescription(run),
      state: run.state,
      runs: [run],
    };
  }
  const { group } = node;
  return {
    path: group.path,
    label: group.title,
    description: experimentDescription(group),
    state: group.state,
    runs: group.runs,
  };
}
