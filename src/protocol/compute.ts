import * as v from 'valibot';
import { INSPECTION } from './inspection';

/**
 * What the editor asks the compute process: JSON-RPC requests (vscode-jsonrpc), one entry per method. Both ends check
 * what they receive against these schemas, once, where it arrives. Paths are absolute. A request that takes long sends
 * {@link progressSchema} (jsonrpc's progress, under the number in {@link envelope}) and stops when its cancellation
 * token is cancelled.
 */

/** Numbers of JSON-RPC errors. What went wrong is the message: a sentence that can be shown as it is. */
export const COMPUTE_ERROR = {
  /** Something a person can mend: a wrong file, field or choice. */
  input: 1,
  /** A fault of the program; its stack is in the log. */
  unexpected: 2,
  /** Parameters that do not fit the schema: a fault of the caller. */
  params: -32602,
  /** The request's token was cancelled. */
  cancelled: -32800,
} as const;

/** Convolutions multiply in single precision, or in half precision on a GPU that has it. */
export const precisionSchema = v.picklist(['f32', 'f16']);

/** How a process computes, for its whole life. */
export const computeSettingsSchema = v.object({
  /** One thread at low priority, for a training run has the machine. */
  background: v.boolean(),
  /** `auto`, `cpu`, or the name of a kernel module. */
  engine: v.string(),
  /** 0: the physical cores. */
  threads: v.number(),
  precision: precisionSchema,
  /** GB of a GPU's memory that may be taken; 0: as much as there is. */
  gpuMemory: v.number(),
});
export type ComputeSettings = v.InferOutput<typeof computeSettingsSchema>;

/** Environment variable that holds {@link computeSettingsSchema} as JSON. */
export const COMPUTE_SETTINGS = 'FCD_COMPUTE_SETTINGS';

export const USUAL_SETTINGS: ComputeSettings = {
  background: false,
  engine: 'auto',
  threads: 0,
  precision: 'f32',
  gpuMemory: 0,
};

/** Parameters on the wire. */
export function envelope<S extends v.GenericSchema>(params: S) {
  return v.object({
    /** Progress is sent under this number; null where nobody listens. */
    progress: v.nullable(v.number()),
    params,
  });
}

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
  /** Voxels of one volume. */
  voxels: v.number(),
  /** Bytes of all voxels (all volumes) when inflated. */
  voxelBytes: v.number(),
  /** Bytes of the file as it lies on disk, and whether they are gzipped. */
  fileBytes: v.number(),
  gzip: v.boolean(),
  /** Value = slope x stored + intercept. */
  slope: v.number(),
  intercept: v.number(),
  description: v.string(),
  /** NIfTI intent; maps of ours have code 1001 (estimate) and the method as name. */
  intent: v.object({ code: v.number(), name: v.string() }),
  /** What the header leaves in doubt, a sentence each: no place stated, voxel sizes that differ. */
  warnings: v.array(v.string()),
});
export type VolumeHeader = v.InferOutput<typeof volumeHeaderSchema>;

/** Numbers over the voxels of one volume, or of those inside a mask; values in file units, not finite ones left out. */
export const statisticsSchema = v.object({
  /** Voxels that were looked at: those of the mask, or all. */
  voxels: v.number(),
  /** How many of them are NaN or infinite. */
  notFinite: v.number(),
  /** Volume of the voxels in millilitres. */
  ml: v.number(),
  /** Null where no voxel is finite; so are mean and sd. */
  min: v.nullable(v.number()),
  max: v.nullable(v.number()),
  mean: v.nullable(v.number()),
  /** Of the population: divided by n. */
  sd: v.nullable(v.number()),
  /** Percentiles 1, 2, 25, 50, 75, 98, 99 of the finite voxels, by that name; numpy's linear rule. */
  percentiles: v.record(v.string(), v.number()),
  /** Where the values are whole numbers and at most 512 of them differ: each value with its voxels; else null. */
  labels: v.nullable(v.array(v.object({ value: v.number(), voxels: v.number() }))),
});
export type Statistics = v.InferOutput<typeof statisticsSchema>;

