// Pre-trains on every fold of the phantoms and of real heads, and writes what that came to: JSON and a page of tables.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bestNode } from '../bin/runtime.mjs';

const HELP = `node scripts/pretrain-figures.mjs --work DIR [options]

  --work DIR     where phantoms and runs go; folds that are finished are not computed again
  --real FILE    the tasks file of real heads (default: ../shared/data/ixi2mm/tasks23.json or FCD_TEST_DATA, if there)
  --only NAME    phantom or real
  --folds N      (default 5)
  --threads N    of the engine
  --json FILE    figures (default WORK/figures.json)
  --page FILE    tables in Markdown (default WORK/figures.md)
  --arch NAME    encoder (default resnet10), of a quarter of the channels, geometry compact
  --help`;

/** Data sets, with the recipe that was found on fold 1 of each. */
const SETS = {
  phantom: {
    title: 'Phantoms at 64^3 (56 x 64 x 56 voxels of 3.5 mm)',
    goal: 0.8,
    options: ['--epochs', '25'],
  },
  real: {
    title: 'Real T1w heads at 2 mm (80 x 104 x 88 voxels)',
    goal: 0.7,
    options: ['--epochs', '25', '--shape', '80x104x88'],
  },
};

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { values: given } = parseArgs({
  options: {
    work: { type: 'string' },
    real: { type: 'string' },
    only: { type: 'string' },
    folds: { type: 'string', default: '5' },
    threads: { type: 'string' },
    json: { type: 'string' },
    page: { type: 'string' },
    arch: { type: 'string', default: 'resnet10' },
    help: { type: 'boolean', default: false },
  },
});

if (given.help || given.work === undefined) {
  console.log(HELP);
  process.exitCode = given.help ? 0 : 2;
} else await main(resolve(given.work));

async function main(work) {
  mkdirSync(work, { recursive: true });
  const figures = {};
  for (const [name, set] of Object.entries(SETS)) {
    if (given.only !== undefined && given.only !== name) continue;
    const tasks = name === 'phantom' ? await phantom(work) : realTasks();
    if (tasks === undefined) {
      console.log(`${set.title}: left out, there is no such data here (--real FILE names it).`);
      continue;
    }
    const out = join(work, name);
    await fcd([
      ...['pretrain', '--tasks', tasks, '--folds', given.folds, '--out', out, '--seed', '42'],
      ...['--arch', given.arch, '--geometry', 'compact', '--width', '1/4', ...set.options],
      ...(given.threads === undefined ? [] : ['--threads', given.threads]),
    ]);
    const results = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8'));
    figures[name] = {
      ...results,
      tasksFile: undefined,
      goal: set.goal,
      secondsPerFold: results.seconds / results.folds,
    };
    const { mean } = results;
    console.log(
      `${set.title}: mean Dice ${shown(mean.mean)} over ${results.tasks.length} tasks, goal ${set.goal}`,
    );
  }
  writeFileSync(given.json ?? join(work, 'figures.json'), JSON.stringify(figures, null, 2) + '\n');
  writeFileSync(given.page ?? join(work, 'figures.md'), page(figures));
}

async function phantom(work) {
  const cohort = join(work, 'phantoms');
  if (!existsSync(join(cohort, 'participants.tsv')))
    await fcd(['phantom', '--out', cohort, '--subjects', '40', '--size', '64', '--seed', '7']);
  return cohort;
}

function realTasks() {
  if (given.real !== undefined) return resolve(given.real);
  const data = process.env.FCD_TEST_DATA ?? join(root, '..', 'shared', 'data');
  const file = join(data, 'ixi2mm', 'tasks23.json');
  return existsSync(file) ? file : undefined;
}

function page(figures) {
  const parts = Object.entries(figures).map(([name, one]) => {
    const row = ({ task, mean, low, high, n }) =>
      `| ${task} | ${shown(mean)} | ${shown(low)} to ${shown(high)} | ${n} |`;
    return [
      `## ${SETS[name].title}`,
      '',
      `${one.network}, ${one.modality}, ${one.heads} heads in ${one.folds} folds by head, seed ${one.seed}; ${one.training}; ` +
        `${Math.round(one.secondsPerFold)} s a fold (${one.engine}). Goal: ${one.goal}.`,
      '',
      '| task | Dice | 95 % interval over heads | heads |',
      '| --- | --- | --- | --- |',
      ...one.tasks.map(row),
      row({ task: '**mean over tasks**', ...one.mean }),
    ].join('\n');
  });
  return ['# Segmentation pre-training: Dice on held-out heads', ...parts].join('\n\n') + '\n';
}

function shown(value) {
  return value === null ? '' : value.toFixed(3);
}

/** The command line of this checkout; a stop of it ends this script, and the same command goes on. */
function fcd(args) {
  const child = spawn(bestNode().path, [join(root, 'bin', 'fcd'), ...args], { stdio: 'inherit' });
  return new Promise((done, failed) => {
    child.on('error', failed);
    child.on('exit', (code) =>
      code === 0 ? done() : failed(new Error(`fcd ${args.join(' ')} ended with exit code ${code}.`)),
    );
  });
}
