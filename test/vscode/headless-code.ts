#!/usr/bin/env node
// Stands in for a desktop VS Code's executable where there is none: takes its arguments (as @vscode/test-electron and
// @vscode/test-cli pass them), runs the VS Code server and its window in a headless Chromium, and exits with the exit
// code of the test run. While it runs, `POST $FCD_HOST_CONTROL/screenshot?path=FILE` takes a picture of the window.
import { createWriteStream, mkdirSync } from 'node:fs';
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { RESULTS } from './locate.mjs';
import { startServer } from './server';
import { DISTRUSTING_SETTINGS, QUIET_SETTINGS, TRUSTING_SETTINGS } from './settings';
import { launchBrowser, remotePath, windowAddress } from './workbench';

const MINUTE = 60_000;

/** What the workbench says on its own account, of no interest to the reader of a test run. */
const CHATTER =
  /^(%c)?\s*(INFO|Canceled|Resolv(ing|ed) connection token|Creating a socket|Updating additional builtin|\[(AgentHost|Chat|chat-|AccountPolicyGate|DefaultAccount|reconnection-grace-time|Service Worker)|(Failed: )?getaddrinfo|(Error: )?Timed out waiting for auth)/;

interface Arguments {
  readonly folder?: string;
  readonly developed: readonly string[];
  readonly tests?: string;
  readonly extensions?: string;
  readonly userData?: string;
  /** A desktop VS Code trusts every folder when this is given, and so do we. */
  readonly trusting: boolean;
}

process.exitCode = await main(parseArguments(process.argv.slice(2)));

function parseArguments(given: readonly string[]): Arguments {
  const named = (name: string) =>
    given.filter((one) => one.startsWith(`--${name}=`)).map((one) => one.slice(name.length + 3));
  const folder = given.find((one) => !one.startsWith('--'));
  return {
    folder: folder === undefined ? undefined : resolve(folder),
    developed: named('extensionDevelopmentPath').map((path) => resolve(path)),
    tests: named('extensionTestsPath').map((path) => resolve(path))[0],
    extensions: named('extensions-dir')[0],
    userData: named('user-data-dir')[0],
    // @vscode/test-electron always gives the switch, so a run without trust has to be asked for in the environment.
    trusting: given.includes('--disable-workspace-trust') && process.env.FCD_HOST_TRUST !== 'none',
  };
}

async function main(asked: Arguments): Promise<number> {
  const results = process.env.FCD_HOST_OUT ?? RESULTS;
  mkdirSync(results, { recursive: true });
  let page: Page | undefined;
  const control = await listenForScreenshots(() => page);
  const server = await startServer({
    extensions: asked.extensions,
    userData: asked.userData,
    settings: { ...QUIET_SETTINGS, ...(asked.trusting ? TRUSTING_SETTINGS : DISTRUSTING_SETTINGS) },
    env: { FCD_HOST_CONTROL: `http://127.0.0.1:${(control.address() as AddressInfo).port}` },
    log: join(results, 'server.log'),
    development: true,
  });
  const { browser, context } = await launchBrowser(1400, 900);
  const stop = async () => {
    await browser.close();
    await server.stop();
    control.close();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void stop().finally(() => process.exit(130)));

  try {
    page = await context.newPage();
    const { exited } = await watch(page, results);
    await page.goto(
      windowAddress(server, asked.folder, [
        ...asked.developed.map((path) => ['extensionDevelopmentPath', remotePath(server, path)] as const),
        ...(asked.tests ? [['extensionTestsPath', remotePath(server, asked.tests)] as const] : []),
      ]),
    );
    const end = await Promise.race([
      exited,
      // A normal end is told by the window, a moment before its extension host is gone.
      server.hostEnded.then((how) => delay(3000, how ?? 1)),
      new Promise<string>((tell) => page?.once('crash', () => tell('The window crashed.'))),
      delay(Number(process.env.FCD_HOST_MINUTES ?? 15) * MINUTE, 'The tests took too long.', { ref: false }),
    ]);
    // A window whose extension host died also tells 0: believe that only of a host that ended by itself.
    const code = end === 0 ? ((await Promise.race([server.hostEnded, delay(3000, undefined)])) ?? 0) : end;
    if (typeof code === 'number') return code;
    console.error(code);
    await page.screenshot({ path: join(results, 'end.png') }).catch(() => undefined);
    return 1;
  } finally {
    await stop();
  }
}

/** Prints what the extension host prints, keeps what the window prints; tells the exit code once the window does. */
async function watch(page: Page, results: string): Promise<{ readonly exited: Promise<number> }> {
  const log = createWriteStream(join(results, 'window.log'));
  page.on('console', (message) => log.write(`[${message.type()}] ${message.text()}\n`));
  page.on('pageerror', (error) => log.write(`[page error] ${error.stack ?? error.message}\n`));
  await page.exposeFunction('codeAutomationLog', (kind: string, parts: unknown[]) => {
    if (parts.slice(0, 2).some((part) => CHATTER.test(String(part)))) return;
    (kind === 'error' || kind === 'warn' ? console.error : console.log)(...parts);
  });
  let tell: (code: number) => void;
  const exited = new Promise<number>((resolve) => (tell = resolve));
  await page.exposeFunction('codeAutomationExit', (code: number) => tell(code));
  return { exited };
}

function listenForScreenshots(page: () => Page | undefined): Promise<HttpServer> {
  const control = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://localhost');
    const path = url.searchParams.get('path');
    const shown = page();
    if (request.method !== 'POST' || url.pathname !== '/screenshot' || !path || !shown) {
      response.writeHead(404).end();
      return;
    }
    mkdirSync(dirname(path), { recursive: true });
    shown.screenshot({ path }).then(
      () => response.end(),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  return new Promise((ready) => control.listen(0, '127.0.0.1', () => ready(control)));
}
