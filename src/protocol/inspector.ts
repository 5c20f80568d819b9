import * as v from 'valibot';
import {
  changeSchema,
  filtersSchema,
  GEOMETRY_NAMES,
  identitySchema,
  layersSchema,
  listingSchema,
  matchSchema,
  tensorStatisticsSchema,
} from './inspection';

/**
 * What the checkpoint editor (extension host) and its page say to each other. Both ends check what they receive
 * (rpc.ts). The host owns what is known of the file, the page how it is looked at.
 */

const nothing = v.object({});
const count = v.pipe(v.number(), v.integer(), v.minValue(0));

export const TABS = ['tensors', 'network', 'comparison'] as const;
export type Tab = (typeof TABS)[number];

/** How far a pass over a file is, in bytes; `failed`: the sentence that ended it. */
const passSchema = v.object({
  done: count,
  total: count,
  failed: v.nullable(v.string()),
});
export type PassState = v.InferOutput<typeof passSchema>;

/** The comparison that is shown: from the file of the editor to the other one. */
export const comparisonSchema = v.object({
  /** Names that tell the files apart. */
  thisName: v.string(),
  otherName: v.string(),
  otherPath: v.string(),
  match: matchSchema,
  changes: v.array(changeSchema),
  pass: passSchema,
});
export type Comparison = v.InferOutput<typeof comparisonSchema>;

export const openingSchema = v.variant('kind', [
  v.object({
    kind: v.literal('checkpoint'),
    name: v.string(),
    listing: listingSchema,
    statistics: v.array(tensorStatisticsSchema),
    pass: passSchema,
    comparison: v.nullable(comparisonSchema),
    identity: v.nullable(identitySchema),
    /** What a command wants to be looked at; null: what was looked at last. */
    tab: v.nullable(v.picklist(TABS)),
    /** Why nothing but the header is shown; null where everything is. */
    restricted: v.nullable(v.string()),
  }),
  v.object({
    kind: v.literal('refused'),
    reason: v.string(),
    /** Trusting the workspace would help. */
    trust: v.boolean(),
  }),
]);
export type Opening = v.InferOutput<typeof openingSchema>;

const stretch = v.object({ from: count, count });

/** What the page asks the host. */
export const HOST = {
  open: { params: nothing, result: openingSchema },
  filters: {
    params: v.object({ name: v.string(), outputs: stretch, inputs: stretch }),
    result: filtersSchema,
  },
  layers: {
    params: v.object({ grid: v.string(), geometry: v.nullable(v.picklist(GEOMETRY_NAMES)) }),
    result: layersSchema,
  },
  identify: { params: nothing, result: identitySchema },
  /** The person chooses the other file; the comparison arrives through {@link PAGE}. */
  compare: { params: nothing, result: nothing },
  endComparison: { params: nothing, result: nothing },
  importWeights: { params: nothing, result: nothing },
  manageTrust: { params: nothing, result: nothing },
  /** The tree is on the screen, so many ms after the page's script began. */
  shown: { params: v.object({ ms: v.number() }), result: nothing },
} as const;

/** What is on the screen, for tests. */
export const inspectorSnapshotSchema = v.object({
  tab: v.picklist(TABS),
  /** Rows of the tree that are drawn, as text. */
  rows: v.array(v.string()),
  /** Rows of the tree in all. */
  rowCount: count,
  selected: v.nullable(v.string()),
  /** Everything that the page says. */
  text: v.string(),
  /** Canvases of filters that are drawn, and whether any pixel of them differs. */
  filters: v.array(v.object({ width: count, height: count, colours: count })),
});
export type InspectorSnapshot = v.InferOutput<typeof inspectorSnapshotSchema>;

/** What the host asks the page. */
export const PAGE = {
  /** Numbers of more tensors. */
  statistics: {
    params: v.object({ rows: v.array(tensorStatisticsSchema), pass: passSchema }),
    result: nothing,
  },
  /** Another comparison, or none. */
  comparison: { params: v.object({ comparison: v.nullable(comparisonSchema) }), result: nothing },
  changes: { params: v.object({ rows: v.array(changeSchema), pass: passSchema }), result: nothing },
  /** The file has changed, or may now be read: everything anew. */
  reopen: { params: nothing, result: nothing },
  /** Shows a tab, a tensor; filters the tree. What is left out stays. */
  go: {
    params: v.object({
      tab: v.optional(v.picklist(TABS)),
      tensor: v.optional(v.string()),
      filter: v.optional(v.string()),
      grid: v.optional(v.string()),
    }),
    result: nothing,
  },
  snapshot: { params: nothing, result: inspectorSnapshotSchema },
} as const;
