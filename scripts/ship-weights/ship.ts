import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeJson, writeWhole } from '../../src/core/files/whole';
import { shipEncoder } from '../../src/core/transfer/ship-encoder';
import { parseCatalogueContents, type CatalogueContents } from '../../src/protocol/catalogue';
import { runFcd, Stopped } from '../transfer-trial/fcd-process';
import { greyMatter, isFinished, phantomTasks, writeTasks } from '../transfer-trial/pretraining';
import { cardOf, entryOf, headCardOf, headEntryOf, type AboutData } from './card';
import { HEAD, shipHead } from './head';
import { LIMIT_BYTES, shippedPlans, type ShippedPlan } from './plan';

const HELP = `npm run ship-weights -- --work DIR [options]

Pre-trains the encoders that come with the program on phantoms, and the head that makes brain masks on phantoms of any
contrast, by fixed seeds, and writes them to models/ with a card each and a catalogue. What is finished in --work is not
computed again. The head's own settings are fixed.

  --work DIR      where phantoms and runs go
  --models DIR    where the weights go (default: models/ of this checkout)
  --heads N       phantoms (default 60), a fifth of them held out
  --size N        voxels along a phantom's longest side (default 64)
  --epochs N      of pre-training (default 40)
  --shape IxJxK   grid (default 56x64x56, the small grid; spacing 3.5 mm)
  --only NAME     one file: ${[...shippedPlans(), HEAD].map(({ name }) => name).join(', ')}
  --threads N     of the engine
  --dry-run       say what would be made, and stop
  --help`;

const MODALITY = 'T1w';
const COHORT_SEED = 2001;
const SEED = 1;