/** One subject of a cohort, for the Cohort view. */
export const subjectSchema = v.object({
  participantId: v.string(),
  group: v.picklist(['fcd', 'control']),
  source: v.string(),
  images: v.object({ T1w: v.optional(v.string()), FLAIR: v.optional(v.string()) }),
  roi: v.nullable(v.string()),
  /** The contrast on whose grid the lesion was drawn. */
  roiDrawnOn: v.nullable(v.picklist(['T1w', 'FLAIR'])),
  brain: v.nullable(v.string()),
  /** Label map, where the cohort brings one. */
  labels: v.nullable(v.string()),
  /** Shared by a case and its version without the lesion. */
  twin: v.nullable(v.string()),
  sex: v.nullable(v.picklist(['F', 'M'])),
  /** As the table has it: years, or the number of a class. */
  age: v.nullable(v.number()),
  /** Why something that was expected is not there: `T1w is empty (0 bytes)`. */
  unavailable: v.array(v.string()),
});
export type Subject = v.InferOutput<typeof subjectSchema>;

export const cohortSchema = v.object({
  path: v.string(),
  /** The BIDS directory, or the manifest's directory. */
  root: v.string(),
  kind: v.picklist(['bids', 'manifest']),
  /** Two runs on the same cohort share it. */
  fingerprint: v.string(),
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
  precision: precisionSchema,
  node: v.string(),
  reason: v.string(),
  /** The GPU in use, or why none is; null where that was not asked. */
  gpu: v.nullable(v.string()),
  /** One thread at low priority, for a training run has the machine. */
  background: v.boolean(),
  /** What was tested, and how fast it is on one thread (GFLOP/s); every kernel module in the answer to `engine`. */
  selfTest: v.array(
    v.object({ module: v.string(), ok: v.boolean(), gflops: v.number(), detail: v.string() }),
  ),
});
export type EngineReportMessage = v.InferOutput<typeof engineReportSchema>;

/** A checkpoint or run directory, as far as choosing a layer and an input needs it. */
export const modelSchema = v.object({
  /** As it was asked for, and the checkpoint file that it means. */
  path: v.string(),
  file: v.string(),
  /** `ResNet-18 (paper, shortcut A, width 1/4, axes ijk)`. */
  title: v.string(),
  arch: v.string(),
  geometry: v.string(),
  shortcut: v.string(),
  width: v.number(),
  axes: v.string(),
  inChannels: v.number(),
  /** Names of the classes, by index. */
  classes: v.array(v.string()),
  /** Which images it wants; null where the file does not say. */
  modality: v.nullable(v.picklist(['T1w', 'FLAIR', 'T1w+FLAIR', 'mixed'])),
  /** Whether the file carries the recipe by which images were prepared in training. */
  recipe: v.boolean(),
  /** Sources (heads) that the weights have seen in training; null where the file does not say. */
  seen: v.nullable(v.array(v.string())),
  /** Dotted names of the layers whose maps can be asked for, in order. */
  layers: v.array(v.string()),
  /** Whole stages among them, the layers that a person asks for first: `layer1` to `layer4`. */
  stages: v.array(v.string()),
  /** What is odd about the file, a sentence each. */
  remarks: v.array(v.string()),
});
export type ModelListing = v.InferOutput<typeof modelSchema>;

/** What a file that others wrote does not say; each overrides what the file says where that is possible. */
const networkGiven = v.optional(
  v.partial(
    v.object({
      arch: v.picklist(['resnet10', 'resnet18', 'resnet34', 'resnet50', 'resnet101']),
      geometry: v.picklist(['paper', 'medicalnet', 'monai', 'compact']),
      shortcut: v.picklist(['A', 'A-detached', 'B']),
      width: v.number(),
      axes: v.picklist(['ijk', 'kji']),
    }),
  ),
);

const model = {
  /** A checkpoint file or a run directory. */
  model: v.string(),
  network: networkGiven,
};

const modelInput = {
  ...model,
  /** One image per channel; the first decides the grid. */
  images: v.pipe(v.array(v.string()), v.minLength(1)),
  brain: v.optional(v.string()),
};

