import { spawn, type ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { STOP_FILE } from '../../protocol/run';

/** How long a process may take to the end of its step before it is ended by force. */
const GRACE_MILLISECONDS = 60_000;

export interface WorkRequest {
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Directory of the run or experiment, where a `stop` file is heard. */
  readonly target: string | undefined;
  readonly onText: (text: string) => void;
  /** Once. 130: stopped in a state that can be resumed; null: it was ended by force. */
  readonly onEnd: (code: number | null, failure?: Error) => void;
}

/** A process of the command line that works for a task. It stops at a step, or by force when it does not. */
export class WorkProcess {
  private readonly child: ChildProcess;
  private grace: NodeJS.Timeout | undefined;
  private over = false;

  constructor(
    private readonly request: WorkRequest,
    private readonly graceMilliseconds = GRACE_MILLISECONDS,
  ) {
    const { program, args, cwd, env } = request;
    this.child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], windowsHide: true });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8');
      stream?.on('data', request.onText);
    }
    this.child.once('error', (error) => this.end(null, error));
    // `close` comes after the last text.
    this.child.once('close', (code, signal) => this.end(signal ? null : code));
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  get ended(): boolean {
    return this.over;
  }

  /**
   * Asks the process to stop at its next step; called again, or after the time of grace, it is ended at once. Where the
   * process is ended by force its last checkpoint remains.
   */
  stop(): void {
    if (this.over) return;
    if (this.grace) {
      this.child.kill('SIGKILL');
      return;
    }
    this.grace = setTimeout(() => this.child.kill('SIGKILL'), this.graceMilliseconds);
    if (process.platform === 'win32') this.askByFile();
    else this.child.kill('SIGINT');
  }

  /** Windows has no signal that a process could hear; a run hears a file. What is not a run is ended. */
  private askByFile(): void {
    try {
      if (this.request.target === undefined) throw new Error('not a run');
      writeFileSync(join(this.request.target, STOP_FILE), '');
    } catch {
      this.child.kill();
    }
  }

  private end(code: number | null, failure?: Error): void {
    if (this.over) return;
    this.over = true;
    clearTimeout(this.grace);
    this.request.onEnd(code, failure);
  }
}
