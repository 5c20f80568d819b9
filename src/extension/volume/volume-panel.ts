import * as path from 'node:path';
import * as vscode from 'vscode';
import {
  HOST,
  WEBVIEW,
  type CasePrediction,
  type HeatScore,
  type Opening,
  type Overlay,
  type Scene,
  type ShownFile,
  type Snapshot,
  type ViewChange,
} from '../../protocol/viewer';
import { methodName } from '../../protocol/cam-method';
import { RpcEndpoint } from '../../protocol/rpc';
import type { Log } from '../log';
import { isFile, overlayOf, planCase, type PlannedOverlay } from './case-plan';
import { readHeader } from './header-file';
import { Unshowable } from './nifti-header';
import { askAboveBytes, onViewerSettings, showsNewestMap, viewerSettings } from './viewer-settings';
import { webviewPage } from './webview-page';
import { workspaceRoots, type WorkspaceMaps } from './workspace-maps';

/** What a command wants to be shown over a scan, beyond what is found. */
export interface CaseContents {
  readonly roi?: string | null;
  readonly map?: string | null;
  readonly prediction?: CasePrediction;
  readonly heatScore?: HeatScore | null;
}

/** Opening waits this long for the search through the workspace's maps; a later result is shown when it comes. */
const MAPS_WAIT_MS = 200;

/** Writers rename or write in steps: a changed file is read after this pause. */
const SETTLE_MS = 300;

/** Drawing a first frame under software rendering, and large files. */
const SHOW_TIMEOUT_MS = 120_000;

/** One editor of one file: what is shown, the webview that shows it, the files that are watched. */
export class VolumePanel implements vscode.Disposable {
  private readonly endpoint: RpcEndpoint<typeof HOST, typeof WEBVIEW>;
  private readonly disposables: vscode.Disposable[] = [];
  private readonly watchers = new Map<string, vscode.Disposable>();
  private readonly opened = performance.now();
  private image: string;
  private overlays: PlannedOverlay[] = [];
  /** Overlays that the reader took away: they are not found again. */
  private readonly dismissed = new Set<string>();
  private planned: Promise<void> | undefined;
  private remarks: readonly string[] = [];
  private mapsInWorkspace = 0;
  private prediction: CasePrediction | null = null;
  private heatScore: HeatScore | null = null;
  private accepted = false;
  private roots: string[] = [];
  private settling: ReturnType<typeof setTimeout> | undefined;
  private settled: ReturnType<typeof deferred> = deferred();
  private firstFrame = true;

  constructor(
    readonly file: string,
    readonly panel: vscode.WebviewPanel,
    private readonly scripts: vscode.Uri,
    private readonly maps: WorkspaceMaps,
    private readonly log: Log,
  ) {
    this.image = file;
    const { webview } = panel;
    this.endpoint = new RpcEndpoint(
      (message) => webview.postMessage(message),
      HOST,
      WEBVIEW,
      {
        open: ({ accepted }) => this.open(accepted),
        addOverlay: () => this.askForOverlay(),
        chooseMap: () => this.askForMap(),
        removeOverlay: ({ path: removed }) => this.remove(removed),
        openAsText: () => this.openAsText(),
        openSettings: () => openSettings(),
        drawn: (times) => this.drawn(times),
        failed: ({ reason }) => this.failed(reason),
      },
      { peer: 'The volume view', onOdd: (sentence) => log.warn(sentence) },
    );
    this.disposables.push(
      webview.onDidReceiveMessage((message: unknown) => this.endpoint.receive(message)),
      onViewerSettings(() => this.changeSettings()),
    );
  }

  /** Loads the page; what is known to be needed may be read by it, nothing else. */
  async start(contents: CaseContents | undefined): Promise<void> {
    const planning = this.plan(contents);
    this.planned = planning;
    await planning;
    this.allowRoots();
    this.panel.webview.html = webviewPage(this.panel.webview, this.scripts, path.basename(this.file));
  }

  /** Shows other overlays or results over the scan that is open. */
  async put(contents: CaseContents): Promise<void> {
    await this.planned;
    await this.take(contents);
    await this.refresh(null);
  }

