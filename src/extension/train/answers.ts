import * as v from 'valibot';
import { isStrategyName } from '../../protocol/catalogue';
import { ARCHITECTURES, GRIDS, MODALITIES, type FcdTaskDefinition } from '../tasks/task-definition';

/** What the guide asks, and remembers for the next time. */
export const answersSchema = v.object({
  /** Absolute path of a BIDS folder or a manifest. */
  cohort: v.string(),
  modality: v.picklist(MODALITIES),
  arch: v.picklist(ARCHITECTURES),
  /** `none`, a strategy of the shipped weights, or the absolute path of the weights to start from. */
  strategy: v.string(),
  /** One fold of K (`fold` from 1), or all K of them (`fold` 0). */
  fold: v.pipe(v.number(), v.integer(), v.minValue(0)),
  folds: v.pipe(v.number(), v.integer(), v.minValue(2)),
  grid: v.picklist(GRIDS),
  epochs: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** Where results go; a name that tells what it is by default. */
  out: v.optional(v.string()),
});
export type TrainAnswers = v.InferOutput<typeof answersSchema>;

export const FIRST_ANSWERS: Omit<TrainAnswers, 'cohort'> = {
  modality: 'FLAIR',
  arch: 'resnet18',
  strategy: 'none',
  fold: 0,
  folds: 5,
  grid: 'small',
  epochs: 20,
};

/** What was remembered, as far as it still makes sense. */
export function remembered(value: unknown): Partial<TrainAnswers> {
  const result = v.safeParse(v.partial(answersSchema), value);
  return result.success ? result.output : {};
}

/** The task that the answers describe. Paths inside `folder` are written relative to it, as a person would. */
export function taskOf(answers: TrainAnswers, relative: (path: string) => string): FcdTaskDefinition {
  const { fold, folds, cohort, strategy, out, modality, arch, grid, epochs } = answers;
  return {
    type: 'fcd',
    task: fold === 0 ? 'experiment' : 'train',
    cohort: relative(cohort),
    modality,
    arch,
    strategy: strategy === 'none' || isStrategyName(strategy) ? strategy : relative(strategy),
    grid,
    ...(fold === 0 ? { folds } : { fold: `${fold}/${folds}` }),
    epochs,
    ...(out === undefined ? {} : { out: relative(out) }),
  };
}

/** `ResNet-18 · FLAIR · 5-fold cross-validation · heads`: the name of the task. */
export function titleOf({ arch, modality, fold, folds, cohort }: TrainAnswers): string {
  const scheme = fold === 0 ? `${folds} folds` : `fold ${fold}/${folds}`;
  return `${arch} on ${modality} of ${cohort.split(/[\\/]/).at(-1)}, ${scheme}`;
}
