import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { TensorflowPlaces } from '../../protocol/tensorflow';

/** The package with CUDA, which FCD: Install CUDA Backend installs. */
export const CUDA_PACKAGE = '@tensorflow/tfjs-node-gpu';

/** Where FCD: Install CUDA Backend installs to: a folder of the extension's own. */
export function tensorflowFolder(context: vscode.ExtensionContext): string {
  return join(context.globalStorageUri.fsPath, 'tensorflow');
}

/** Whether the command has installed something there. */
export function isInstalled(storage: string): boolean {
  return existsSync(join(storage, 'node_modules', CUDA_PACKAGE, 'package.json'));
}

/** Where the processes of this window may look for TensorFlow: native code, so nothing of an untrusted workspace. */
export function placesOfWindow(storage: string): TensorflowPlaces {
  const named = vscode.workspace.getConfiguration('fcd').get<string>('tensorflow.path', '').trim();
  const folders = vscode.workspace.isTrusted ? (vscode.workspace.workspaceFolders ?? []) : [];
  return {
    storage,
    ...(named !== '' && { named }),
    workspaces: folders.filter(({ uri }) => uri.scheme === 'file').map(({ uri }) => uri.fsPath),
  };
}
