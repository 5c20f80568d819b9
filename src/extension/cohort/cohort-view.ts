import { realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import * as vscode from 'vscode';
import type { CohortListing, Subject } from '../../protocol/compute';
import type { CaseArgs, OpenCaseArgs } from '../../protocol/viewer';
import type { Compute } from '../compute/compute';
import { factsTable } from '../runs/facts-table';
import type { Runs } from '../runs/runs';
import { newestFinished, readResults, type CaseResult, type CohortResults } from './case-results';
import { countsOf, subjectDescription, subjectFacts } from './case-text';
import type { CohortCatalog } from './cohort-catalog';
import { CohortDiagnostics } from './cohort-diagnostics';

interface ShownCohort {
  readonly listing: CohortListing;
  readonly results: CohortResults | undefined;
}

export type CohortNode =
  | {
      readonly kind: 'cohort';
      readonly path: string;
      readonly only: boolean;
      /** Its row tells what is in it before it is unfolded. */
      readonly read: boolean;
    }
  | { readonly kind: 'findings'; readonly listing: CohortListing }
  | { readonly kind: 'finding'; readonly finding: CohortListing['findings'][number]; readonly at: number }
  | { readonly kind: 'subject'; readonly subject: Subject; readonly cohort: ShownCohort }
  | { readonly kind: 'fault'; readonly message: string };

/** Large cohorts on slow disks take their time: where there are many, only those that are unfolded are read. */
const MOST_READ_AT_ONCE = 6;

/** The Cohort view: who is in the cohorts of the workspace, and what the newest finished run says about them. */
export class CohortView implements vscode.TreeDataProvider<CohortNode>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<CohortNode | undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  private readonly diagnostics = new CohortDiagnostics();
  private readonly disposables: vscode.Disposable[] = [this.changed, this.diagnostics];
  private readonly listings = new Map<string, Promise<CohortListing>>();
  private shownResults = '';

  constructor(
    private readonly catalog: CohortCatalog,
    private readonly compute: Compute,
    private readonly runs: Runs,
    onTask: vscode.Event<void>,
  ) {
    const view = vscode.window.createTreeView('fcd.cohort', {
      treeDataProvider: this,
      showCollapseAll: true,
    });
    this.disposables.push(
      view,
      onTask(() => this.diagnostics.showAgain()),
      catalog.onDidChange(() => {
        this.listings.clear();
        this.changed.fire(undefined);
      }),
      // Every step of a run is a change; only a run that finished brings new predictions.
      runs.onDidChange(() => {
        const finished = runs.runs.filter(({ state }) => state === 'finished').map(({ path }) => path);
        if (finished.join('\n') === this.shownResults) return;
        this.shownResults = finished.join('\n');
        this.changed.fire(undefined);
      }),
      vscode.commands.registerCommand('fcd.refreshCohort', () => catalog.refresh()),
      vscode.commands.registerCommand('fcd.cohort.predict', (node: CohortNode) =>
        this.onSubject(node, 'fcd.predictCase'),
      ),
      vscode.commands.registerCommand('fcd.cohort.showGradCam', (node: CohortNode) =>
        this.onSubject(node, 'fcd.showGradCam'),
      ),
      vscode.workspace.onDidGrantWorkspaceTrust(() => this.changed.fire(undefined)),
    );
  }

  async getChildren(node?: CohortNode): Promise<CohortNode[]> {
    if (!node) return this.cohorts();
    if (node.kind === 'findings')
      return node.listing.findings.map((finding, at) => ({ kind: 'finding', finding, at }));
    if (node.kind !== 'cohort') return [];
    try {
      const first = !this.listings.has(node.path);
      const listing = await this.listing(node.path);
      // Now its row can tell how many there are.
      if (first) this.changed.fire(node);
      this.diagnostics.show(listing);
      const cohort = { listing, results: await this.results(listing) };
      const subjects = listing.subjects.map((subject) => ({ kind: 'subject' as const, subject, cohort }));
      return listing.findings.length > 0 ? [{ kind: 'findings', listing }, ...subjects] : subjects;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return message.split('\n').map((line) => ({ kind: 'fault', message: line.trim() }));
    }
  }

  getTreeItem(node: CohortNode): vscode.TreeItem | Promise<vscode.TreeItem> {
    switch (node.kind) {
      case 'cohort':
        return this.cohortItem(node);
      case 'findings':
        return findingsItem(node.listing);
      case 'finding':
        return findingItem(node.finding);
      case 'subject':
        return subjectItem(node.subject, node.cohort);
      case 'fault':
        return faultItem(node.message);
    }
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
  }

  private async cohorts(): Promise<CohortNode[]> {
    // Reading a cohort is the compute process's work, which an untrusted workspace may not start (viewsWelcome says so).
    if (!vscode.workspace.isTrusted) return [];
    const paths = await this.catalog.find();
    this.diagnostics.keepOnly(paths);
    const read = paths.length <= MOST_READ_AT_ONCE;
    return paths.map((path) => ({ kind: 'cohort', path, only: paths.length === 1, read }));
  }

  private listing(path: string): Promise<CohortListing> {
    const known = this.listings.get(path) ?? this.compute.request('cohort', { path });
    this.listings.set(path, known);
    return known;
  }

  private async results(listing: CohortListing): Promise<CohortResults | undefined> {
    await this.runs.find();
    const [path, root] = await Promise.all([realpath(listing.path), realpath(listing.root)]);
    const same = new Set([path, listing.path, ...(listing.kind === 'bids' ? [root] : [])]);
    return readResults(newestFinished(this.runs.runs, (of) => same.has(of)));
  }

  private async cohortItem({
    path,
    only,
    read,
  }: Extract<CohortNode, { kind: 'cohort' }>): Promise<vscode.TreeItem> {
    const item = new vscode.TreeItem(
      vscode.workspace.asRelativePath(path, false),
      only ? vscode.TreeItemCollapsibleState.Expanded : vscode.TreeItemCollapsibleState.Collapsed,
    );
    item.id = path;
    item.iconPath = new vscode.ThemeIcon('organization');
    item.contextValue = 'cohort';
    item.tooltip = path;
    try {
      if (!read && !this.listings.has(path)) return item;
      const listing = await this.listing(path);
      const results = await this.results(listing);
      item.description = countsOf(listing);
      item.tooltip = factsTable(basename(path), [
        ['Folder', path],
        ['Cases', countsOf(listing)],
        ['Fingerprint', listing.fingerprint.slice(0, 16)],
        [
          'Predictions',
          results
            ? `held-out cases of ${results.from} (${results.title}; ${results.finished} of ${results.folds} runs finished)`
            : 'none yet: no run on this cohort is finished',
        ],
      ]);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.diagnostics.showFault(path, message);
      // A sentence that lists lines names the file first, which is this row.
      const [first, second] = message.split('\n');
      item.description = (second ?? first).trim().replace(`${path}, `, '').replace(`${path} `, '');
      item.tooltip = message;
      item.iconPath = new vscode.ThemeIcon('error', new vscode.ThemeColor('charts.red'));
    }
    return item;
  }

  /** The commands of the volume editor take plain arguments, not rows of this view. */
  private async onSubject(node: CohortNode, command: string): Promise<void> {
    if (node.kind !== 'subject') return;
    const { subject, cohort } = node;
    const { results } = cohort;
    const result = results?.byParticipant.get(subject.participantId);
    const { T1w, FLAIR } = subject.images;
    const two = results?.modality === 'T1w+FLAIR' && T1w !== undefined;
    const args: CaseArgs = {
      image: two ? T1w : imageOf(subject, results),
      ...(two ? { secondImage: FLAIR } : {}),
      roi: subject.roi,
      brain: subject.brain,
      ...(result ? { model: result.run } : {}),
    };
    await vscode.commands.executeCommand(command, args);
  }
}

