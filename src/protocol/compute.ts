import * as v from 'valibot';

/**
 * What the editor asks the compute process: JSON-RPC requests (vscode-jsonrpc), one entry per method. Both ends check
 * what they receive against these schemas, once, where it arrives. Paths are absolute. A request that takes long sends
 * {@link progressSchema} notifications and stops when its cancellation token is cancelled.
 */

const triple = v.pipe(v.array(v.number()), v.length(3));

export const progressSchema = v.object({
  /** For people: `Reading`, `Running layer3`. */
  detail: v.string(),
  /** 0 to 1; null while it is not known. */
  fraction: v.nullable(v.number()),
});
export type Progress = v.InferOutput<typeof progressSchema>;

/** A NIfTI file's header, before any voxel is read. */
export const volumeHeaderSchema = v.object({
  path: v.string(),
  format: v.picklist(['nifti1', 'nifti2']),
  shape: triple,
  /** 1, or the number of volumes of a 4D file. */
  volumes: v.number(),
  spacingMm: triple,
  /** Row-major 4 x 4, voxel to RAS mm. */
  affine: v.pipe(v.array(v.number()), v.length(16)),
  affineFrom: v.string(),
  /** Direction of increasing i, j, k: `RAS`, `PSR`. */
  orientation: v.string(),
  dataType: v.string(),
  /** Bytes of the voxels when inflated. */
  voxelBytes: v.number(),
});
export type VolumeHeader = v.InferOutput<typeof volumeHeaderSchema>;

export const statisticsSchema = v.object({
  voxels: v.number(),
  notFinite: v.number(),
  min: v.number(),
  max: v.number(),
  mean: v.number(),
  sd: v.number(),
  /** Percentiles 1, 2, 25, 50, 75, 98, 99 of the finite voxels. */
  percentiles: v.record(v.string(), v.number()),
  /** Distinct values are whole numbers and few: labels or a mask. */
  labels: v.nullable(v.array(v.number())),
});
export type Statistics = v.InferOutput<typeof statisticsSchema>;

/** One subject of a cohort, for the Cohort view. */
export const subjectSchema = v.object({
  participantId: v.string(),
  group: v.picklist(['fcd', 'control']),
  source: v.string(),
  images: v.object({ T1w: v.optional(v.string()), FLAIR: v.optional(v.string()) }),
  roi: v.nullable(v.string()),
  brain: v.nullable(v.string()),
});
export type Subject = v.InferOutput<typeof subjectSchema>;

export const cohortSchema = v.object({
  path: v.string(),
  kind: v.picklist(['bids', 'manifest']),
  subjects: v.array(subjectSchema),
  /** What is odd or wrong, a sentence each, with the file and (for tables) the line it is in. */
  findings: v.array(
    v.object({
      severity: v.picklist(['error', 'warning', 'information']),
      message: v.string(),
      file: v.nullable(v.string()),
      line: v.nullable(v.number()),
    }),
  ),
});
export type CohortListing = v.InferOutput<typeof cohortSchema>;

export const engineReportSchema = v.object({
  engine: v.string(),
  module: v.nullable(v.string()),
  threads: v.number(),
  node: v.string(),
  reason: v.string(),
});
export type EngineReportMessage = v.InferOutput<typeof engineReportSchema>;

/** A checkpoint or run directory, as far as choosing a layer and an input needs it. */
export const modelSchema = v.object({
  path: v.string(),
  arch: v.string(),
  geometry: v.string(),
  shortcut: v.string(),
  width: v.number(),
  axes: v.string(),
  inChannels: v.number(),
  /** Which images it wants; null where the file does not say. */
  modality: v.nullable(v.string()),
  /** Dotted names of the layers whose maps can be asked for, in order. */
  layers: v.array(v.string()),
  /** What is odd about the file, a sentence each. */
  remarks: v.array(v.string()),
});
export type ModelListing = v.InferOutput<typeof modelSchema>;

const modelInput = {
  /** A checkpoint file or a run directory. */
  model: v.string(),
  /** One image per channel; the first decides the grid. */
  images: v.pipe(v.array(v.string()), v.minLength(1)),
  brain: v.optional(v.string()),
};

export const predictionSchema = v.object({
  logits: v.array(v.number()),
  /** Probability of fcd. */
  probability: v.number(),
  predicted: v.string(),
  remarks: v.array(v.string()),
});
export type Prediction = v.InferOutput<typeof predictionSchema>;

export const explanationSchema = v.object({
  /** The NIfTI written, on the subject's own grid. */
  out: v.string(),
  layer: v.string(),
  class: v.string(),
  method: v.string(),
  align: v.string(),
  logit: v.number(),
  prediction: predictionSchema,
  raw: v.object({ shape: v.array(v.number()), min: v.number(), max: v.number() }),
  /** Heat-Score roi/brain where a lesion mask was given; null with a flag where it does not exist. */
  heatScore: v.nullable(
    v.object({ variant: v.string(), score: v.nullable(v.number()), flags: v.array(v.string()) }),
  ),
  flags: v.array(v.string()),
});
export type Explanation = v.InferOutput<typeof explanationSchema>;

/** Method -> schemas of its parameters and its result. */
export const COMPUTE = {
  engine: { params: v.object({}), result: engineReportSchema },
  header: { params: v.object({ path: v.string() }), result: volumeHeaderSchema },
  statistics: {
    params: v.object({ path: v.string(), volume: v.optional(v.number()), mask: v.optional(v.string()) }),
    result: statisticsSchema,
  },
  cohort: { params: v.object({ path: v.string() }), result: cohortSchema },
  model: { params: v.object({ model: v.string() }), result: modelSchema },
  predict: { params: v.object(modelInput), result: predictionSchema },
  explain: {
    params: v.object({
      ...modelInput,
      layer: v.string(),
      method: v.picklist(['gradcam', 'hirescam']),
      align: v.picklist(['half-pixel', 'receptive']),
      /** Default: the predicted class. */
      class: v.optional(v.picklist(['control', 'fcd'])),
      roi: v.optional(v.string()),
      out: v.string(),
    }),
    result: explanationSchema,
  },
} as const;

export type ComputeMethod = keyof typeof COMPUTE;
export type ComputeParams<M extends ComputeMethod> = v.InferOutput<(typeof COMPUTE)[M]['params']>;
export type ComputeResult<M extends ComputeMethod> = v.InferOutput<(typeof COMPUTE)[M]['result']>;
