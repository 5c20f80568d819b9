import { appendFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import Mocha from 'mocha';
import * as vscode from 'vscode';
import { EXTENSION } from './support/extension';
import { keepFigure } from './support/figures';
import { photographFailure } from './support/screenshot';

/** What the launcher believes, instead of an exit code that a dying editor can get wrong. */
export interface HostResults {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** A line per test, failures with their stack. */
  readonly tests: readonly string[];
  readonly host: string;
}

/** VS Code requires this file in the extension host and awaits this function. */
export async function run(): Promise<void> {
  const suites = join(__dirname, process.env.FCD_HOST_SUITES ?? '.');
  const out = process.env.FCD_HOST_RESULTS;
  await measureActivation();

  const mocha = new Mocha({
    ui: 'bdd',
    timeout: 120_000,
    grep: process.env.FCD_HOST_GREP || undefined,
    reporter: Mocha.reporters.Base, // silent: the lines below are the report
  });
  for (const name of readdirSync(suites).sort())
    if (name.endsWith('.test.cjs')) mocha.addFile(join(suites, name));

  const tests: string[] = [];
  const say = (line: string) => {
    tests.push(line);
    console.log(line);
    if (out) appendFileSync(`${out}.log`, `${line}\n`); // what a killed host got to
  };
  await new Promise<void>((resolve, reject) => {
    const runner = mocha.run((failures) => {
      const stats = runner.stats;
      const results: HostResults = {
        passed: stats?.passes ?? 0,
        failed: failures,
        skipped: stats?.pending ?? 0,
        tests,
        host: `${vscode.env.appName} ${vscode.version}, Node ${process.version}`,
      };
      if (out) writeFileSync(out, JSON.stringify(results, null, 2));
      if (failures > 0) reject(new Error(`${failures} failed`));
      else resolve();
    });
    runner.on('pass', (test) => say(`ok      ${test.fullTitle()} (${test.duration} ms)`));
    runner.on('pending', (test) => say(`skipped ${test.fullTitle()}`));
    runner.on('fail', (test, error: Error) => {
      say(`FAILED  ${test.fullTitle()}\n${error.stack ?? error.message}`);
      photographFailure(test.fullTitle());
    });
  });
}

/**
 * Times what activation takes of the extension itself: loading its code, and its activate(). Both are timed where VS
 * Code asks for them; what VS Code does around them (its own storage, the way to the window and back) is not ours. The
 * processor's time of the host's thread stands beside it: a busy machine prolongs the one and hardly the other.
 */
async function measureActivation(): Promise<void> {
  const extension = vscode.extensions.getExtension(EXTENSION);
  if (!extension) throw new Error(`The editor does not know ${EXTENSION}.`);
  if (extension.isActive) return; // something shown at start wanted it; then nothing is measured
  const main = join(extension.extensionPath, (extension.packageJSON as { main: string }).main);
  const load = createRequire(__filename); // shares the cache that VS Code loads extensions through
  const loading = stopwatch();
  const code = load(main) as { activate(context: vscode.ExtensionContext): unknown };
  const loadingTook = loading();
  const loaded = load.cache[load.resolve(main)];
  if (!loaded) throw new Error(`${main} is not where Node keeps what it loaded.`);
  loaded.exports = {
    ...code,
    activate: (context: vscode.ExtensionContext) => {
      const activating = stopwatch();
      const result = code.activate(context);
      const took = activating();
      keepFigure('activation', loadingTook.wall + took.wall);
      if (loadingTook.cpu !== undefined && took.cpu !== undefined)
        keepFigure('activation, processor time', loadingTook.cpu + took.cpu);
      return result;
    },
  };
  await extension.activate();
}

/** Milliseconds on the wall and, where this Node tells, of this thread on a processor. */
function stopwatch(): () => { readonly wall: number; readonly cpu: number | undefined } {
  const { threadCpuUsage } = process as { threadCpuUsage?: (before?: NodeJS.CpuUsage) => NodeJS.CpuUsage };
  const cpu = threadCpuUsage?.();
  const wall = performance.now();
  return () => {
    const used = cpu && threadCpuUsage?.(cpu);
    return { wall: performance.now() - wall, cpu: used && (used.user + used.system) / 1000 };
  };
}
