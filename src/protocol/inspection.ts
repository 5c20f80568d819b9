import * as v from 'valibot';

/**
 * What is found in a checkpoint, as the compute process tells the editor and the editor its page. Grids are i x j x k,
 * filters (out, in, D, H, W).
 */

const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const shape = v.array(count);
const names = v.array(v.string());

export const GEOMETRY_NAMES = ['paper', 'medicalnet', 'monai', 'compact'] as const;
export const AXES_NAMES = ['ijk', 'kji'] as const;

/** A tensor before its values are read. */
export const tensorInfoSchema = v.object({
  name: v.string(),
  dtype: v.string(),
  shape,
  bytes: count,
});
export type TensorInfoMessage = v.InferOutput<typeof tensorInfoSchema>;

/** Which network the tensors belong to. */
export const foundNetworkSchema = v.object({
  /** `ResNet-18 (medicalnet, shortcut A, full width, axes kji)`. */
  title: v.string(),
  depth: v.string(),
  shortcut: v.string(),
  width: v.number(),
  axes: v.string(),
  inChannels: count,
  /** Rows of the classifier; null where the file has none. */
  classes: v.nullable(count),
  geometry: v.string(),
  /** How it is known: `file`, `tensors`, `given` are certain; `name` and `assumed` are not. */
  geometryFrom: v.picklist(['given', 'file', 'tensors', 'name', 'assumed']),
  /** All that fit the tensors. */
  geometries: names,
  segmentationHead: v.boolean(),
});
export type FoundNetwork = v.InferOutput<typeof foundNetworkSchema>;

/** What a checkpoint file is, before any value is read. */
export const listingSchema = v.object({
  path: v.string(),
  /** `PyTorch (zip)`, `PyTorch (legacy)`, `safetensors`. */
  format: v.string(),
  fileBytes: count,
  tensors: v.array(tensorInfoSchema),
  /** Learnable values, as far as names tell. */
  learnable: count,
  /** What the file says of itself. */
  facts: v.array(v.object({ name: v.string(), value: v.string() })),
  /** The grid that its network was trained on, `IxJxK` voxels; null where the file does not say. */
  grid: v.nullable(v.string()),
  network: v.nullable(foundNetworkSchema),
  /** Why there is no network. */
  reason: v.nullable(v.string()),
  /** What is odd about the file, a sentence each. */
  warnings: names,
});
export type Listing = v.InferOutput<typeof listingSchema>;

/** One tensor in numbers; over its finite values, null where there is none. */
export const tensorStatisticsSchema = v.object({
  name: v.string(),
  min: v.nullable(v.number()),
  mean: v.nullable(v.number()),
  sd: v.nullable(v.number()),
  max: v.nullable(v.number()),
  nan: count,
  inf: count,
  zeros: count,
  /** Bins of equal width. */
  histogram: v.nullable(v.object({ low: v.number(), high: v.number(), counts: v.array(count) })),
  /** Output filters in all, and the numbers of the dead ones (at most {@link MOST_DEAD_NAMED}). */
  filters: v.nullable(v.object({ filters: count, deadCount: count, dead: v.array(count) })),
});
export type TensorStatisticsMessage = v.InferOutput<typeof tensorStatisticsSchema>;

export const MOST_DEAD_NAMED = 1000;

/** When a filter is called dead, for people. */
export const DEAD_RULE =
  'largest |weight| at most 1/1000 of the layer’s root mean square, so that it adds nothing to the output';

const pairSchema = v.object({ name: v.string(), other: v.string() });

/** What two files have in common, before any value is read. */
export const matchSchema = v.object({
  pairs: v.array(v.object({ ...pairSchema.entries, shape, bytes: count })),
  /** Only in the first, only in the second. */
  missing: names,
  unexpected: names,
  mismatched: v.array(v.object({ name: v.string(), here: shape, there: shape })),
});
export type MatchMessage = v.InferOutput<typeof matchSchema>;

