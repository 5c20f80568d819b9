import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeJson } from '../../src/core/files/whole';
import { readCheckpoint } from '../../src/core/model/checkpoint';
import { parseEvents } from '../../src/protocol/run';
import type { Contrast } from './plan';

/** A segmentation task, as tasks files have it. */
export interface Task {
  readonly name: string;
  readonly labels: readonly number[];
}

/** Grey matter of the phantom: the cortices, hippocampus, amygdala and the cerebellum's cortex. */
const PHANTOM_GREY_MATTER = [4, 5, 6, 7, 8, 19, 20, 22];

/** The phantom's 23 structures, from the table beside its label maps. */
export async function phantomTasks(cohort: string): Promise<Task[]> {
  const lines = (await readFile(join(cohort, 'derivatives', 'labels', 'dseg.tsv'), 'utf8'))
    .trim()
    .split('\n');
  return lines.slice(1).map((line) => {
    const [index, name] = line.split('\t');
    return { name, labels: [Number(index)] };
  });
}

/** The tasks of a list such as data/ixi2mm/tasks23.json. */
export async function listedTasks(path: string): Promise<Task[]> {
  const entries = JSON.parse(await readFile(path, 'utf8')) as {
    kind?: string;
    name: string;
    labels: number[];
  }[];
  return entries
    .filter(({ kind }) => kind === undefined || kind === 'task')
    .map(({ name, labels }) => ({ name, labels }));
}

/** Grey matter alone: the one task of the single-task strategy. */
export function greyMatter(tasks: readonly Task[]): Task {
  const named = tasks.find(({ name }) => /^(gray|grey) matter$/i.test(name));
  return { name: 'gm', labels: named?.labels ?? PHANTOM_GREY_MATTER };
}

/** Writes what `fcd pretrain` is to learn, on whom. */
export async function writeTasks(
  path: string,
  cohort: string,
  modality: Contrast,
  tasks: readonly Task[],
): Promise<void> {
  await writeJson(path, {
    schema: 1,
    cohort,
    modality,
    tasks: tasks.map((task) => ({ kind: 'task', ...task })),
  });
}

/** What a finished pre-training cost and how good it is. */
export interface PretrainingCost {
  /** Of the processor, in all threads. */
  readonly seconds: number;
  /** Mean Dice over tasks on held-out heads; null where nobody was held out. */
  readonly dice: number | null;
}

export async function costOf(run: string): Promise<PretrainingCost> {
  const { meta } = await readCheckpoint(run, {});
  const record = meta.pretraining;
  if (!record) throw new Error(`${run} holds weights without a record of their pre-training.`);
  const dice = record.dice.flatMap(({ mean }) => (mean === null ? [] : [mean]));
  return {
    seconds: trainingSeconds(await readFile(join(run, 'events.jsonl'), 'utf8')),
    dice: dice.length === 0 ? null : dice.reduce((a, b) => a + b) / dice.length,
  };
}

/** Whether a run directory's log ends well. */
export async function isFinished(run: string): Promise<boolean> {
  const log = join(run, 'events.jsonl');
  return existsSync(log) && parseEvents(await readFile(log, 'utf8')).some(({ type }) => type === 'finished');
}

/**
 * Processor seconds of the epochs that a log tells of: what a run computed, also on a machine that was busy or halted it.
 * @throws Error where the log was written by a version that did not count them
 */
export function trainingSeconds(log: string): number {
  let seconds = 0;
  let since: number | undefined;
  for (const { type, processorSeconds } of parseEvents(log)) {
    if (type !== 'started' && type !== 'resumed' && type !== 'epoch') continue;
    if (processorSeconds === undefined)
      throw new Error('A run of the trial has no processor times: compute it again in another folder.');
    if (type === 'epoch' && since !== undefined) seconds += processorSeconds - since;
    since = processorSeconds;
  }
  return seconds;
}
