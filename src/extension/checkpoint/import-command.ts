import { basename, dirname, extname, join } from 'node:path';
import * as vscode from 'vscode';
import * as v from 'valibot';
import { AXES_NAMES, GEOMETRY_NAMES, type ImportMessage } from '../../protocol/inspection';
import type { Compute } from '../compute/compute';
import { ComputeError } from '../compute/compute';
import { Questions, askInTurn, named, type Step } from '../guide/questions';
import { trusted } from '../settings/trust';
import type { CheckpointEditor } from './checkpoint-editor';
import { WEIGHTS_FILTER } from './checkpoint-panel';
import { importReview, type ReviewLine } from './import-review';

const TITLE = 'Import Pretrained Weights';

/** What a keybinding, a test or another extension may know already; what is left out is asked for. */
const requestSchema = v.object({
  path: v.string(),
  out: v.optional(v.string()),
  geometry: v.optional(v.picklist(GEOMETRY_NAMES)),
  axes: v.optional(v.picklist(AXES_NAMES)),
});
type ImportRequest = Partial<v.InferOutput<typeof requestSchema>>;
type Trained = Pick<ImportRequest, 'geometry' | 'axes'>;

/** FCD: Import Pretrained Weights: what a file is, what of it would be loaded, and then a checkpoint of ours. */
export function registerImportCommand(compute: Compute, checkpoints: CheckpointEditor): vscode.Disposable {
  return vscode.commands.registerCommand('fcd.importWeights', async (given?: unknown) => {
    if (!(await trusted(TITLE))) return undefined;
    try {
      return await importWeights(compute, checkpoints, requestOf(given));
    } catch (error) {
      if (error instanceof vscode.CancellationError) return undefined;
      void vscode.window.showErrorMessage(error instanceof Error ? error.message : String(error));
      if (error instanceof ComputeError && error.kind === 'input') return undefined;
      throw error;
    }
  });
}

function requestOf(given: unknown): ImportRequest {
  if (given instanceof vscode.Uri) return { path: given.fsPath };
  return v.is(requestSchema, given) ? given : {};
}

/** @returns the checkpoint that was written */
async function importWeights(
  compute: Compute,
  checkpoints: CheckpointEditor,
  request: ImportRequest,
): Promise<string | undefined> {
  const path = request.path ?? (await chooseFile());
  if (path === undefined) return undefined;
  const plan = (trained: Trained) =>
    working(`Examining ${basename(path)}`, (token, onProgress) =>
      compute.request('planImport', { path, ...trained }, { token, onProgress }),
    );
  let trained: Trained = { geometry: request.geometry, axes: request.axes };
  let found = await plan(trained);
  if (found.trainedBy === 'nobody') {
    const said = await askHowTrained(found, trained);
    if (said === undefined) return undefined;
    trained = said;
    found = await plan(trained);
  }
  const out = request.out ?? (await review(path, found));
  if (out === undefined) return undefined;
  const done = await working(`Importing ${basename(path)}`, (token, onProgress) =>
    compute.request('importWeights', { path, out, ...trained }, { token, onProgress }),
  );
  // Not awaited: the message stays until somebody answers it.
  void offer(checkpoints, done, out);
  return out;
}

async function chooseFile(): Promise<string | undefined> {
  const picked = await vscode.window.showOpenDialog({
    title: `${TITLE}: weights of MedicalNet, MONAI or your own`,
    openLabel: 'Examine',
    filters: WEIGHTS_FILTER,
    defaultUri: vscode.workspace.workspaceFolders?.[0]?.uri,
  });
  return picked?.[0]?.fsPath;
}

const GEOMETRIES: Readonly<Record<(typeof GEOMETRY_NAMES)[number], string>> = {
  medicalnet: 'Med3D: total stride 8, the last two stages dilated',
  monai: 'what MONAI builds by default: stem of stride 1',
  paper: 'of the study: stem of stride 1, 2, 2',
  compact: 'for small grids: no pooling',
};

const AXES: Readonly<Record<(typeof AXES_NAMES)[number], string>> = {
  kji: 'depth is k, bottom to top: MedicalNet’s files',
  ijk: 'depth is i, left to right: nibabel, TorchIO, MONAI',
};