  /** The scan at the bottom, the lesion mask and the map over it, as absolute paths. */
  get shown(): { readonly image: string; readonly roi: string | null; readonly map: string | null } {
    const of = (kind: Overlay['kind']) =>
      this.overlays.find((overlay) => overlay.kind === kind)?.path ?? null;
    return { image: this.image, roi: of('mask'), map: of('heat') };
  }

  /** Resolves when what is to be shown is drawn; rejects with the sentence that the panel shows instead. */
  whenDrawn(): Promise<void> {
    return this.settled.promise;
  }

  /** What is on the screen, with the colours drawn at places in mm. */
  snapshot(at: readonly { view: 'axial' | 'coronal' | 'sagittal'; mm: number[] }[] = []): Promise<Snapshot> {
    return this.endpoint.call('snapshot', { at: [...at] }, SHOW_TIMEOUT_MS);
  }

  /** Moves the crosshair, switches overlays. */
  async view(change: ViewChange): Promise<void> {
    await this.endpoint.call('view', change, SHOW_TIMEOUT_MS);
  }

  /** FCD: Add Overlay…, the button and the command. */
  async askForOverlay(): Promise<Record<string, never>> {
    const picked = await vscode.window.showOpenDialog({
      title: 'Add a lesion mask or a heat map',
      openLabel: 'Add overlay',
      canSelectMany: true,
      defaultUri: vscode.Uri.file(path.dirname(this.image)),
      filters: { 'NIfTI image': ['nii', 'gz'] },
    });
    for (const uri of picked ?? []) await this.addOverlay(uri.fsPath);
    return {};
  }

  async addOverlay(file: string, kind?: Overlay['kind']): Promise<void> {
    const planned = await overlayOf(file, workspaceRoots(), 'added');
    // Its header is read here so that a file that cannot be shown is refused where it was chosen.
    try {
      await readHeader(file, path.basename(file));
    } catch (error) {
      void vscode.window.showErrorMessage(sentenceOf(error));
      throw error;
    }
    this.lay(kind === undefined ? planned : { ...planned, kind });
    await this.refresh(null);
  }

  async askForMap(): Promise<Record<string, never>> {
    const maps = await this.maps.of(this.image);
    if (maps.length === 0) {
      void vscode.window.showInformationMessage(
        'The workspace has no class map of this scan. FCD: Show Grad-CAM makes one.',
      );
      return {};
    }
    const shown = this.shown.map;
    const picked = await vscode.window.showQuickPick(
      maps.map((map) => ({
        label: `${methodName(map.provenance.method)} · ${map.provenance.layer} · class ${map.provenance.class}`,
        description: [map.provenance.run, map.path === shown ? 'shown' : undefined]
          .filter(Boolean)
          .join(' · '),
        detail: `logit ${map.provenance.logit.toPrecision(4)}, ${map.provenance.align}, ${new Date(map.modifiedMs).toLocaleString()}`,
        map,
      })),
      { title: 'Class maps of this scan', matchOnDescription: true },
    );
    if (picked) await this.put({ map: picked.map.path });
    return {};
  }

  dispose(): void {
    clearTimeout(this.settling);
    this.settled.reject(new Error(`${path.basename(this.file)} was closed.`));
    this.endpoint.dispose();
    for (const watcher of this.watchers.values()) watcher.dispose();
    for (const disposable of this.disposables) disposable.dispose();
  }

  /** Finds what belongs to the file, once. */
  private async plan(contents: CaseContents | undefined): Promise<void> {
    const plan = await planCase(this.file, workspaceRoots());
    this.image = plan.image;
    this.overlays = [...plan.overlays];
    this.remarks = plan.remarks;
    if (contents) await this.take(contents);
    const searching = this.findMaps();
    await Promise.race([searching, new Promise((resolve) => setTimeout(resolve, MAPS_WAIT_MS))]);
  }

  private async findMaps(): Promise<void> {
    try {
      const maps = await this.maps.of(this.image);
      if (maps.length === 0 || this.mapsInWorkspace === maps.length) return;
      this.mapsInWorkspace = maps.length;
      const [newest] = maps;
      if (showsNewestMap() && this.shown.map === null && !this.dismissed.has(newest.path))
        this.lay({
          kind: 'heat',
          path: newest.path,
          origin: maps.length === 1 ? 'the workspace’s map' : `newest of ${maps.length} maps`,
          provenance: newest.provenance,
        });
      if (this.panel.webview.html !== '') await this.refresh(null);
    } catch (error) {
      this.log.warn(`The workspace's maps could not be searched: ${sentenceOf(error)}`);
    }
  }

