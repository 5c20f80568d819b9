import * as vscode from 'vscode';
import type { EngineReportMessage } from '../../protocol/compute';
import { ComputeError, type Compute } from '../compute/compute';
import { isInstalled } from '../tensorflow/tensorflow-places';
import { trusted } from './trust';

interface EngineChoice extends vscode.QuickPickItem {
  readonly value: string;
}

/**
 * FCD: Select Engine: what computes here, how fast, and why; the choice is written into the setting fcd.engine.
 * @param tensorflow where FCD: Install CUDA Backend installs to
 */
export function registerSelectEngine(compute: Compute, tensorflow: string): vscode.Disposable {
  return vscode.commands.registerCommand('fcd.selectEngine', async () => {
    if (!(await trusted('Select Engine'))) return;
    const tested = await test(compute);
    const settings = vscode.workspace.getConfiguration('fcd');
    const now = settings.get('engine', 'auto');
    const chosen = await vscode.window.showQuickPick(
      engineChoices(tested, isInstalled(tensorflow)).map((choice) =>
        choice.value === now ? { ...choice, label: `$(check) ${choice.label}` } : choice,
      ),
      titles(tested),
    );
    if (!chosen || chosen.value === now) return;
    const target = vscode.workspace.workspaceFolders
      ? vscode.ConfigurationTarget.Workspace
      : vscode.ConfigurationTarget.Global;
    await settings.update('engine', chosen.value, target);
  });
}

/** What computes here, or why the engine that is set does not: then another one can still be chosen. */
type Tested = EngineReportMessage | { readonly failure: string };

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

function titles(tested: Tested): vscode.QuickPickOptions {
  if ('failure' in tested) return { title: 'Select Engine', placeHolder: tested.failure };
  const unusable = tested.selfTest
    .filter(({ ok }) => !ok)
    .map(({ module, detail }) => `${module}: ${detail}`);
  return {
    title: `Select Engine (Node.js ${tested.node}, ${tested.threads} threads)`,
    placeHolder: unusable.length > 0 ? `Not usable here: ${unusable.join('; ')}` : 'What shall compute?',
  };
}

/** The engines, each with a line about it, and the kernel modules of the engine wasm that work here. */
function engineChoices(tested: Tested, installed: boolean): EngineChoice[] {
  const known = 'failure' in tested ? undefined : tested;
  const detailOf = (engine: string): string | undefined =>
    known?.engine === engine ? `Here: ${known.reason}` : undefined;
  return [
    {
      value: 'auto',
      label: 'Automatic',
      description: 'a GPU that computes rightly, else the fastest kernels that do',
      detail: known && `Here: ${known.reason}`,
    },
    {
      value: 'wasm',
      label: 'WebAssembly',
      description: 'the processor, with the fastest kernels that compute rightly',
      detail: detailOf('wasm'),
    },
    {
      value: 'webgpu',
      label: 'GPU (WebGPU)',
      description: 'the GPU of this machine, of any vendor',
      detail: known?.gpu ?? undefined,
    },
    {
      value: 'tensorflow',
      label: 'TensorFlow (CUDA)',
      description: 'an NVIDIA card with CUDA 11.2 and cuDNN 8.1',
      detail:
        detailOf('tensorflow') ??
        (installed
          ? 'Installed by FCD: Install CUDA Backend; tested when it is chosen.'
          : 'FCD: Install CUDA Backend installs it; one of your own is found by the setting fcd.tensorflow.path, or in a trusted workspace.'),
    },
    {
      value: 'cpu',
      label: 'JavaScript',
      description: 'a reference, a hundred times slower',
      detail: 'For comparing results only.',
    },
    ...(known?.selfTest ?? [])
      .filter(({ ok, module }) => ok && module.startsWith('simd'))
      .sort((a, b) => b.gflops - a.gflops)
      .map(({ module, gflops, detail }) => ({
        value: module,
        label: `WebAssembly ${module}`,
        description: `${gflops.toFixed(0)} GFLOP/s on one thread`,
        detail,
      })),
  ];
}
