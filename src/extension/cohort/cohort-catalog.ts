import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import * as vscode from 'vscode';
import { excludedFolders } from '../settings/settings';

const MOST_COHORTS = 200;
/** A manifest says so in its name, or else every table of a workspace would have to be opened. */
const PATTERN = '**/{participants.tsv,*manifest*.csv,*manifest*.tsv}';

/** Where the cohorts of the workspace are: BIDS folders (by their participants.tsv) and manifests. Absolute paths. */
export class CohortCatalog implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  /** A table of a cohort appeared, changed or went away. */
  readonly onDidChange = this.changed.event;
  private readonly disposables: vscode.Disposable[] = [this.changed];
  private paths: Promise<string[]> | undefined;
  private watched = false;

  /** Searched once, and again after something changed. */
  find(): Promise<string[]> {
    this.watch();
    this.paths ??= search().catch((error: unknown) => {
      this.paths = undefined;
      throw error;
    });
    return this.paths;
  }

  refresh(): void {
    this.paths = undefined;
    this.changed.fire();
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }

  private watch(): void {
    if (this.watched) return;
    this.watched = true;
    const watcher = vscode.workspace.createFileSystemWatcher(PATTERN);
    let timer: NodeJS.Timeout | undefined;
    const later = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => this.refresh(), 500);
    };
    this.disposables.push(
      watcher,
      watcher.onDidCreate(later),
      watcher.onDidChange(later),
      watcher.onDidDelete(later),
      new vscode.Disposable(() => clearTimeout(timer)),
    );
  }
}

async function search(): Promise<string[]> {
  const files = await vscode.workspace.findFiles(PATTERN, excludedFolders(), MOST_COHORTS);
  const found = await Promise.all(
    files
      .filter(({ scheme }) => scheme === 'file')
      .map(async ({ fsPath }) => {
        const columns = await headerOf(fsPath);
        if (!columns.includes('participant_id')) return undefined;
        if (fsPath.endsWith('participants.tsv'))
          return columns.includes('group') ? dirname(fsPath) : undefined;
        return columns.includes('t1w') || columns.includes('flair') ? fsPath : undefined;
      }),
  );
  return found.filter((path) => path !== undefined).sort();
}

/** The first line's cells. */
async function headerOf(path: string): Promise<string[]> {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return [];
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
    const [line] = buffer
      .toString('utf8', 0, bytesRead)
      .replace(/^\uFEFF/, '')
      .split(/\r?\n|\r/, 1);
    return line.split(/[\t,;]/).map((cell) => cell.trim().replace(/^"|"$/g, ''));
  } finally {
    await file.close();
  }
}
