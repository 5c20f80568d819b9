import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { STOP_FILE, type ProcessRecord } from '../../protocol/run';
import { writeJson } from '../files/whole';

/** Looking at the disk costs little, but steps of small networks take milliseconds. */
const MILLISECONDS_BETWEEN_LOOKS = 500;

/**
 * What a run shows of the process that computes it, and hears from outside: process.json says who it is, and a file
 * `stop` in one of the directories asks it to end at its next step.
 */
export class RunProcess {
  /** Aborted once a file `stop` was seen, or when the outer signal aborts. */
  readonly signal: AbortSignal;
  private readonly controller = new AbortController();
  private lastLook = 0;

  private constructor(
    private readonly runPath: string,
    private readonly stopFiles: readonly string[],
    outer: AbortSignal | undefined,
  ) {
    const { signal } = this.controller;
    this.signal = outer ? AbortSignal.any([outer, signal]) : signal;
  }

  /**
   * Announces this process in the run's directory. A `stop` that was meant for an earlier process is forgotten.
   * @param directories in which a file `stop` counts: the run's own first, then the experiment's
   */
  static async begin(directories: readonly [string, ...string[]], outer?: AbortSignal): Promise<RunProcess> {
    const stopFiles = directories.map((directory) => join(directory, STOP_FILE));
    await rm(stopFiles[0], { force: true });
    const record: ProcessRecord = {
      schema: 1,
      host: hostname(),
      pid: process.pid,
      started: new Date().toISOString(),
    };
    await writeJson(join(directories[0], 'process.json'), record);
    return new RunProcess(directories[0], stopFiles, outer);
  }

  /** Looks for a wish to stop; called at every step. */
  look(): void {
    const now = performance.now();
    if (this.signal.aborted || now - this.lastLook < MILLISECONDS_BETWEEN_LOOKS) return;
    this.lastLook = now;
    if (this.stopFiles.some((path) => existsSync(path))) this.controller.abort();
  }

  /** Nobody computes the run any more. */
  async end(): Promise<void> {
    await Promise.all(
      [join(this.runPath, 'process.json'), ...this.stopFiles].map((path) => rm(path, { force: true })),
    );
  }
}
