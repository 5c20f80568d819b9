import * as vscode from 'vscode';
import { eventually } from './eventually';

/** A task of the workspace's tasks.json, by its label. */
export async function taskNamed(name: string): Promise<vscode.Task> {
  return eventually(`the task "${name}"`, async () =>
    (await vscode.tasks.fetchTasks({ type: 'fcd' })).find((task) => task.name === name),
  );
}

export interface Started {
  readonly execution: vscode.TaskExecution;
  /** Exit code of its process; undefined where the editor does not know one. */
  readonly exit: Promise<number | undefined>;
}

export async function start(task: vscode.Task): Promise<Started> {
  let listener: vscode.Disposable | undefined;
  const exit = new Promise<number | undefined>((resolve) => {
    listener = vscode.tasks.onDidEndTaskProcess((event) => {
      if (event.execution.task.name === task.name) resolve(event.exitCode);
    });
  }).finally(() => listener?.dispose());
  return { execution: await vscode.tasks.executeTask(task), exit };
}

/** Resolves to the exit code of the next task process that ends. */
export function nextExit(): Promise<number | undefined> {
  return new Promise((resolve) => {
    const listener = vscode.tasks.onDidEndTaskProcess((event) => {
      listener.dispose();
      resolve(event.exitCode);
    });
  });
}
