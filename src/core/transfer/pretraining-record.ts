import * as v from 'valibot';
import { InputError } from '../errors';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const triple = v.tuple([v.number(), v.number(), v.number()]);

const taskDice = v.object({
  task: v.string(),
  /** Mean over held-out heads; null where no held-out head has the structure, and where nobody was held out. */
  mean: v.nullable(share),
  /** 95 % interval of a bootstrap over heads; null where it cannot be estimated. */
  low: v.nullable(share),
  high: v.nullable(share),
  /** Held-out heads that have the structure. */
  n: count,
});
/** How well one task is done on heads that the weights have not learned from. */
export type TaskDice = v.InferOutput<typeof taskDice>;

const schema = v.object({
  kind: v.literal('segmentation'),
  /** Names of the structures that were learned, in the order of the head's output channels. */
  tasks: v.pipe(v.array(v.string()), v.minLength(1)),
  participants: v.object({
    /** Heads that the weights have learned from. */
    trained: v.array(v.string()),
    /** Heads that Dice was measured on. */
    heldOut: v.array(v.string()),
  }),
  /** sha256 over the images and label maps, by participant. */
  data: v.string(),
  modality: v.string(),
  /** What the network saw: voxels i x j x k and their size in mm (null: each scan's own). */
  grid: v.object({ shape: triple, spacing: v.nullable(triple) }),
  seed: v.number(),
  command: v.array(v.string()),
  dice: v.array(taskDice),
  /** Steps of the optimiser. */
  steps: count,
  secondsOfCompute: v.optional(v.pipe(v.number(), v.minValue(0))),
  /** Volumes that went through training, repetitions counted. */
  samplesSeen: count,
});

/** What weights learned before they came here: part of a checkpoint's metadata under `pretraining`. */
export type PretrainingRecord = v.InferOutput<typeof schema>;

/** @throws InputError that names the field */
export function parsePretrainingRecord(value: unknown, where: string): PretrainingRecord {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new InputError(
    `${where}: its record of pre-training is not valid at ${v.getDotPath(issue) ?? 'the top'}: ${issue.message}.`,
  );
}
