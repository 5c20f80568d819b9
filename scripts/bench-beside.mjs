// Measures what a training run and other work cost each other: `node scripts/run-node.mjs scripts/bench-beside.mjs
// [--checkout FOLDER]`. A ResNet-18 trains on phantoms with all cores; beside it, class maps of one case are computed in a
// background process (one thread, low priority), as the editor's compute process does. Both alone, then together.
// `--checkout`: another built copy of this repository, measured in turns with this one.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const here = join(dirname(fileURLToPath(import.meta.url)), '..');
const at = process.argv.indexOf('--checkout');
const checkouts = [here, ...(at > 0 ? [resolve(process.argv[at + 1])] : [])];

/** Seconds for which each state is watched, and what is left out at its beginning. */
const WATCHED = 25;
const SETTLING = 4;
const MAPS = 4;
const SHAPE = '64x64x64';

const folder = mkdtempSync(join(tmpdir(), 'fcd-beside-'));
try {
  const cohort = join(folder, 'cohort');
  fcd(here, ['phantom', '--out', cohort, '--subjects', '24', '--seed', '1']);
  const scan = firstScan(cohort);
  console.log(
    `${cpus()[0].model.trim()}, ${cpus().length} cores; Node ${process.version}; ResNet-18, ${SHAPE}`,
  );
  const rows = [];
  for (const checkout of checkouts) rows.push([checkout, await measure(checkout, cohort, scan)]);
  for (const [checkout, row] of rows) {
    if (checkouts.length > 1) console.log(checkout);
    console.log(`  training step alone ${ms(row.stepAlone)}, beside class maps ${ms(row.stepBeside)}`);
    console.log(
      `  class map alone ${ms(row.mapAlone)}, beside training ${ms(row.mapBeside)} (whole commands)`,
    );
  }
  const [[, now]] = rows;
  console.log(`beside training step slowed ${(now.stepBeside / now.stepAlone).toFixed(2)}x`);
  console.log(`beside gradcam slowed ${(now.mapBeside / now.mapAlone).toFixed(2)}x`);
  if (rows.length > 1) {
    const before = rows[1][1];
    console.log(`beside training step ratio ${(before.stepBeside / now.stepBeside).toFixed(2)}x`);
    console.log(`beside gradcam ratio ${(before.mapBeside / now.mapBeside).toFixed(2)}x`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function measure(checkout, cohort, scan) {
  const network = [
    '--arch',
    'resnet18',
    '--spacing',
    '3',
    '--shape',
    SHAPE,
    '--modality',
    'FLAIR',
    '--seed',
    '1',
  ];
  const model = mkdtempSync(join(folder, 'model-'));
  const fit = ['--cohort', cohort, ...network, '--batch', '4', '--fold', '1/4', '--patience', '0'];
  fcd(checkout, ['train', ...fit, '--out', join(model, 'run'), '--epochs', '1']);
  // Older checkouts know no background: there, a class map takes all cores, as it did.
  const pace = helpOf(checkout, 'explain').includes('--background') ? ['--background'] : [];
  const map = () => {
    const began = performance.now();
    const out = join(model, 'map.nii.gz');
    fcd(checkout, ['explain', '--model', join(model, 'run'), '--input', scan, '--out', out, ...pace]);
    return performance.now() - began;
  };
  map();
  const mapAlone = median(Array.from({ length: MAPS }, map));

  const run = join(model, 'long');
  const training = spawn(
    process.execPath,
    [join(checkout, 'bin/fcd'), 'train', ...fit, '--out', run, '--epochs', '500'],
    { stdio: 'ignore' },
  );
  const ended = new Promise((tell) => training.once('exit', tell));
  try {
    while (steps(run).length < 3) await delay(200);
    const stepAlone = await watched(run);
    const mapsBeside = [];
    let busy = true;
    const maps = (async () => {
      while (busy) {
        const began = performance.now();
        const out = join(model, 'beside.nii.gz');
        await fcdBeside(checkout, [
          ...['explain', '--model', join(model, 'run'), '--input', scan, '--out', out, ...pace],
        ]);
        mapsBeside.push(performance.now() - began);
      }
    })();
    const stepBeside = await watched(run);
    busy = false;
    await maps;
    return { mapAlone, stepAlone, stepBeside, mapBeside: median(mapsBeside) };
  } finally {
    training.kill('SIGINT');
    await ended;
  }
}

/** Median time of a training step in the next seconds, ms. */
async function watched(run) {
  await delay(SETTLING * 1000);
  const before = steps(run).length;
  await delay(WATCHED * 1000);
  const times = steps(run).slice(before);
  return median(times.slice(1).map((time, n) => time - times[n]));
}

/** When the steps ended, ms. */
function steps(run) {
  const file = join(run, 'events.jsonl');
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line))
    .filter(({ type }) => type === 'step')
    .map(({ time }) => Date.parse(time));
}

function helpOf(checkout, command) {
  return execFileSync(process.execPath, [join(checkout, 'bin/fcd'), command, '--help'], { encoding: 'utf8' });
}

function fcd(checkout, args) {
  execFileSync(process.execPath, [join(checkout, 'bin/fcd'), ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

function fcdBeside(checkout, args) {
  const child = spawn(process.execPath, [join(checkout, 'bin/fcd'), ...args], { stdio: 'ignore' });
  return new Promise((tell) => child.once('exit', tell));
}

function firstScan(cohort) {
  const subject = readdirSync(cohort).find((name) => name.startsWith('sub-'));
  const anat = join(cohort, subject, 'anat');
  return join(
    anat,
    readdirSync(anat).find((name) => /_FLAIR\.nii/.test(name)),
  );
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function ms(value) {
  return `${Math.round(value)} ms`;
}
