import * as v from 'valibot';

/** Version of every JSON file of a run directory. */
export const RUN_SCHEMA = 1;

/** What computed a run. */
export const engineSchema = v.object({
  name: v.string(),
  module: v.optional(v.string()),
  /** The GPU of the engine webgpu, in its driver's words. */
  adapter: v.optional(v.string()),
  threads: v.number(),
  /** Absent in runs of earlier versions: single precision. */
  precision: v.optional(v.picklist(['f32', 'f16'])),
  node: v.string(),
  /** Algorithm of every convolution by shape and pass: a run that goes on replays it. */
  plan: v.optional(v.record(v.string(), v.string())),
});

/** What a network saw: `mixed` is both contrasts as cases of their own. */
export const modalitySchema = v.picklist(['T1w', 'FLAIR', 'T1w+FLAIR', 'mixed']);

export const networkSchema = v.object({
  arch: v.string(),
  geometry: v.string(),
  shortcut: v.string(),
  width: v.number(),
  axes: v.picklist(['ijk', 'kji']),
  inChannels: v.number(),
  classes: v.number(),
});

/** What the weights started from. */
export const initSchema = v.variant('kind', [
  v.object({ kind: v.literal('none') }),
  v.object({
    kind: v.literal('file'),
    /** Where the file was asked for by name: `single:<task>` or `multi:<tasks>` of models/catalogue.json. */
    strategy: v.optional(v.string()),
    /** Absolute path, and what the file held when the run began. */
    path: v.string(),
    sha256: v.string(),
    /** Tensors of the network that come from the file, and those that start fresh, by name. */
    loaded: v.number(),
    fresh: v.array(v.string()),
    /** The first convolution of one channel is spread over so many; absent where it is taken as it is. */
    spreadOver: v.optional(v.number()),
    /** What the weights were trained on, where the file says so: the source of a transfer across modalities. */
    sourceModality: v.optional(v.string()),
    /** Heads that the file's weights have seen; null where the file does not say. */
    seen: v.nullable(v.array(v.string())),
    /** A person said that heads of the same name in the file and in the cohort are different heads. */
    sameNamesAreOthers: v.boolean(),
  }),
]);
export type InitRecord = v.InferOutput<typeof initSchema>;

/** What a run of pre-training segments. */
export const segmentationSchema = v.object({
  /** Absolute path of the file that names tasks and heads; its label maps and images make the fingerprint. */
  tasksFile: v.string(),
  tasks: v.array(v.object({ name: v.string(), labels: v.array(v.number()) })),
  tasksPerStep: v.nullable(v.number()),
  decoderChannels: v.number(),
});

/** run.json: what was asked, on what data, with what engine. Everything needed to repeat or resume it. */
export const runSchema = v.object({
  schema: v.literal(RUN_SCHEMA),
  name: v.string(),
  created: v.string(),
  command: v.array(v.string()),
  /** Where the command was given: its paths may be relative to it. Absent in runs of earlier versions. */
  cwd: v.optional(v.string()),
  version: v.string(),
  commit: v.nullable(v.string()),
  cohort: v.object({
    path: v.string(),
    fingerprint: v.string(),
    cases: v.number(),
  }),
  modality: modalitySchema,
  fold: v.object({
    index: v.number(),
    count: v.number(),
    train: v.array(v.string()),
    validation: v.array(v.string()),
    test: v.array(v.string()),
  }),
  seed: v.number(),
  network: networkSchema,
  recipe: v.record(v.string(), v.unknown()),
  init: initSchema,
  training: v.record(v.string(), v.unknown()),
  /** How steps are computed so that they fit the engine's memory; absent until that is known, and in earlier versions. */
  step: v.optional(v.object({ microBatch: v.number(), checkpointActivations: v.boolean() })),
  engine: engineSchema,
  /** There where a run pre-trains on segmentation; any other run classifies. */
  segmentation: v.optional(segmentationSchema),
});
export type RunRecord = v.InferOutput<typeof runSchema>;

