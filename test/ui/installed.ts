import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { makeVsix } from '../../scripts/package.mjs';
import { RESULTS, locateEditor } from '../vscode/locate.mjs';
import { cleanEnvironment, startServer } from '../vscode/server';
import { QUIET_SETTINGS, TRUSTING_SETTINGS } from '../vscode/settings';
import { launchBrowser, windowAddress } from '../vscode/workbench';

export interface Installed {
  readonly page: Page;
  /** A folder that goes away at the end. */
  readonly scratch: string;
  /** Opens a folder in the window, as a fresh start of the editor does. */
  open(folder: string): Promise<void>;
  close(): Promise<void>;
}

/** A fresh editor into which the packaged extension is installed, the way a person installs a .vsix. */
export async function installPackaged(width: number, height: number): Promise<Installed> {
  const scratch = mkdtempSync(join(tmpdir(), 'fcd-ui-'));
  const extensions = join(scratch, 'extensions');
  const vsix = join(scratch, 'fcd-lens.vsix');
  await makeVsix(vsix);
  const { server: main, node } = locateEditor();
  const install = spawnSync(
    node as string,
    [
      main,
      '--install-extension',
      vsix,
      '--extensions-dir',
      extensions,
      '--server-data-dir',
      join(scratch, 'install'),
    ],
    { encoding: 'utf8', env: cleanEnvironment() },
  );
  if (install.status !== 0) throw new Error(`The .vsix does not install: ${install.stdout}${install.stderr}`);

  mkdirSync(join(RESULTS, 'ui'), { recursive: true });
  const server = await startServer({
    extensions,
    settings: { ...QUIET_SETTINGS, ...TRUSTING_SETTINGS },
    log: join(RESULTS, 'ui', 'server.log'),
  });
  const { browser, context } = await launchBrowser(width, height);
  const page = await context.newPage();
  const said: string[] = [];
  page.on('console', (message) => said.push(`[${message.type()}] ${message.text()}`));
  page.on('pageerror', (error) => said.push(`[page error] ${error.stack ?? error.message}`));
  return {
    page,
    scratch,
    open: async (folder) => {
      await page.goto(windowAddress(server, folder));
      await page.locator('.explorer-folders-view .monaco-list-row').first().waitFor({ timeout: 60_000 });
    },
    close: async () => {
      writeFileSync(join(RESULTS, 'ui', 'window.log'), said.join('\n'));
      await browser.close();
      await server.stop();
      rmSync(scratch, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}
