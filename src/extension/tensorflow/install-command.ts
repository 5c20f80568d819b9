import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { TENSORFLOW_VERSION } from '../../protocol/tensorflow';
import { trusted } from '../settings/trust';
import { findNpm } from './find-npm';
import { CUDA_PACKAGE, isInstalled } from './tensorflow-places';

const NAME = 'Install CUDA Backend';
const INSTALL = 'Install';
const SELECT = 'Select Engine';

const NEEDS = [
  'It computes on an NVIDIA card, through CUDA 11.2 and cuDNN 8.1, which must be installed already, with a driver for the card; newer major versions of CUDA do not serve.',
  'npm downloads the package, and the package about 450 MB of TensorFlow from storage.googleapis.com, more than 1 GB on disk.',
];

/** On Windows no add-on lies ready for this version; npm compiles it. */
const NEEDS_ON_WINDOWS =
  'On Windows npm compiles a part of it: Python and the C++ build tools of Visual Studio must be installed.';

/**
 * FCD: Install CUDA Backend: lets npm install TensorFlow for Node.js with CUDA into the extension's own storage, in a
 * terminal that shows all it does, and says before what that needs and after what to do.
 * @param storage the folder to install into
 * @param onInstalled hears of a success: processes that run do not have it yet
 */
export function registerInstallCuda(storage: string, onInstalled: () => void): vscode.Disposable {
  return vscode.commands.registerCommand('fcd.installCudaBackend', async () => {
    if (!(await trusted(NAME))) return;
    const impossible = unsupported(process.platform, process.arch);
    if (impossible !== undefined) {
      void vscode.window.showErrorMessage(impossible);
      return;
    }
    const npm = findNpm(process.env.PATH ?? '');
    if (npm === undefined) {
      void vscode.window.showErrorMessage(
        `${NAME} needs npm, and none is on the PATH of VS Code. Install Node.js (it brings npm along), start VS Code again and run the command once more.`,
      );
      return;
    }
    if (!(await agreed(storage))) return;
    await prepare(storage);
    const code = await install(npm, storage);
    if (code !== 0 || !isInstalled(storage)) {
      void vscode.window.showErrorMessage(
        `TensorFlow with CUDA was not installed (npm ${code === undefined ? 'was stopped' : `ended with exit code ${code}`}). The terminal tells why; often registry.npmjs.org or storage.googleapis.com is out of reach.`,
      );
      return;
    }
    onInstalled();
    const chosen = await vscode.window.showInformationMessage(
      'TensorFlow with CUDA is installed. FCD: Select Engine, "TensorFlow", computes with it from now on; whether the card, CUDA and cuDNN work is tested then, and fcd doctor --engine tensorflow tells the same in a terminal.',
      SELECT,
    );
    if (chosen === SELECT) await vscode.commands.executeCommand('fcd.selectEngine');
  });
}

/** Why there is no such package for a machine. */
export function unsupported(platform: NodeJS.Platform, arch: NodeJS.Architecture): string | undefined {
  if ((platform === 'linux' || platform === 'win32') && arch === 'x64') return undefined;
  return `TensorFlow with CUDA exists for Linux and Windows on x64 processors, not for ${platform} on ${arch}. The engine "webgpu" computes on GPUs of all vendors (FCD: Select Engine).`;
}

async function agreed(storage: string): Promise<boolean> {
  const again = isInstalled(storage) ? ' It is installed already and would be installed again.' : '';
  const needs = process.platform === 'win32' ? [...NEEDS, NEEDS_ON_WINDOWS] : NEEDS;
  const choice = await vscode.window.showInformationMessage(
    `Install ${CUDA_PACKAGE} ${TENSORFLOW_VERSION}?${again}`,
    { modal: true, detail: [...needs, `It goes to ${storage}.`].join('\n\n') },
    INSTALL,
  );
  return choice === INSTALL;
}

/** A folder that npm takes for a project. The package downloads TensorFlow in its install script, which npm must allow. */
async function prepare(storage: string): Promise<void> {
  await mkdir(storage, { recursive: true });
  const project = {
    private: true,
    description: 'What FCD: Install CUDA Backend has installed',
    allowScripts: { [`${CUDA_PACKAGE}@${TENSORFLOW_VERSION}`]: true },
  };
  await writeFile(join(storage, 'package.json'), `${JSON.stringify(project, undefined, 2)}\n`);
}

/** Runs npm where it can be watched and stopped. @returns its exit code; undefined where it was stopped */
async function install(npm: string, storage: string): Promise<number | undefined> {
  const args = [
    'install',
    '--save-exact',
    '--no-audit',
    '--no-fund',
    `${CUDA_PACKAGE}@${TENSORFLOW_VERSION}`,
  ];
  const options = { cwd: storage };
  // npm.cmd is a script, which Windows starts through a shell only.
  const execution =
    process.platform === 'win32'
      ? new vscode.ShellExecution({ value: npm, quoting: vscode.ShellQuoting.Strong }, args, options)
      : new vscode.ProcessExecution(npm, args, options);
  const task = new vscode.Task(
    { type: 'fcd.installCudaBackend' },
    vscode.TaskScope.Global,
    NAME,
    'FCD Lens',
    execution,
  );
  task.presentationOptions = {
    reveal: vscode.TaskRevealKind.Always,
    panel: vscode.TaskPanelKind.Dedicated,
    showReuseMessage: false,
  };
  let subscriptions: vscode.Disposable[] = [];
  try {
    // Listened for first: a process that fails at once may end before executeTask has returned.
    return await new Promise<number | undefined>((resolve, reject) => {
      const ours = ({ task: one }: vscode.TaskExecution): boolean =>
        one.definition.type === task.definition.type;
      subscriptions = [
        vscode.tasks.onDidEndTaskProcess(({ execution: one, exitCode }) => {
          if (ours(one)) resolve(exitCode);
        }),
        vscode.tasks.onDidEndTask(({ execution: one }) => {
          // Without a process nothing else would end the wait; with one its exit code came first.
          if (ours(one)) setTimeout(() => resolve(undefined), 100);
        }),
      ];
      vscode.tasks.executeTask(task).then(undefined, reject);
    });
  } finally {
    for (const subscription of subscriptions) subscription.dispose();
  }
}