/** process.json: who computes the run at this moment; not there when nobody does. */
export const processSchema = v.object({
  schema: v.literal(RUN_SCHEMA),
  host: v.string(),
  pid: v.number(),
  started: v.string(),
});
export type ProcessRecord = v.InferOutput<typeof processSchema>;

/**
 * A file of this name in the directory of a run or an experiment asks it to stop at its next step, in a state that can
 * be resumed; whoever computes it removes the file. It works where no signal arrives: on a cluster, from another machine.
 */
export const STOP_FILE = 'stop';

const at = {
  time: v.string(),
  /** Of all threads of the process so far: what work cost, however busy or halted the machine was meanwhile. */
  processorSeconds: v.optional(v.number()),
};

/** A line of events.jsonl. */
export const eventSchema = v.variant('type', [
  v.object({ ...at, type: v.literal('started'), epochs: v.number(), stepsPerEpoch: v.number() }),
  v.object({ ...at, type: v.literal('resumed'), epoch: v.number(), step: v.number() }),
  v.object({
    ...at,
    type: v.literal('step'),
    epoch: v.number(),
    step: v.number(),
    loss: v.number(),
    learningRate: v.number(),
    /** In half precision: with what the loss was multiplied, and whether the step was left out for overflow. */
    lossScale: v.optional(v.number()),
    skipped: v.optional(v.boolean()),
    secondsLeft: v.nullable(v.number()),
  }),
  v.object({
    ...at,
    type: v.literal('epoch'),
    epoch: v.number(),
    loss: v.number(),
    validationLoss: v.nullable(v.number()),
    validationAccuracy: v.nullable(v.number()),
    best: v.boolean(),
  }),
  /** What is not training and may take long; at most one a second. */
  v.object({
    ...at,
    type: v.literal('phase'),
    phase: v.picklist(['reading', 'predicting', 'explaining']),
    done: v.number(),
    total: v.number(),
  }),
  v.object({ ...at, type: v.literal('checkpoint'), kind: v.picklist(['last', 'best']), epoch: v.number() }),
  v.object({ ...at, type: v.literal('warning'), message: v.string() }),
  v.object({ ...at, type: v.literal('finished'), epochs: v.number(), seconds: v.number() }),
  v.object({ ...at, type: v.literal('stopped'), epoch: v.number(), step: v.number() }),
  v.object({ ...at, type: v.literal('failed'), message: v.string() }),
]);
export type RunEvent = v.InferOutput<typeof eventSchema>;

/** A row of predictions.csv. */
export interface PredictionRow {
  readonly participantId: string;
  readonly source: string;
  readonly fold: number;
  readonly seed: number;
  readonly yTrue: 0 | 1;
  readonly logits: readonly [number, number];
  readonly pFcd: number;
  readonly yPred: 0 | 1;
}

/** A row of heatscores.csv; `score` is empty where it does not exist (then a flag says why). */
export interface HeatScoreRow {
  readonly participantId: string;
  readonly fold: number;
  readonly layer: string;
  readonly method: string;
  readonly align: string;
  readonly variant: string;
  readonly score: number | null;
  readonly inRoiMean: number;
  readonly referenceMean: number | null;
  readonly roiVoxels: number;
  readonly flags: readonly string[];
}

/** Lines of an events.jsonl; a torn last line (a file being written) is left out, any other bad line is an error. */
export function parseEvents(text: string): RunEvent[] {
  const lines = text.split('\n');
  const events: RunEvent[] = [];
  lines.forEach((line, index) => {
    if (line === '') return;
    try {
      events.push(v.parse(eventSchema, JSON.parse(line)));
    } catch (error) {
      if (index < lines.length - 1)
        throw new Error(`line ${index + 1} is not an event (${line.slice(0, 80)}).`, {
          cause: error,
        });
    }
  });
  return events;
}
