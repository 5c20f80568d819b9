import * as v from 'valibot';

export const TASK_TYPE = 'fcd';

export const MODALITIES = ['T1w', 'FLAIR', 'T1w+FLAIR', 'mixed'] as const;
export const ARCHITECTURES = ['resnet10', 'resnet18', 'resnet34', 'resnet50'] as const;
export const GRIDS = ['small', 'standard'] as const;

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const path = v.pipe(v.string(), v.minLength(1));

/**
 * A task of type `fcd` as it stands in tasks.json, after its variables were replaced. package.json describes the same
 * to the editor, which helps while typing; this is what counts.
 */
export const definitionSchema = v.object({
  type: v.literal(TASK_TYPE),
  task: v.picklist(['train', 'pretrain', 'experiment', 'report', 'phantom']),
  /** BIDS folder or manifest, relative to the workspace folder. */
  cohort: v.optional(path),
  modality: v.optional(v.picklist(MODALITIES)),
  arch: v.optional(v.picklist([...ARCHITECTURES, 'resnet101'])),
  /** `none`, `single:<task>` or `multi:23` of the shipped weights, or the file or run whose weights are the start. */
  strategy: v.optional(path),
  grid: v.optional(v.picklist(GRIDS)),
  /** The tasks.json of a `pretrain`, or the cohort that brings one; not to be mistaken for the editor's own file. */
  tasks: v.optional(path),
  /** The one structure of it that is learned; all of them where it is left out. */
  single: v.optional(path),
  /** Which fold a `train` or `pretrain` holds out: `1/5`. */
  fold: v.optional(v.pipe(v.string(), v.regex(/^\d+\/\d+$/, 'it is written k/K, as in 1/5'))),
  /** Folds of an `experiment`; of a `pretrain` that holds out each of them in turn. */
  folds: v.optional(v.pipe(count, v.minValue(2))),
  epochs: v.optional(count),
  seed: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  /** Where results go, relative to the workspace folder. */
  out: v.optional(path),
  /** Go on with this run (`train`, `pretrain`). */
  resume: v.optional(path),
  /** Run or experiment of a `report`. */
  run: v.optional(path),
  /** Cases and difficulty of a `phantom`. */
  subjects: v.optional(v.pipe(count, v.minValue(2))),
  difficulty: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1))),
  /** Options of the command line, added at the end. */
  args: v.optional(v.array(v.string())),
});
export type FcdTaskDefinition = v.InferOutput<typeof definitionSchema>;

/** @throws TaskError with a sentence that names the property */
export function parseDefinition(value: unknown): FcdTaskDefinition {
  const result = v.safeParse(definitionSchema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new TaskError(
    `The fcd task has a property "${v.getDotPath(issue) ?? '?'}" that is not valid: ${issue.message}. Correct it in tasks.json.`,
  );
}

/** A sentence about a task that can be shown as it is. */
export class TaskError extends Error {
  override readonly name = 'TaskError';
}
