import { basename, dirname, extname } from 'node:path';
import * as vscode from 'vscode';
import type { ChangeMessage, Identity, Listing, TensorStatisticsMessage } from '../../protocol/inspection';
import {
  HOST,
  PAGE,
  type Comparison,
  type InspectorSnapshot,
  type Opening,
  type PassState,
  type Tab,
} from '../../protocol/inspector';
import { RpcEndpoint, type ParamsOf } from '../../protocol/rpc';
import type { Compute } from '../compute/compute';
import type { Log } from '../log';
import { batches } from './batches';
import { inspectorPage } from './inspector-page';
import { safetensorsListing } from './safetensors-header';

/** Files that are written in steps are read after this pause. */
const SETTLE_MS = 400;

/** Large trees take a while to be drawn on a slow machine. */
const PAGE_TIMEOUT_MS = 60_000;

export const WEIGHTS_FILTER = { Weights: ['safetensors', 'pth', 'pt'] };

/** One editor of one checkpoint: what is known of it, the page that shows it, the passes over the file. */
export class CheckpointPanel implements vscode.Disposable {
  private readonly endpoint: RpcEndpoint<typeof HOST, typeof PAGE>;
  private readonly disposables: vscode.Disposable[] = [];
  private readonly opened = performance.now();
  private listing?: Promise<Listing>;
  private statistics = new Map<string, TensorStatisticsMessage>();
  private pass: PassState = { done: 0, total: 0, failed: null };
  private comparison: Comparison | null = null;
  private identity: Identity | null = null;
  /** Cancelled when the file changes or the editor closes. */
  private reading = new vscode.CancellationTokenSource();
  private comparing = new vscode.CancellationTokenSource();
  private looked: Promise<void> = Promise.resolve();
  private compared: Promise<void> = Promise.resolve();
  private pageOpen = false;
  /** What the page is to show when it opens next. */
  private wanted: Tab | null = null;
  private settling?: ReturnType<typeof setTimeout>;
  private disposed = false;

  constructor(
    readonly file: string,
    readonly panel: vscode.WebviewPanel,
    scripts: vscode.Uri,
    private readonly compute: Compute,
    private readonly log: Log,
  ) {
    const { webview } = panel;
    webview.options = { enableScripts: true, localResourceRoots: [scripts] };
    this.endpoint = new RpcEndpoint(
      (message) => webview.postMessage(message),
      HOST,
      PAGE,
      {
        open: () => this.open(),
        filters: (params) => this.compute.request('filters', { path: this.file, ...params }),
        layers: ({ grid, geometry }) =>
          this.compute.request('layers', {
            ...{ path: this.file, grid },
            ...(geometry === null ? {} : { geometry }),
          }),
        identify: () => this.identify(),
        compare: () => this.askForOther(),
        endComparison: () => this.endComparison(),
        importWeights: () => this.importWeights(),
        manageTrust: () => manageTrust(),
        shown: ({ ms }) => this.shown(ms),
      },
      { peer: 'The checkpoint view', timeoutMs: PAGE_TIMEOUT_MS, onOdd: (sentence) => log.warn(sentence) },
    );
    const watcher = vscode.workspace.createFileSystemWatcher(
      new vscode.RelativePattern(vscode.Uri.file(dirname(file)), escapeGlob(basename(file))),
    );
    const changed = () => this.changed();
    this.disposables.push(
      webview.onDidReceiveMessage((message: unknown) => this.endpoint.receive(message)),
      watcher,
      watcher.onDidChange(changed),
      watcher.onDidCreate(changed),
      vscode.workspace.onDidGrantWorkspaceTrust(changed),
    );
    // Asked for before the page exists: process and page start side by side.
    this.begin();
    webview.html = inspectorPage(webview, scripts, basename(file));
  }

  /** Resolves when every tensor has been looked at, or the pass has failed. */
  whenLooked(): Promise<void> {
    return this.looked;
  }

