import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as vscode from 'vscode';
import { exists } from '../runs/follow-run';
import type { Runs } from '../runs/runs';
import type { RunNode } from '../runs/runs-view';
import type { TaskRunner } from '../tasks/task-runner';

/** The report is a page without scripts whose pictures are in it; nothing else is let in. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/** Opens the report of a run or an experiment, made first where it is not there yet. */
export class ReportCommand implements vscode.Disposable {
  private readonly panels = new Map<string, vscode.WebviewPanel>();
  private readonly command: vscode.Disposable;

  constructor(
    private readonly runs: Runs,
    private readonly runner: TaskRunner,
  ) {
    this.command = vscode.commands.registerCommand('fcd.openReport', (node?: RunNode | string) =>
      this.open(node),
    );
  }

  dispose(): void {
    this.command.dispose();
    for (const panel of this.panels.values()) panel.dispose();
  }

  private async open(node: RunNode | string | undefined): Promise<void> {
    const directory = await this.directoryOf(node);
    if (directory === undefined) return;
    const page = join(directory, 'report.html');
    if (!(await exists(page))) {
      if (!(await exists(join(directory, 'results.json')))) {
        await vscode.window.showInformationMessage(
          `${vscode.workspace.asRelativePath(directory)} has no results yet. The report can be made when it is finished.`,
        );
        return;
      }
      const folder = vscode.workspace.getWorkspaceFolder(vscode.Uri.file(directory));
      const task = await this.runner.run(
        { type: 'fcd', task: 'report', run: directory },
        `report of ${basename(directory)}`,
        folder ?? vscode.TaskScope.Workspace,
      );
      if (!task || (await task.exit) !== 0) return;
    }
    await this.show(directory, page);
  }

  private async show(directory: string, page: string): Promise<void> {
    const html = withPolicy(await readFile(page, 'utf8'));
    let panel = this.panels.get(directory);
    if (!panel) {
      panel = vscode.window.createWebviewPanel(
        'fcd.report',
        `Report: ${basename(directory)}`,
        vscode.ViewColumn.Active,
        {
          enableScripts: false,
          localResourceRoots: [],
          enableFindWidget: true,
          retainContextWhenHidden: false,
        },
      );
      panel.onDidDispose(() => this.panels.delete(directory));
      this.panels.set(directory, panel);
    }
    panel.webview.html = html;
    panel.reveal();
  }

  private async directoryOf(node: RunNode | string | undefined): Promise<string | undefined> {
    if (typeof node === 'string') return node;
    if (node?.kind === 'run') return node.run.path;
    if (node?.kind === 'experiment') return node.group.path;
    await this.runs.refresh();
    const paths = this.runs.withResults;
    if (paths.length === 0) {
      await vscode.window.showInformationMessage(
        'No run in this workspace has results yet. FCD: Train FCD Model begins one.',
      );
      return undefined;
    }
    if (paths.length === 1) return paths[0];
    const items = paths.map((path) => ({
      label: basename(path),
      description: vscode.workspace.asRelativePath(path),
      path,
    }));
    return (await vscode.window.showQuickPick(items, { title: 'Report of which run?' }))?.path;
  }
}

/** The page under a content security policy, whatever is in the file. */
export function withPolicy(html: string): string {
  const meta = `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`;
  return /<head[^>]*>/i.test(html) ? html.replace(/<head[^>]*>/i, (head) => head + meta) : meta + html;
}
