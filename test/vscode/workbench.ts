import { chromium, type Browser, type BrowserContext } from 'playwright-core';
import { locateEditor } from './locate.mjs';
import type { Server } from './server';

export interface Window {
  readonly browser: Browser;
  readonly context: BrowserContext;
}

/** A headless Chromium whose WebGL 2 is computed on the CPU, the same on every machine. */
export async function launchBrowser(width: number, height: number): Promise<Window> {
  const { chromium: executablePath } = locateEditor();
  if (!executablePath)
    throw new Error('No Chromium: apt-get install chromium, or name one in CHROMIUM_PATH.');
  const browser = await chromium.launch({
    executablePath,
    args: [
      '--no-sandbox', // containers of continuous integration run as root
      '--use-gl=angle',
      '--use-angle=swiftshader',
      '--enable-unsafe-swiftshader',
      '--disable-background-networking',
      '--disable-component-update',
    ],
  });
  const context = await browser.newContext({
    viewport: { width, height },
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  return { browser, context };
}

/** Address of a window of the server that has the folder open; `payload` are VS Code's own start options. */
export function windowAddress(
  server: Server,
  folder: string | undefined,
  payload: readonly (readonly [string, string])[] = [],
): string {
  const url = new URL(`http://${server.authority}/`);
  if (folder) url.searchParams.set('folder', folder);
  else url.searchParams.set('ew', 'true');
  url.searchParams.set(
    'payload',
    JSON.stringify([['skipWelcome', 'true'], ['skipReleaseNotes', 'true'], ...payload]),
  );
  return url.toString();
}

/** A path of the server's machine, as a window names it. */
export function remotePath(server: Server, path: string): string {
  return `vscode-remote://${server.authority}${path}`;
}