  /** Resolves when the comparison under way is complete, or has failed. */
  whenCompared(): Promise<void> {
    return this.compared;
  }

  snapshot(): Promise<InspectorSnapshot> {
    return this.endpoint.call('snapshot', {});
  }

  async go(where: ParamsOf<typeof PAGE, 'go'>): Promise<void> {
    await this.endpoint.call('go', where);
  }

  /** Shows how far each tensor moved from this file to another one. */
  compareWith(other: string): Promise<void> {
    this.stopComparing();
    const { token } = this.comparing;
    this.compared = this.compareAll(other, token).catch((error: unknown) => {
      if (token.isCancellationRequested) return;
      if (this.comparison) {
        this.comparison.pass.failed = sentenceOf(error);
        this.tell('changes', { rows: [], pass: this.comparison.pass });
      } else void vscode.window.showErrorMessage(sentenceOf(error));
    });
    return this.compared;
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    clearTimeout(this.settling);
    for (const source of [this.reading, this.comparing]) {
      source.cancel();
      source.dispose();
    }
    this.endpoint.dispose();
    for (const disposable of this.disposables) disposable.dispose();
  }

  /** Reads the header, then all values, batch by batch. */
  private begin(): void {
    this.reading.cancel();
    this.reading.dispose();
    this.reading = new vscode.CancellationTokenSource();
    const { token } = this.reading;
    this.statistics = new Map();
    this.identity = null;
    this.pass = { done: 0, total: 0, failed: null };
    const listing = this.list(token);
    listing.catch(() => {}); // said where it is asked for
    this.listing = listing;
    this.looked = this.lookAtAll(listing, token);
  }

  private list(token: vscode.CancellationToken): Promise<Listing> {
    if (vscode.workspace.isTrusted) return this.compute.request('checkpoint', { path: this.file }, { token });
    if (extname(this.file).toLowerCase() === '.safetensors') return safetensorsListing(this.file);
    return Promise.reject(
      new Error(
        `${basename(this.file)} is read by a process of its own, and an untrusted workspace may not start one. Trust it to see what is in the file; no code in a weights file is ever executed.`,
      ),
    );
  }

  private async lookAtAll(listing: Promise<Listing>, token: vscode.CancellationToken): Promise<void> {
    try {
      const { tensors } = await listing;
      this.pass.total = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
      if (!vscode.workspace.isTrusted) return;
      const began = performance.now();
      for (const batch of batches(tensors)) {
        const names = batch.map(({ name }) => name);
        const { statistics } = await this.compute.request('tensors', { path: this.file, names }, { token });
        if (token.isCancellationRequested) return;
        for (const row of statistics) this.statistics.set(row.name, row);
        this.pass.done += batch.reduce((sum, { bytes }) => sum + bytes, 0);
        this.tell('statistics', { rows: statistics, pass: this.pass });
      }
      this.log.info(
        `${basename(this.file)}: all ${tensors.length} tensors looked at, ${Math.round(performance.now() - began)} ms after the header was read`,
      );
    } catch (error) {
      if (token.isCancellationRequested) return;
      this.pass.failed = sentenceOf(error);
      this.tell('statistics', { rows: [], pass: this.pass });
    }
  }

  private async compareAll(other: string, token: vscode.CancellationToken): Promise<void> {
    const files = { path: this.file, other };
    const match = await this.compute.request('match', files, { token });
    if (token.isCancellationRequested) return;
    const total = match.pairs.reduce((sum, { bytes }) => sum + bytes, 0);
    const nameOf = basename(other) === basename(this.file) ? parentAndName : basename;
    const comparison: Comparison = {
      thisName: nameOf(this.file),
      otherName: nameOf(other),
      otherPath: other,
      match,
      changes: [],
      pass: { done: 0, total, failed: null },
    };
    this.comparison = comparison;
    this.wanted = 'comparison';
    this.tell('comparison', { comparison });
    for (const batch of batches(match.pairs)) {
      const pairs = batch.map(({ name, other: there }) => ({ name, other: there }));
      const { changes } = await this.compute.request('changes', { ...files, pairs }, { token });
      if (token.isCancellationRequested) return;
      comparison.changes.push(...changes);
      comparison.pass.done += batch.reduce((sum, { bytes }) => sum + bytes, 0);
      this.tell('changes', { rows: changes satisfies ChangeMessage[], pass: comparison.pass });
    }
  }

