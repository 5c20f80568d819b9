// The trial of a GPU, all in one go: `sh run.sh --out DIR` of what pack.mjs makes comes here, or from a built checkout
// `node scripts/gpu-trial/trial.mjs --out DIR`.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeResults } from '../bench/results.mjs';
import { figuresOf } from './figures.mjs';
import { findGpu, findPython, machineHere } from './look.mjs';
import { partsOf } from './parts.mjs';
import { runPart } from './run-part.mjs';
import { summaryOf } from './summary.mjs';

const HELP = `sh run.sh --out DIR [--minutes N] [--only PART ...] [--icd FILE] [--python FILE] [--quick]

  --out DIR      results.json, summary.md and trial.log go there; parts done before stay in it
  --minutes N    time for each part (default 10)
  --only PART    ceilings, conformance-f32, conformance-f16, steps, scans, looks, curves, layers (again for more)
  --icd FILE     the Vulkan driver's file (default: what the system has, then where drivers hide)
  --python FILE  a Python with PyTorch and NumPy (default: python3)
  --no-torch     nobody beside us
  --quick        everything on tiny networks: to see that the trial works, on a GPU in software too
  --help`;

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const { values: options } = parseArgs({
  options: {
    out: { type: 'string' },
    minutes: { type: 'string', default: '10' },
    only: { type: 'string', multiple: true, default: [] },
    icd: { type: 'string' },
    python: { type: 'string' },
    'no-torch': { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
if (!options.out) wrongUse('--out DIR is missing: where results go.');
const minutes = Number(options.minutes);
if (!(minutes > 0)) wrongUse(`--minutes must be a number above 0, not ${options.minutes}.`);
if (options.icd && !existsSync(options.icd)) wrongUse(`--icd names ${options.icd}, which does not exist.`);

const out = resolve(options.out);
const folder = join(out, 'parts');
mkdirSync(folder, { recursive: true });
const log = join(out, 'trial.log');

// What is done is kept: the part under way ends, and what it has written so far is taken along.
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stop.abort());

const results = {
  schema: 1,
  date: new Date().toISOString(),
  size: options.quick ? 'tiny' : 'full',
  made: readMade(),
  machine: machineHere(),
  python: options['no-torch'] ? { reason: 'left out (--no-torch)' } : findPython(options.python),
  gpu: undefined,
  figures: [],
  parts: [],
};
say(`Looking for a GPU`);
const found = await findGpu({ icd: options.icd, out: folder, root, signal: stop.signal });
results.gpu = found.verdict
  ? { ...found.verdict, tried: found.tried }
  : { right: false, reason: reasonFor(found.tried), tried: found.tried };
say(
  found.verdict
    ? `${found.verdict.adapter.description}${found.verdict.adapter.software ? ' (software: its times say nothing about GPUs)' : ''}: ${found.verdict.detail}`
    : results.gpu.reason,
);
say(
  results.python.torch ? `PyTorch ${results.python.torch} of ${results.python.path}` : results.python.reason,
);

const parts = partsOf({
  root,
  folder,
  size: results.size,
  torch: results.python.torch !== undefined,
  half: found.verdict?.adapter.features.includes('shader-f16') ?? false,
});
checkOnly(parts);
const before = earlierParts();
for (const part of parts) {
  const earlier = before.find(({ name }) => name === part.name);
  if (options.only.length > 0 && !options.only.includes(part.name)) {
    if (earlier) results.parts.push(earlier);
    continue;
  }
  results.parts.push(await record(part));
  save();
}
save();
say(`${join(out, 'summary.md')}`);
process.exitCode = stop.signal.aborted ? 130 : found.verdict ? 0 : 1;

async function record(part) {
  const { name, title } = part;
  const skipped = (sentence) => ({ name, title, state: 'not run', sentence, results: [] });
  if (stop.signal.aborted) return skipped('The trial was stopped before.');
  if (!found.verdict) return skipped('There is no GPU that computes rightly.');
  say(`${name}: ${title}`);
  const env = { ...found.env, ...(results.python.path && { FCD_PYTHON: results.python.path }) };
  const done = await runPart(part, { minutes, env, log, signal: stop.signal });
  say(`  ${done.state} in ${done.seconds} s${done.sentence ? `: ${done.sentence}` : ''}`);
  return done;
}

function save() {
  results.figures = figuresOf(results.parts);
  writeResults(join(out, 'results.json'), results);
  writeFileSync(join(out, 'summary.md'), summaryOf(results));
}

/** Of an earlier trial into the same folder, on a machine with the same GPU. */
function earlierParts() {
  const path = join(out, 'results.json');
  if (options.only.length === 0 || !existsSync(path)) return [];
  const earlier = JSON.parse(readFileSync(path, 'utf8'));
  const same =
    earlier.gpu?.adapter?.description === results.gpu.adapter?.description && earlier.size === results.size;
  return same ? earlier.parts : [];
}

function checkOnly(known) {
  const names = known.map(({ name }) => name);
  for (const name of options.only)
    if (!names.includes(name)) wrongUse(`--only knows ${names.join(', ')}, not ${name}.`);
}

function reasonFor(tried) {
  if (stop.signal.aborted) return 'Stopped before a GPU was found.';
  return `No GPU computes here: ${tried.map(({ way, detail }) => `${way}: ${detail}`).join('; ')}.`;
}

function readMade() {
  const path = join(root, 'made.json');
  return existsSync(path)
    ? JSON.parse(readFileSync(path, 'utf8'))
    : { version: 'a checkout', commit: 'unknown' };
}

function say(line) {
  console.log(line);
}

function wrongUse(sentence) {
  console.error(`${sentence}\n\n${HELP}`);
  process.exit(2);
}
