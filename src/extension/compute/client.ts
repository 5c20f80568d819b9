import { join } from 'node:path';
import * as vscode from 'vscode';
import type {
  ComputeMethod,
  ComputeParams,
  ComputeResult,
  ComputeSettings,
  EngineReportMessage,
} from '../../protocol/compute';
import type { Log } from '../log';
import type { NodeRuntimes } from '../runtime/node-runtimes';
import { ComputeError, type Activity, type Compute, type RequestOptions } from './compute';
import type { ComputeSupervisor } from './supervisor';

/**
 * The compute process of this window. Starts nothing before the first request, and nothing in an untrusted workspace;
 * what speaks to the process (JSON-RPC, a third of the extension's code) is not even loaded before.
 */
export class ComputeClient implements Compute, vscode.Disposable {
  private supervisor?: ComputeSupervisor;
  private loading?: Promise<ComputeSupervisor>;
  private settings: Partial<ComputeSettings> = {};
  private disposed = false;
  private readonly activities = new vscode.EventEmitter<Activity>();
  private readonly configuration: vscode.Disposable;
  private readonly engines = new vscode.EventEmitter<EngineReportMessage>();
  readonly onActivity = this.activities.event;
  readonly onEngine = this.engines.event;

  /** @param extensionRoot folder of the extension, which holds dist/compute/main.js */
  constructor(
    private readonly extensionRoot: string,
    private readonly runtimes: NodeRuntimes,
    private readonly log: Log,
  ) {
    this.readSettings();
    this.configuration = vscode.workspace.onDidChangeConfiguration((change) => {
      if (
        ['engine', 'threads', 'precision', 'gpuMemory'].some((name) =>
          change.affectsConfiguration(`fcd.${name}`),
        )
      )
        this.readSettings();
      if (change.affectsConfiguration('fcd.node.path')) this.renew('on another Node.js');
      if (change.affectsConfiguration('fcd.tensorflow.path')) this.renew('with another TensorFlow');
    });
  }

  get activity(): Activity {
    return this.supervisor?.activity ?? { kind: 'stopped' };
  }

  get engine(): EngineReportMessage | undefined {
    return this.supervisor?.engine;
  }

  /** The process's id, where there is one. */
  get pid(): number | undefined {
    return this.supervisor?.pid;
  }

  setBackground(background: boolean): void {
    this.change({ background });
  }

  /** Has the process make way for another when it is idle. @param how the other one goes on */
  renew(how: string): void {
    this.supervisor?.renew(how);
  }

  async request<M extends ComputeMethod>(
    method: M,
    params: ComputeParams<M>,
    { token, onProgress, timeoutMs }: RequestOptions = {},
  ): Promise<ComputeResult<M>> {
    if (!vscode.workspace.isTrusted)
      throw new ComputeError(
        'refused',
        'This workspace is not trusted, so FCD Lens computes nothing in it and starts no process. Trust it first ("Workspaces: Manage Workspace Trust").',
      );
    const stop = new AbortController();
    if (token?.isCancellationRequested) stop.abort();
    const subscription = token?.onCancellationRequested(() => stop.abort());
    try {
      const supervisor = await this.load();
      return await supervisor.request(method, params, { signal: stop.signal, onProgress, timeoutMs });
    } catch (error) {
      if (error instanceof ComputeError && error.kind === 'cancelled') throw new vscode.CancellationError();
      throw error;
    } finally {
      subscription?.dispose();
    }
  }

  dispose(): void {
    this.disposed = true;
    this.configuration.dispose();
    this.supervisor?.dispose();
    this.activities.dispose();
    this.engines.dispose();
  }

  private load(): Promise<ComputeSupervisor> {
    this.loading ??= import('./supervisor').then((module) => {
      const supervisor = new module.ComputeSupervisor({
        main: join(this.extensionRoot, 'dist', 'compute', 'main.js'),
        runtime: () => this.runtimes.runtimeFor(),
        log: this.log,
      });
      supervisor.change(this.settings);
      supervisor.onActivity((activity) => this.activities.fire(activity));
      supervisor.onEngine((engine) => this.engines.fire(engine));
      if (this.disposed) supervisor.dispose();
      this.supervisor = supervisor;
      return supervisor;
    });
    return this.loading;
  }

  private change(part: Partial<ComputeSettings>): void {
    this.settings = { ...this.settings, ...part };
    this.supervisor?.change(part);
  }

  private readSettings(): void {
    const settings = vscode.workspace.getConfiguration('fcd');
    this.change({
      engine: settings.get<string>('engine', 'auto'),
      threads: settings.get<number>('threads', 0),
      precision: settings.get<ComputeSettings['precision']>('precision', 'f32'),
      gpuMemory: settings.get<number>('gpuMemory', 0),
    });
  }
}
