import * as vscode from 'vscode';
import type { Compute } from '../compute/compute';
import type { Log } from '../log';
import { trusted } from '../settings/trust';
import { CheckpointPanel, WEIGHTS_FILTER } from './checkpoint-panel';

export const CHECKPOINT_EDITOR = 'fcd.checkpoint';

const TITLE = 'Compare Checkpoints';

/** The read-only editor of .safetensors, .pth and .pt files, and the command that compares two of them. */
export class CheckpointEditor implements vscode.CustomReadonlyEditorProvider, vscode.Disposable {
  private readonly panels = new Set<CheckpointPanel>();
  private readonly disposables: vscode.Disposable[];

  constructor(
    private readonly extensionUri: vscode.Uri,
    private readonly compute: Compute,
    private readonly log: Log,
  ) {
    this.disposables = [
      vscode.window.registerCustomEditorProvider(CHECKPOINT_EDITOR, this, {
        supportsMultipleEditorsPerDocument: true,
        // The host keeps what is known; the page is drawn from it again at once.
        webviewOptions: { retainContextWhenHidden: false, enableFindWidget: true },
      }),
      vscode.commands.registerCommand('fcd.compareCheckpoints', (...args: unknown[]) =>
        this.compareCommand(args),
      ),
    ];
  }

  /** All open checkpoint editors, for tests. */
  get open(): readonly CheckpointPanel[] {
    return [...this.panels];
  }

  openCustomDocument(uri: vscode.Uri): vscode.CustomDocument {
    return { uri, dispose: () => {} };
  }

  resolveCustomEditor({ uri }: vscode.CustomDocument, webviewPanel: vscode.WebviewPanel): void {
    const scripts = vscode.Uri.joinPath(this.extensionUri, 'dist', 'webview');
    const panel = new CheckpointPanel(uri.fsPath, webviewPanel, scripts, this.compute, this.log);
    this.panels.add(panel);
    webviewPanel.onDidDispose(() => {
      panel.dispose();
      this.panels.delete(panel);
    });
  }

  /** Opens a checkpoint, or goes to its editor where there is one. */
  async show(file: string): Promise<CheckpointPanel> {
    await vscode.commands.executeCommand('vscode.openWith', vscode.Uri.file(file), CHECKPOINT_EDITOR);
    const panel = this.panelOf(file);
    if (!panel) throw new Error(`${file} could not be opened as a checkpoint.`);
    return panel;
  }

  dispose(): void {
    for (const panel of this.panels) panel.dispose();
    for (const disposable of this.disposables) disposable.dispose();
  }

  private panelOf(file: string): CheckpointPanel | undefined {
    const panels = [...this.panels].filter((panel) => panel.file === file);
    return panels.find(({ panel }) => panel.active) ?? panels[0];
  }

  /** From the explorer: the clicked file and all that are selected; from the palette: nothing. */
  private async compareCommand([clicked, selected]: readonly unknown[]): Promise<void> {
    if (!(await trusted(TITLE))) return;
    const given = (Array.isArray(selected) ? selected : [clicked]).filter(
      (one): one is vscode.Uri => one instanceof vscode.Uri,
    );
    const active = [...this.panels].find(({ panel }) => panel.active)?.file;
    const first = given[0]?.fsPath ?? active ?? (await choose('The checkpoint before', 'Before'));
    if (first === undefined) return;
    const second = given[1]?.fsPath ?? (await choose('The checkpoint after', 'Compare', first));
    if (second === undefined) return;
    const panel = await this.show(first);
    await panel.compareWith(second);
  }
}

async function choose(title: string, openLabel: string, beside?: string): Promise<string | undefined> {
  const picked = await vscode.window.showOpenDialog({
    title: `${TITLE}: ${title}`,
    openLabel,
    filters: WEIGHTS_FILTER,
    defaultUri:
      beside === undefined
        ? vscode.workspace.workspaceFolders?.[0]?.uri
        : vscode.Uri.joinPath(vscode.Uri.file(beside), '..'),
  });
  return picked?.[0]?.fsPath;
}
