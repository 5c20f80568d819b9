import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { ComputeClient } from '../../../src/extension/compute/client';
import type { FcdLens } from '../../../src/extension/extension';

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
  };
}

/** The manifest as the editor reads it. */
export async function manifest(): Promise<Manifest> {
  const path = join((await extension()).extensionPath, 'package.json');
  return JSON.parse(readFileSync(path, 'utf8')) as Manifest;
}

/** What the extension gives to those who activate it. */
export async function lens(): Promise<FcdLens> {
  return (await extension()).exports as FcdLens;
}

/** The compute process's client, with the id of its process. */
export async function compute(): Promise<ComputeClient> {
  return (await lens()).compute as ComputeClient;
}
