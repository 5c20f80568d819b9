// `npm run test:host [-- --grep WORDS]`: runs the suites of this folder inside the extension host of a real VS Code.
//   VSCODE_EXECUTABLE_PATH=/path/to/code   a desktop VS Code (under xvfb-run on a machine without a screen)
//   VSCODE_TEST_VERSION=stable|1.100.0     downloads one
//   otherwise                              the VS Code server of .vscode-server/ in a headless Chromium
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runTests } from '@vscode/test-electron';
import { setUpServer } from '../../scripts/vscode-server.mjs';
import { RESULTS, ROOT, locateEditor } from '../vscode/locate.mjs';
import { TINY_WORKSPACE, makeWorkspace } from '../vscode/make-workspace';
import type { HostResults } from './index';

/** A window each: which suites, and whether its folder is trusted. */
const WINDOWS = [
  { name: 'trusted', suites: '.', trusted: true },
  { name: 'untrusted', suites: 'untrusted', trusted: false },
] as const;

/** Windows opened only to measure how long the extension takes to activate, beside those above. */
const ACTIVATIONS = 3;

const { values } = parseArgs({ options: { grep: { type: 'string' }, window: { type: 'string' } } });
const out = join(RESULTS, 'host');
process.exitCode = await main();

async function main(): Promise<number> {
  const problem = setUpServer();
  if (problem) return skipAll(problem);
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });

  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const { name, suites, trusted } of WINDOWS) {
    if (values.window && values.window !== name) continue;
    if (!trusted && locateEditor().desktop) {
      // @vscode/test-electron tells every desktop VS Code to trust all folders.
      console.log(`skipped ${name}: a desktop VS Code under test trusts every folder`);
      total.skipped++;
      continue;
    }
    const results = await openWindow(name, suites, trusted);
    for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += results[key];
    if (results.host) console.log(`${name}: ${results.host}`);
  }
  if (!values.grep && (values.window ?? 'activation') === 'activation')
    for (let i = 1; i <= ACTIVATIONS; i++) await openWindow(`activation-${i}`, 'none', true);
  printFigures();
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed > 0 ? 1 : 0;
}

/** Where the editor cannot be had, its tests skip by name, which is a failure where peers are required. */
function skipAll(problem: string): number {
  const required = process.env.FCD_REQUIRE_PEERS === '1';
  console.log(`${required ? 'FAILED ' : 'skipped'} tests inside VS Code: ${problem}`);
  console.log(required ? '0 passed, 1 failed, 0 skipped' : '0 passed, 0 failed, 1 skipped');
  return required ? 1 : 0;
}

async function openWindow(name: string, suites: string, trusted: boolean): Promise<HostResults> {
  const folder = join(out, name);
  const scratch = mkdtempSync(join(tmpdir(), 'fcd-host-'));
  const results = join(folder, 'results.json');
  const workspace = join(scratch, 'workspace');
  mkdirSync(folder, { recursive: true });
  mkdirSync(workspace);
  if (suites !== 'none') makeWorkspace(workspace, TINY_WORKSPACE);
  mkdirSync(join(ROOT, 'dist/host-tests/none'), { recursive: true });
  let problem: unknown;
  try {
    await runTests({
      vscodeExecutablePath: process.env.VSCODE_EXECUTABLE_PATH ?? standIn(),
      version: process.env.VSCODE_TEST_VERSION,
      extensionDevelopmentPath: ROOT,
      extensionTestsPath: join(ROOT, 'dist/host-tests/index.cjs'),
      launchArgs: [workspace, `--extensions-dir=${scratch}/extensions`, `--user-data-dir=${scratch}/user`],
      extensionTestsEnv: {
        FCD_HOST_SUITES: suites,
        FCD_HOST_RESULTS: results,
        FCD_HOST_OUT: folder,
        FCD_HOST_FIGURES: join(out, 'figures.jsonl'),
        FCD_HOST_GREP: values.grep ?? '',
        FCD_HOST_TRUST: trusted ? 'all' : 'none',
      },
    });
  } catch (error) {
    problem = error;
  } finally {
    rmSync(scratch, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
  if (existsSync(results)) return JSON.parse(readFileSync(results, 'utf8')) as HostResults;
  console.error(
    `FAILED  the window "${name}" left no results: ${String(problem)}. Its logs are in ${folder}.`,
  );
  return { passed: 0, failed: 1, skipped: 0, tests: [], host: '' };
}

function standIn(): string | undefined {
  return process.env.VSCODE_TEST_VERSION ? undefined : join(ROOT, 'dist/host-tests/headless-code.mjs');
}

/** Medians of what the windows measured, for people; kept in test-results/figures.json. */
function printFigures(): void {
  const kept = join(out, 'figures.jsonl');
  if (!existsSync(kept)) return;
  const all = new Map<string, number[]>();
  for (const line of readFileSync(kept, 'utf8').trim().split('\n')) {
    const { name, milliseconds } = JSON.parse(line) as { name: string; milliseconds: number };
    all.set(name, [...(all.get(name) ?? []), milliseconds]);
  }
  const figures = [...all].map(([name, values]) => {
    const sorted = values.sort((a, b) => a - b);
    return { name, medianMs: sorted[Math.floor(sorted.length / 2)], values: sorted };
  });
  writeFileSync(join(RESULTS, 'figures.json'), JSON.stringify(figures, null, 2));
  for (const { name, medianMs, values } of figures)
    console.log(
      `${name} ${medianMs.toFixed(1)} ms (median of ${values.length}: ${values[0].toFixed(1)} to ${values[values.length - 1].toFixed(1)})`,
    );
}
