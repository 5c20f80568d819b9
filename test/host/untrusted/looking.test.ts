import { equal } from 'node:assert/strict';
import * as vscode from 'vscode';
import { extension } from '../support/extension';

describe('in a folder that is not trusted', () => {
  it('the editor says so and the extension is there all the same', async () => {
    equal(vscode.workspace.isTrusted, false);
    equal((await extension()).isActive, true);
  });
});
