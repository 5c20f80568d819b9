// Measures the CPU engine: single layers, whole training steps, inference and class maps, in turns with PyTorch.
import { writeFileSync, mkdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CASES } from './cases.mjs';
import { measureCase } from './case.mjs';
import { measureGrids, measureLayers, measureNetworks } from './layers.mjs';
import { startPeers } from './peers.mjs';

const HELP = `npm run bench -- [--peer torch] [--only NAME ...] [--rounds N] [--profile] [--out FILE]

  --peer torch       measure in turns with PyTorch (Debian's python3-torch; FCD_PYTHON names another Python)
  --only NAME ...    only what has all words of one NAME in its own: "step 96", "layers 7x7x7", grids, "network resnet50", gradcam, ...
  --rounds N         turns that each side takes (default 5; the median counts)
  --threads N        threads of both sides (default: physical cores)
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
    peer: { type: 'string' },
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
if (options.peer && options.peer !== 'torch') throw new Error(`--peer knows "torch", not "${options.peer}".`);
if (!['adam', 'sgd'].includes(options.optimiser)) throw new Error('--optimiser is adam or sgd.');
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
  torch: options.peer === 'torch',
  rounds,
  profile: options.profile,
};
const start = (more = {}) => startPeers({ ...settings, ...more }, running);

const results = { layers: [], grids: [], networks: [], cases: [] };
const headlines = [];
let machine;
try {
  const probe = await start({ torch: false });
  machine = await probe.ours.ask({ do: 'machine' });
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
} finally {
  stopAll();
}

mkdirSync(dirname(out), { recursive: true });
writeFileSync(
  out,
  `${JSON.stringify({ date: new Date().toISOString(), node: process.version, cpu: cpus()[0].model, ...machine, settings, headlines, ...results }, null, 2)}\n`,
);
console.log(`\n${out}`);
for (const line of headlines) console.log(line);

function stopAll() {
  for (const peers of running) peers.stop();
}

function wholeNumber(flag, text) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`${flag} must be a whole number from 1, not ${text}.`);
  return value;
}
