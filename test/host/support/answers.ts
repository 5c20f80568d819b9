import * as vscode from 'vscode';

type Answer = (items: readonly vscode.QuickPickItem[]) => vscode.QuickPickItem | undefined;

/** Answers the next lists and file dialogs as a person would, while something is done. */
export async function answering(
  answers: { readonly pick?: Answer; readonly open?: readonly string[] },
  work: () => Thenable<unknown>,
): Promise<void> {
  const window = vscode.window as {
    showQuickPick: (items: readonly vscode.QuickPickItem[]) => Thenable<vscode.QuickPickItem | undefined>;
    createQuickPick: () => vscode.QuickPick<vscode.QuickPickItem>;
    showOpenDialog: () => Thenable<vscode.Uri[] | undefined>;
  };
  const { showQuickPick, createQuickPick, showOpenDialog } = window;
  if (answers.pick) {
    const { pick } = answers;
    window.showQuickPick = async (items) => pick(await items);
    window.createQuickPick = () => answered(createQuickPick.call(vscode.window), pick);
  }
  if (answers.open) {
    const paths = answers.open;
    window.showOpenDialog = () => Promise.resolve(paths.map((path) => vscode.Uri.file(path)));
  }
  try {
    await work();
  } finally {
    Object.assign(window, { showQuickPick, createQuickPick, showOpenDialog });
  }
}

/** A list of the editor that is not shown: its rows, once they are known, are answered. */
function answered(
  list: vscode.QuickPick<vscode.QuickPickItem>,
  pick: Answer,
): vscode.QuickPick<vscode.QuickPickItem> {
  const accepted = new vscode.EventEmitter<void>();
  const hidden = new vscode.EventEmitter<void>();
  let chosen: readonly vscode.QuickPickItem[] = [];
  let isShown = false;
  let isAnswered = false;
  const answer = (): void => {
    if (!isShown || list.busy || isAnswered) return;
    isAnswered = true;
    const one = pick(list.items);
    chosen = one ? [one] : [];
    (one ? accepted : hidden).fire();
  };
  return new Proxy(list, {
    get: (target, name) => {
      if (name === 'onDidAccept') return accepted.event;
      if (name === 'onDidHide') return hidden.event;
      if (name === 'selectedItems') return chosen;
      if (name === 'show')
        return () => {
          isShown = true;
          setTimeout(answer);
        };
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
    set: (target, name, value) => {
      Reflect.set(target, name, value, target);
      if (name === 'busy' && value === false) setTimeout(answer);
      return true;
    },
  });
}
