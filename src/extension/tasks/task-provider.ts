import { relative } from 'node:path';
import * as vscode from 'vscode';
import type { CohortCatalog } from '../cohort/cohort-catalog';
import { findTasksFiles } from '../pretrain/tasks-files';
import type { Runs } from '../runs/runs';
import { offeredTasks } from './offered-tasks';
import type { ShippedWeights } from './shipped-weights';
import { TASK_TYPE } from './task-definition';
import type { TaskRunner } from './task-runner';

/** Offers the tasks that make sense for the cohorts and results of the workspace, and runs those of tasks.json. */
export class FcdTaskProvider implements vscode.TaskProvider {
  constructor(
    private readonly runner: TaskRunner,
    private readonly cohorts: CohortCatalog,
    private readonly runs: Runs,
    private readonly weights: ShippedWeights,
  ) {}

  async provideTasks(): Promise<vscode.Task[]> {
    const [cohorts, catalogue, tasksFiles] = await Promise.all([
      this.cohorts.find(),
      this.weights.catalogue(),
      findTasksFiles(),
      this.runs.find(),
    ]);
    const finished = this.runs.withResults;
    return (vscode.workspace.workspaceFolders ?? []).flatMap((folder) => {
      const root = folder.uri.fsPath;
      const inside = (paths: readonly string[]): string[] =>
        paths.map((path) => relative(root, path)).filter((path) => !path.startsWith('..'));
      return offeredTasks(
        inside(cohorts).map((path) => (path === '' ? '.' : path)),
        inside(finished),
        catalogue,
        inside(tasksFiles.map(({ path }) => path)),
      ).map(({ name, detail, definition }) => {
        const task = this.runner.task(definition, name, folder);
        task.detail = detail;
        return task;
      });
    });
  }

  /** A task of tasks.json has a definition and a name, and gets what runs it. */
  resolveTask(task: vscode.Task): vscode.Task | undefined {
    const { definition, scope, name } = task;
    if (definition.type !== TASK_TYPE) return undefined;
    return this.runner.task(definition, name, scope ?? vscode.TaskScope.Workspace);
  }
}
