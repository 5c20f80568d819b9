import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import * as vscode from 'vscode';
import { answering } from './support/answers';
import { eventually } from './support/eventually';
import { compute, extension } from './support/extension';
import { noticesOf, type Notice } from './support/notices';
import { closeAll } from './support/workspace';

const searchPath = process.env.PATH;
let scratch: string;
let storage: string | undefined;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'fcd-npm-'));
});
afterEach(async () => {
  process.env.PATH = searchPath;
  rmSync(scratch, { recursive: true, force: true });
  if (storage !== undefined) rmSync(storage, { recursive: true, force: true });
  storage = undefined;
  await closeAll();
});

interface Call {
  readonly args: string[];
  readonly cwd: string;
  readonly project: { allowScripts: Record<string, boolean> };
}

/** Puts an npm first on PATH that notes how it was called and then does `work` in the folder of the call. */
function useNpm(work: string): () => Call | undefined {
  const record = join(scratch, 'call.json');
  const script = `#!${process.execPath}
const { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const project = JSON.parse(readFileSync('package.json', 'utf8'));
writeFileSync(${JSON.stringify(record)}, JSON.stringify({ args: process.argv.slice(2), cwd: process.cwd(), project }));
${work}
`;
  writeFileSync(join(scratch, 'npm'), script);
  chmodSync(join(scratch, 'npm'), 0o755);
  process.env.PATH = [scratch, searchPath].join(delimiter);
  return () => {
    if (!existsSync(record)) return undefined;
    const call = JSON.parse(readFileSync(record, 'utf8')) as Call;
    storage = call.cwd;
    return call;
  };
}

/** What the real npm leaves, with the stand-in of the unit tests for the package. */
async function installsStandIn(): Promise<string> {
  const root = (await extension()).extensionPath;
  return `
const home = join('node_modules', '@tensorflow', 'tfjs-node-gpu');
mkdirSync(home, { recursive: true });
writeFileSync(join(home, 'package.json'), JSON.stringify({ name: '@tensorflow/tfjs-node-gpu', version: '4.22.0', main: 'tfjs-node-stand-in.cjs' }));
for (const file of ['tfjs-node-stand-in.cjs', 'tensorflow-kernels.json'])
  cpSync(join(${JSON.stringify(root)}, 'test/unit/engine/fixtures', file), join(home, file));
for (const name of ['tfjs-core', 'tfjs-backend-cpu'])
  symlinkSync(join(${JSON.stringify(root)}, 'node_modules/@tensorflow', name), join('node_modules/@tensorflow', name));
`;
}

const run = (): Thenable<unknown> => vscode.commands.executeCommand('fcd.installCudaBackend');
const install = (notice: Notice): string | undefined => (notice.detail ? 'Install' : undefined);

describe('FCD: Install CUDA Backend', () => {
  it('says what it needs before anything happens, and does nothing where it is not wanted', async () => {
    const called = useNpm('');
    const [asked, ...more] = await noticesOf(run);
    deepEqual(more, []);
    match(asked.message, /^Install @tensorflow\/tfjs-node-gpu 4\.22\.0\?/);
    match(asked.detail ?? '', /NVIDIA card, through CUDA 11\.2 and cuDNN 8\.1.*about 450 MB/s);
    equal(called(), undefined);
  });

  it('lets npm install the pinned version into the storage of the extension; the engine is there then', async () => {
    const called = useNpm(await installsStandIn());
    const said = await noticesOf(run, install);
    const call = called();
    ok(call);
    deepEqual(
      call.args.filter((arg) => !arg.startsWith('--no-')),
      ['install', '--save-exact', '@tensorflow/tfjs-node-gpu@4.22.0'],
    );
    match(call.cwd, /fcd-lens\.fcd-lens.*tensorflow$/);
    // Newer versions of npm run no install script that a project does not allow, and TensorFlow comes by one.
    deepEqual(call.project.allowScripts, { '@tensorflow/tfjs-node-gpu@4.22.0': true });
    match(said.at(-1)?.message ?? '', /TensorFlow with CUDA is installed\. FCD: Select Engine/);
    ok(vscode.window.terminals.some(({ name }) => name.includes('Install CUDA Backend')));

    await answering({ pick: (items) => items.find(({ label }) => label.includes('TensorFlow')) }, () =>
      vscode.commands.executeCommand('fcd.selectEngine'),
    );
    const settings = () => vscode.workspace.getConfiguration('fcd');
    try {
      equal(settings().get('engine'), 'tensorflow');
      const client = await compute();
      const report = await eventually(
        'a process with TensorFlow',
        async () => {
          const one = await client.request('engine', {});
          return one.engine === 'tensorflow' ? one : undefined;
        },
        60,
      );
      match(
        report.reason,
        /@tensorflow\/tfjs-node-gpu 4\.22\.0 \(installed by FCD Lens\), TensorFlow 2\.9\.1/,
      );
      // The stand-in has no card; why the real one would have none either is said.
      match(report.reason, /on the processor and not on a card\. .*(cannot be loaded\.|nvidia-smi)/);
    } finally {
      await settings().update('engine', undefined, vscode.ConfigurationTarget.Workspace);
    }
  });

  it('says where to look when npm fails', async () => {
    const called = useNpm('process.exit(7);');
    const said = await noticesOf(run, install);
    ok(called());
    equal(said.at(-1)?.kind, 'error');
    match(
      said.at(-1)?.message ?? '',
      /was not installed \(npm ended with exit code 7\)\. The terminal tells why/,
    );
  });

  it('says what is missing where there is no npm', async () => {
    process.env.PATH = scratch;
    const [notice, ...more] = await noticesOf(run, install);
    deepEqual(more, []);
    match(notice.message, /needs npm, and none is on the PATH of VS Code\. Install Node\.js/);
  });
});

describe('FCD: Select Engine', () => {
  it('offers every engine with a line about it, also where the one that is set does not work', async () => {
    const settings = () => vscode.workspace.getConfiguration('fcd');
    await settings().update('engine', 'tensorflow', vscode.ConfigurationTarget.Workspace);
    try {
      let offered: readonly vscode.QuickPickItem[] = [];
      await answering(
        {
          pick: (items) => {
            offered = items;
            return items.find(({ label }) => label.includes('Automatic'));
          },
        },
        () => vscode.commands.executeCommand('fcd.selectEngine'),
      );
      const labels = ['Automatic', 'WebAssembly', 'GPU (WebGPU)', 'TensorFlow (CUDA)', 'JavaScript'];
      deepEqual(
        offered.slice(0, 5).map(({ label }) => label.replace('$(check) ', '')),
        labels,
      );
      for (const { label, description } of offered) ok(description, `${label} says nothing of itself`);
      match(offered[3].detail ?? '', /FCD: Install CUDA Backend installs it/);
      equal(settings().get('engine'), 'auto');
    } finally {
      await settings().update('engine', undefined, vscode.ConfigurationTarget.Workspace);
    }
  });
});
