import { fork, type ChildProcess, type ForkOptions } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import * as v from 'valibot';
import {
  createMessageConnection,
  IPCMessageReader,
  IPCMessageWriter,
  ProgressType,
  type CancellationToken,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import {
  COMPUTE_SETTINGS,
  ENGINE_OPENED,
  engineReportSchema,
  progressSchema,
  READY,
  type ComputeSettings,
  type EngineReportMessage,
  type Progress,
} from '../../protocol/compute';
import type { Runtime } from '../runtime/runtime';

export interface Launch {
  /** dist/compute/main.js */
  readonly main: string;
  readonly runtime: Runtime;
  readonly settings: ComputeSettings;
}

export interface ChildListener {
  /** A line of its standard output or error. */
  readonly onLine: (line: string) => void;
  readonly onEngine: (report: EngineReportMessage) => void;
}

/** How a process ended: `signal SIGKILL`, `exit code 1`, `spawn node ENOENT`. */
export type Ending = string;

const PROGRESS = new ProgressType<unknown>();

/** The last lines that a process says are often why it ended. */
const LINES_KEPT = 5;

/** One compute process and the connection to it. It ends once, and is not started again. */
export class ComputeChild {
  private readonly child: ChildProcess;
  private readonly connection: MessageConnection;
  private readonly lines: string[] = [];
  private progressNumber = 0;
  private said = false;
  private over = false;
  private readonly started = performance.now();
  /** Resolves when the process has ended, however; never rejects. */
  readonly ended: Promise<Ending>;

  constructor({ main, runtime, settings }: Launch, listener: ChildListener) {
    // execArgv: the extension host's own flags (a debugger's port) are not for the child.
    const options: ForkOptions & { readonly windowsHide: boolean } = {
      execPath: runtime.path,
      execArgv: [...runtime.args],
      env: environment(runtime, settings),
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      serialization: 'json',
      windowsHide: true,
    };
    this.child = fork(main, options);
    this.follow(this.child.stdout, listener.onLine);
    this.follow(this.child.stderr, listener.onLine);
    this.connection = createMessageConnection(
      new IPCMessageReader(this.child),
      new IPCMessageWriter(this.child),
    );
    // A broken channel shows as the end of the process; these need no word of their own.
    this.connection.onError(() => {});
    this.connection.onNotification(READY, () => {
      this.said = true;
    });
    this.connection.onNotification(ENGINE_OPENED, (raw: unknown) => {
      const report = v.safeParse(engineReportSchema, raw);
      if (report.success) listener.onEngine(report.output);
    });
    this.ended = new Promise((resolve) => {
      const end = (how: Ending) => {
        if (this.over) return;
        this.over = true;
        resolve(how);
        this.connection.dispose();
      };
      this.child.once('error', (error) => end(error.message));
      this.child.once('exit', (code, signal) => end(signal ? `signal ${signal}` : `exit code ${code}`));
    });
    this.connection.listen();
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Whether it ever was ready for requests. */
  get ready(): boolean {
    return this.said;
  }

  get milliseconds(): number {
    return performance.now() - this.started;
  }

  /** The last lines it said, for a sentence about why it ended. */
  get lastWords(): string {
    return this.lines.join(' ').trim();
  }

  /** Sends a request. The promise may stay open when the process ends: see {@link ended}. */
  async send(
    method: string,
    params: unknown,
    token: CancellationToken,
    onProgress: (progress: Progress) => void,
  ): Promise<unknown> {
    const progress = ++this.progressNumber;
    const subscription = this.connection.onProgress(PROGRESS, progress, (raw) => {
      const checked = v.safeParse(progressSchema, raw);
      if (checked.success) onProgress(checked.output);
    });
    try {
      return await this.connection.sendRequest<unknown>(method, { progress, params }, token);
    } finally {
      subscription.dispose();
    }
  }

  kill(): void {
    if (!this.over) this.child.kill('SIGKILL');
  }

  private follow(stream: Readable | null, onLine: (line: string) => void): void {
    if (!stream) return;
    createInterface({ input: stream }).on('line', (line) => {
      this.lines.push(line);
      if (this.lines.length > LINES_KEPT) this.lines.shift();
      onLine(line);
    });
  }
}

/** The host's environment without what would attach a debugger to the child or make it another program. */
function environment(runtime: Runtime, settings: ComputeSettings): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env };
  for (const name of ['NODE_OPTIONS', 'VSCODE_INSPECTOR_OPTIONS', 'ELECTRON_RUN_AS_NODE']) delete env[name];
  return { ...env, ...runtime.env, [COMPUTE_SETTINGS]: JSON.stringify(settings) };
}