export const predictionSchema = v.object({
  /** By class: control, fcd. */
  logits: v.array(v.number()),
  /** Probability of fcd. */
  probability: v.number(),
  predicted: v.string(),
  /** Which brain mask the image was normalised with. */
  brainSource: v.picklist(['given', 'intracranial', 'otsu', 'nonzero', 'none']),
  /** What a reader must know (no recipe, another brain mask than in training, odd weights), a sentence each. */
  remarks: v.array(v.string()),
});
export type Prediction = v.InferOutput<typeof predictionSchema>;

/**
 * How well the map of class fcd lies on the lesion, whatever class was explained; computed on the network's input grid,
 * as in a run's heatscores.csv.
 */
export const heatScoreSchema = v.object({
  /** The variant `roi/brain`, whose chance value is 1. */
  variant: v.string(),
  /** Null where it does not exist; then a flag says why. */
  score: v.nullable(v.number()),
  /** Mean heat in the lesion and in the brain mask, in the map's own unit. */
  roiMean: v.number(),
  referenceMean: v.nullable(v.number()),
  roiVoxels: v.number(),
  roiMl: v.number(),
  brainMl: v.number(),
  /** All variants by name. */
  variants: v.array(v.object({ variant: v.string(), score: v.nullable(v.number()) })),
  companions: v.object({
    /** Heat in the lesion / heat in the brain; by chance it is the volume fraction. */
    massFraction: v.nullable(v.number()),
    volumeFraction: v.number(),
    pointing: v.nullable(v.boolean()),
    pointing5mm: v.nullable(v.boolean()),
    peakDistanceMm: v.nullable(v.number()),
    auroc: v.nullable(v.number()),
    averagePrecision: v.nullable(v.number()),
    topDice: v.nullable(v.number()),
  }),
  flags: v.array(v.string()),
  /** What the flags mean, a sentence each, in their order. */
  meanings: v.array(v.string()),
});
export type HeatScoreMessage = v.InferOutput<typeof heatScoreSchema>;

export const explanationSchema = v.object({
  /** The NIfTI written, on the grid of `image` (the first one given); its provenance lies beside it as .json. */
  out: v.string(),
  provenance: v.string(),
  image: v.string(),
  layer: v.string(),
  class: v.string(),
  method: v.string(),
  align: v.string(),
  logit: v.number(),
  prediction: predictionSchema,
  /** The map at the layer's own resolution: cells D, H, W and extreme values. */
  raw: v.object({ shape: v.array(v.number()), min: v.number(), max: v.number() }),
  /** Extreme values of the NIfTI. */
  written: v.object({ min: v.number(), max: v.number() }),
  /** Where a lesion mask was given. */
  heatScore: v.nullable(heatScoreSchema),
  /** `all-zero-map`: at this layer nothing speaks for the class. */
  flags: v.array(v.string()),
  /** The prediction's remarks, and why there is no Heat-Score although a lesion mask was given. */
  remarks: v.array(v.string()),
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
  model: { params: v.object(model), result: modelSchema },
  predict: { params: v.object(modelInput), result: predictionSchema },
  explain: {
    params: v.object({
      ...modelInput,
      layer: v.string(),
      method: v.picklist(['gradcam', 'hirescam']),
      align: v.picklist(['half-pixel', 'receptive']),
      /** Default: the predicted class. */
      class: v.optional(v.picklist(['control', 'fcd'])),
      /** Lesion mask, on any grid. */
      roi: v.optional(v.string()),
      /** Ends in .nii or .nii.gz; written whole. */
      out: v.string(),
    }),
    result: explanationSchema,
  },
  ...INSPECTION,
  /** Frees everything; the process ends when it has answered. */
  shutdown: { params: v.object({}), result: v.object({}) },
} as const;

/** Notification of the process, once, when it can be asked: until then it has not been started successfully. */
export const READY = 'ready';

/** Notification of the process, at the first request that computes: which engine it opened. */
export const ENGINE_OPENED = 'engineOpened';

export type ComputeMethod = keyof typeof COMPUTE;
export type ComputeParams<M extends ComputeMethod> = v.InferOutput<(typeof COMPUTE)[M]['params']>;
export type ComputeResult<M extends ComputeMethod> = v.InferOutput<(typeof COMPUTE)[M]['result']>;
