// Measures an engine: single layers, whole training steps, inference and class maps, in turns with PyTorch. The engine is the
// CPU's, or a GPU's with --engine webgpu.
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CASES } from './cases.mjs';
import { measureCase } from './case.mjs';
import { benchGpu } from './gpu/bench-gpu.mjs';
import { SIZES } from './gpu/sizes.mjs';
import { measureGrids, measureLayers, measureNetworks } from './layers.mjs';
import { startPeers } from './peers.mjs';
import { writeResults } from './results.mjs';

const HELP = `npm run bench -- [--engine webgpu] [--peer torch] [--only NAME ...] [--rounds N] [--profile] [--out FILE]

  --engine NAME      wasm (default) or webgpu
  --peer torch       measure in turns with PyTorch (Debian's python3-torch; FCD_PYTHON names another Python), on a GPU on the
                     same device; --peer wasm: in turns with our engine on the processor (webgpu alone)
  --precision P      webgpu: f32, f16 or both (default; f16 where the GPU has it)
  --sizes NAME       webgpu: full (default), or tiny: what a GPU in software can do
  --ceilings FILE    webgpu: results that hold the device's ceilings, so that they are not measured again
  --only NAME ...    only what has all words of one NAME in its own: "step 96", "layers 7x7x7", grids, "network resnet50", gradcam, ...
  --rounds N         turns that each side takes (default 5; the median counts)
  --threads N        threads of both sides on the processor (default: physical cores)
  --module NAME      a kernel module by name: simd256, simd128-relaxed, simd128-strict
  --optimiser NAME   adam (default, as in \`fcd train\`) or sgd
  --checkpoint-activations   train with activation checkpointing (our side only)
  --profile          where the time of our steps goes, kernel by kernel
  --out FILE         results as JSON (default dist/bench/results.json)
  --help`;

// `bench | head` closes our standard output: that is an end, not a crash.
process.stdout.on('error', (error) => {
  if (error.code !== 'EPIPE') throw error;
  stopAll();
  process.exit(0);
});

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    engine: { type: 'string', default: 'wasm' },
    peer: { type: 'string', multiple: true, default: [] },
    precision: { type: 'string', default: 'both' },
    sizes: { type: 'string', default: 'full' },
    ceilings: { type: 'string' },
    only: { type: 'string', multiple: true, default: [] },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string' },
    module: { type: 'string' },
    optimiser: { type: 'string', default: 'adam' },
    'checkpoint-activations': { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    out: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
oneOf('--engine', options.engine, ['wasm', 'webgpu']);
for (const peer of options.peer)
  if (peer !== 'torch' && !(peer === 'wasm' && options.engine === 'webgpu'))
    throw new Error(`--peer knows "torch", not "${peer}".`);
oneOf('--optimiser', options.optimiser, ['adam', 'sgd']);
oneOf('--precision', options.precision, ['f32', 'f16', 'both']);
oneOf('--sizes', options.sizes, Object.keys(SIZES));
const rounds = wholeNumber('--rounds', options.rounds);
const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(options.out ?? options.json ?? join(here, '..', '..', 'dist', 'bench', 'results.json'));

const wanted = [...options.only, ...positionals].map((name) => name.split(/\s+/));
const isWanted = (name) =>
  wanted.length === 0 || wanted.some((words) => words.every((word) => name.includes(word)));

const running = new Set();
const settings = {
  threads: options.threads === undefined ? undefined : wholeNumber('--threads', options.threads),
  module: options.module,
  optimiser: options.optimiser,
  checkpointActivations: options['checkpoint-activations'],
  torch: options.peer.includes('torch'),
  rounds,
  profile: options.profile,
};
const start = (more = {}) => startPeers({ ...settings, ...more }, running);

try {
  const results = options.engine === 'webgpu' ? await onGpu() : await onProcessor();
  writeResults(out, results);
  console.log(`\n${out}`);
  for (const line of results.headlines) console.log(line);
} finally {
  stopAll();
}

function onGpu() {
  const { optimiser, checkpointActivations, threads } = settings;
  const precisions = options.precision === 'both' ? ['f32', 'f16'] : [options.precision];
  const asked = {
    precisions,
    sizes: options.sizes,
    peers: options.peer,
    rounds,
    isWanted,
    settings: { optimiser, checkpointActivations, threads },
    ceilings: options.ceilings && JSON.parse(readFileSync(options.ceilings, 'utf8')).ceilings,
  };
  return benchGpu(asked, running, (results) => writeResults(out, results));
}

async function onProcessor() {
  const results = { layers: [], grids: [], networks: [], cases: [] };
  const headlines = [];
  const probe = await start({ torch: false });
  const machine = await probe.ours.ask({ do: 'machine' });
  probe.stop();
  settings.threads = machine.threads;
  console.log(
    `${machine.module} kernels, Node ${process.versions.node}, ${cpus()[0].model.trim()}, ${machine.threads} threads; ` +
      `peak ${machine.peak.toFixed(0)} GFLOP/s${settings.torch ? '; in turns with PyTorch' : ''}; medians of ${rounds}`,
  );
  const context = { start, isWanted, rounds, peak: machine.peak, threads: machine.threads, settings };
  results.layers = await measureLayers(context, headlines);
  results.grids = await measureGrids(context, headlines);
  results.networks = await measureNetworks(context, headlines);
  for (const one of CASES)
    if (isWanted(one.name)) results.cases.push(await measureCase(context, one, headlines));
  const { node, cpu } = { node: process.version, cpu: cpus()[0].model };
  return { date: new Date().toISOString(), node, cpu, ...machine, settings, headlines, ...results };
}

function stopAll() {
  for (const peer of running) peer.stop();
}

function wholeNumber(flag, text) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`${flag} must be a whole number from 1, not ${text}.`);
  return value;
}

function oneOf(flag, value, known) {
  if (!known.includes(value)) throw new Error(`${flag} knows ${known.join(', ')}, not ${value}.`);
}
