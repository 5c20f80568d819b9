import * as vscode from 'vscode';

type Answer = (items: readonly vscode.QuickPickItem[]) => vscode.QuickPickItem | undefined;

/** Answers the next lists and file dialogs as a person would, while something is done. */
export async function answering(
  answers: { readonly pick?: Answer; readonly open?: readonly string[] },
  work: () => Thenable<unknown>,
): Promise<void> {
  const window = vscode.window as {
    showQuickPick: (items: readonly vscode.QuickPickItem[]) => Thenable<vscode.QuickPickItem | undefined>;
    showOpenDialog: () => Thenable<vscode.Uri[] | undefined>;
  };
  const { showQuickPick, showOpenDialog } = window;
  if (answers.pick) {
    const { pick } = answers;
    window.showQuickPick = async (items) => pick(await items);
  }
  if (answers.open) {
    const paths = answers.open;
    window.showOpenDialog = () => Promise.resolve(paths.map((path) => vscode.Uri.file(path)));
  }
  try {
    await work();
  } finally {
    Object.assign(window, { showQuickPick, showOpenDialog });
  }
}
