// Measures the convolutions of a 3D-ResNet: `npm run bench -- [--peer torch] [--json FILE] [--threads N] [--rounds N]
// [--module NAME] [--only TEXT]`. With a peer both are timed in turns, in one run, so that a busy machine is unfair to neither.
import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const { values: options } = parseArgs({
  options: {
    peer: { type: 'string' },
    json: { type: 'string' },
    threads: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    module: { type: 'string' },
    only: { type: 'string', default: '' },
  },
});
if (options.peer && options.peer !== 'torch') throw new Error(`--peer knows "torch", not "${options.peer}".`);
const bundle = join(here, '..', '..', 'dist', 'bench', 'machine.js');
if (!existsSync(bundle)) throw new Error('The benchmark is not built: run `npm run build` first.');
const fcd = await import(pathToFileURL(bundle).href);

const cube = (n) => [n, n, n];
const shape = (name, batch, grid, channels, kernel = 3, stride = 1, dilation = 1) => ({
  name,
  geometry: fcd.geometryOf(batch, cube(grid), channels, cube(kernel), {
    stride: cube(stride),
    padding: cube((dilation * (kernel - 1)) / 2),
    dilation: cube(dilation),
  }),
});
const SHAPES = [
  shape('3x3x3, 64 channels at 24^3, N 4', 4, 24, [64, 64]),
  shape('3x3x3, 128 channels at 12^3, N 4', 4, 12, [128, 128]),
  shape('3x3x3, 256 channels at 6^3, N 4', 4, 6, [256, 256]),
  shape('3x3x3, 512 channels at 3^3, N 4', 4, 3, [512, 512]),
  shape('3x3x3 stride 2, 64 to 128 at 24^3, N 4', 4, 24, [64, 128], 3, 2),
  shape('1x1x1 stride 2, 64 to 128 at 24^3, N 4', 4, 24, [64, 128], 1, 2),
  shape('3x3x3 dilation 2, 256 channels at 16^3, N 1', 1, 16, [256, 256], 3, 1, 2),
  shape('3x3x3 dilation 2, 256 channels at 12^3, N 4', 4, 12, [256, 256], 3, 1, 2),
  shape('3x3x3 dilation 4, 512 channels at 12^3, N 4', 4, 12, [512, 512], 3, 1, 4),
  shape('3x3x3 dilation 4, 512 channels at 8^3, N 4', 4, 8, [512, 512], 3, 1, 4),
  shape('7x7x7 stride 2, 1 to 64 at 96^3, N 4', 4, 96, [1, 64], 7, 2),
  shape('3x3x3, 16 channels at 24^3, N 4', 4, 24, [16, 16]),
].filter(({ name }) => name.includes(options.only));

const threads = Number(options.threads ?? fcd.physicalCores());
const { module, compiled } = await chooseModule();
const machine = await fcd.Machine.open(compiled, threads);
const peer = options.peer === 'torch' ? startTorch() : undefined;
console.log(
  `${module} kernels on Node ${process.versions.node}, ${threads} threads${peer ? ', in turns with PyTorch' : ''}; medians in GFLOP/s`,
);
const results = [];
for (const { name, geometry } of SHAPES) results.push(...(await measure(name, geometry)));
if (options.json)
  writeFileSync(
    options.json,
    JSON.stringify({ module, node: process.version, threads, peer: options.peer, results }, null, 2),
  );
await machine.close();
peer?.stop();

/** The module that was asked for, else the fastest correct one. */
async function chooseModule() {
  let best;
  for (const module of fcd.MODULES) {
    if (options.module && module.name !== options.module) continue;
    const { compiled, reason } = fcd.compileModule(module);
    if (!compiled) {
      console.log(`${module.name}: ${reason}`);
      continue;
    }
    const trial = await fcd.Machine.open(compiled, 1, 1024);
    const gflops = fcd.selfTest(trial).ok ? fcd.timeConvolution(trial) : 0;
    await trial.close();
    if (!best || gflops > best.gflops) best = { module: module.name, compiled, gflops };
  }
  if (!best) throw new Error('No kernel module runs on this Node.');
  return best;
}

async function measure(name, geometry) {
  const { heap } = machine;
  const sizes = fcd.convSizes(geometry);
  const at = [sizes.x, sizes.filter, sizes.y, sizes.y, sizes.x, sizes.filter].map((n) =>
    heap.allocate(n * 4),
  );
  const [x, filter, dy, y, dx, dfilter] = at;
  for (const [address, length] of [
    [x, sizes.x],
    [filter, sizes.filter],
    [dy, sizes.y],
  ])
    fillWaves(heap.float32(address, length));
  const passes = {
    forward: () => fcd.convolve(machine, geometry, x, filter, y),
    'input gradient': () => fcd.convolveInputGradient(machine, geometry, dy, filter, dx),
    'filter gradient': () => fcd.convolveFilterGradient(machine, geometry, x, dy, dfilter),
  };
  if (geometry.inChannels === 1) delete passes['input gradient']; // nobody asks for the gradient of the scan
  const flops = fcd.convFlops(geometry);
  const repeats = Math.max(3, Math.min(12, Math.round(4e9 / flops)));
  const times = Object.fromEntries(Object.keys(passes).map((pass) => [pass, { ours: [], peer: [] }]));
  for (let round = 0; round < Number(options.rounds); round++) {
    if (peer) {
      const answer = await peer.ask({ ...geometry, passes: Object.keys(passes), repeats });
      for (const pass of Object.keys(passes)) times[pass].peer.push(...answer[pass]);
    }
    for (const [pass, run] of Object.entries(passes)) {
      run();
      for (let i = 0; i < repeats; i++) {
        const start = performance.now();
        run();
        times[pass].ours.push(performance.now() - start);
      }
    }
  }
  for (const address of at) heap.release(address);
  return Object.entries(times).map(([pass, { ours, peer: theirs }]) => {
    const gflops = flops / median(ours) / 1e6;
    const peerGflops = peer && flops / median(theirs) / 1e6;
    const ratio = peer && gflops / peerGflops;
    const against = peer ? `   torch ${peerGflops.toFixed(0).padStart(4)}   ratio ${ratio.toFixed(2)}` : '';
    console.log(`${name.padEnd(46)} ${pass.padEnd(16)} ${gflops.toFixed(0).padStart(5)}${against}`);
    const best = { ours: flops / Math.min(...ours) / 1e6, peer: peer && flops / Math.min(...theirs) / 1e6 };
    return { name, pass, gflops, peerGflops, ratio, best };
  });
}

function fillWaves(view) {
  for (let i = 0; i < view.length; i++) view[i] = Math.sin(i * 0.7) * 0.5;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

/** Debian's PyTorch as a child that answers line by line. */
function startTorch() {
  const python = process.env.FCD_PYTHON ?? '/usr/bin/python3';
  const child = spawn(python, [join(here, 'torch-peer.py'), String(threads)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async ask(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      const { value, done } = await lines.next();
      if (done) throw new Error('PyTorch ended: is python3-torch installed?');
      return JSON.parse(value);
    },
    stop: () => child.stdin.end(),
  };
}
