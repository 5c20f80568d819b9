import * as path from 'node:path';
import * as vscode from 'vscode';

const SCANS = '**/sub-*/**/anat/*_{T1w,FLAIR}.{nii,nii.gz}';

/** A subject's scan of the workspace, or a file; undefined where the person gave up. */
export async function chooseScan(title: string): Promise<string | undefined> {
  const found = await vscode.workspace.findFiles(SCANS, '**/{node_modules,.git,derivatives}/**', 2000);
  const items: (vscode.QuickPickItem & { readonly scan?: string })[] = found
    .map(({ fsPath }) => ({
      label: path.basename(fsPath).replace(/\.nii(\.gz)?$/, ''),
      description: vscode.workspace.asRelativePath(path.dirname(fsPath)),
      scan: fsPath,
    }))
    .sort((a, b) => (a.scan < b.scan ? -1 : 1));
  items.push({ label: '$(folder-opened) A file…', detail: '.nii or .nii.gz' });
  const picked = await vscode.window.showQuickPick(items, {
    title,
    placeHolder: 'Which scan?',
    matchOnDescription: true,
  });
  if (!picked) return undefined;
  if (picked.scan !== undefined) return picked.scan;
  const file = await vscode.window.showOpenDialog({
    title,
    openLabel: 'Use this scan',
    filters: { 'NIfTI image': ['nii', 'gz'] },
  });
  return file?.[0]?.fsPath;
}
