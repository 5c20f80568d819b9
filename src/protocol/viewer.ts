import * as v from 'valibot';

/**
 * What the volume editor (extension host) and its webview say to each other, and what commands hand to the editor. Both
 * ends check what they receive (rpc.ts). The host owns what is shown (the scene); the webview owns how it is looked at
 * (position, visibility, opacity, threshold), and keeps that across being hidden.
 */

const triple = v.pipe(v.array(v.number()), v.length(3));
const affine = v.pipe(v.array(v.number()), v.length(16));

// --- Arguments of commands -------------------------------------------------------------------------------------------

/** `fcd.openCase`: a scan with its lesion mask and class map. Paths are absolute. */
export const openCaseSchema = v.object({
  image: v.string(),
  roi: v.optional(v.nullable(v.string())),
  map: v.optional(v.nullable(v.string())),
  /** Open beside the active editor. */
  beside: v.optional(v.boolean()),
});
export type OpenCaseArgs = v.InferOutput<typeof openCaseSchema>;

/** `fcd.predictCase` and `fcd.showGradCam`: what is not given is asked for, or taken from the active volume editor. */
export const caseSchema = v.object({
  /** The scan; for a network of two channels, T1w first and FLAIR in `secondImage`. */
  image: v.optional(v.string()),
  secondImage: v.optional(v.nullable(v.string())),
  roi: v.optional(v.nullable(v.string())),
  brain: v.optional(v.nullable(v.string())),
  /** A checkpoint file or a run directory. */
  model: v.optional(v.string()),
  /** A map that exists already and is only to be shown. */
  map: v.optional(v.nullable(v.string())),
  layer: v.optional(v.string()),
  method: v.optional(v.picklist(['gradcam', 'hirescam'])),
  class: v.optional(v.picklist(['control', 'fcd', 'predicted'])),
});
export type CaseArgs = v.InferOutput<typeof caseSchema>;

// --- What is shown ---------------------------------------------------------------------------------------------------

/** Where and how the voxels of a file stand, so that the webview needs no parser of its own. */
export const fileHeaderSchema = v.object({
  version: v.picklist([1, 2]),
  littleEndian: v.boolean(),
  shape: triple,
  /** Volumes in the file, 1 for a 3D one. */
  volumes: v.number(),
  /** Row-major, voxel to RAS mm. */
  affine,
  affineFrom: v.picklist(['sform', 'qform', 'pixdim']),
  spacingMm: triple,
  /** Directions of increasing i, j, k. */
  orientation: v.string(),
  dataType: v.picklist([
    'uint8',
    'int16',
    'int32',
    'float32',
    'float64',
    'int8',
    'uint16',
    'uint32',
    'int64',
    'uint64',
  ]),
  bytesPerVoxel: v.number(),
  /** Value = slope x stored + intercept. */
  slope: v.number(),
  intercept: v.number(),
  /** First byte of the voxels in the inflated file. */
  voxelOffset: v.number(),
  /** Length of the inflated file that the header asks for, bytes. */
  totalBytes: v.number(),
  description: v.string(),
  remarks: v.array(v.string()),
});
export type FileHeader = v.InferOutput<typeof fileHeaderSchema>;

/** A file as the webview can fetch it. */
export const shownFileSchema = v.object({
  /** Webview URI. */
  uri: v.string(),
  name: v.string(),
  path: v.string(),
  /** Changes when the file does. */
  version: v.string(),
  fileBytes: v.number(),
  header: fileHeaderSchema,
});
export type ShownFile = v.InferOutput<typeof shownFileSchema>;

/** How a class map came to be; from the .json beside it. */
export const mapProvenanceSchema = v.object({
  run: v.nullable(v.string()),
  participantId: v.nullable(v.string()),
  layer: v.string(),
  method: v.string(),
  align: v.string(),
  class: v.string(),
  logit: v.number(),
  model: v.nullable(v.string()),
  image: v.nullable(v.string()),
  flags: v.array(v.string()),
});
export type MapProvenance = v.InferOutput<typeof mapProvenanceSchema>;

export const overlaySchema = v.object({
  kind: v.picklist(['mask', 'heat']),
  file: shownFileSchema,
  /** Why it is here: `found beside the scan`, `newest of 3 maps`, `added`. */
  origin: v.string(),
  provenance: v.nullable(mapProvenanceSchema),
});
export type Overlay = v.InferOutput<typeof overlaySchema>;

/** Heat-Score of the shown map over the shown mask. */
export const heatScoreSchema = v.object({
  variant: v.string(),
  /** Null where it does not exist; then a flag says why. */
  score: v.nullable(v.number()),
  flags: v.array(v.string()),
  /** What the flags mean, a sentence each. */
  meanings: v.array(v.string()),
});
export type HeatScore = v.InferOutput<typeof heatScoreSchema>;

export const casePredictionSchema = v.object({
  model: v.string(),
  predicted: v.string(),
  /** Probability of fcd. */
  probability: v.number(),
  logits: v.array(v.number()),
  remarks: v.array(v.string()),
});
export type CasePrediction = v.InferOutput<typeof casePredictionSchema>;

