import { basename } from 'node:path';
import * as vscode from 'vscode';
import { factsTable } from './facts-table';
import type { Work } from '../tasks/task-runner';
import type { RunSnapshot } from './follow-run';
import { experimentOf, underWay, type ExperimentGroup } from './run-groups';
import { experimentDescription, namesakes, runDescription, runFacts, runLabel } from './run-text';
import type { Runs } from './runs';
import type { RunState } from './run-state';

export type RunNode =
  | { readonly kind: 'pending'; readonly work: Work }
  | { readonly kind: 'experiment'; readonly group: ExperimentGroup }
  | { readonly kind: 'run'; readonly run: RunSnapshot };

/** The Runs view: a row for every run directory, from the moment that it is asked for. */
export class RunsView implements vscode.TreeDataProvider<RunNode>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<RunNode | undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  private readonly disposables: vscode.Disposable[] = [this.changed];
  private following: vscode.Disposable | undefined;
  /** Names that several rows bear. */
  private shared: ReadonlySet<string> = new Set();

  constructor(private readonly runs: Runs) {
    const view = vscode.window.createTreeView('fcd.runs', { treeDataProvider: this, showCollapseAll: true });
    const follow = (): void => {
      if (view.visible) this.following ??= runs.follow();
      else {
        this.following?.dispose();
        this.following = undefined;
      }
    };
    this.disposables.push(
      view,
      view.onDidChangeVisibility(follow),
      runs.onDidChange(() => {
        const active = runs.rows.filter(underWay).length + runs.pending.length;
        view.badge =
          active > 0
            ? { value: active, tooltip: `${active} ${active === 1 ? 'run is' : 'runs are'} being computed` }
            : undefined;
        this.changed.fire(undefined);
      }),
    );
    follow();
  }

  async getChildren(node?: RunNode): Promise<RunNode[]> {
    if (node?.kind === 'experiment') return node.group.runs.map((run) => ({ kind: 'run', run }));
    if (node) return [];
    await this.runs.find();
    this.shared = namesakes(
      this.runs.rows.map((row) => (row.kind === 'run' ? runLabel(row.run) : row.title)),
    );
    return [
      ...this.runs.pending.map((work) => ({ kind: 'pending' as const, work })),
      ...this.runs.rows.map((row) =>
        row.kind === 'run'
          ? { kind: 'run' as const, run: row.run }
          : { kind: 'experiment' as const, group: row },
      ),
    ];
  }

  getTreeItem(node: RunNode): vscode.TreeItem {
    switch (node.kind) {
      case 'pending':
        return pendingItem(node.work);
      case 'run':
        return runItem(node.run, this.shared);
      case 'experiment':
        return experimentItem(node.group, this.shared);
    }
  }

  dispose(): void {
    this.following?.dispose();
    for (const disposable of this.disposables) disposable.dispose();
  }
}

function pendingItem({ name, target }: Work): vscode.TreeItem {
  const item = new vscode.TreeItem(name);
  item.id = `pending:${target}`;
  item.description = 'starting: reading the cohort, testing the engine';
  item.iconPath = new vscode.ThemeIcon('loading~spin');
  item.contextValue = 'pending;active';
  item.tooltip = target;
  return item;
}

function runItem(run: RunSnapshot, shared: ReadonlySet<string>): vscode.TreeItem {
  const { record, state, path, hasReport, outcome } = run;
  const inExperiment = experimentOf(path) !== undefined;
  const name = record?.name ?? path;
  const label =
    inExperiment && record ? `Fold ${record.fold.index + 1} of ${record.fold.count}` : runLabel(run);
  const item = new vscode.TreeItem(label);
  item.id = path;
  item.description = described(runDescription(run), path, !inExperiment && shared.has(label));
  item.iconPath = iconOf(state);
  item.contextValue = contextOf('run', state, hasReport || Boolean(outcome?.accuracy), inExperiment);
  item.tooltip = factsTable(name, runFacts(run));
  item.accessibilityInformation = { label: `${label}, ${state}, ${item.description}` };
  return item;
}

function experimentItem(group: ExperimentGroup, shared: ReadonlySet<string>): vscode.TreeItem {
  const { title, path, state, hasReport, outcome, runs, folds } = group;
  const item = new vscode.TreeItem(
    title,
    state === 'finished'
      ? vscode.TreeItemCollapsibleState.Collapsed
      : vscode.TreeItemCollapsibleState.Expanded,
  );
  item.id = path;
  item.description = described(experimentDescription(group), path, shared.has(title));
  item.iconPath = state === 'waiting' ? new vscode.ThemeIcon('circle-outline') : iconOf(state);
  item.contextValue = contextOf('experiment', state, hasReport || Boolean(outcome?.accuracy), false);
  const first = runs[0];
  item.tooltip = factsTable(title, [
    ['State', state],
    ['Folds', `${runs.length} of ${folds} begun`],
    ['Result', outcome ? experimentDescription(group) : 'none yet'],
    ...(first
      ? runFacts(first).filter(([name]) => ['Network', 'Modality', 'Starts from', 'Cohort'].includes(name))
      : []),
    ['Folder', path],
  ]);
  item.accessibilityInformation = { label: `${title}, ${state}, ${item.description}` };
  return item;
}

/** What stands behind a name: with its folder at the end where others have the same name. */
function described(text: string, path: string, isShared: boolean): string {
  return isShared ? `${text} · ${basename(path)}` : text;
}

/** Tokens that the menus of package.json ask for. */
function contextOf(
  kind: 'run' | 'experiment',
  state: RunState | 'waiting',
  results: boolean,
  inExperiment: boolean,
): string {
  const active = state === 'running' || state === 'starting';
  const resumable = state === 'stopped' || state === 'lost' || state === 'failed' || state === 'waiting';
  return [
    kind,
    active && 'active',
    // The folds of an experiment go on together.
    resumable && !inExperiment && 'resumable',
    results && 'results',
  ]
    .filter(Boolean)
    .join(';');
}

function iconOf(state: RunState): vscode.ThemeIcon {
  switch (state) {
    case 'starting':
    case 'running':
      return new vscode.ThemeIcon('loading~spin', new vscode.ThemeColor('charts.blue'));
    case 'finished':
      return new vscode.ThemeIcon('pass', new vscode.ThemeColor('charts.green'));
    case 'stopped':
      return new vscode.ThemeIcon('debug-pause', new vscode.ThemeColor('charts.yellow'));
    case 'failed':
      return new vscode.ThemeIcon('error', new vscode.ThemeColor('charts.red'));
    case 'lost':
      return new vscode.ThemeIcon('debug-disconnect', new vscode.ThemeColor('list.warningForeground'));
  }
}
