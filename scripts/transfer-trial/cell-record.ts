import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { ARMS, CONDITIONS, type Condition } from './plan';

const contrast = v.picklist(['T1w', 'FLAIR']);

const schema = v.object({
  schema: v.literal(1),
  id: v.string(),
  condition: v.picklist(Object.keys(CONDITIONS) as Condition[]),
  arm: v.picklist(ARMS),
  source: v.nullable(contrast),
  target: contrast,
  seed: v.number(),
  network: v.string(),
  /** What the weights were: as `results.json` describes the training. */
  training: v.string(),
  epochs: v.number(),
  folds: v.number(),
  compute: v.object({
    /** Processor seconds of all folds' training epochs. */
    trainSeconds: v.number(),
    /** Likewise, per fold, of the pre-training that it starts from, or whose compute was added; 0 for none. */
    pretrainSeconds: v.number(),
  }),
  /** Mean Dice of the pre-training on held-out heads; null where there was none. */
  pretrainDice: v.nullable(v.number()),
  /** Accuracy of the maximum of the smoothed image, the same folds. */
  baseline: v.nullable(v.number()),
  layer: v.string(),
  /** 95th percentile and mean of the null of the cohort's mean Heat-Score, and whether the mean exceeds the former. */
  heatNull: v.nullable(v.object({ p95: v.number(), mean: v.number(), exceeds: v.boolean() })),
  /** Mean Heat-Score of a network that has learned nothing. */
  untrained: v.nullable(v.number()),
  cases: v.array(
    v.object({
      id: v.string(),
      source: v.string(),
      yTrue: v.picklist([0, 1]),
      logits: v.tuple([v.number(), v.number()]),
      /** Heat-Score of a patient; null where the map is zero everywhere; absent for controls. */
      heat: v.optional(v.nullable(v.number())),
    }),
  ),
  /** Training loss per epoch, fold by fold. */
  curves: v.array(v.array(v.number())),
});

/** cells/<id>.json: what one cross-validation came to; the tables are made of these alone. */
export type CellRecord = v.InferOutput<typeof schema>;

/** @throws Error that names the file and the field */
export function parseCell(value: unknown, where: string): CellRecord {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new Error(`${where} is not valid at ${v.getDotPath(issue) ?? 'the top'}: ${issue.message}.`);
}

export async function readCell(path: string): Promise<CellRecord> {
  return parseCell(JSON.parse(await readFile(path, 'utf8')), path);
}
