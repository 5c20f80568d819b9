import * as vscode from 'vscode';
import { Log } from './log';
import { VolumeEditor } from './volume/volume-editor';

/** What the extension gives to others that activate it: tests, and extensions that open cases. */
export interface FcdLens {
  readonly volumes: VolumeEditor;
}

/** Puts the features together; each lives in a folder of its own and returns what must be disposed of. */
export function activate(context: vscode.ExtensionContext): FcdLens {
  const log = new Log();
  const volumes = new VolumeEditor(context.extensionUri, log);
  context.subscriptions.push(
    log,
    volumes,
    vscode.commands.registerCommand('fcd.showLog', () => log.show()),
  );
  return { volumes };
}
