// How near brain masks come to labels of real heads: the head that comes along, and Otsu's threshold.
// `node scripts/run-node.mjs dist/trial/mask-figures.js TASKS.json [IMAGES...]`: a tasks file as fcd pretrain takes it,
// with a task called "intracranial volume" and one whose name begins with "brain"; further images are measured in litres.
import { basename, resolve } from 'node:path';
import { closeEngine, openEngine } from '../src/core/engine/choose';
import { diceOverlap } from '../src/core/intracranial/dice-overlap';
import { intracranialMask } from '../src/core/intracranial/shipped-head';
import { findHeads } from '../src/core/pretrain/heads';
import { readTasksFile, type Task } from '../src/core/pretrain/tasks-file';
import { determinant } from '../src/core/volume/affine';
import { headMask } from '../src/core/volume/head-mask';
import { readNifti } from '../src/core/volume/nifti-read';
import type { Mask, Volume } from '../src/core/volume/volume';

interface Masks {
  readonly head: Mask | undefined;
  readonly otsu: Mask;
  readonly headMs: number;
  readonly otsuMs: number;
}

async function masksOf(image: Volume, name: string): Promise<Masks> {
  let start = performance.now();
  const found = await intracranialMask(image);
  const head = 'on' in found ? found.on(image) : undefined;
  const headMs = performance.now() - start;
  if ('refused' in found) console.log(`${name}: refused, for ${found.refused}`);
  start = performance.now();
  const otsu = headMask(image);
  return { head, otsu, headMs, otsuMs: performance.now() - start };
}

function summary(name: string, values: readonly number[]): void {
  const sorted = [...values].sort((a, b) => a - b);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const middle = sorted[sorted.length >> 1];
  const cells = [mean, middle, sorted[0], sorted[sorted.length - 1]].map((value) => value.toFixed(3));
  console.log(`| ${[name, ...cells, values.length].join(' | ')} |`);
}

function litres({ data, affine }: Mask): string {
  const voxels = data.reduce((sum, value) => sum + value, 0);
  return ((voxels * Math.abs(determinant(affine))) / 1e6).toFixed(2);
}

const [tasksPath, ...images] = process.argv.slice(2);
if (tasksPath === undefined) throw new Error('Give a tasks file; see the first lines of this script.');
const file = await readTasksFile(resolve(tasksPath));
const numbersOf = (wanted: (task: Task) => boolean): ReadonlySet<number> =>
  new Set(file.tasks.find(wanted)?.labels ?? []);
const structures = {
  'intracranial volume': numbersOf(({ name }) => name === 'intracranial volume'),
  brain: numbersOf(({ name }) => name.startsWith('brain')),
};
const { heads } = await findHeads(file, 'T1w');
const engine = await openEngine();
console.log(`${engine.name} ${engine.module ?? ''}, ${engine.threads} threads, Node ${process.version}\n`);
const columns = new Map<string, number[]>();
const put = (name: string, value: number): void => {
  columns.set(name, [...(columns.get(name) ?? []), value]);
};
for (const { participantId, images: of, labels } of heads) {
  const { volume } = await readNifti(of.T1w ?? '');
  const map = (await readNifti(labels)).volume;
  const { head, otsu, headMs, otsuMs } = await masksOf(volume, participantId);
  for (const [name, numbers] of Object.entries(structures)) {
    const truth = Uint8Array.from(map.data, (label) => (numbers.has(label) ? 1 : 0));
    put(`head, Dice with ${name}`, diceOverlap((head ?? otsu).data, truth) ?? NaN);
    put(`Otsu, Dice with ${name}`, diceOverlap(otsu.data, truth) ?? NaN);
  }
  put('head, ms', headMs);
  put('Otsu, ms', otsuMs);
}
console.log('| | mean | median | least | most | heads |\n| --- | --: | --: | --: | --: | --: |');
for (const [name, values] of columns) summary(name, values);
if (images.length > 0)
  console.log(
    '\n| image | not 0, l | head, l | Otsu, l | head, Dice with not 0 | head, ms |\n| --- | --: | --: | --: | --: | --: |',
  );
for (const path of images) {
  const { volume } = await readNifti(path);
  const shown = { ...volume, data: Uint8Array.from(volume.data, (value) => (value === 0 ? 0 : 1)) };
  const { head, otsu, headMs } = await masksOf(volume, path);
  const dice = head ? (diceOverlap(head.data, shown.data) ?? NaN).toFixed(3) : '';
  const cells = [basename(path), litres(shown), head ? litres(head) : 'refused', litres(otsu), dice];
  console.log(`| ${[...cells, headMs.toFixed(0)].join(' | ')} |`);
}
await closeEngine();
