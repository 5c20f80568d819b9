import * as vscode from 'vscode';
import type { Compute } from '../compute/compute';
import { trusted } from './trust';

interface EngineChoice extends vscode.QuickPickItem {
  readonly value: string;
}

/** FCD: Select Engine: what computes here, how fast, and why; the choice is written into the setting fcd.engine. */
export function registerSelectEngine(compute: Compute): vscode.Disposable {
  return vscode.commands.registerCommand('fcd.selectEngine', async () => {
    if (!(await trusted('Select Engine'))) return;
    const report = await vscode.window.withProgress(
      {
        location: vscode.ProgressLocation.Notification,
        title: 'Testing what computes here',
        cancellable: true,
      },
      (progress, token) =>
        compute.request(
          'engine',
          {},
          { token, onProgress: ({ detail }) => progress.report({ message: detail }) },
        ),
    );
    const settings = vscode.workspace.getConfiguration('fcd');
    const now = settings.get('engine', 'auto');
    const row = (value: string, label: string, description: string, detail?: string): EngineChoice => ({
      label: `${value === now ? '$(check) ' : ''}${label}`,
      description,
      detail,
      value,
    });
    const choices: EngineChoice[] = [
      row('auto', 'Automatic', 'the fastest kernels that compute rightly', `Here: ${report.reason}`),
      ...report.selfTest
        .filter(({ ok, module }) => ok && module !== 'webgpu')
        .sort((a, b) => b.gflops - a.gflops)
        .map(({ module, gflops, detail }) =>
          row(module, `WebAssembly ${module}`, `${gflops.toFixed(0)} GFLOP/s on one thread`, detail),
        ),
      row('webgpu', 'GPU (WebGPU)', 'the GPU of this machine, of any vendor', report.gpu ?? undefined),
      row('cpu', 'JavaScript', 'a reference, a hundred times slower', 'For comparing results only.'),
    ];
    const unusable = report.selfTest
      .filter(({ ok }) => !ok)
      .map(({ module, detail }) => `${module}: ${detail}`);
    const chosen = await vscode.window.showQuickPick(choices, {
      title: `Select Engine (Node.js ${report.node}, ${report.threads} threads)`,
      placeHolder: unusable.length > 0 ? `Not usable here: ${unusable.join('; ')}` : 'What shall compute?',
    });
    if (!chosen || chosen.value === now) return;
    const target = vscode.workspace.workspaceFolders
      ? vscode.ConfigurationTarget.Workspace
      : vscode.ConfigurationTarget.Global;
    await settings.update('engine', chosen.value, target);
  });
}
