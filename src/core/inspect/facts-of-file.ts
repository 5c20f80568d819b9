import * as v from 'valibot';
import type { OpenWeights } from '../weights/open-weights';

/** A name and what a file says under it, for people. */
export interface Fact {
  readonly name: string;
  readonly value: string;
}

/** Our key in a file's metadata; read leniently here: what is odd about it concerns those who load the file. */
const KEY = 'fcd-lens';

const strings = v.array(v.string());
const own = v.object({
  modality: v.optional(v.string()),
  seen: v.optional(strings),
  recipe: v.optional(
    v.object({ spacing: v.nullable(v.array(v.number())), shape: v.nullable(v.array(v.number())) }),
  ),
  imported: v.optional(
    v.object({
      file: v.string(),
      registry: v.nullable(v.string()),
      trained: v.object({ geometry: v.string(), axes: v.string(), by: v.string() }),
      fresh: v.optional(strings),
    }),
  ),
  pretraining: v.optional(
    v.object({
      kind: v.string(),
      tasks: strings,
      modality: v.optional(v.string()),
      participants: v.optional(v.object({ trained: strings, heldOut: strings })),
      dice: v.optional(v.array(v.object({ mean: v.nullable(v.number()) }))),
    }),
  ),
});
type Own = v.InferOutput<typeof own>;

/** What a file says of how its weights came to be, and what else lies beside its tensors. */
export function factsOfFile({ metadata }: Pick<OpenWeights, 'metadata'>): Fact[] {
  const facts: Fact[] = [];
  for (const [name, value] of Object.entries(metadata)) {
    if (name !== KEY) facts.push({ name, value: clipped(value) });
  }
  const said = ownRecord(metadata[KEY]);
  return said ? [...factsOf(said), ...facts] : facts;
}

/** The grid that a file's network was trained on, in voxels i x j x k; null where it does not say. */
export function gridOfFile({ metadata }: Pick<OpenWeights, 'metadata'>): readonly number[] | null {
  return ownRecord(metadata[KEY])?.recipe?.shape ?? null;
}

function ownRecord(text: string | undefined): Own | undefined {
  if (text === undefined) return undefined;
  try {
    const parsed = v.safeParse(own, JSON.parse(text));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}

function factsOf({ modality, seen, recipe, imported, pretraining }: Own): Fact[] {
  const facts: Fact[] = [];
  if (pretraining) facts.push({ name: 'Pre-trained on', value: pretrainingText(pretraining) });
  if (imported) facts.push({ name: 'Imported from', value: importText(imported) });
  if (modality !== undefined) facts.push({ name: 'Sees', value: modality });
  if (recipe) {
    const spacing = recipe.spacing ? `${recipe.spacing.map(String).join(' × ')} mm` : 'the scan’s own voxels';
    facts.push({
      name: 'Prepared as',
      value: recipe.shape ? `${recipe.shape.join(' × ')} voxels, ${spacing}` : spacing,
    });
  }
  if (seen) facts.push({ name: 'Has seen', value: `${seen.length} ${seen.length === 1 ? 'head' : 'heads'}` });
  return facts;
}

function pretrainingText({
  kind,
  tasks,
  modality,
  participants,
  dice,
}: NonNullable<Own['pretraining']>): string {
  const what = tasks.length === 1 ? tasks[0] : `${tasks.length} tasks`;
  const counted = modality === 'mixed' ? 'images' : 'heads';
  const means = (dice ?? []).flatMap(({ mean }) => (mean === null ? [] : [mean]));
  const mean = means.reduce((sum, one) => sum + one, 0) / means.length;
  return [
    `${kind} of ${what}`,
    modality,
    participants && `${participants.trained.length} ${counted}`,
    means.length > 0 &&
      `mean Dice ${mean.toFixed(2)}${participants ? ` on ${participants.heldOut.length} held-out ${counted}` : ''}`,
  ]
    .filter(Boolean)
    .join(', ');
}

function importText({ file, registry, trained, fresh }: NonNullable<Own['imported']>): string {
  const by = {
    registry: 'by its sha256',
    file: 'as the file says',
    flags: 'as was said at import',
    nobody: 'assumed',
  }[trained.by];
  return [
    registry ? `${file} (${registry})` : file,
    `trained with geometry ${trained.geometry}, axes ${trained.axes}${by ? ` (${by})` : ''}`,
    fresh &&
      fresh.length > 0 &&
      `${fresh.length} tensors not in it: ${fresh.slice(0, 4).join(', ')}${fresh.length > 4 ? ', …' : ''}`,
  ]
    .filter(Boolean)
    .join('; ');
}

const LONGEST = 300;

/** Metadata may be anything, of any length. */
function clipped(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}… (${text.length} characters)` : text;
}
