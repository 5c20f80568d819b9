import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { VolumeEditor } from '../../../src/extension/volume/volume-editor';

export const EXTENSION = 'fcd-lens.fcd-lens';

/** The extension under test; activates it. */
export async function extension(): Promise<vscode.Extension<unknown>> {
  const found = vscode.extensions.getExtension(EXTENSION);
  if (!found) throw new Error(`The editor does not know ${EXTENSION}.`);
  if (!found.isActive) await found.activate();
  return found;
}

interface Manifest {
  readonly contributes: {
    readonly commands: readonly {
      readonly command: string;
      readonly title: string;
      readonly category?: string;
    }[];
    readonly views?: Readonly<Record<string, readonly { readonly id: string; readonly name: string }[]>>;
    readonly configuration: { readonly properties: Readonly<Record<string, { readonly default: unknown }>> };
  };
}

/** The manifest as the editor reads it. */
export async function manifest(): Promise<Manifest> {
  const path = join((await extension()).extensionPath, 'package.json');
  return JSON.parse(readFileSync(path, 'utf8')) as Manifest;
}

/** The volume editors of the extension under test. */
export async function volumeEditor(): Promise<VolumeEditor> {
  return ((await extension()).exports as { readonly volumes: VolumeEditor }).volumes;
}