  private async take({ roi, map, prediction, heatScore }: CaseContents): Promise<void> {
    if (roi) this.lay({ kind: 'mask', path: roi, origin: 'of the case', provenance: null });
    if (map) {
      const planned = await overlayOf(map, workspaceRoots(), 'chosen');
      this.lay({ ...planned, kind: 'heat' });
      await this.maps.add(map);
      this.mapsInWorkspace = (await this.maps.of(this.image)).length;
      this.heatScore = null; // it was another map's
    }
    if (prediction) this.prediction = prediction;
    if (heatScore !== undefined) this.heatScore = heatScore;
  }

  /** One mask and one map at a time: another takes its place. */
  private lay(overlay: PlannedOverlay): void {
    this.overlays = [...this.overlays.filter((other) => other.kind !== overlay.kind), overlay];
    this.dismissed.delete(overlay.path);
  }

  private async remove(removed: string): Promise<Record<string, never>> {
    this.dismissed.add(removed);
    if (this.shown.map === removed) this.heatScore = null;
    this.overlays = this.overlays.filter((overlay) => overlay.path !== removed);
    await this.refresh(null);
    return {};
  }

  private async open(accepted: boolean): Promise<Opening> {
    this.accepted ||= accepted;
    await this.planned;
    try {
      const scene = await this.scene();
      const inflated = [scene.image, ...scene.overlays.map(({ file }) => file)].reduce(
        (sum, { header }) => sum + header.totalBytes,
        0,
      );
      if (!this.accepted && inflated > askAboveBytes())
        return {
          kind: 'ask',
          question: `${scene.image.name} takes ${megabytes(inflated)} of memory when inflated, and about as much again on the graphics card. Load it?`,
        };
      return { kind: 'scene', scene };
    } catch (error) {
      const reason = sentenceOf(error);
      this.failed(reason);
      return { kind: 'refused', reason };
    }
  }

  /** Reads the headers of all that is shown. An overlay that cannot be shown becomes a remark; the scan must be. */
  private async scene(): Promise<Scene> {
    const remarks = [...this.remarks];
    const image = await this.shownFile(this.image);
    const overlays: Overlay[] = [];
    for (const { kind, path: file, origin, provenance } of this.overlays)
      try {
        overlays.push({ kind, file: await this.shownFile(file), origin, provenance });
      } catch (error) {
        remarks.push(sentenceOf(error));
      }
    this.watch([this.image, ...this.overlays.map((overlay) => overlay.path)]);
    return {
      image,
      overlays,
      mapsInWorkspace: this.mapsInWorkspace,
      prediction: this.prediction,
      heatScore: this.heatScore,
      settings: viewerSettings(),
      remarks: [...remarks, ...image.header.remarks],
    };
  }

  private async shownFile(file: string): Promise<ShownFile> {
    const name = path.basename(file);
    const { header, fileBytes, version } = await readHeader(file, name);
    const uri = this.panel.webview.asWebviewUri(vscode.Uri.file(file));
    // The version makes it another address, so that no cache answers for a changed file.
    return { uri: uri.with({ query: version }).toString(), name, path: file, version, fileBytes, header };
  }

  /** Shows the scene anew. Where a folder is new to the webview, its page is loaded again and asks by itself. */
  private async refresh(notice: string | null): Promise<void> {
    this.settled = renewed(this.settled);
    if (this.allowRoots()) return;
    if (!this.panel.visible) return; // a hidden page does not exist; it asks when it is shown again
    const opening = await this.open(this.accepted);
    if (opening.kind !== 'scene') {
      // The page shows questions and refusals on opening: let it open again.
      this.panel.webview.html = webviewPage(this.panel.webview, this.scripts, path.basename(this.file));
      return;
    }
    await this.endpoint.call('show', { scene: opening.scene, notice }, SHOW_TIMEOUT_MS);
    this.settled.resolve();
  }

