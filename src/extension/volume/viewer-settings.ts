import * as vscode from 'vscode';
import * as v from 'valibot';
import { viewerSettingsSchema, type ViewerSettings } from '../../protocol/viewer';

const SECTION = 'fcd.viewer';

/** The settings of the volume editor, read when they are needed; a value that is none falls back to the default. */
export function viewerSettings(): ViewerSettings {
  const configuration = vscode.workspace.getConfiguration(SECTION);
  const read = v.safeParse(viewerSettingsSchema, {
    convention: configuration.get('convention'),
    maskStyle: configuration.get('maskStyle'),
  });
  return read.success ? read.output : { convention: 'radiological', maskStyle: 'outline' };
}

/** From this size on (inflated, bytes) a file is loaded only after a yes. */
export function askAboveBytes(): number {
  const megabytes = vscode.workspace.getConfiguration(SECTION).get<unknown>('askAboveMegabytes');
  return (typeof megabytes === 'number' && megabytes >= 0 ? megabytes : 512) * 2 ** 20;
}

/** Whether a scan opens with the newest class map that the workspace has for it. */
export function showsNewestMap(): boolean {
  return vscode.workspace.getConfiguration(SECTION).get<unknown>('showNewestMap') !== false;
}

/** Calls back whenever one of the viewer's settings changes. */
export function onViewerSettings(changed: () => void): vscode.Disposable {
  return vscode.workspace.onDidChangeConfiguration((event) => {
    if (event.affectsConfiguration(SECTION)) changed();
  });
}
