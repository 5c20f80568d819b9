import * as vscode from 'vscode';

/** The output channel "FCD Lens": what was started, for how long, and what went wrong. */
export class Log implements vscode.Disposable {
  private readonly channel = vscode.window.createOutputChannel('FCD Lens', { log: true });

  info(line: string): void {
    this.channel.info(line);
  }

  warn(line: string): void {
    this.channel.warn(line);
  }

  error(line: string): void {
    this.channel.error(line);
  }

  /** One line per process, when it ends: `#4711 fcd train --cohort … ended with exit code 0 after 81234 ms`. */
  process(pid: number | undefined, command: string, ended: string, milliseconds: number): void {
    this.info(`#${pid ?? '?'} ${command} ${ended} after ${Math.round(milliseconds)} ms`);
  }

  show(): void {
    this.channel.show(true);
  }

  dispose(): void {
    this.channel.dispose();
  }
}
