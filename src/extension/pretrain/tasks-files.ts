import { readFile } from 'node:fs/promises';
import * as vscode from 'vscode';
import { excludedFolders } from '../settings/settings';
import { taskNames } from './task-names';

const MOST_FILES = 200;
/** `tasks.json` and the like; the editor's own tasks.json lies in .vscode. */
const PATTERN = '**/*tasks*.json';

export interface TasksFile {
  /** Absolute. */
  readonly path: string;
  /** Names of the structures. */
  readonly names: readonly string[];
}

/** Files of the workspace that name structures to segment, by path. */
export async function findTasksFiles(): Promise<TasksFile[]> {
  const files = await vscode.workspace.findFiles(PATTERN, excludedFolders(), MOST_FILES);
  const found = await Promise.all(
    files
      .filter(({ scheme, path }) => scheme === 'file' && !path.includes('/.vscode/'))
      .map(({ fsPath }) => readTasks(fsPath)),
  );
  return found.filter((file) => file !== undefined).sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Undefined where it is no such file; what exactly is wrong with one, `fcd pretrain` says. */
export async function readTasks(path: string): Promise<TasksFile | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  const names = text === undefined ? undefined : taskNames(text);
  return names && { path, names };
}
