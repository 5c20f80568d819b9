import * as vscode from 'vscode';
import type { Activity, Compute } from '../compute/compute';
import { factsTable } from '../runs/facts-table';
import { progressText } from '../runs/run-text';
import type { Runs } from '../runs/runs';
import type { TaskRunner } from '../tasks/task-runner';
import { statusFacts, statusText } from './status-text';

/** Engine, threads and what is being computed; a click shows the log. */
export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem(
    'fcd.status',
    vscode.StatusBarAlignment.Right,
    90,
  );
  private readonly disposables: vscode.Disposable[];

  constructor(
    private readonly compute: Compute,
    private readonly runner: TaskRunner,
    private readonly runs: Runs,
  ) {
    this.item.name = 'FCD Lens';
    this.item.command = 'fcd.statusActions';
    this.disposables = [
      this.item,
      compute.onActivity(() => this.draw()),
      compute.onEngine(() => this.draw()),
      runner.onDidChange(() => {
        compute.setBackground(runner.running.length > 0);
        this.draw();
      }),
      runs.onDidChange(() => this.draw()),
      vscode.commands.registerCommand('fcd.statusActions', () => choose()),
    ];
    this.draw();
    this.item.show();
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }

  private draw(): void {
    const { activity } = this.compute;
    const run = this.runs.ownRun;
    const engine = this.compute.engine;
    const recorded = run?.record?.engine;
    // A task has the machine: what it computes with counts, not the one thread left to the editor.
    const taskEngine = recorded && {
      engine: recorded.name,
      module: recorded.module ?? null,
      threads: recorded.threads,
      precision: recorded.precision ?? 'f32',
    };
    const busy = activity.kind === 'busy' ? activity : undefined;
    const crashed = activity.kind === 'crashed' ? activity.sentence : undefined;
    this.item.text = statusText({
      engine: taskEngine ?? engine,
      run: run && progressText(run),
      busy: busy && { what: busy.what, fraction: busy.progress?.fraction ?? null },
      crashed,
      tasks: this.runner.running.length,
    });
    this.item.tooltip = factsTable(
      'FCD Lens',
      statusFacts({
        tasks: this.runner.running.map(({ name }) => name),
        run: run && { progress: progressText(run), engine: taskEngine },
        state: crashed ?? (busy ? doingText(busy) : activity.kind === 'idle' ? 'idle' : 'not running'),
        engine,
      }),
    );
  }
}

/** `explaining sub-01: Running layer3`. */
function doingText({ what, progress }: Extract<Activity, { kind: 'busy' }>): string {
  return progress ? `${what}: ${progress.detail}` : what;
}

async function choose(): Promise<void> {
  const actions = [
    { label: '$(output) Show Log', command: 'fcd.showLog' },
    { label: '$(circuit-board) Select Engine', command: 'fcd.selectEngine' },
    { label: '$(list-tree) Show Runs', command: 'fcd.runs.focus' },
    { label: '$(debug-stop) Stop Run', command: 'fcd.stopRun' },
  ];
  const chosen = await vscode.window.showQuickPick(actions, { title: 'FCD Lens' });
  if (chosen) await vscode.commands.executeCommand(chosen.command);
}
