import * as vscode from 'vscode';
import { workspaceAt, type Workspace } from '../../vscode/workspace';

/** What lies in the open folder. */
export function workspace(): Workspace {
  const folder = vscode.workspace.workspaceFolders?.[0];
  if (!folder) throw new Error('The window has no folder open.');
  return workspaceAt(folder.uri.fsPath);
}

export async function closeAll(): Promise<void> {
  await vscode.commands.executeCommand('workbench.action.closeAllEditors');
}
