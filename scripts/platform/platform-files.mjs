// What a platform package carries beyond the universal one: Node.js and Dawn (WebGPU) for one platform.
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeInPackage, nodePackageName } from '../../bin/node-package.mjs';
import { filesOfPackage } from './npm-tarball.mjs';

/**
 * Pinned versions. Node 24 wherever npm has a maintained one: on 2026-11-25 its only Node 24 for Apple's processors is
 * 24.0.0, without two years of security fixes, and for Windows on ARM it has none, so both get Node 22 (LTS).
 */
const PINS = JSON.parse(
  readFileSync(join(dirname(fileURLToPath(import.meta.url)), 'platform-packages.json'), 'utf8'),
);

/** As `vsce package --target` and the editor call them. */
export const TARGETS = Object.keys(PINS.node);

/**
 * Writes `node_modules` of a platform: the packages `node-<platform>-<arch>` and `webgpu`, each with its licence and
 * nothing that does not run.
 * @param {string} target one of {@link TARGETS}
 * @param {string} folder the `node_modules` to write
 */
export function writePlatformFiles(target, folder) {
  const [platform, arch] = target.split('-');
  writeNode(target, platform, arch, join(folder, nodePackageName(platform, arch)));
  writeDawn(platform, arch, join(folder, 'webgpu'));
}

function writeNode(target, platform, arch, folder) {
  const pin = PINS.node[target];
  const files = filesOfPackage(pin);
  const executable = nodeInPackage('', platform).replaceAll('\\', '/');
  // The packages for Windows bring no licence: it is the same for all platforms.
  const licence = files.get('LICENSE') ?? filesOfPackage(PINS.node['linux-x64']).get('LICENSE');
  write(folder, executable, need(files, executable, pin), 0o755);
  write(folder, 'LICENSE', licence);
  const name = nodePackageName(platform, arch);
  const manifest = { name, version: pin.version, license: 'MIT', os: [platform], cpu: [arch] };
  write(folder, 'package.json', { bytes: Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`) });
}

/** On Windows Dawn's compilers lie beside it; on macOS one file serves both processors. */
function writeDawn(platform, arch, folder) {
  const files = filesOfPackage(PINS.dawn);
  const binaries = `dist/${platform}-${platform === 'darwin' ? 'universal' : arch}/`;
  need(files, `${binaries}dawn.node`, PINS.dawn);
  for (const [path, file] of files)
    if (path.startsWith(binaries) || ['index.js', 'package.json', 'LICENSE.md'].includes(path))
      write(folder, path, file, path.endsWith('.node') ? 0o755 : 0o644);
}

function need(files, path, { package: name, version }) {
  const file = files.get(path);
  if (!file) throw new Error(`${name} ${version} has no ${path}.`);
  return file;
}

function write(folder, path, { bytes }, mode = 0o644) {
  const target = join(folder, path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, bytes);
  chmodSync(target, mode);
}
