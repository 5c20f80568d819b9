import { relative } from 'node:path';
import * as vscode from 'vscode';
import type { FcdTaskDefinition } from '../tasks/task-definition';
import type { RunningTask, TaskRunner } from '../tasks/task-runner';

/**
 * Starts the task of a guide in the workspace folder that its data lie in, else in the first one, and shows the runs.
 * @param data absolute path of what the task works on
 * @param taskOf the task, given how to write a path: relative to the folder where it lies in it
 * @returns the task that was started
 */
export async function startTask(
  runner: TaskRunner,
  data: string,
  title: string,
  taskOf: (written: (path: string) => string) => FcdTaskDefinition,
): Promise<RunningTask | undefined> {
  const folder =
    vscode.workspace.getWorkspaceFolder(vscode.Uri.file(data)) ?? vscode.workspace.workspaceFolders?.[0];
  const written = (path: string): string => {
    const inside = folder && relative(folder.uri.fsPath, path);
    return inside === undefined || inside.startsWith('..') ? path : inside === '' ? '.' : inside;
  };
  const running = await runner.run(taskOf(written), title, folder ?? vscode.TaskScope.Workspace);
  if (running) await vscode.commands.executeCommand('fcd.runs.focus', { preserveFocus: true });
  return running;
}
