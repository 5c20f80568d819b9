import { spawn } from 'node:child_process';
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';

/** The person stopped the trial; what is finished stays, and the same command goes on. */
export class Stopped extends Error {}

/**
 * Runs `fcd` at low priority, so that the machine stays usable for hours; its progress goes to the terminal.
 * @param root the checkout
 * @throws Stopped where it was interrupted; Error with the command line where it failed
 */
export async function runFcd(root: string, args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [join(root, 'bin', 'fcd'), ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, FCD_NODE: process.execPath },
  });
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_LOW);
  // A terminal's Ctrl-C reaches the child by itself; what is sent to this process alone is passed on.
  const pass = (): void => void child.kill('SIGINT');
  process.on('SIGTERM', pass);
  process.on('SIGINT', pass);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', resolve);
    });
    if (code === 130 || code === null) throw new Stopped('Stopped. The same command goes on.');
    if (code !== 0) throw new Error(`This failed with exit code ${code}: fcd ${args.join(' ')}`);
  } finally {
    process.off('SIGTERM', pass);
    process.off('SIGINT', pass);
  }
}
