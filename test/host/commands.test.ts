import { equal, ok } from 'node:assert/strict';
import * as vscode from 'vscode';
import { extension, manifest } from './support/extension';

describe('the extension', () => {
  it('activates', async () => {
    equal((await extension()).isActive, true);
  });

  it('registers every command that it contributes', async () => {
    const registered = new Set(await vscode.commands.getCommands(true));
    for (const { command } of (await manifest()).contributes.commands)
      ok(registered.has(command), `${command} is in the palette and does nothing`);
  });

  it('has no untranslated name in the palette, the settings or the views', async () => {
    const { contributes } = (await extension()).packageJSON as { contributes: unknown };
    const text = JSON.stringify(contributes);
    ok(!/"%[\w.]+%"/.test(text), text.match(/"%[\w.]+%"/)?.[0]);
  });
});
