import * as v from 'valibot';

/** Version of models/catalogue.json. */
export const CATALOGUE_SCHEMA = 1;

const whole = v.pipe(v.number(), v.integer(), v.minValue(1));

const entrySchema = v.strictObject({
  /** `single:<task>`, or `multi:<number of tasks>`. */
  strategy: v.pipe(v.string(), v.regex(/^(single:[a-z0-9-]+|multi:[1-9]\d*)$/)),
  /** The segmentation tasks, by the names that the task file gives them. */
  tasks: v.pipe(v.array(v.string()), v.minLength(1)),
  arch: v.string(),
  geometry: v.string(),
  shortcut: v.picklist(['A', 'A-detached', 'B']),
  /** Share of the channels: 1, 0.5, 0.25, 0.125. */
  width: v.number(),
  axes: v.picklist(['ijk', 'kji']),
  inChannels: whole,
  /** What the images of the pre-training were. */
  modality: v.string(),
  /** File beside the catalogue, its size and hash. */
  file: v.pipe(v.string(), v.regex(/^[A-Za-z0-9._-]+\.safetensors$/, 'it is a file name in models/')),
  bytes: whole,
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  /** The model card, a file beside the catalogue. */
  card: v.pipe(v.string(), v.regex(/^[A-Za-z0-9._/-]+\.md$/)),
  /** Half a sentence: what heads the weights have seen. */
  data: v.string(),
  /** Mean Dice over the tasks on heads that were held out, and how many those were; null where nobody measured. */
  dice: v.nullable(v.strictObject({ mean: v.pipe(v.number(), v.minValue(0), v.maxValue(1)), heads: whole })),
  licence: v.string(),
});
export type CatalogueEntry = v.InferOutput<typeof entrySchema>;

const headSchema = v.strictObject({
  /** The one task of the head. */
  task: v.string(),
  ...v.omit(entrySchema, ['strategy', 'tasks']).entries,
});
/** A whole segmentation network that comes with this program: what it says is used, not trained on. */
export type CatalogueHead = v.InferOutput<typeof headSchema>;

export const catalogueSchema = v.pipe(
  v.strictObject({
    schema: v.literal(CATALOGUE_SCHEMA),
    weights: v.array(entrySchema),
    heads: v.optional(v.array(headSchema), []),
  }),
  v.check(
    ({ weights, heads }) =>
      new Set([...weights, ...heads].map((one) => one.file)).size === weights.length + heads.length,
    'two entries share a file',
  ),
  v.check(
    ({ weights }) => new Set(weights.map(networkOf)).size === weights.length,
    'two entries offer one strategy for the same network',
  ),
  v.check(
    ({ weights }) => weights.every(({ strategy, tasks }) => tasks.length === tasksOf(strategy)),
    'an entry has another number of tasks than its strategy says',
  ),
);

/** Weights that come with this program: encoders that were pre-trained on segmentation. */
export type Catalogue = readonly CatalogueEntry[];

/** All that a catalogue lists. */
export interface CatalogueContents {
  readonly weights: Catalogue;
  readonly heads: readonly CatalogueHead[];
}

/** The weights of a catalogue. @throws Error whose message is a sentence that names the field */
export function parseCatalogue(text: string, where: string): Catalogue {
  return parseCatalogueContents(text, where).weights;
}

/** @throws Error whose message is a sentence that names the field */
export function parseCatalogueContents(text: string, where: string): CatalogueContents {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(`${where} is not JSON: the catalogue of weights is damaged.`);
  }
  const result = v.safeParse(catalogueSchema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new Error(`${where} is not valid at ${v.getDotPath(issue) ?? 'the top'}: ${issue.message}.`);
}

/** Whether `--init` names a strategy of the catalogue rather than a file. */
export function isStrategyName(init: string): boolean {
  return /^(single|multi):/.test(init);
}

/** How many tasks a strategy's name promises. */
function tasksOf(strategy: string): number {
  return strategy.startsWith('multi:') ? Number(strategy.slice('multi:'.length)) : 1;
}

function networkOf(one: CatalogueEntry): string {
  const { strategy, arch, geometry, shortcut, width, axes, inChannels, modality } = one;
  return [strategy, arch, geometry, shortcut, width, axes, inChannels, modality].join(' ');
}

/** `TL from one segmentation task (gm)`, `TL from 23 segmentation tasks`, `no TL`: the study's words. */
export function describeStrategy(strategy: string): string {
  if (strategy === 'none') return 'no TL';
  if (strategy.startsWith('single:'))
    return `TL from one segmentation task (${strategy.slice('single:'.length)})`;
  if (strategy.startsWith('multi:')) return `TL from ${strategy.slice('multi:'.length)} segmentation tasks`;
  return `weights of ${strategy}`;
}
