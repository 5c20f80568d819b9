import * as path from 'node:path';
import * as vscode from 'vscode';
import { wentBack, type Back, type Choice, type Questions } from '../guide/questions';

const SCANS = '**/sub-*/**/anat/*_{T1w,FLAIR}.{nii,nii.gz}';
const BROWSE = '';

/** A subject's scan of the workspace, or a file; undefined where the person gave up. */
export async function chooseScan(
  questions: Questions,
  step: number,
  now: string | undefined,
): Promise<string | Back | undefined> {
  const scan = await questions.pick(step, {
    question: 'Which scan?',
    choices: scans(),
    active: (one) => one === now,
  });
  if (scan === undefined || wentBack(scan) || scan !== BROWSE) return scan;
  const file = await vscode.window.showOpenDialog({
    title: 'Choose a scan',
    openLabel: 'Use This Scan',
    filters: { 'NIfTI image': ['nii', 'gz'] },
  });
  return file?.[0]?.fsPath ?? chooseScan(questions, step, now);
}

async function scans(): Promise<Choice<string>[]> {
  const found = await vscode.workspace.findFiles(SCANS, '**/{node_modules,.git,derivatives}/**', 2000);
  return [
    ...found
      .map(({ fsPath }) => ({
        label: path.basename(fsPath).replace(/\.nii(\.gz)?$/, ''),
        description: vscode.workspace.asRelativePath(path.dirname(fsPath)),
        value: fsPath,
      }))
      .sort((a, b) => (a.value < b.value ? -1 : 1)),
    {
      label: '$(folder-opened) A file…',
      description: '.nii or .nii.gz',
      alwaysShow: true,
      value: BROWSE,
    },
  ];
}