/** How far a tensor moved from the first file to the second. */
export const changeSchema = v.object({
  ...pairSchema.entries,
  shape,
  compared: count,
  notFinite: count,
  changed: count,
  length: v.number(),
  l2: v.number(),
  /** Null: from 0 to something. */
  relative: v.nullable(v.number()),
  cosine: v.nullable(v.number()),
  max: v.number(),
});
export type ChangeMessage = v.InferOutput<typeof changeSchema>;

const stretch = v.object({ from: count, count });

export const filtersSchema = v.object({
  outputs: stretch,
  inputs: stretch,
  kernel: v.pipe(v.array(count), v.length(3)),
  /** Output by output, input by input, W fastest; null where a value is not finite. */
  values: v.array(v.nullable(v.number())),
});
export type FiltersMessage = v.InferOutput<typeof filtersSchema>;

export const layersSchema = v.object({
  title: v.string(),
  input: v.object({ channels: count, grid: shape }),
  layers: v.array(
    v.object({
      name: v.string(),
      what: v.string(),
      channels: count,
      grid: v.nullable(shape),
      parameters: count,
      flops: v.number(),
    }),
  ),
  parameters: count,
  flops: v.number(),
});
export type LayersMessage = v.InferOutput<typeof layersSchema>;

/** Whose file this is, by its bytes. */
export const identitySchema = v.object({
  sha256: v.string(),
  /** The registry's entry with these bytes. */
  match: v.nullable(
    v.object({ id: v.string(), from: v.string(), trainedOn: v.string(), licence: v.string() }),
  ),
  /** A sentence for people. */
  sentence: v.string(),
});
export type Identity = v.InferOutput<typeof identitySchema>;

/** What importing a file would come to, or has come to. */
export const importSchema = v.object({
  title: v.string(),
  geometry: v.string(),
  axes: v.string(),
  /** All geometries that fit the tensors. */
  geometries: names,
  /** Who says with which geometry and axes the weights were trained. */
  trainedBy: v.picklist(['registry', 'file', 'flags', 'nobody']),
  sha256: v.string(),
  registry: v.nullable(v.string()),
  loaded: names,
  missing: names,
  unexpected: names,
  mismatched: v.array(v.object({ name: v.string(), expected: shape, found: shape })),
  prefixes: names,
  /** What is done to values, and what a person should know, a sentence each. */
  changes: names,
  warnings: names,
});
export type ImportMessage = v.InferOutput<typeof importSchema>;

const trained = {
  geometry: v.optional(v.picklist(GEOMETRY_NAMES)),
  axes: v.optional(v.picklist(AXES_NAMES)),
};
const path = v.string();

/** The compute process's methods about checkpoints; part of COMPUTE. */
export const INSPECTION = {
  checkpoint: { params: v.object({ path }), result: listingSchema },
  /** A batch of tensors; the editor asks for the next when it has this one. */
  tensors: {
    params: v.object({ path, names }),
    result: v.object({ statistics: v.array(tensorStatisticsSchema) }),
  },
  match: { params: v.object({ path, other: v.string() }), result: matchSchema },
  changes: {
    params: v.object({ path, other: v.string(), pairs: v.array(pairSchema) }),
    result: v.object({ changes: v.array(changeSchema) }),
  },
  filters: {
    params: v.object({ path, name: v.string(), outputs: stretch, inputs: stretch }),
    result: filtersSchema,
  },
  layers: {
    params: v.object({ path, grid: v.string(), geometry: trained.geometry }),
    result: layersSchema,
  },
  identify: { params: v.object({ path }), result: identitySchema },
  /** Without geometry and axes, the defaults are taken where nothing tells, and `trainedBy` is `nobody`. */
  planImport: { params: v.object({ path, ...trained }), result: importSchema },
  importWeights: { params: v.object({ path, out: v.string(), ...trained }), result: importSchema },
} as const;
