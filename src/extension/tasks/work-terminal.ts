import * as vscode from 'vscode';
import type { Work } from './task-runner';

const CTRL_C = '\x03';

/**
 * The terminal of a task. Ctrl-C asks the work to stop at its next step (twice: at once); so do closing the terminal
 * and Terminate Task, after which the work ends by itself. Its exit code is the task's.
 */
export class WorkTerminal implements vscode.Pseudoterminal {
  private readonly writing = new vscode.EventEmitter<string>();
  private readonly closing = new vscode.EventEmitter<number | void>();
  readonly onDidWrite = this.writing.event;
  readonly onDidClose = this.closing.event;
  private work: Work | undefined;
  private closed = false;
  private over = false;

  constructor(
    private readonly start: (write: (text: string) => void, ended: (code: number) => void) => Promise<Work>,
    private readonly onExit: (code: number) => void = () => undefined,
  ) {}

  open(): void {
    this.start(
      (text) => this.write(text),
      (code) => this.end(code),
    ).then(
      (work) => {
        this.work = work;
        if (this.closed) work.stop();
      },
      (error: unknown) => {
        this.write(`${error instanceof Error ? error.message : String(error)}\n`);
        this.end(2);
      },
    );
  }

  close(): void {
    this.closed = true;
    if (!this.over) this.work?.stop();
  }

  handleInput(data: string): void {
    if (data.includes(CTRL_C)) this.work?.stop();
  }

  private end(code: number): void {
    this.over = true;
    this.closing.fire(code);
    this.onExit(code);
  }

  /** Terminals go down a line and back to its start; what runs in a pipe only says the first. */
  private write(text: string): void {
    this.writing.fire(text.replace(/\r?\n/g, '\r\n'));
  }
}
