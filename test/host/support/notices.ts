import * as vscode from 'vscode';

/** Hears what the extension warns of while something is done; the warnings are answered by being closed. */
export async function warningsOf(work: () => Thenable<unknown>): Promise<string[]> {
  const said: string[] = [];
  // The suites lie in the extension's folder, so that VS Code gives both the same objects.
  const window = vscode.window as { showWarningMessage: (message: string) => Thenable<undefined> };
  const before = window.showWarningMessage;
  window.showWarningMessage = (message) => {
    said.push(message);
    return Promise.resolve(undefined);
  };
  try {
    await work();
  } finally {
    window.showWarningMessage = before;
  }
  return said;
}
