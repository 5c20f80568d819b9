import { basename, dirname } from 'node:path';
import * as v from 'valibot';
import { ARCHITECTURES, GRIDS, type FcdTaskDefinition } from '../tasks/task-definition';

/** What the guide asks, and remembers for the next time. */
export const answersSchema = v.object({
  /** Absolute path of a tasks.json, or of a cohort that brings one. */
  tasks: v.string(),
  /** The one structure that is learned; empty: all of them. */
  single: v.string(),
  arch: v.picklist(ARCHITECTURES),
  /** One fold of K (`fold` from 1), or all K of them (`fold` 0). */
  fold: v.pipe(v.number(), v.integer(), v.minValue(0)),
  folds: v.pipe(v.number(), v.integer(), v.minValue(2)),
  grid: v.picklist(GRIDS),
  epochs: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** Where results go; a name that tells what it is by default. */
  out: v.optional(v.string()),
});
export type PretrainAnswers = v.InferOutput<typeof answersSchema>;

export const FIRST_ANSWERS: Omit<PretrainAnswers, 'tasks'> = {
  single: '',
  arch: 'resnet18',
  fold: 1,
  folds: 5,
  grid: 'small',
  epochs: 25,
};

/** What was remembered, as far as it still makes sense. */
export function remembered(value: unknown): Partial<PretrainAnswers> {
  const result = v.safeParse(v.partial(answersSchema), value);
  return result.success ? result.output : {};
}

/** The task that the answers describe. Paths inside `folder` are written relative to it, as a person would. */
export function taskOf(answers: PretrainAnswers, relative: (path: string) => string): FcdTaskDefinition {
  const { tasks, single, arch, fold, folds, grid, epochs, out } = answers;
  return {
    type: 'fcd',
    task: 'pretrain',
    tasks: relative(tasks),
    ...(single === '' ? {} : { single }),
    arch,
    grid,
    ...(fold === 0 ? { folds } : { fold: `${fold}/${folds}` }),
    epochs,
    ...(out === undefined ? {} : { out: relative(out) }),
  };
}

/** `resnet18 learns caudate of heads, fold 1/5`: the name of the task. */
export function titleOf({ tasks, single, arch, fold, folds }: PretrainAnswers): string {
  const scheme = fold === 0 ? `${folds} folds` : `fold ${fold}/${folds}`;
  return `${arch} learns ${single === '' ? 'all structures' : single} of ${placeOf(tasks)}, ${scheme}`;
}

/** The folder that a tasks file speaks of: of a cohort's own (`derivatives/labels/tasks.json`) the cohort. */
export function placeOf(tasks: string): string {
  const parts = tasks.split(/[\\/]/);
  const derived = parts.lastIndexOf('derivatives');
  if (derived > 0) return parts[derived - 1];
  return tasks.endsWith('.json') ? basename(dirname(tasks)) : basename(tasks);
}
