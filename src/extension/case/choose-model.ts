import { stat } from 'node:fs/promises';
import * as path from 'node:path';
import * as vscode from 'vscode';

const CHECKPOINTS = '**/checkpoints/best/model.safetensors';
const LAST_MODEL = 'fcd.case.model';

/** A run directory (or checkpoint file) to compute with; undefined where the person gave up. */
export async function chooseModel(memory: vscode.Memento, title: string): Promise<string | undefined> {
  const runs = await runsWithCheckpoint();
  const last = memory.get<string>(LAST_MODEL);
  const items: (vscode.QuickPickItem & { readonly model?: string })[] = runs
    .sort((a, b) => Number(b.path === last) - Number(a.path === last) || b.modifiedMs - a.modifiedMs)
    .map((run) => ({
      label: path.basename(run.path),
      description: vscode.workspace.asRelativePath(path.dirname(run.path)),
      detail: `best checkpoint of ${new Date(run.modifiedMs).toLocaleString()}${run.path === last ? ', used last' : ''}`,
      model: run.path,
    }));
  items.push({ label: '$(folder-opened) A checkpoint file…', detail: '.safetensors, .pth or .pt' });
  const picked = await vscode.window.showQuickPick(items, {
    title,
    placeHolder:
      runs.length > 0
        ? 'Which model?'
        : 'The workspace has no run with a checkpoint yet: choose a file, or train one (FCD: Train FCD Model)',
    matchOnDescription: true,
  });
  if (!picked) return undefined;
  const model = picked.model ?? (await chooseFile(title));
  if (model !== undefined) await memory.update(LAST_MODEL, model);
  return model;
}

async function runsWithCheckpoint(): Promise<{ path: string; modifiedMs: number }[]> {
  const files = await vscode.workspace.findFiles(CHECKPOINTS, '**/{node_modules,.git}/**', 1000);
  return Promise.all(
    files.map(async ({ fsPath }) => ({
      path: path.resolve(fsPath, '..', '..', '..'),
      modifiedMs: (await stat(fsPath).catch(() => undefined))?.mtimeMs ?? 0,
    })),
  );
}

async function chooseFile(title: string): Promise<string | undefined> {
  const picked = await vscode.window.showOpenDialog({
    title,
    openLabel: 'Use this model',
    filters: { Checkpoints: ['safetensors', 'pth', 'pt'] },
  });
  return picked?.[0]?.fsPath;
}
