// `npm run package`: builds everything and makes fcd-lens-VERSION.vsix, which runs everywhere, whose size is held to
// what we promise. `npm run package -- --target linux-x64` makes fcd-lens-linux-x64-VERSION.vsix, which brings Node.js
// and Dawn (WebGPU) for one platform along; `--target all` makes those of all platforms.
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createVSIX, listFiles, PackageManager } from '@vscode/vsce';
import { ROOT } from '../test/vscode/locate.mjs';
import { TARGETS, writePlatformFiles } from './platform/platform-files.mjs';

/** At most 3 MB without the weights of models/, so that a window on a slow line has it in seconds. */
export const VSIX_LIMIT_BYTES = 3_000_000;

/** At most 70 MB with Node.js, Dawn and the weights. */
export const PLATFORM_LIMIT_BYTES = 70_000_000;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const targets = targetsAsked(process.argv.slice(2));
  const built = spawnSync(process.execPath, [join(ROOT, 'scripts/build.mjs'), '--quiet'], {
    stdio: 'inherit',
  });
  if (built.status !== 0) process.exit(built.status ?? 1);
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  for (const target of targets) {
    const vsix = join(ROOT, `fcd-lens-${target ? `${target}-` : ''}${version}.vsix`);
    const bytes = target ? await makePlatformVsix(vsix, target) : await makeVsix(vsix);
    console.log(`${vsix}: ${(bytes / 1e6).toFixed(2)} MB`);
  }
}

/** @returns {(string | undefined)[]} platforms; undefined: the universal package */
function targetsAsked(args) {
  if (args.length === 0) return [undefined];
  const [flag, target, ...rest] = args;
  if (flag === '--target' && rest.length === 0) {
    if (target === 'all') return TARGETS;
    if (TARGETS.includes(target)) return [target];
  }
  console.error(`Usage: npm run package [-- --target ${TARGETS.join('|')}|all]`);
  process.exit(2);
}

/**
 * Packs what is built; .vscodeignore says what goes in.
 * @param {string} path the .vsix to write
 * @returns {Promise<number>} its bytes
 */
export async function makeVsix(path) {
  await createVSIX({
    cwd: ROOT,
    packagePath: path,
    dependencies: false, // all of them are bundled
    allowMissingRepository: true,
    rewriteRelativeLinks: false,
  });
  const { size } = statSync(path);
  const rest = size - bytesOfWeights();
  if (rest > VSIX_LIMIT_BYTES)
    throw new Error(
      `${path} has ${rest} bytes beside the weights, more than ${VSIX_LIMIT_BYTES}. See what is in it: npx vsce ls.`,
    );
  return size;
}

/**
 * Packs what is built together with Node.js and Dawn for one platform. They lie in dist/node_modules, where the programs
 * in dist/ find them as Node finds any package; vsce leaves out a node_modules at the top.
 * @param {string} path the .vsix to write
 * @param {string} target `linux-x64`, `win32-arm64`, …
 * @returns {Promise<number>} its bytes
 */
export async function makePlatformVsix(path, target) {
  const stage = mkdtempSync(join(tmpdir(), 'fcd-platform-'));
  try {
    for (const file of await listFiles({ cwd: ROOT, packageManager: PackageManager.None })) {
      mkdirSync(dirname(join(stage, file)), { recursive: true });
      cpSync(join(ROOT, file), join(stage, file));
    }
    writePlatformFiles(target, join(stage, 'dist', 'node_modules'));
    writeFileSync(join(stage, '.vscodeignore'), ''); // only what goes in has been copied
    await createVSIX({
      cwd: stage,
      packagePath: path,
      target,
      dependencies: false,
      allowMissingRepository: true,
      rewriteRelativeLinks: false,
    });
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
  const { size } = statSync(path);
  if (size > PLATFORM_LIMIT_BYTES)
    throw new Error(`${path} has ${size} bytes, more than ${PLATFORM_LIMIT_BYTES}.`);
  return size;
}

/** Bytes of the shipped weights, which hardly get smaller when they are packed. */
export function bytesOfWeights() {
  const models = join(ROOT, 'models');
  return readdirSync(models)
    .filter((name) => name.endsWith('.safetensors'))
    .reduce((sum, name) => sum + statSync(join(models, name)).size, 0);
}
