import * as vscode from 'vscode';
import type { Preferences } from '../tasks/command-line';

/** Settings are read when they are needed, so that a change counts at once. */
export function preferences(scope?: vscode.ConfigurationScope): Preferences {
  const settings = vscode.workspace.getConfiguration('fcd', scope);
  return {
    engine: settings.get('engine', 'auto'),
    threads: settings.get('threads', 0),
    precision: settings.get<Preferences['precision']>('precision', 'f32'),
    gpuMemory: settings.get('gpuMemory', 0),
    grid: settings.get<Preferences['grid']>('train.grid', 'small'),
    out: settings.get('runs.folder', 'fcd-runs'),
  };
}

/** Folders whose runs and cohorts are not looked for: what search and the explorer leave out is left out as well. */
export function excludedFolders(): string {
  return `{${vscode.workspace
    .getConfiguration('fcd')
    .get<readonly string[]>('exclude', ['**/node_modules/**', '**/.git/**'])
    .join(',')}}`;
}
