import { existsSync, readdirSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import * as v from 'valibot';
import { writeJson, writeWhole } from '../../src/core/files/whole';
import { STANDARD, type Recipe } from '../../src/core/volume/recipe';
import { parsePredictions } from '../../src/protocol/result-tables';
import { resultsSchema, type Results } from '../../src/protocol/results';
import { analyse, intoPage, toMarkdown } from './analyse';
import { figuresOf } from './curves-figure';
import { parseCell, readCell, type CellRecord } from './cell-record';
import { runFcd, Stopped } from './fcd-process';
import {
  cellsOf,
  COHORT_SEED,
  CONDITIONS,
  furtherEpochs,
  pairsNamed,
  PRETRAIN_COHORT_SEED,
  REDUCED,
  SPLIT_SEED,
  trainingOf,
  type Cell,
  type CohortPlan,
  type Condition,
  type Contrast,
  type Settings,
} from './plan';
import {
  costOf,
  greyMatter,
  isFinished,
  listedTasks,
  phantomTasks,
  trainingSeconds,
  writeTasks,
  type PretrainingCost,
} from './pretraining';

const HELP = `npm run trial -- --out DIR [options]

What transfer from segmentation brings to the classification of FCD: none, one task, 23 tasks, and none with the
pre-training's compute added, cross-validated over seeds. Cells that are finished are not computed again.

  --out DIR              where cohorts, runs, cells/*.json and table.md go
  --conditions LIST      ${Object.keys(CONDITIONS).join(', ')} (default base)
  --pairs LIST           source>target: T1w>FLAIR,FLAIR>T1w,T1w,FLAIR (default FLAIR,T1w>FLAIR)
  --seeds LIST           seeds of training (default 1,2,3)
  --folds N              folds by head (default ${REDUCED.folds})
  --subjects N           cases of a phantom cohort, two a head (default ${REDUCED.subjects})
  --pretrain-heads N     phantoms to pre-train on (default ${REDUCED.pretrainHeads})
  --size N               voxels along a phantom's longest side (default ${REDUCED.size})
  --difficulty D         of lesions, 0 to 1 (default ${REDUCED.difficulty})
  --epochs N             of classification (default ${REDUCED.epochs})
  --pretrain-epochs N    of segmentation (default ${REDUCED.pretrainEpochs})
  --arch NAME --width SHARE   network (default ${REDUCED.arch} ${REDUCED.width})
  --data DIR             real heads with label maps and tasks23.json, for the condition real
  --copies N --strength S     of planted lesions (default ${REDUCED.copies}, ${REDUCED.strength})
  --threads N            of the engine
  --calibrate LIST       instead of the trial: no TL with twice the epochs, and the trivial baseline, at these difficulties
  --analyse              only make the tables of what is there
  --page FILE            put the tables into this page, between its marks
  --dry-run              say what would be computed, and stop
  --help`;

const root = checkout();

/** Small grids keep their own voxels; outside the brain everything is 0. Real heads come at 3 mm, without the neck. */
const RECIPES: Readonly<Record<CohortPlan['kind'], Recipe>> = {
  phantom: { ...STANDARD, spacing: null, shape: null, centre: 'grid', mask: 'auto', outside: 'zero' },
  planted: { ...STANDARD, spacing: [3, 3, 3], shape: [48, 64, 56], mask: 'auto', outside: 'zero' },
};

const { values: given } = parseArgs({
  options: {
    out: { type: 'string' },
    conditions: { type: 'string' },
    pairs: { type: 'string' },
    seeds: { type: 'string' },
    folds: { type: 'string' },
    subjects: { type: 'string' },
    'pretrain-heads': { type: 'string' },
    size: { type: 'string' },
    difficulty: { type: 'string' },
    epochs: { type: 'string' },
    'pretrain-epochs': { type: 'string' },
    arch: { type: 'string' },
    width: { type: 'string' },
    data: { type: 'string' },
    copies: { type: 'string' },
    strength: { type: 'string' },
    threads: { type: 'string' },
    calibrate: { type: 'string' },
    analyse: { type: 'boolean', default: false },
    page: { type: 'string' },
    'dry-run': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

const say = (line: string): void => void process.stdout.write(`${line}\n`);

try {
  if (given.help || given.out === undefined) {
    say(HELP);
    process.exitCode = given.help ? 0 : 2;
  } else await main(resolve(given.out), settingsGiven());
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = error instanceof Stopped ? 130 : 1;
}

async function main(out: string, settings: Settings): Promise<void> {
  const cells = cellsOf(settings);
  if (given['dry-run'])
    return cells.forEach(({ id }) => say(`${existsSync(cellPath(out, id)) ? 'done' : 'to do'}  ${id}`));
  if (given.analyse) return tables(out);
  await keepSettings(out, settings);
  for (const kind of ['phantom', 'planted'] as const) await writeJson(recipePath(out, kind), RECIPES[kind]);
  if (given.calibrate !== undefined) return calibrate(out, settings, numbers('--calibrate', given.calibrate));
  for (const [index, cell] of cells.entries()) {
    if (existsSync(cellPath(out, cell.id))) continue;
    say(`cell ${index + 1} of ${cells.length}: ${cell.id}`);
    const record = await compute(out, cell, settings);
    await writeJson(cellPath(out, cell.id), record);
    const right = record.cases.filter(({ yTrue, logits: [control, fcd] }) => Number(fcd > control) === yTrue);
    say(`  accuracy ${(right.length / record.cases.length).toFixed(3)} over ${record.cases.length} cases`);
    await tables(out);
  }
  say(`All ${cells.length} cells are done: ${join(out, 'table.md')}`);
}

/** The tables of all cells that there are, on disk and where asked for in a page. */
async function tables(out: string): Promise<void> {
  const folder = join(out, 'cells');
  const names = existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith('.json'))
        .sort()
    : [];
  const cells = await Promise.all(names.map((name) => readCell(join(folder, name))));
  const analysis = analyse(cells);
  const markdown = toMarkdown(analysis);
  for (const { file, svg } of figuresOf(cells))
    for (const page of given.page === undefined ? [out] : [out, dirname(resolve(given.page))]) {
      await mkdir(dirname(join(page, file)), { recursive: true });
      await writeWhole(join(page, file), svg);
    }
  await writeWhole(join(out, 'table.md'), markdown);
  await writeJson(join(out, 'analysis.json'), analysis);
  if (given.page !== undefined)
    await writeWhole(given.page, intoPage(await readFile(given.page, 'utf8'), markdown));
}

async function compute(out: string, cell: Cell, settings: Settings): Promise<CellRecord> {
  const cohort = await makeCohort(out, cell.cohort, settings);
  const run = join(out, 'runs', cell.id);
  let { epochs } = settings;
  let cost: PretrainingCost = { seconds: 0, dice: null };
  let init: string[] = [];
  if (cell.arm === 'single' || cell.arm === 'multi') {
    const pretrained = await pretrain(out, cell, cell.arm, cell.source as Contrast, settings);
    cost = pretrained.cost;
    init = ['--init', pretrained.weights];
  } else if (cell.arm === 'none-compute') {
    // The 23 tasks' compute: with several sources the dearest one, so that no arm had more than this one.
    const sources = settings.pairs.filter(({ target }) => target === cell.target).map(({ source }) => source);
    const all: PretrainingCost[] = [];
    for (const source of sources) all.push((await pretrain(out, cell, 'multi', source, settings)).cost);
    cost = { seconds: Math.max(...all.map(({ seconds }) => seconds)), dice: null };
    const plain = await readCell(cellPath(out, cell.id.replace('none-compute', 'none')));
    epochs += furtherEpochs(cost.seconds, plain.compute.trainSeconds / (plain.folds * plain.epochs));
  }
  const results = await experiment(out, run, cell, cohort, cell.cohort.kind, epochs, settings, init);
  return recordOf(cell, results, run, epochs, cost);
}

async function experiment(
  out: string,
  run: string,
  { target, arch, width, seed }: Pick<Cell, 'target' | 'arch' | 'width' | 'seed'>,
  cohort: string,
  kind: CohortPlan['kind'],
  epochs: number,
  { folds }: Settings,
  init: readonly string[],
): Promise<Results> {
  const training = join(out, 'training', `${epochs}-epochs.json`);
  await writeJson(training, trainingOf(epochs));
  await runFcd(root, [
    ...['experiment', '--cohort', cohort, '--modality', target, '--out', run],
    ...['--arch', arch, '--geometry', 'compact', '--width', width],
    ...['--folds', String(folds), '--seed', String(seed), '--split-seed', String(SPLIT_SEED)],
    ...['--training', training, '--preprocess', recipePath(out, kind)],
    ...init,
    ...threads(),
  ]);
  const text = await readFile(join(run, 'results.json'), 'utf8');
  return v.parse(resultsSchema, JSON.parse(text));
}

async function recordOf(
  cell: Cell,
  results: Results,
  run: string,
  epochs: number,
  cost: PretrainingCost,
): Promise<CellRecord> {
  const [map] = results.maps;
  const logits = await logitsOf(run);
  let trainSeconds = 0;
  for (let fold = 1; fold <= results.folds; fold++)
    trainSeconds += trainingSeconds(
      await readFile(join(run, 'runs', `fold-${fold}`, 'events.jsonl'), 'utf8'),
    );
  const { id, condition, arm, source, target, seed } = cell;
  const record: CellRecord = {
    schema: 1,
    ...{ id, condition, arm, source, target, seed, epochs },
    network: results.network,
    training: results.training,
    folds: results.folds,
    compute: { trainSeconds, pretrainSeconds: cost.seconds },
    pretrainDice: cost.dice,
    baseline: results.baseline?.metrics.accuracy.value ?? null,
    layer: map.layer,
    heatNull: map.null && { p95: map.null.p95, mean: map.null.mean, exceeds: map.null.exceeds },
    untrained: map.untrained?.value ?? null,
    cases: results.cases.map(({ participantId, source: head, yTrue, maps }) => {
      const [control, fcd] = logits.get(participantId) ?? [];
      if (control === undefined || fcd === undefined)
        throw new Error(`${run}: ${participantId} has no prediction.`);
      return {
        ...{ id: participantId, source: head, yTrue, logits: [control, fcd] },
        ...(maps.length > 0 && { heat: maps[0].heatScore }),
      };
    }),
    curves: results.curves.map(({ loss }) => loss),
  };
  return parseCell(record, id);
}

/** Logits by participant, of all folds. */
async function logitsOf(run: string): Promise<Map<string, readonly [number, number]>> {
  const logits = new Map<string, readonly [number, number]>();
  for (const fold of readdirSync(join(run, 'runs')))
    for (const row of parsePredictions(await readFile(join(run, 'runs', fold, 'predictions.csv'), 'utf8')))
      logits.set(row.participantId, row.logits);
  return logits;
}

/** The weights of a strategy and what they cost: one pre-training, or in real heads one a fold. */
async function pretrain(
  out: string,
  cell: Cell,
  arm: 'single' | 'multi',
  source: Contrast,
  settings: Settings,
): Promise<{ weights: string; cost: PretrainingCost }> {
  const planted = cell.cohort.kind === 'planted';
  const cohort = planted
    ? await makeCohort(out, cell.cohort, settings)
    : await makePhantoms(
        out,
        'pretraining',
        settings.pretrainHeads,
        settings.difficulty,
        PRETRAIN_COHORT_SEED,
        false,
        settings,
      );
  const all = planted ? await listedTasks(join(dataGiven(), 'tasks23.json')) : await phantomTasks(cohort);
  const name = [planted ? 'real' : 'phantom', arm, source, cell.arch, cell.width.replace('/', 'of')].join(
    '-',
  );
  const tasks = join(out, 'pretraining', `${name}.json`);
  await writeTasks(tasks, cohort, source, arm === 'single' ? [greyMatter(all)] : all);
  const folds = planted ? Array.from({ length: settings.folds }, (_, index) => index + 1) : [undefined];
  const costs: PretrainingCost[] = [];
  for (const fold of folds) {
    const run = join(out, 'pretraining', fold === undefined ? name : `${name}-fold-${fold}`);
    if (!(await isFinished(run)))
      await runFcd(
        root,
        existsSync(join(run, 'run.json'))
          ? ['pretrain', '--resume', run, ...threads()]
          : [
              ...['pretrain', '--tasks', tasks, '--modality', source, '--out', run],
              ...['--arch', cell.arch, '--geometry', 'compact', '--width', cell.width],
              ...['--epochs', String(settings.pretrainEpochs), '--seed', String(SPLIT_SEED)],
              ...['--preprocess', recipePath(out, cell.cohort.kind)],
              ...(fold === undefined ? [] : ['--fold', `${fold}/${settings.folds}`]),
              ...threads(),
            ],
      );
    costs.push(await costOf(run));
  }
  const dice = costs.flatMap((one) => (one.dice === null ? [] : [one.dice]));
  const average = (values: readonly number[]): number => values.reduce((a, b) => a + b) / values.length;
  return {
    weights: join(out, 'pretraining', planted ? `${name}-fold-{fold}` : name),
    cost: {
      seconds: average(costs.map(({ seconds }) => seconds)),
      dice: dice.length === 0 ? null : average(dice),
    },
  };
}

async function makeCohort(out: string, plan: CohortPlan, settings: Settings): Promise<string> {
  if (plan.kind === 'phantom')
    return makePhantoms(out, plan.name, plan.subjects, plan.difficulty, COHORT_SEED, true, settings);
  const folder = join(out, 'cohorts', plan.name);
  if (!existsSync(join(folder, 'participants.tsv'))) {
    const data = dataGiven();
    await runFcd(root, [
      ...['plant', '--images', data, '--labels', data, '--out', folder, '--seed', String(COHORT_SEED)],
      ...['--copies', String(settings.copies), '--strength', String(settings.strength)],
      ...['--difficulty', String(plan.difficulty)],
    ]);
  }
  return folder;
}

async function makePhantoms(
  out: string,
  name: string,
  subjects: number,
  difficulty: number,
  seed: number,
  twins: boolean,
  { size }: Settings,
): Promise<string> {
  const folder = join(out, 'cohorts', name);
  if (!existsSync(join(folder, 'participants.tsv')))
    await runFcd(root, [
      ...['phantom', '--out', folder, '--subjects', String(subjects), '--size', String(size)],
      ...['--seed', String(seed), '--difficulty', String(difficulty), ...(twins ? ['--twins'] : [])],
    ]);
  return folder;
}

/** No TL with twice the epochs, and the trivial baseline: which difficulty leaves room for a comparison? */
async function calibrate(out: string, settings: Settings, difficulties: readonly number[]): Promise<void> {
  const targets = [...new Set(settings.pairs.map(({ target }) => target))];
  const epochs = 2 * settings.epochs;
  for (const difficulty of difficulties) {
    const plan: CohortPlan = {
      name: `difficulty-${difficulty}`,
      kind: 'phantom',
      subjects: settings.subjects,
      difficulty,
    };
    const cohort = await makeCohort(out, plan, settings);
    for (const target of targets) {
      const run = join(out, 'calibration', `${difficulty}-${target}-${epochs}-epochs`);
      const { arch, width } = settings;
      const seed = settings.seeds[0];
      const { metrics, baseline } = await experiment(
        out,
        run,
        { target, arch, width, seed },
        cohort,
        plan.kind,
        epochs,
        settings,
        [],
      );
      const text = (value: number | null | undefined): string => value?.toFixed(3) ?? 'none';
      say(
        `difficulty ${difficulty}, ${target}: no TL ${text(metrics.accuracy.value)} after ${epochs} epochs, trivial baseline ${text(baseline?.metrics.accuracy.value)}`,
      );
    }
  }
}

/** What decides the figures may not change within a folder; more conditions, pairs and seeds may be added. */
async function keepSettings(out: string, settings: Settings): Promise<void> {
  const path = join(out, 'trial.json');
  await mkdir(out, { recursive: true });
  const decides = Object.fromEntries(
    Object.entries(settings).filter(([name]) => !['conditions', 'pairs', 'seeds'].includes(name)),
  );
  if (!existsSync(path)) return writeJson(path, decides);
  const before: unknown = JSON.parse(await readFile(path, 'utf8'));
  if (!isDeepStrictEqual(before, decides))
    throw new Error(
      `${out} holds a trial with other settings (${path}). Give another --out, or the same settings.`,
    );
}

function settingsGiven(): Settings {
  const number = (name: keyof typeof given, otherwise: number): number => {
    const text = given[name];
    return typeof text === 'string' ? numbers(`--${name}`, text)[0] : otherwise;
  };
  const conditions = given.conditions?.split(',').map((one) => one.trim()) ?? REDUCED.conditions;
  const unknown = conditions.find((one) => !(one in CONDITIONS));
  if (unknown !== undefined)
    throw new Error(`There is no condition "${unknown}"; there are ${Object.keys(CONDITIONS).join(', ')}.`);
  return {
    conditions: conditions as Condition[],
    pairs: given.pairs === undefined ? REDUCED.pairs : pairsNamed(given.pairs),
    seeds: given.seeds === undefined ? REDUCED.seeds : numbers('--seeds', given.seeds),
    folds: number('folds', REDUCED.folds),
    subjects: number('subjects', REDUCED.subjects),
    pretrainHeads: number('pretrain-heads', REDUCED.pretrainHeads),
    size: number('size', REDUCED.size),
    difficulty: number('difficulty', REDUCED.difficulty),
    epochs: number('epochs', REDUCED.epochs),
    pretrainEpochs: number('pretrain-epochs', REDUCED.pretrainEpochs),
    arch: given.arch ?? REDUCED.arch,
    width: given.width ?? REDUCED.width,
    copies: number('copies', REDUCED.copies),
    strength: number('strength', REDUCED.strength),
  };
}

function numbers(flag: string, text: string): number[] {
  const values = text.split(',').map((one) => (one.trim() === '' ? NaN : Number(one)));
  if (!values.every(Number.isFinite))
    throw new Error(`${flag} is "${text}"; give numbers, separated by commas.`);
  return values;
}

function threads(): string[] {
  return given.threads === undefined ? [] : ['--threads', given.threads];
}

function dataGiven(): string {
  if (given.data === undefined)
    throw new Error('The condition real needs --data DIR: heads, label maps, tasks23.json.');
  return resolve(given.data);
}

function recipePath(out: string, kind: CohortPlan['kind']): string {
  return join(out, `recipe-${kind}.json`);
}

function cellPath(out: string, id: string): string {
  return join(out, 'cells', `${id}.json`);
}

function checkout(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'bin', 'fcd'))) return folder;
    if (folder === dirname(folder)) throw new Error('There is no bin/fcd above this program.');
  }
}