  /** @returns whether the webview may read a folder that it might not read before; it then loads its page again. */
  private allowRoots(): boolean {
    const needed = [this.image, ...this.overlays.map((overlay) => overlay.path)].map((file) =>
      path.dirname(file),
    );
    const missing = needed.filter((folder) => !this.roots.includes(folder));
    if (missing.length === 0) return false;
    this.roots = [...new Set([...this.roots, ...missing])];
    this.panel.webview.options = {
      enableScripts: true,
      localResourceRoots: [this.scripts, ...this.roots.map((folder) => vscode.Uri.file(folder))],
    };
    return true;
  }

  private watch(files: readonly string[]): void {
    for (const [file, watcher] of this.watchers)
      if (!files.includes(file)) {
        watcher.dispose();
        this.watchers.delete(file);
      }
    for (const file of files) {
      if (this.watchers.has(file)) continue;
      const watcher = vscode.workspace.createFileSystemWatcher(
        new vscode.RelativePattern(vscode.Uri.file(path.dirname(file)), path.basename(file)),
      );
      const changed = () => this.changedOnDisk(file);
      watcher.onDidChange(changed);
      watcher.onDidCreate(changed);
      watcher.onDidDelete(changed);
      this.watchers.set(file, watcher);
    }
  }

  private changedOnDisk(file: string): void {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      void this.reload(file).catch((error: unknown) => this.log.warn(sentenceOf(error)));
    }, SETTLE_MS);
  }

  private async reload(file: string): Promise<void> {
    const name = path.basename(file);
    if (!(await isFile(file))) {
      this.log.info(`${name} was deleted; what was drawn of it stays until the editor is closed.`);
      return;
    }
    this.log.info(`${name} changed on disk and is loaded again.`);
    if (file === this.shown.map) {
      const planned = await overlayOf(file, workspaceRoots(), 'chosen');
      this.overlays = this.overlays.map((overlay) =>
        overlay.path === file ? { ...overlay, provenance: planned.provenance } : overlay,
      );
      this.heatScore = null;
    }
    await this.refresh(`${name} changed on disk; loaded again.`);
  }

  private changeSettings(): void {
    if (!this.panel.visible) return;
    this.endpoint
      .call('settings', viewerSettings())
      .catch((error: unknown) => this.log.warn(sentenceOf(error)));
  }

  private drawn({
    loaded,
    painted,
    drawn,
    webgl,
  }: {
    loaded: number;
    painted: number;
    drawn: number;
    webgl: string;
  }): Record<string, never> {
    // What the page tells by its own clock is as long ago here.
    const sinceOpen = Math.round(performance.now() - this.opened - (drawn - painted));
    this.log.info(
      this.firstFrame
        ? `${path.basename(this.file)}: first frame ${sinceOpen} ms after VS Code asked for the editor (in the page: files read after ${Math.round(loaded)} ms, slices after ${Math.round(painted)} ms, all drawn after ${Math.round(drawn)} ms), ${webgl}`
        : `${path.basename(this.file)}: drawn again ${Math.round(drawn)} ms after its page began`,
    );
    this.firstFrame = false;
    this.settled.resolve();
    return {};
  }

  private failed(reason: string): Record<string, never> {
    this.log.warn(reason);
    this.settled.reject(new Error(reason));
    return {};
  }

  private async openAsText(): Promise<Record<string, never>> {
    await vscode.commands.executeCommand('vscode.openWith', vscode.Uri.file(this.file), 'default');
    return {};
  }
}

async function openSettings(): Promise<Record<string, never>> {
  await vscode.commands.executeCommand('workbench.action.openSettings', 'fcd.viewer');
  return {};
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MB`;
}

function sentenceOf(error: unknown): string {
  if (error instanceof Unshowable || error instanceof Error) return error.message;
  return String(error);
}

interface Deferred {
  readonly promise: Promise<void>;
  readonly done: () => boolean;
  resolve(): void;
  reject(error: Error): void;
}

function deferred(): Deferred {
  let resolve!: () => void;
  let reject!: (error: Error) => void;
  let done = false;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {}); // nobody has to wait
  return {
    promise,
    done: () => done,
    resolve: () => {
      done = true;
      resolve();
    },
    reject: (error) => {
      done = true;
      reject(error);
    },
  };
}

/** Whoever waits already goes on waiting for the next outcome; after an outcome there is another to wait for. */
function renewed(before: Deferred): Deferred {
  return before.done() ? deferred() : before;
}
