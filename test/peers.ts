import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Debian's python3: the one whose numpy, nibabel and torch come from Debian's packages. */
const PYTHON = process.env.FCD_PYTHON ?? '/usr/bin/python3';

/** The checkout's root. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

/** In CI a missing peer is a failure, not a skip. */
export const PEERS_REQUIRED = process.env.FCD_REQUIRE_PEERS === '1';

const known = new Map<string, boolean>();

/** Whether Python can import the module; throws instead of answering no where peers are required. */
export function havePython(moduleName: string): boolean {
  let have = known.get(moduleName);
  if (have === undefined) {
    have = spawnSync(PYTHON, ['-c', `import ${moduleName}`], { stdio: 'ignore' }).status === 0;
    known.set(moduleName, have);
  }
  if (!have && PEERS_REQUIRED)
    throw new Error(`python3 cannot import ${moduleName}, and FCD_REQUIRE_PEERS=1.`);
  return have;
}

/** Runs Python code with arguments and standard input; returns standard output. Throws with its stderr on failure. */
export function python(code: string, args: readonly string[] = [], input?: string | Uint8Array): string {
  const run = spawnSync(PYTHON, ['-c', code, ...args], { input, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (run.status !== 0) throw new Error(`python3 failed (${run.status ?? run.signal}): ${run.stderr}`);
  return run.stdout;
}

/** The folder of real scans, or undefined in a clone that does not have it. */
export function realData(): string | undefined {
  const folder = process.env.FCD_TEST_DATA ?? resolve(ROOT, '..', 'shared', 'data');
  if (existsSync(folder)) return folder;
  if (PEERS_REQUIRED && process.env.FCD_TEST_DATA)
    throw new Error(`FCD_TEST_DATA names ${folder}, which does not exist.`);
  return undefined;
}
