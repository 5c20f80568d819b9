import * as vscode from 'vscode';
import type { VolumePanel } from '../../../src/extension/volume/volume-panel';
import { eventually } from './eventually';
import { lens } from './extension';

/**
 * Opens a file as a click in the explorer does, and waits until it is drawn.
 * @throws Error with the sentence that the panel shows instead
 */
export async function openVolume(path: string): Promise<VolumePanel> {
  const { volumes } = await lens();
  await vscode.commands.executeCommand('vscode.open', vscode.Uri.file(path));
  const panel = await eventually(`an editor of ${path}`, () =>
    volumes.open.find((one) => one.file === path || one.shown.image === path),
  );
  await panel.whenDrawn();
  return panel;
}
