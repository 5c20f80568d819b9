import { dirname, join } from 'node:path';
import { hostname } from 'node:os';
import * as vscode from 'vscode';
import type { Log } from '../log';
import { excludedFolders } from '../settings/settings';
import type { TaskRunner, Work } from '../tasks/task-runner';
import { exists, observerOn, type RunSnapshot } from './follow-run';
import type { RunRow } from './run-groups';
import { RunsModel } from './runs-model';

const SECOND = 1000;
const LOOK_EVERY = SECOND;
/** Disks of clusters tell nobody of new files, so they are looked for again and again; never more than 1/20 of the time. */
const FIND_EVERY = 15 * SECOND;
const SHARE_OF_TIME = 20;
const MOST_RUNS = 2000;

/**
 * The run directories of the workspace, whoever makes them. Nothing is searched or read before somebody asks; then
 * files are watched where the disk tells of changes, and looked at where it does not.
 */
export class Runs implements vscode.Disposable {
  private readonly model = new RunsModel(observerOn(hostname()));
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private readonly disposables: vscode.Disposable[] = [this.changed];
  private watcher: vscode.FileSystemWatcher | undefined;
  private found: Promise<void> | undefined;
  private known: string[] = [];
  private watchers = 0;
  private lookTimer: NodeJS.Timeout | undefined;
  private findTimer: NodeJS.Timeout | undefined;
  private disposed = false;
  private followingWork: vscode.Disposable | undefined;

  constructor(
    private readonly runner: TaskRunner,
    private readonly log: Log,
  ) {
    this.disposables.push(runner.onDidChange(() => this.letGo(this.workChanged())));
  }

  /** Rows for the view: what this window has just started and shows no directory yet comes first. */
  get rows(): readonly RunRow[] {
    return this.model.rows;
  }

  get runs(): readonly RunSnapshot[] {
    return this.model.runs;
  }

  /** Work of this window whose run directory is not there yet. */
  get pending(): readonly Work[] {
    const paths = this.model.runs.map(({ path }) => path);
    return this.runner.running.filter(
      ({ target }) => target !== undefined && !paths.some((path) => isWithin(path, target)),
    );
  }

  /** The run that this window is computing now, where it is only one. */
  get ownRun(): RunSnapshot | undefined {
    const targets = this.runner.running.flatMap(({ target }) => target ?? []);
    const own = this.model.runs.filter(
      ({ path, state }) =>
        (state === 'running' || state === 'starting') && targets.some((target) => isWithin(path, target)),
    );
    return own.length === 1 ? own[0] : undefined;
  }

  /** Directories of runs and experiments that have results. */
  get withResults(): string[] {
    return this.model.rows.flatMap((row) =>
      row.kind === 'run'
        ? row.run.outcome?.accuracy || row.run.hasReport
          ? [row.run.path]
          : []
        : row.outcome?.accuracy || row.hasReport
          ? [row.path]
          : [],
    );
  }

  /** Searches the workspace once; later calls give what is known by then. */
  async find(): Promise<void> {
    this.found ??= this.search();
    await this.found;
  }

  /** Searches again at once. */
  async refresh(): Promise<void> {
    this.found = this.search();
    await this.found;
  }

  /** While somebody looks, runs are followed; the result is disposed of when nobody does any more. */
  follow(): vscode.Disposable {
    this.watchers++;
    if (this.watchers === 1) {
      this.letGo(this.refresh());
      this.planLook(LOOK_EVERY);
      this.planFind(FIND_EVERY);
    }
    let done = false;
    return new vscode.Disposable(() => {
      if (done) return;
      done = true;
      if (--this.watchers > 0) return;
      clearTimeout(this.lookTimer);
      clearTimeout(this.findTimer);
    });
  }

  dispose(): void {
    this.disposed = true;
    this.watchers = 0;
    clearTimeout(this.lookTimer);
    clearTimeout(this.findTimer);
    for (const disposable of this.disposables) disposable.dispose();
  }

  private async search(): Promise<void> {
    this.watch();
    const files = await vscode.workspace.findFiles('**/run.json', excludedFolders(), MOST_RUNS);
    this.known = files.filter(({ scheme }) => scheme === 'file').map(({ fsPath }) => dirname(fsPath));
    this.model.setDirectories(this.known);
    await this.look(true);
  }

  private watch(): void {
    if (this.watcher || this.disposed) return;
    this.watcher = vscode.workspace.createFileSystemWatcher('**/run.json', false, true, false);
    const appeared = async ({ fsPath }: vscode.Uri): Promise<void> => {
      this.model.add(dirname(fsPath));
      await this.look();
    };
    this.disposables.push(
      this.watcher,
      this.watcher.onDidCreate((uri) => this.letGo(appeared(uri))),
      this.watcher.onDidDelete(() => this.letGo(this.look(true))),
    );
  }

  private async look(all = false): Promise<void> {
    const changed = await this.model.look(all);
    if (changed && !this.disposed) this.changed.fire();
  }

  private planLook(after: number): void {
    if (this.watchers === 0) return;
    this.lookTimer = setTimeout(() => {
      const began = performance.now();
      const look = this.lookForWork().then(() => this.look());
      this.letGo(look, () => this.planLook(pause(LOOK_EVERY, began)));
    }, after);
  }

  private planFind(after: number): void {
    if (this.watchers === 0) return;
    this.findTimer = setTimeout(() => {
      const began = performance.now();
      this.letGo(this.refresh(), () => this.planFind(pause(FIND_EVERY, began)));
    }, after);
  }

  /** Nobody waits for this work; what goes wrong in it is in the log. */
  private letGo(work: Promise<void>, then: () => void = () => undefined): void {
    void work
      .catch((error: unknown) =>
        this.log.warn(`Runs: ${error instanceof Error ? error.message : String(error)}`),
      )
      .finally(then);
  }

  /** Directories that this window's work is making are looked for by name, whatever the watcher says. */
  private async lookForWork(): Promise<void> {
    for (const { target } of this.runner.running) {
      if (target === undefined) continue;
      if (await exists(join(target, 'run.json'))) this.model.add(target);
      for (let fold = 1; await exists(join(target, 'runs', `fold-${fold}`, 'run.json')); fold++)
        this.model.add(join(target, 'runs', `fold-${fold}`));
    }
  }

  private async workChanged(): Promise<void> {
    if (this.disposed) return;
    // What this window works on is told in the status bar, whether the view is open or not.
    if (this.runner.running.length > 0) this.followingWork ??= this.follow();
    this.changed.fire();
    if (!this.found) return;
    await this.lookForWork();
    await this.look(true);
    this.changed.fire();
    if (this.runner.running.length > 0) return;
    this.followingWork?.dispose();
    this.followingWork = undefined;
  }
}

/** What took long is not done again at once. */
function pause(least: number, began: number): number {
  return Math.max(least, SHARE_OF_TIME * (performance.now() - began));
}

function isWithin(path: string, directory: string): boolean {
  return path === directory || dirname(dirname(path)) === directory;
}
