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

export interface Notice {
  readonly kind: 'error' | 'information' | 'warning';
  readonly message: string;
  /** Of a dialog that waits for its answer. */
  readonly detail?: string;
}

/**
 * Hears what the extension says while something is done. @param answer the button that a person presses, by what is said
 */
export async function noticesOf(
  work: () => Thenable<unknown>,
  answer: (notice: Notice, buttons: readonly string[]) => string | undefined = () => undefined,
): Promise<Notice[]> {
  const said: Notice[] = [];
  type Show = (message: string, ...rest: readonly unknown[]) => Thenable<string | undefined>;
  const window = vscode.window as unknown as Record<string, Show>;
  const names = {
    showErrorMessage: 'error',
    showInformationMessage: 'information',
    showWarningMessage: 'warning',
  } as const;
  const before = Object.fromEntries(Object.keys(names).map((name) => [name, window[name]]));
  for (const [name, kind] of Object.entries(names))
    window[name] = (message, ...rest) => {
      const [options] = rest.filter((one) => typeof one === 'object' && one !== null);
      const notice = { kind, message, detail: (options as vscode.MessageOptions | undefined)?.detail };
      said.push(notice);
      const buttons = rest.filter((one): one is string => typeof one === 'string');
      return Promise.resolve(answer(notice, buttons));
    };
  try {
    await work();
  } finally {
    Object.assign(window, before);
  }
  return said;
}