/** The image to show: the modality that the network saw, else the one on which the lesion was drawn. */
function imageOf({ images, roiDrawnOn }: Subject, results: CohortResults | undefined): string | undefined {
  const seen = results?.modality === 'T1w' ? images.T1w : undefined;
  return seen ?? images[roiDrawnOn ?? 'FLAIR'] ?? images.FLAIR ?? images.T1w;
}

function subjectItem(subject: Subject, { results, listing }: ShownCohort): vscode.TreeItem {
  const result = results?.byParticipant.get(subject.participantId);
  const item = new vscode.TreeItem(subject.participantId);
  item.id = `${listing.path}\n${subject.participantId}`;
  item.description = subjectDescription(subject, result);
  item.iconPath = subjectIcon(subject, result);
  item.tooltip = factsTable(
    subject.participantId,
    subjectFacts(subject, result, results, (path) => vscode.workspace.asRelativePath(path)),
  );
  const image = imageOf(subject, results);
  item.contextValue = image === undefined ? 'subject' : 'subject;image';
  item.accessibilityInformation = { label: `${subject.participantId}, ${item.description}` };
  if (image !== undefined) {
    const args: OpenCaseArgs = { image, roi: subject.roi, map: result?.map };
    item.command = { command: 'fcd.openCase', title: 'Open', arguments: [args] };
  }
  return item;
}

function subjectIcon(subject: Subject, result: CaseResult | undefined): vscode.ThemeIcon {
  const shape = subject.group === 'fcd' ? 'circle-filled' : 'circle-outline';
  if (!result) return new vscode.ThemeIcon(shape);
  const right = result.predicted === subject.group;
  return new vscode.ThemeIcon(shape, new vscode.ThemeColor(right ? 'charts.green' : 'charts.red'));
}

function findingsItem({ path, findings }: CohortListing): vscode.TreeItem {
  const of = (severity: string): number => findings.filter((one) => one.severity === severity).length;
  const item = new vscode.TreeItem('Findings', vscode.TreeItemCollapsibleState.Collapsed);
  item.id = `${path}\nfindings`;
  const counts = [
    [of('error'), 'errors'],
    [of('warning'), 'warnings'],
    [of('information'), 'notes'],
  ] as const;
  item.description = counts
    .filter(([count]) => count > 0)
    .map(([count, what]) => `${count} ${count === 1 ? what.slice(0, -1) : what}`)
    .join(', ');
  item.iconPath = of('error') > 0 ? ICONS.error : of('warning') > 0 ? ICONS.warning : ICONS.information;
  return item;
}

const ICONS = {
  error: new vscode.ThemeIcon('error', new vscode.ThemeColor('list.errorForeground')),
  warning: new vscode.ThemeIcon('warning', new vscode.ThemeColor('list.warningForeground')),
  information: new vscode.ThemeIcon('info'),
};

function findingItem({ severity, message, file, line }: CohortListing['findings'][number]): vscode.TreeItem {
  const item = new vscode.TreeItem(message);
  item.iconPath = ICONS[severity];
  item.tooltip = message;
  if (file !== null && /\.(tsv|csv|json|txt|md)$/i.test(file)) {
    const at = new vscode.Position(Math.max(0, (line ?? 1) - 1), 0);
    item.description = line === null ? basename(file) : `${basename(file)}:${line}`;
    item.command = {
      command: 'vscode.open',
      title: 'Open',
      arguments: [vscode.Uri.file(file), { selection: new vscode.Range(at, at) }],
    };
  }
  return item;
}

function faultItem(message: string): vscode.TreeItem {
  const item = new vscode.TreeItem(message);
  item.iconPath = ICONS.error;
  item.tooltip = message;
  return item;
}
