import * as vscode from 'vscode';
import type { Log } from '../log';
import { chooseRuntime, thisHost, type Runtime } from './runtime';

/** The Node.js that runs the compute process and tasks: chosen once, and again when the setting has changed. */
export class NodeRuntimes {
  private chosen?: { readonly setting: string; readonly runtime: Promise<Runtime> };

  constructor(
    private readonly extensionRoot: string,
    private readonly log: Pick<Log, 'info'>,
    /** What processes are to be told in their environment beyond what the runtime needs. */
    private readonly environment: () => Readonly<Record<string, string>> = () => ({}),
  ) {}

  /** @throws RuntimeSettingError whose message can be shown as it is */
  async runtimeFor(): Promise<Runtime> {
    const runtime = await this.present();
    return { ...runtime, env: { ...runtime.env, ...this.environment() } };
  }

  private present(): Promise<Runtime> {
    const setting = vscode.workspace.getConfiguration('fcd').get<string>('node.path', '').trim();
    if (this.chosen?.setting === setting) return this.chosen.runtime;
    const chosen = { setting, runtime: this.choose(setting) };
    this.chosen = chosen;
    // A setting that was wrong may be right the next time: the file may have come since.
    chosen.runtime.catch(() => {
      if (this.chosen === chosen) this.chosen = undefined;
    });
    return chosen.runtime;
  }

  private async choose(setting: string): Promise<Runtime> {
    const runtime = await chooseRuntime(thisHost(setting, this.extensionRoot));
    this.log.info(`Node.js ${runtime.version} (${runtime.path}): ${runtime.reason}`);
    return runtime;
  }
}
