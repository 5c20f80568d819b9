import * as vscode from 'vscode';
import { Log } from './log';

/** Puts the features together; each lives in a folder of its own and returns what must be disposed of. */
export function activate(context: vscode.ExtensionContext): void {
  const log = new Log();
  context.subscriptions.push(
    log,
    vscode.commands.registerCommand('fcd.showLog', () => log.show()),
  );
}
