import * as vscode from 'vscode';
import { ComputeError, type Compute } from '../compute/compute';
import { isInstalled } from '../tensorflow/tensorflow-places';
import { Questions, wentBack } from '../guide/questions';
import { engineChoices, questionOf, titleOf, type Tested } from './engine-choices';
import { trusted } from './trust';

/**
 * FCD: Select Engine: what computes here, how fast, and why; the choice is written into the setting fcd.engine.
 * @param tensorflow where FCD: Install CUDA Backend installs to
 */
export function registerSelectEngine(compute: Compute, tensorflow: string): vscode.Disposable {
  return vscode.commands.registerCommand('fcd.selectEngine', async () => {
    if (!(await trusted('Select Engine'))) return;
    const tested = await test(compute);
    // Not awaited: a sentence is longer than the field over the list, and another engine can be chosen beside it.
    if ('failure' in tested) void vscode.window.showWarningMessage(tested.failure);
    const settings = vscode.workspace.getConfiguration('fcd');
    const now = settings.get('engine', 'auto');
    const chosen = await new Questions(titleOf(tested), 1).pick(1, {
      question: questionOf(tested),
      choices: engineChoices(tested, isInstalled(tensorflow), now).map((choice) =>
        choice.value === now ? { ...choice, label: `$(check) ${choice.label}` } : choice,
      ),
      active: (engine) => engine === now,
    });
    if (chosen === undefined || wentBack(chosen) || chosen === now) return;
    const target = vscode.workspace.workspaceFolders
      ? vscode.ConfigurationTarget.Workspace
      : vscode.ConfigurationTarget.Global;
    await settings.update('engine', chosen, target);
  });
}

async function test(compute: Compute): Promise<Tested> {
  const options = {
    location: vscode.ProgressLocation.Notification,
    title: 'Testing what computes here',
    cancellable: true,
  };
  try {
    return await vscode.window.withProgress(options, (progress, token) =>
      compute.request(
        'engine',
        {},
        { token, onProgress: ({ detail }) => progress.report({ message: detail }) },
      ),
    );
  } catch (error) {
    if (error instanceof ComputeError) return { failure: error.message };
    throw error;
  }
}
