import * as vscode from 'vscode';
import type { CheckpointPanel } from '../../../src/extension/checkpoint/checkpoint-panel';
import type { InspectorSnapshot } from '../../../src/protocol/inspector';
import { eventually } from './eventually';
import { lens } from './extension';

/** Opens a file as a click in the explorer does. */
export async function openCheckpoint(path: string): Promise<CheckpointPanel> {
  const { checkpoints } = await lens();
  await vscode.commands.executeCommand('vscode.open', vscode.Uri.file(path));
  return eventually(`an editor of ${path}`, () => checkpoints.open.find(({ file }) => file === path));
}

/** Waits until the page shows something. */
export function untilShown(
  panel: CheckpointPanel,
  what: string,
  test: (snapshot: InspectorSnapshot) => boolean,
): Promise<InspectorSnapshot> {
  return eventually(what, async () => {
    const snapshot = await panel.snapshot().catch(() => undefined); // not drawn yet
    return snapshot !== undefined && test(snapshot) && snapshot;
  });
}
