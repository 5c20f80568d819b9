// `node scripts/gpu-trial/pack.mjs --out FILE.tar.gz` makes one archive with which a bare machine (a GPU, its driver, perhaps
// Python with PyTorch, no network) tries its GPU: Node, Dawn, the engine, the benchmark and the conformance checks.
//   tar -xzf FILE.tar.gz && sh fcd-gpu-trial/run.sh --out DIR
import { spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { nodeInPackage, nodePackageName } from '../../bin/node-package.mjs';
import { writePlatformFiles } from '../platform/platform-files.mjs';

const HELP = `node scripts/gpu-trial/pack.mjs --out FILE.tar.gz [--target linux-x64|linux-arm64] [--level N]

  --out FILE     the archive
  --target NAME  the machine that it is for (default: this one; another one's Node and Dawn are fetched from npm)
  --level N      of xz, 0 to 9 (default 6)`;

/** At most so many bytes. */
const LIMIT = 60_000_000;

const TARGETS = ['linux-x64', 'linux-arm64'];
const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** What is taken from the checkout as it is. */
const TAKEN = [
  'LICENSE',
  'package.json',
  'scripts/bench',
  'scripts/gpu-trial',
  'scripts/loss-curves/curve-distance.mjs',
  'test/conformance/torch_peer.py',
  'test/conformance/cases.json',
  'test/conformance/fixtures',
  'dist/bench/our-peer.js',
  'dist/gpu-trial',
  'dist/engine',
];
const LEFT_OUT = /\.(ts|map)$|__pycache__|read-weights\.mjs$|pack\.mjs$/;

/** Where systems keep the loader of Vulkan, for machines that have a driver and no loader. */
const LOADERS = {
  'linux-x64': ['/usr/lib/x86_64-linux-gnu/libvulkan.so.1', '/usr/lib64/libvulkan.so.1'],
  'linux-arm64': ['/usr/lib/aarch64-linux-gnu/libvulkan.so.1', '/usr/lib64/libvulkan.so.1'],
};

const here = `${process.platform}-${process.arch}`;
const { values: options } = parseArgs({
  options: {
    out: { type: 'string' },
    target: { type: 'string', default: here },
    level: { type: 'string', default: '6' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
const { target, level } = options;
if (!options.out || !TARGETS.includes(target) || !/^[0-9]$/.test(level)) {
  console.error(
    `${options.out ? '' : '--out FILE is missing. '}--target knows ${TARGETS.join(', ')}.\n\n${HELP}`,
  );
  process.exit(2);
}
if (!existsSync(join(root, 'dist/gpu-trial/curve.js')))
  throw new Error('Nothing is built yet: run `npm run build` first.');

const archive = resolve(options.out);
const stage = mkdtempSync(join(tmpdir(), 'fcd-gpu-trial-'));
try {
  const into = join(stage, 'fcd-gpu-trial');
  await fill(into);
  mkdirSync(dirname(archive), { recursive: true });
  run('tar', ['-czf', archive, '-C', stage, 'fcd-gpu-trial']);
} finally {
  rmSync(stage, { recursive: true, force: true });
}
const { size } = statSync(archive);
console.log(`${archive}: ${(size / 1e6).toFixed(1)} MB for ${target}`);
if (size > LIMIT) throw new Error(`${archive} has ${size} bytes, more than ${LIMIT}.`);

async function fill(into) {
  for (const path of TAKEN)
    cpSync(join(root, path), join(into, path), {
      recursive: true,
      filter: (source) => !LEFT_OUT.test(source),
    });
  cpSync(join(root, 'scripts/gpu-trial/run.sh'), join(into, 'run.sh'));
  const modules = target === here ? join(root, 'node_modules') : join(into, 'fetched');
  if (target !== here) writePlatformFiles(target, modules);
  const [platform, arch] = target.split('-');
  const node = join(modules, nodePackageName(platform, arch));
  takePackage(join(modules, 'webgpu'), join(into, 'node_modules/webgpu'));
  cpSync(join(node, 'LICENSE'), join(into, 'node.LICENSE'));
  const dawn = join('dist', target, 'dawn.node');
  await Promise.all([
    pack(nodeInPackage(node, platform), join(into, 'node.xz')),
    pack(join(modules, 'webgpu', dawn), join(into, 'node_modules/webgpu', `${dawn}.xz`)),
  ]);
  if (target !== here) rmSync(modules, { recursive: true });
  takeLoader(into);
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const git = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' });
  const made = { version, commit: git.status === 0 ? git.stdout.trim() : 'unknown', target };
  writeFileSync(join(into, 'made.json'), `${JSON.stringify(made)}\n`);
}

/** Dawn's package but its binaries. */
function takePackage(from, to) {
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from))
    if (['index.js', 'package.json', 'LICENSE.md'].includes(name)) cpSync(join(from, name), join(to, name));
}

function takeLoader(into) {
  const loader = LOADERS[target].find((path) => target === here && existsSync(path));
  if (!loader) return;
  mkdirSync(join(into, 'lib'), { recursive: true });
  cpSync(realpathSync(loader), join(into, 'lib/libvulkan.so.1'));
  const notice = '/usr/share/doc/libvulkan1/copyright';
  if (existsSync(notice)) cpSync(notice, join(into, 'lib/libvulkan.LICENSE'));
}

async function pack(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  const xz = spawn('xz', [`-${level}`, '-T0', '-c'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((done, failed) => {
    xz.on('error', () => failed(new Error('xz is missing: install xz-utils, which packs Node and Dawn.')));
    xz.on('close', (code) => (code === 0 ? done() : failed(new Error(`xz failed with exit code ${code}.`))));
  });
  await Promise.all([
    ended,
    pipeline(createReadStream(from), xz.stdin),
    pipeline(xz.stdout, createWriteStream(to)),
  ]);
}

function run(program, args) {
  const ended = spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (ended.status !== 0)
    throw new Error(`${program} failed: ${ended.error?.message ?? `exit code ${ended.status}`}.`);
}
