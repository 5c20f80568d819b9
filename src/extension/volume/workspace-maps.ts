import * as vscode from 'vscode';
import { mapsOf, type MapFile } from './map-files';

/** Where runs (`<run>/cams`) and the editor (`.fcd/cams`) put class maps. */
const PATTERN = '**/cams/*.{nii,nii.gz}';
const MOST = 5000;

/** The class maps of the workspace, looked for once and then followed. */
export class WorkspaceMaps implements vscode.Disposable {
  private readonly watcher = vscode.workspace.createFileSystemWatcher(PATTERN, false, true, false);
  private readonly folders = vscode.workspace.onDidChangeWorkspaceFolders(() => (this.paths = undefined));
  private paths: Promise<Set<string>> | undefined;

  constructor() {
    this.watcher.onDidCreate((uri) => void this.paths?.then((paths) => paths.add(uri.fsPath)));
    this.watcher.onDidDelete((uri) => void this.paths?.then((paths) => paths.delete(uri.fsPath)));
  }

  /** Maps made of the scan, newest first. */
  async of(image: string): Promise<MapFile[]> {
    return mapsOf(image, [...(await this.all())], workspaceRoots());
  }

  /** A map that was just written, before the watcher reports it. */
  async add(path: string): Promise<void> {
    (await this.all()).add(path);
  }

  dispose(): void {
    this.watcher.dispose();
    this.folders.dispose();
  }

  private all(): Promise<Set<string>> {
    this.paths ??= Promise.resolve(
      vscode.workspace.findFiles(PATTERN, '**/{node_modules,.git}/**', MOST),
    ).then((uris) => new Set(uris.map((uri) => uri.fsPath)));
    return this.paths;
  }
}

export function workspaceRoots(): string[] {
  return (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath);
}
