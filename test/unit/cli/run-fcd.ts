import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { ROOT } from '../../peers';

export const BIN = join(ROOT, 'bin', 'fcd');

export interface Ended {
  /** Exit code; null where a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface HowToRun {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** The process leads a group of its own, as a shell's job does. */
  readonly group?: boolean;
}

/** Starts the command line as a person does. */
export function start(
  args: readonly string[],
  { cwd, env, group }: HowToRun = {},
): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
  const child = spawn(process.execPath, [BIN, ...args], {
    cwd,
    detached: group,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, FCD_NODE: process.execPath, ...env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
}

export function fcd(args: readonly string[], how: HowToRun = {}): Promise<Ended> {
  return start(args, how).ended;
}

/** What a command that must succeed prints as JSON, which must be all that is on its standard output. */
export async function fcdJson(args: readonly string[], how: HowToRun = {}): Promise<unknown> {
  const { code, stdout, stderr } = await fcd([...args, '--json'], how);
  if (code !== 0) throw new Error(`fcd ${args.join(' ')} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout);
}

/** A folder that goes with the test file. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'fcd-cli-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
