import * as v from 'valibot';

/** Version of results.json. */
export const RESULTS_SCHEMA = 1;

const metric = v.object({
  value: v.nullable(v.number()),
  low: v.nullable(v.number()),
  high: v.nullable(v.number()),
  n: v.number(),
  sources: v.number(),
  note: v.optional(v.string()),
});
export type MetricRecord = v.InferOutput<typeof metric>;

const metrics = v.object({
  accuracy: metric,
  balancedAccuracy: metric,
  sensitivity: metric,
  specificity: metric,
  f1: metric,
  auc: metric,
});

const mapResult = v.object({
  layer: v.string(),
  method: v.string(),
  align: v.string(),
  /** Mean Heat-Score roi/brain over the maps that have one. */
  heatScore: metric,
  zeroMaps: v.number(),
  /** Null distribution of the cohort mean: permuted and mirrored masks. */
  null: v.nullable(v.object({ p95: v.number(), mean: v.number(), p: v.number(), exceeds: v.boolean() })),
  /**
   * Mean Heat-Score roi/brain of the same cases' maps by networks that have learned nothing, one a fold; absent in files
   * of earlier versions.
   */
  untrained: v.optional(metric),
  companions: v.object({
    massFraction: v.nullable(v.number()),
    volumeFraction: v.nullable(v.number()),
    pointing: v.nullable(v.number()),
    pointing5mm: v.nullable(v.number()),
    auroc: v.nullable(v.number()),
    averagePrecision: v.nullable(v.number()),
    topDice: v.nullable(v.number()),
  }),
});
export type MapResult = v.InferOutput<typeof mapResult>;

const caseResult = v.object({
  participantId: v.string(),
  source: v.string(),
  fold: v.number(),
  yTrue: v.picklist([0, 1]),
  yPred: v.picklist([0, 1]),
  pFcd: v.number(),
  /** Absolute paths on the machine that computed. */
  image: v.string(),
  roi: v.nullable(v.string()),
  brain: v.nullable(v.string()),
  roiMl: v.nullable(v.number()),
  maps: v.array(
    v.object({
      layer: v.string(),
      method: v.string(),
      heatScore: v.nullable(v.number()),
      nifti: v.nullable(v.string()),
      flags: v.array(v.string()),
    }),
  ),
});
export type CaseResult = v.InferOutput<typeof caseResult>;

/** results.json: what a run or a cross-validation came to; the report is made of it. */
export const resultsSchema = v.object({
  schema: v.literal(RESULTS_SCHEMA),
  title: v.string(),
  created: v.string(),
  seconds: v.number(),
  version: v.string(),
  command: v.array(v.string()),
  cohort: v.object({
    path: v.string(),
    fingerprint: v.string(),
    description: v.string(),
    patients: v.number(),
    controls: v.number(),
    sources: v.number(),
  }),
  modality: v.string(),
  network: v.string(),
  grid: v.object({ shape: v.array(v.number()), spacing: v.array(v.number()) }),
  brainMask: v.string(),
  training: v.string(),
  engine: v.string(),
  seed: v.number(),
  folds: v.number(),
  metrics,
  /** Maximum of the smoothed z-scored image, threshold from the training folds; absent for a single fold's run. */
  baseline: v.nullable(v.object({ metrics, smoothingMm: v.number() })),
  maps: v.array(mapResult),
  cases: v.array(caseResult),
  /** Learning curves, one per fold: loss per epoch. */
  curves: v.array(
    v.object({
      fold: v.number(),
      loss: v.array(v.number()),
      validationLoss: v.array(v.nullable(v.number())),
    }),
  ),
  notes: v.array(v.string()),
});
export type Results = v.InferOutput<typeof resultsSchema>;
