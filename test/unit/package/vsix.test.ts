import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { unzipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VSIX_LIMIT_BYTES, bytesOfWeights, makeVsix } from '../../../scripts/package.mjs';
import { ROOT } from '../../peers';

const scratch = mkdtempSync(join(tmpdir(), 'fcd-vsix-'));
const vsix = join(scratch, 'fcd-lens.vsix');
/** Where an editor puts the extension: far from our node_modules. */
const installed = join(scratch, 'extension');

beforeAll(async () => {
  await makeVsix(vsix);
  for (const [name, bytes] of Object.entries(unzipSync(readFileSync(vsix)))) {
    mkdirSync(dirname(join(scratch, name)), { recursive: true });
    writeFileSync(join(scratch, name), bytes);
  }
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const files = () =>
  readdirSync(installed, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(installed.length + 1));

describe('the packaged extension', () => {
  it('is at most 3 MB, and 12 MB of weights', () => {
    expect(VSIX_LIMIT_BYTES).toBe(3_000_000);
    expect(bytesOfWeights()).toBeLessThanOrEqual(12_000_000);
    expect(statSync(vsix).size - bytesOfWeights()).toBeLessThanOrEqual(VSIX_LIMIT_BYTES);
  });

  it('holds what runs and nothing else', () => {
    const allowed =
      /^(package(\.nls(\.[\w-]+)?)?\.json|readme\.md|changelog\.md|LICENSE\.txt|bin\/(fcd|(runtime|node-package)\.mjs)|media\/.+\.(svg|png|css|md|ttf|woff2?)|models\/.+\.(json|safetensors)|models\/cards\/.+\.md|dist\/(extension|webview|cli|compute|engine)\/.+\.(c?js|css|wasm|ttf|woff2?))$/;
    expect(files().filter((name) => !allowed.test(name))).toEqual([]);
  });

  it('holds every file that its manifest names', () => {
    const { main, bin, icon } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as {
      main: string;
      bin: Record<string, string>;
      icon?: string;
    };
    const named = [main, ...Object.values(bin), ...(icon ? [icon] : [])].map((path) =>
      path.replace(/^\.\//, ''),
    );
    expect(files()).toEqual(expect.arrayContaining(named));
  });

  it('has the weights that its catalogue offers, and their cards', () => {
    const { weights } = JSON.parse(readFileSync(join(installed, 'models/catalogue.json'), 'utf8')) as {
      weights: { file: string; card: string }[];
    };
    const offered = weights.flatMap(({ file, card }) => [`models/${file}`, `models/${card}`]);
    expect(files()).toEqual(expect.arrayContaining(['models/catalogue.json', ...offered]));
  });

  it('says nothing of the machine that built it', () => {
    for (const name of files().filter((file) => /\.(c?js|json|md)$/.test(file)))
      expect(readFileSync(join(installed, name), 'utf8').includes(`${ROOT}/`), name).toBe(false);
  });

  it('computes, from where it is installed', () => {
    const run = spawnSync(process.execPath, [join(installed, 'dist/cli/main.js'), 'doctor', '--json'], {
      cwd: scratch,
      encoding: 'utf8',
      env: { PATH: process.env.PATH },
    });
    expect(run.status, run.stderr).toBe(0);
    const { engine } = JSON.parse(run.stdout) as { engine: { name: string; selfTest: { ok: boolean }[] } };
    expect(engine.name).toBe('wasm');
    expect(engine.selfTest.every((one) => one.ok)).toBe(true);
  });
});
