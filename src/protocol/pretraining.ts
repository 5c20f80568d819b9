import * as v from 'valibot';

const dice = {
  /** Mean over held-out heads; null where none has the structure. */
  mean: v.nullable(v.number()),
  /** 95 % interval of a bootstrap over heads. */
  low: v.nullable(v.number()),
  high: v.nullable(v.number()),
  /** Heads. */
  n: v.number(),
};

/** results.json of a pre-training: how well the tasks are done on heads that were held out. */
export const pretrainingResultsSchema = v.object({
  schema: v.literal(1),
  kind: v.literal('segmentation'),
  title: v.string(),
  created: v.string(),
  seconds: v.number(),
  version: v.string(),
  command: v.array(v.string()),
  tasksFile: v.string(),
  /** sha256 over the images and label maps. */
  data: v.string(),
  heads: v.number(),
  modality: v.string(),
  network: v.string(),
  grid: v.object({ shape: v.array(v.number()), spacing: v.array(v.number()) }),
  training: v.string(),
  engine: v.string(),
  seed: v.number(),
  /** Folds whose held-out heads are counted. */
  folds: v.number(),
  tasks: v.array(v.object({ task: v.string(), ...dice })),
  /** Over heads, of each head's mean over the tasks that it has. */
  mean: v.object(dice),
  /** Dice of every held-out head, in the order of `tasks`; null where it does not have the structure. */
  cases: v.array(
    v.object({
      participantId: v.string(),
      source: v.string(),
      fold: v.number(),
      dice: v.array(v.nullable(v.number())),
    }),
  ),
  /** Loss per epoch of every fold. */
  curves: v.array(v.object({ fold: v.number(), loss: v.array(v.number()) })),
  notes: v.array(v.string()),
});
export type PretrainingResults = v.InferOutput<typeof pretrainingResultsSchema>;