/** What leaves no trace in tensors and no registry knows. */
async function askHowTrained(found: ImportMessage, given: Trained): Promise<Trained | undefined> {
  const geometries = GEOMETRY_NAMES.filter((name) => found.geometries.includes(name));
  const first: Trained = {
    ...given,
    geometry: given.geometry ?? (geometries.length === 1 ? geometries[0] : undefined),
  };
  const unknown = (['geometry', 'axes'] as const).filter((name) => first[name] === undefined);
  const questions = new Questions(`${TITLE}: ${found.title}`, unknown.length);
  const steps: Readonly<Record<keyof Trained, Step<Trained>>> = {
    geometry: async ({ geometry }, step) =>
      named(
        'geometry',
        await questions.pick(step, {
          question: 'With which strides and dilations was it trained? Tensors do not tell.',
          choices: geometries.map((name) => ({ label: name, description: GEOMETRIES[name], value: name })),
          active: (name) => name === geometry,
        }),
      ),
    axes: async ({ geometry, axes }, step) => {
      const names = geometry === 'medicalnet' ? (['kji', 'ijk'] as const) : (['ijk', 'kji'] as const);
      return named(
        'axes',
        await questions.pick(step, {
          question: 'Which voxel axis was the depth in training?',
          choices: names.map((name) => ({ label: name, description: AXES[name], value: name })),
          active: (name) => name === axes,
        }),
      );
    },
  };
  return askInTurn(
    unknown.map((name) => steps[name]),
    first,
  );
}

/** Shows what would be loaded; the first line goes on to the place to write to. */
async function review(path: string, found: ImportMessage): Promise<string | undefined> {
  for (;;) {
    const picked = await vscode.window.showQuickPick<vscode.QuickPickItem & ReviewLine>(
      [
        { label: '$(save) Write the checkpoint…', detail: 'choose where', act: 'write' },
        { label: 'What was found', kind: vscode.QuickPickItemKind.Separator },
        ...importReview(found),
      ],
      {
        title: `${TITLE}: ${basename(path)}`,
        placeHolder: found.title,
        matchOnDetail: true,
        ignoreFocusOut: true,
      },
    );
    if (picked === undefined) return undefined;
    if (picked.act === 'write') {
      const uri = await vscode.window.showSaveDialog({
        title: `${TITLE}: where to write the checkpoint`,
        saveLabel: 'Import',
        defaultUri: vscode.Uri.file(suggestedName(path)),
        filters: { Checkpoint: ['safetensors'] },
      });
      if (uri) return uri.fsPath;
    } else if (picked.names) {
      await vscode.window.showQuickPick(
        picked.names.map((label) => ({ label })),
        { title: picked.label.replace(/^\$\([\w-]+\) /, ''), placeHolder: 'Escape goes back' },
      );
    }
  }
}

function suggestedName(path: string): string {
  const folder = vscode.workspace.getWorkspaceFolder(vscode.Uri.file(path))
    ? dirname(path)
    : (vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? dirname(path));
  return join(folder, `${basename(path, extname(path))}.imported.safetensors`);
}

async function offer(
  checkpoints: CheckpointEditor,
  { title, loaded, missing }: ImportMessage,
  out: string,
): Promise<void> {
  const open = 'Open in Inspector';
  const train = 'Train From It';
  const choice = await vscode.window.showInformationMessage(
    `${title}: ${loaded.length} tensors imported into ${basename(out)}, ${missing.length} left to start fresh.`,
    open,
    train,
  );
  if (choice === open) await checkpoints.show(out);
  if (choice === train) await vscode.commands.executeCommand('fcd.trainModel', { strategy: out });
}

function working<T>(
  title: string,
  work: (
    token: vscode.CancellationToken,
    onProgress: (progress: { detail: string; fraction: number | null }) => void,
  ) => Promise<T>,
): Promise<T> {
  return Promise.resolve(
    vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title, cancellable: true },
      (progress, token) => {
        let reached = 0;
        return work(token, ({ detail, fraction }) => {
          const percent = fraction === null ? reached : 100 * fraction;
          progress.report({ message: detail, increment: Math.max(0, percent - reached) });
          reached = Math.max(reached, percent);
        });
      },
    ),
  );
}
