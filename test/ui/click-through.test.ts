import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeWorkspace } from '../vscode/make-workspace';
import type { Workspace } from '../vscode/workspace';
import { installPackaged, type Installed } from './installed';
import { picture } from './pictures';
import { Workbench } from './workbench';

/** Everything happens in one window, as one sitting of a newcomer: a step begins where the one before ended. */
let installed: Installed;
let workspace: Workspace;
let workbench: Workbench;

beforeAll(async () => {
  installed = await installPackaged(1280, 800);
  const folder = join(installed.scratch, 'epilepsy-study');
  workspace = makeWorkspace(folder, { subjects: 12, size: 64, epochs: 12 });
  workbench = new Workbench(installed.page);
  await installed.open(folder);
});
afterAll(() => installed?.close());

describe('a newcomer with the packaged extension', () => {
  it('finds in the palette what there is to do', async () => {
    await workbench.findCommand('FCD: Show Log');
    await picture(installed.page, 'palette');
    await installed.page.keyboard.press('Escape');
    expect(workspace.scan.real).toBe(true);
  });
});