export const viewerSettingsSchema = v.object({
  convention: v.picklist(['neurological', 'radiological']),
  maskStyle: v.picklist(['outline', 'fill']),
});
export type ViewerSettings = v.InferOutput<typeof viewerSettingsSchema>;

export const sceneSchema = v.object({
  image: shownFileSchema,
  overlays: v.array(overlaySchema),
  /** Maps of the workspace's runs for this scan, the shown one included. */
  mapsInWorkspace: v.number(),
  prediction: v.nullable(casePredictionSchema),
  heatScore: v.nullable(heatScoreSchema),
  settings: viewerSettingsSchema,
  /** Overlays that could not be shown, and what else the reader should know; a sentence each. */
  remarks: v.array(v.string()),
});
export type Scene = v.InferOutput<typeof sceneSchema>;

/** The answer to {@link HOST}.open: a scene, a question, or a sentence that says why there is none. */
export const openingSchema = v.variant('kind', [
  v.object({ kind: v.literal('scene'), scene: sceneSchema }),
  v.object({ kind: v.literal('ask'), question: v.string() }),
  v.object({ kind: v.literal('refused'), reason: v.string() }),
]);
export type Opening = v.InferOutput<typeof openingSchema>;

const tileSchema = v.object({
  view: v.picklist(['axial', 'coronal', 'sagittal', 'render']),
  left: v.number(),
  top: v.number(),
  width: v.number(),
  height: v.number(),
  /** What the upper left and the lower right corner show, RAS mm; null for the render. */
  corners: v.nullable(v.pipe(v.array(triple), v.length(2))),
});

/** What is on the screen, for tests and for reports of trouble. */
export const snapshotSchema = v.object({
  /** Changes with any pixel of the drawing. */
  hash: v.string(),
  width: v.number(),
  height: v.number(),
  /** Device pixels that are not background. */
  lit: v.number(),
  webgl: v.string(),
  mm: triple,
  voxel: triple,
  /** Values at the crosshair in file units; null outside of that file's grid. */
  values: v.object({
    image: v.nullable(v.number()),
    mask: v.nullable(v.number()),
    heat: v.nullable(v.number()),
  }),
  tiles: v.array(tileSchema),
  /** Where the slices were painted until the graphics took over. */
  painted: v.array(tileSchema),
  /** Colours drawn at the asked places; null where a place is on no slice. */
  colours: v.array(v.nullable(v.pipe(v.array(v.number()), v.length(4)))),
  overlays: v.array(v.object({ kind: v.string(), name: v.string(), visible: v.boolean() })),
  /** Everything that the panel says, as text. */
  text: v.string(),
  msToFirstFrame: v.nullable(v.number()),
});
export type Snapshot = v.InferOutput<typeof snapshotSchema>;

/** A change of how the scene is looked at; what is left out stays. */
export const viewChangeSchema = v.object({
  mm: v.optional(triple),
  voxel: v.optional(triple),
  volume: v.optional(v.number()),
  overlaysVisible: v.optional(v.boolean()),
  maskVisible: v.optional(v.boolean()),
  heatVisible: v.optional(v.boolean()),
  heatOpacity: v.optional(v.number()),
  heatThreshold: v.optional(v.number()),
  maskOpacity: v.optional(v.number()),
});
export type ViewChange = v.InferOutput<typeof viewChangeSchema>;

// --- Requests --------------------------------------------------------------------------------------------------------

const nothing = v.object({});

/** What the webview asks the host. */
export const HOST = {
  /** First of all, and again on Retry; `accepted`: the person agreed to load a large file. */
  open: { params: v.object({ accepted: v.boolean() }), result: openingSchema },
  addOverlay: { params: nothing, result: nothing },
  chooseMap: { params: nothing, result: nothing },
  removeOverlay: { params: v.object({ path: v.string() }), result: nothing },
  openAsText: { params: nothing, result: nothing },
  openSettings: { params: nothing, result: nothing },
  /** A scene is drawn. */
  drawn: {
    params: v.object({
      /**
       * Since the page began, ms: files fetched and inflated, slices and lines on the screen, the graphics have drawn all.
       */
      loaded: v.number(),
      painted: v.number(),
      drawn: v.number(),
      webgl: v.string(),
    }),
    result: nothing,
  },
  /** Loading or drawing failed; the panel shows the same sentence. */
  failed: { params: v.object({ reason: v.string() }), result: nothing },
} as const;

/** What the host asks the webview. */
export const WEBVIEW = {
  /** Shows another scene; answers when it is drawn. `notice`: a short sentence for the reader. */
  show: { params: v.object({ scene: sceneSchema, notice: v.nullable(v.string()) }), result: nothing },
  settings: { params: viewerSettingsSchema, result: nothing },
  view: { params: viewChangeSchema, result: nothing },
  /** `at`: RAS mm whose drawn colours are wanted, on the slices of a view. */
  snapshot: {
    params: v.object({
      at: v.array(v.object({ view: v.picklist(['axial', 'coronal', 'sagittal']), mm: triple })),
    }),
    result: snapshotSchema,
  },
} as const;