const { values: given } = parseArgs({
  options: {
    work: { type: 'string' },
    models: { type: 'string' },
    heads: { type: 'string', default: '60' },
    size: { type: 'string', default: '64' },
    epochs: { type: 'string', default: '40' },
    shape: { type: 'string', default: '56x64x56' },
    only: { type: 'string' },
    threads: { type: 'string' },
    'dry-run': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const root = checkout();
const say = (line: string): void => void process.stdout.write(`${line}\n`);

try {
  if (given.help || given.work === undefined) {
    say(HELP);
    process.exitCode = given.help ? 0 : 2;
  } else await main(resolve(given.work), resolve(given.models ?? join(root, 'models')));
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = error instanceof Stopped ? 130 : 1;
}

async function main(work: string, models: string): Promise<void> {
  const plans = shippedPlans().filter(({ name }) => given.only === undefined || name === given.only);
  const head = given.only === undefined || given.only === HEAD.name;
  if (plans.length === 0 && !head) throw new Error(`There is no file ${given.only}. See --help.`);
  if (given['dry-run'])
    return [...plans, ...(head ? [HEAD] : [])].forEach(({ name, arch, width }) =>
      say(`${name}: ${arch}, width ${width}`),
    );
  if (head) await intracranialHead(work, models);
  if (plans.length === 0) return;
  const cohort = join(work, 'phantoms');
  if (!existsSync(join(cohort, 'participants.tsv')))
    await runFcd(root, [
      ...['phantom', '--out', cohort, '--subjects', given.heads],
      ...['--size', given.size, '--seed', String(COHORT_SEED)],
    ]);
  for (const plan of plans) await ship(plan, cohort, work, models);
}

async function ship(plan: ShippedPlan, cohort: string, work: string, models: string): Promise<void> {
  const { name, arch, width, strategy } = plan;
  const all = await phantomTasks(cohort);
  const tasks = join(work, `${strategy.replace(':', '-')}.json`);
  await writeTasks(tasks, cohort, MODALITY, strategy === 'multi:23' ? all : [greyMatter(all)]);
  const run = join(work, 'runs', name);
  if (!(await isFinished(run)))
    await runFcd(
      root,
      existsSync(join(run, 'run.json'))
        ? ['pretrain', '--resume', run, ...threads()]
        : [
            ...['pretrain', '--tasks', tasks, '--modality', MODALITY, '--out', run],
            ...['--arch', arch, '--geometry', 'compact', '--width', width],
            ...['--spacing', '3.5', '--shape', given.shape],
            ...['--epochs', given.epochs, '--seed', String(SEED), '--fold', '1/5'],
            ...threads(),
          ],
    );
  await mkdir(join(models, 'cards'), { recursive: true });
  const shipped = await shipEncoder(run, join(models, `${name}.safetensors`));
  const about = aboutData(strategy);
  const entry = entryOf(plan, shipped, about);
  await writeWhole(join(models, entry.card), cardOf(entry, shipped, about));
  await intoCatalogue(models, (all) => ({ ...all, weights: replaced(all.weights, entry) }));
  say(
    `${entry.file}: ${(entry.bytes / 1e6).toFixed(2)} MB, mean Dice ${entry.dice?.mean.toFixed(3) ?? 'not measured'}`,
  );
}

async function intracranialHead(work: string, models: string): Promise<void> {
  await mkdir(join(models, 'cards'), { recursive: true });
  const shipped = await shipHead(root, work, join(models, `${HEAD.name}.safetensors`), threads(), say);
  const about: AboutData = {
    data: `${HEAD.heads} phantoms of any contrast`,
    origin: `phantoms that this program drew (scripts/ship-weights/any-contrast.ts, ${HEAD.heads} heads by seed ${HEAD.drawSeed}), each under two sets of intensities that are drawn tissue by tissue: half of them lean on T1w or FLAIR, the others on nothing. Size, proportions, tilt, field of view, bias field, sharpness and noise are drawn too; a quarter of the heads has no skull, a quarter no face. No person was examined.`,
    licence: 'MIT, as the program',
  };
  const entry = headEntryOf(HEAD.name, shipped, about);
  await writeWhole(join(models, entry.card), headCardOf(entry, shipped, about));
  await intoCatalogue(models, (all) => ({ ...all, heads: replaced(all.heads, entry) }));
  say(
    `${entry.file}: ${(entry.bytes / 1e6).toFixed(2)} MB, Dice ${entry.dice?.mean.toFixed(3) ?? 'not measured'}`,
  );
}

function threads(): string[] {
  return given.threads === undefined ? [] : ['--threads', given.threads];
}

function aboutData(strategy: ShippedPlan['strategy']): AboutData {
  const what = strategy === 'multi:23' ? '23 structures' : 'grey matter';
  return {
    data: `${what} of ${given.heads} phantoms`,
    origin: `phantoms that this program drew (\`fcd phantom --subjects ${given.heads} --size ${given.size} --seed ${COHORT_SEED}\`); no person was examined. Label maps: the phantom's own anatomy, before a lesion is drawn; half of the heads have one.`,
    licence: 'MIT, as the program',
  };
}

/** Adds an entry, or replaces the one of the same file; by name. */
function replaced<T extends { readonly file: string }>(before: readonly T[], entry: T): T[] {
  return [...before.filter(({ file }) => file !== entry.file), entry].sort((a, b) =>
    a.file < b.file ? -1 : 1,
  );
}

/** Changes the catalogue. @throws Error where all files together are too large */
async function intoCatalogue(
  models: string,
  change: (before: CatalogueContents) => CatalogueContents,
): Promise<void> {
  const path = join(models, 'catalogue.json');
  const before = existsSync(path)
    ? parseCatalogueContents(await readFile(path, 'utf8'), path)
    : { weights: [], heads: [] };
  const { weights, heads } = change(before);
  const bytes = [...weights, ...heads].reduce((sum, one) => sum + one.bytes, 0);
  if (bytes > LIMIT_BYTES)
    throw new Error(
      `The weights would take ${bytes} bytes, more than ${LIMIT_BYTES}. Choose narrower networks.`,
    );
  await writeJson(path, { schema: 1, weights, heads });
}

function checkout(): string {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'bin', 'fcd'))) return folder;
    if (folder === dirname(folder)) throw new Error('There is no bin/fcd above this program.');
  }
}
