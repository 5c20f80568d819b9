import * as vscode from 'vscode';

/** Whether work may be started; where it may not, a sentence with the button that leads out of it. */
export async function trusted(what: string): Promise<boolean> {
  if (vscode.workspace.isTrusted) return true;
  const manage = 'Manage Workspace Trust';
  const choice = await vscode.window.showWarningMessage(
    `${what} starts a process, which an untrusted workspace may not. Scans and runs can be looked at.`,
    manage,
  );
  if (choice === manage) await vscode.commands.executeCommand('workbench.trust.manage');
  return false;
}
