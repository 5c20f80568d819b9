import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import * as vscode from 'vscode';
import type { Log } from '../log';
import type { Runtime } from '../runtime/runtime';
import { preferences } from '../settings/settings';
import { trusted } from '../settings/trust';
import { commandLine, type CommandLine } from './command-line';
import { parseDefinition, TASK_TYPE, TaskError, type FcdTaskDefinition } from './task-definition';
import { WorkProcess } from './work-process';
import { WorkTerminal } from './work-terminal';

/** A process that works for a task of this window. */
export interface Work {
  readonly name: string;
  /** Directory of the run or experiment that it makes. */
  readonly target: string | undefined;
  stop(): void;
}

/** Where the command line is and what runs it. */
export interface Program {
  readonly main: string;
  readonly runtime: () => Promise<Runtime>;
}

/** Makes and runs tasks of type `fcd`: each a process of the command line in a terminal. */
export class TaskRunner implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  /** A process began or ended. */
  readonly onDidChange = this.changed.event;
  private readonly works = new Map<Work, WorkProcess>();

  constructor(
    private readonly program: Program,
    private readonly log: Log,
  ) {}

  /** What this window is working on. */
  get running(): readonly Work[] {
    return [...this.works.keys()];
  }

  /** The process of this window that makes a run or experiment, if one does. */
  workOn(directory: string): Work | undefined {
    return this.running.find(({ target }) => target === directory);
  }

  /**
   * A task that can be run. The very object of the definition stays with it: the editor recognises tasks of tasks.json
   * by it.
   */
  task(
    definition: vscode.TaskDefinition,
    name: string,
    scope: vscode.WorkspaceFolder | vscode.TaskScope,
    options: TaskOptions = {},
  ): vscode.Task {
    const { command, onExit } = options;
    const execution = new vscode.CustomExecution(async (resolved) => {
      const folder = folderOf(scope, definition);
      const start = async (write: Write, ended: Ended): Promise<Work> => {
        if (!vscode.workspace.isTrusted)
          throw new TaskError('This workspace is not trusted: no process is started in it.');
        const line =
          command ??
          commandLine(parseDefinition(resolved), folder, preferences(vscode.Uri.file(folder)), free);
        return this.start(name, line, command?.cwd ?? folder, write, ended);
      };
      return new WorkTerminal(start, onExit);
    });
    const task = new vscode.Task(definition, scope, name, TASK_TYPE, execution, `$${TASK_TYPE}`);
    task.presentationOptions = {
      // A report is a page to be read: its terminal comes only where it could not be made.
      reveal: definition.task === 'report' ? vscode.TaskRevealKind.Silent : vscode.TaskRevealKind.Always,
      panel: vscode.TaskPanelKind.Dedicated,
    };
    return task;
  }

  /** Runs a task now. @returns its end, with the exit code; undefined where the workspace is not trusted */
  async run(
    definition: FcdTaskDefinition,
    name: string,
    scope: vscode.WorkspaceFolder | vscode.TaskScope,
    command?: CommandLine & { readonly cwd: string },
  ): Promise<RunningTask | undefined> {
    if (!(await trusted(name))) return undefined;
    let onExit: (code: number) => void = () => undefined;
    const exit = new Promise<number>((resolve) => {
      onExit = resolve;
    });
    const task = this.task(definition, name, scope, { command, onExit });
    return { execution: await vscode.tasks.executeTask(task), exit };
  }

  /** Ends all work at its next step; for the end of the window. */
  dispose(): void {
    for (const process of this.works.values()) process.stop();
    this.changed.dispose();
  }

  private async start(
    name: string,
    { args, target }: CommandLine,
    cwd: string,
    write: (text: string) => void,
    ended: (code: number) => void,
  ): Promise<Work> {
    const { path, args: before, env } = await this.program.runtime();
    const began = performance.now();
    write(`\x1b[2mfcd ${args.map(quoted).join(' ')}\x1b[0m\n`);
    const process = new WorkProcess({
      program: path,
      args: [...before, this.program.main, ...args],
      cwd: existsSync(cwd) ? cwd : dirname(this.program.main),
      env: { ...globalThis.process.env, ...env, FCD_PROGRESS: 'live', FORCE_COLOR: undefined },
      target,
      onText: write,
      onEnd: (code, failure) => {
        this.works.delete(work);
        const how = failure
          ? `did not start: ${failure.message}`
          : code === null
            ? 'was ended by force'
            : `ended with exit code ${code}`;
        this.log.process(process.pid, `fcd ${args.map(quoted).join(' ')}`, how, performance.now() - began);
        if (failure) write(`${path} did not start: ${failure.message}.\n`);
        ended(code ?? (failure ? 1 : 137));
        this.changed.fire();
      },
    });
    const work: Work = {
      name,
      target,
      stop: () => {
        process.stop();
      },
    };
    this.works.set(work, process);
    this.changed.fire();
    return work;
  }
}

export interface RunningTask {
  readonly execution: vscode.TaskExecution;
  /** The exit code of the process, also where its terminal was closed before. */
  readonly exit: Promise<number>;
}

type Write = (text: string) => void;
type Ended = (code: number) => void;

interface TaskOptions {
  /** What to run in place of what the definition says. */
  readonly command?: CommandLine & { readonly cwd: string };
  readonly onExit?: Ended;
}

/** The folder that a task's paths are relative to. */
function folderOf(
  scope: vscode.WorkspaceFolder | vscode.TaskScope,
  definition: vscode.TaskDefinition,
): string {
  if (typeof scope === 'object') return scope.uri.fsPath;
  const first = vscode.workspace.workspaceFolders?.[0];
  if (first) return first.uri.fsPath;
  return typeof definition.cohort === 'string' ? dirname(definition.cohort) : process.cwd();
}

/** The path, or the same with the first number behind it that is free. */
function free(path: string): string {
  if (!existsSync(path)) return path;
  for (let number = 2; ; number++) if (!existsSync(`${path}-${number}`)) return `${path}-${number}`;
}

/** As a person would type it. */
function quoted(argument: string): string {
  return /^[\w./:=+,@%-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", `'\\''`)}'`;
}
