import { stat } from 'node:fs/promises';
import * as path from 'node:path';
import * as vscode from 'vscode';
import { wentBack, type Back, type Choice, type Questions } from '../guide/questions';

const CHECKPOINTS = '**/checkpoints/best/model.safetensors';
const LAST_MODEL = 'fcd.case.model';
const BROWSE = '';

/** A run directory (or checkpoint file) to compute with; undefined where the person gave up. */
export async function chooseModel(
  questions: Questions,
  step: number,
  memory: vscode.Memento,
  now: string | undefined,
): Promise<string | Back | undefined> {
  const runs = await runsWithCheckpoint();
  const last = now ?? memory.get<string>(LAST_MODEL);
  const answer = await questions.pick(step, {
    question:
      runs.length > 0
        ? 'Which model?'
        : 'No run of this workspace has a checkpoint yet: choose a file, or train one (FCD: Train FCD Model)',
    choices: rows(runs, last),
    active: (one) => one === last,
  });
  if (answer === undefined || wentBack(answer)) return answer;
  const model = answer === BROWSE ? await chooseFile() : answer;
  if (model === undefined) return chooseModel(questions, step, memory, now);
  await memory.update(LAST_MODEL, model);
  return model;
}

interface TrainedRun {
  readonly path: string;
  readonly modifiedMs: number;
}

/** The one that was used last, the others from the newest on, a file. */
function rows(runs: readonly TrainedRun[], last: string | undefined): Choice<string>[] {
  return [
    ...[...runs]
      .sort((a, b) => Number(b.path === last) - Number(a.path === last) || b.modifiedMs - a.modifiedMs)
      .map((run) => ({
        label: path.basename(run.path),
        description: vscode.workspace.asRelativePath(path.dirname(run.path)),
        detail: `best checkpoint, ${new Date(run.modifiedMs).toLocaleString()}${run.path === last ? ', used last' : ''}`,
        value: run.path,
      })),
    {
      label: '$(folder-opened) A checkpoint file…',
      description: '.safetensors, .pth or .pt',
      alwaysShow: true,
      value: BROWSE,
    },
  ];
}

async function runsWithCheckpoint(): Promise<TrainedRun[]> {
  const files = await vscode.workspace.findFiles(CHECKPOINTS, '**/{node_modules,.git}/**', 1000);
  return Promise.all(
    files.map(async ({ fsPath }) => ({
      path: path.resolve(fsPath, '..', '..', '..'),
      modifiedMs: (await stat(fsPath).catch(() => undefined))?.mtimeMs ?? 0,
    })),
  );
}

async function chooseFile(): Promise<string | undefined> {
  const picked = await vscode.window.showOpenDialog({
    title: 'Choose a checkpoint',
    openLabel: 'Use This Model',
    filters: { Checkpoints: ['safetensors', 'pth', 'pt'] },
  });
  return picked?.[0]?.fsPath;
}
