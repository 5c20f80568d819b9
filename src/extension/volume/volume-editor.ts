import * as path from 'node:path';
import * as vscode from 'vscode';
import * as v from 'valibot';
import { openCaseSchema, type OpenCaseArgs } from '../../protocol/viewer';
import type { Log } from '../log';
import { VolumePanel, type CaseContents } from './volume-panel';
import { WorkspaceMaps } from './workspace-maps';

export const VOLUME_EDITOR = 'fcd.volume';

/** Set while a volume editor has the focus; keybindings and menus go by it. */
const ACTIVE_CONTEXT = 'fcd.volumeEditorActive';

/** The read-only editor of .nii and .nii.gz files, and the way for commands to open cases in it. */
export class VolumeEditor implements vscode.CustomReadonlyEditorProvider, vscode.Disposable {
  private readonly panels = new Set<VolumePanel>();
  private readonly maps = new WorkspaceMaps();
  private readonly awaited = new Map<string, CaseContents>();
  private readonly disposables: vscode.Disposable[];
  private last: VolumePanel | undefined;

  constructor(
    private readonly extensionUri: vscode.Uri,
    private readonly log: Log,
  ) {
    this.disposables = [
      this.maps,
      vscode.window.registerCustomEditorProvider(VOLUME_EDITOR, this, {
        supportsMultipleEditorsPerDocument: true,
        // The page restores itself from getState, and draws again faster than a reader looks (see the log); keeping
        // hidden pages would keep their volumes and textures in memory.
        webviewOptions: { retainContextWhenHidden: false },
      }),
      vscode.commands.registerCommand('fcd.openCase', (args: unknown) => this.openCaseCommand(args)),
      vscode.commands.registerCommand('fcd.addOverlay', () => this.addOverlayCommand()),
      vscode.commands.registerCommand('fcd.chooseMap', () => this.active?.askForMap()),
    ];
  }

  /** The volume editor that has the focus, else the last one that had it and is still on the screen. */
  get active(): VolumePanel | undefined {
    const panels = [...this.panels];
    return (
      panels.find(({ panel }) => panel.active) ??
      (this.last?.panel.visible ? this.last : panels.find(({ panel }) => panel.visible))
    );
  }

  /** All open volume editors, for tests. */
  get open(): readonly VolumePanel[] {
    return [...this.panels];
  }

  openCustomDocument(uri: vscode.Uri): vscode.CustomDocument {
    return { uri, dispose: () => {} };
  }

  async resolveCustomEditor(
    { uri }: vscode.CustomDocument,
    webviewPanel: vscode.WebviewPanel,
  ): Promise<void> {
    const scripts = vscode.Uri.joinPath(this.extensionUri, 'dist', 'webview');
    const panel = new VolumePanel(uri.fsPath, webviewPanel, scripts, this.maps, this.log);
    this.panels.add(panel);
    const follow = webviewPanel.onDidChangeViewState(() => this.follow(panel));
    webviewPanel.onDidDispose(() => {
      follow.dispose();
      panel.dispose();
      this.panels.delete(panel);
      if (this.last === panel) this.last = undefined;
      this.setContext();
    });
    this.follow(panel);
    const contents = this.awaited.get(uri.fsPath);
    this.awaited.delete(uri.fsPath);
    await panel.start(contents);
  }

  /** Opens a scan, or goes to its editor where there is one, with what is to be shown over it. */
  async openCase(
    image: string,
    contents: CaseContents,
    column: vscode.ViewColumn = vscode.ViewColumn.Active,
  ): Promise<VolumePanel> {
    const existing = [...this.panels].find((panel) => panel.file === image || panel.shown.image === image);
    if (existing) {
      existing.panel.reveal(undefined, false);
      await existing.put(contents);
      return existing;
    }
    this.awaited.set(image, contents);
    try {
      await vscode.commands.executeCommand('vscode.openWith', vscode.Uri.file(image), VOLUME_EDITOR, column);
    } finally {
      this.awaited.delete(image);
    }
    const panel = [...this.panels].find((candidate) => candidate.file === image);
    if (!panel) throw new Error(`${path.basename(image)} could not be opened as a volume.`);
    return panel;
  }

  dispose(): void {
    for (const panel of this.panels) panel.dispose();
    for (const disposable of this.disposables) disposable.dispose();
  }

  private async openCaseCommand(args: unknown): Promise<void> {
    const parsed = v.safeParse(openCaseSchema, args);
    if (!parsed.success) throw new Error('fcd.openCase needs { image, roi?, map? } with absolute paths.');
    const { image, roi, map, beside }: OpenCaseArgs = parsed.output;
    await this.openCase(image, { roi, map }, beside ? vscode.ViewColumn.Beside : vscode.ViewColumn.Active);
  }

  private async addOverlayCommand(): Promise<void> {
    const panel = this.active;
    if (panel) await panel.askForOverlay();
    else
      void vscode.window.showInformationMessage(
        'Open a scan (.nii or .nii.gz) first; overlays are added to it.',
      );
  }

  private follow(panel: VolumePanel): void {
    if (panel.panel.active) this.last = panel;
    this.setContext();
  }

  private setContext(): void {
    const active = [...this.panels].some(({ panel }) => panel.active);
    void vscode.commands.executeCommand('setContext', ACTIVE_CONTEXT, active);
  }
}