  private async open(): Promise<Opening> {
    this.pageOpen = true;
    try {
      const listing = await this.listing;
      if (!listing) throw new Error('Nothing has been read yet.');
      const tab = this.wanted;
      this.wanted = null;
      return {
        kind: 'checkpoint',
        name: basename(this.file),
        listing,
        statistics: [...this.statistics.values()],
        pass: this.pass,
        comparison: this.comparison,
        identity: this.identity,
        tab,
        restricted: vscode.workspace.isTrusted
          ? null
          : 'This workspace is not trusted, so no process reads the values: names, types and shapes are those of the file’s header.',
      };
    } catch (error) {
      return { kind: 'refused', reason: sentenceOf(error), trust: !vscode.workspace.isTrusted };
    }
  }

  private async identify(): Promise<Identity> {
    this.identity ??= await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Window, title: `Hashing ${basename(this.file)}` },
      () => this.compute.request('identify', { path: this.file }, { token: this.reading.token }),
    );
    return this.identity;
  }

  private async askForOther(): Promise<Record<string, never>> {
    const picked = await vscode.window.showOpenDialog({
      title: `Compare ${basename(this.file)} with…`,
      openLabel: 'Compare',
      defaultUri: vscode.Uri.file(dirname(this.file)),
      filters: WEIGHTS_FILTER,
    });
    // Not awaited: the page hears of the comparison as it grows.
    if (picked?.[0]) void this.compareWith(picked[0].fsPath);
    return {};
  }

  private endComparison(): Record<string, never> {
    this.stopComparing();
    this.wanted = null;
    this.tell('comparison', { comparison: null });
    return {};
  }

  private stopComparing(): void {
    this.comparing.cancel();
    this.comparing.dispose();
    this.comparing = new vscode.CancellationTokenSource();
    this.comparison = null;
  }

  private importWeights(): Record<string, never> {
    // Not awaited: it asks a person.
    void vscode.commands.executeCommand('fcd.importWeights', vscode.Uri.file(this.file));
    return {};
  }

  private shown(ms: number): Record<string, never> {
    this.log.info(
      `${basename(this.file)}: tree on screen ${Math.round(performance.now() - this.opened)} ms after it was opened (${Math.round(ms)} ms after its page began)`,
    );
    return {};
  }

  private changed(): void {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => {
      const other = this.comparison?.otherPath;
      this.begin();
      this.tell('reopen', {});
      if (other !== undefined) void this.compareWith(other);
    }, SETTLE_MS);
  }

  /** Tells the page, where there is one: a hidden page asks for everything when it is shown again. */
  private tell<M extends 'statistics' | 'comparison' | 'changes' | 'reopen'>(
    method: M,
    params: ParamsOf<typeof PAGE, M>,
  ): void {
    if (!this.pageOpen || !this.panel.visible || this.disposed) return;
    // A page that was hidden meanwhile does not answer; it asks for everything when it is shown again.
    this.endpoint.call(method, params).then(
      () => {
        if (method === 'comparison') this.wanted = null;
      },
      () => {},
    );
  }
}

async function manageTrust(): Promise<Record<string, never>> {
  await vscode.commands.executeCommand('workbench.trust.manage');
  return {};
}

function parentAndName(path: string): string {
  return `${basename(dirname(path))}/${basename(path)}`;
}

/** A file's name as a glob pattern that matches it alone. */
function escapeGlob(name: string): string {
  return name.replace(/[*?{}[\]]/g, (character) => `[${character}]`);
}

function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
