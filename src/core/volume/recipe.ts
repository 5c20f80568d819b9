import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { InputError, messageOf } from '../errors';
import { invert, sameGrid, transformPoint, voxelSizes } from './affine';
import { centreOfMass, croppedGrid, gridCentre, gridWithSpacing } from './grid';
import { headMask } from './head-mask';
import { zScoreLine } from './intensity';
import { maskNonzero, wholeGrid } from './mask';
import { toRas } from './orientation';
import { resample } from './resample';
import type { Grid, Mask, Shape3, Triple, Volume, VoxelArray } from './volume';

/**
 * How a scan becomes a network's input; stored with every checkpoint and applied again by predict and explain.
 * The steps, in this order: orient, mask (always from raw intensities), spacing, shape, normalise, outside.
 */
export interface Recipe {
  readonly version: 1;
  /** `RAS`: axes permuted and flipped to the nearest RAS order. */
  readonly orient: 'RAS' | 'none';
  /**
   * Voxel sizes in mm, or null for the image's own. Trilinear for images, nearest for masks; an axis that becomes more
   * than 1.5 times coarser is smoothed first (see `resample`).
   */
  readonly spacing: Triple | null;
  /** Grid size after cropping and padding, or null for the image's own. */
  readonly shape: Shape3 | null;
  /** What lies in the middle after cropping: the head's centre of mass (Otsu's head mask), or the grid's own middle. */
  readonly centre: 'mass' | 'grid';
  /**
   * The brain mask: the one given, Otsu's head mask, all voxels that are not 0, the whole grid. `intracranial`: given,
   * else what lies inside the skull by the segmentation head that comes along, else Otsu's. `auto`: given, else Otsu's;
   * recipes of before there was that head say so.
   */
  readonly mask: 'given' | 'intracranial' | 'otsu' | 'nonzero' | 'none' | 'auto';
  /** z-score: mean and sd inside the brain mask on the final grid. What was outside of the scan's grid is 0 after it. */
  readonly normalise: 'z-score' | 'none';
  /** Whether voxels outside the brain mask keep their value or become 0. */
  readonly outside: 'zero' | 'keep';
}

/** RAS, 1 mm, 160 x 256 x 256 around the head's centre of mass, z-score over the brain mask, 0 outside the scan's grid. */
export const STANDARD: Recipe = {
  version: 1,
  orient: 'RAS',
  spacing: [1, 1, 1],
  shape: [160, 256, 256],
  centre: 'mass',
  mask: 'intracranial',
  normalise: 'z-score',
  outside: 'keep',
};

/** The voxel values (slope and intercept applied) of the RAS grid. */
export const NONE: Recipe = {
  version: 1,
  orient: 'RAS',
  spacing: null,
  shape: null,
  centre: 'grid',
  mask: 'auto',
  normalise: 'none',
  outside: 'keep',
};

export type MaskSource = 'given' | 'intracranial' | 'otsu' | 'nonzero' | 'none';

export interface Prepared {
  readonly volume: Volume;
  /** On the same grid as the volume. */
  readonly brain: Mask;
  /** Which brain mask it is; `none`: the whole grid of the scan. */
  readonly brainSource: MaskSource;
}

const millimetres = v.pipe(v.number(), v.minValue(0.1), v.maxValue(50));
const voxels = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2048));

const recipeSchema = v.strictObject({
  version: v.literal(1),
  orient: v.optional(v.picklist(['RAS', 'none']), STANDARD.orient),
  spacing: v.optional(v.nullable(v.strictTuple([millimetres, millimetres, millimetres])), [1, 1, 1]),
  shape: v.optional(v.nullable(v.strictTuple([voxels, voxels, voxels])), [160, 256, 256]),
  centre: v.optional(v.picklist(['mass', 'grid']), STANDARD.centre),
  mask: v.optional(v.picklist(['given', 'intracranial', 'otsu', 'nonzero', 'none', 'auto']), STANDARD.mask),
  normalise: v.optional(v.picklist(['z-score', 'none']), STANDARD.normalise),
  outside: v.optional(v.picklist(['zero', 'keep']), STANDARD.outside),
});

/**
 * Checks a recipe that came from JSON. `version` must be there; what else is left out is as in {@link STANDARD}; a field
 * that no recipe has is an error. `where` names the source in messages. Throws an InputError that names the field.
 */
export function parseRecipe(json: unknown, where = 'the recipe'): Recipe {
  const result = v.safeParse(recipeSchema, json);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = v.getDotPath(issue);
  throw new InputError(
    `${where}: ${field ? `field ${field} is wrong` : 'this is no recipe'} (${issue.message}). See --preprocess in the documentation for its fields.`,
  );
}

/** What `--preprocess` names: `standard`, `none`, or a JSON file. Throws an InputError. */
export async function namedRecipe(name: string): Promise<Recipe> {
  if (name === 'standard') return STANDARD;
  if (name === 'none') return NONE;
  let text: string;
  try {
    text = await readFile(name, 'utf8');
  } catch (error) {
    throw new InputError(
      `--preprocess is "${name}", which is neither "standard", "none" nor a file that can be read: ${messageOf(error)}.`,
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(`${name} is no JSON file: ${messageOf(error)}. Correct it.`);
  }
  return parseRecipe(json, name);
}

/** Masks that a recipe may choose from. */
export interface GivenMasks {
  /** The brain mask that comes with the scan, on any grid. */
  readonly brain?: Mask;
  /** What lies inside the skull, on a grid that is asked for; left out where nothing says so. */
  readonly intracranial?: (grid: Grid) => Mask;
}

/**
 * Applies a recipe to a raw image. `brain` may lie on any grid. Throws an InputError where the recipe asks for a mask
 * that is not there, where the mask is empty on the final grid, or where nothing can be normalised.
 */
export function applyRecipe(image: Volume, recipe: Recipe, given: GivenMasks = {}): Prepared {
  const raw = recipe.orient === 'RAS' ? toRas(image) : image;
  const mask = brainMask(raw, recipe.mask, given);
  const grid = finalGrid(raw, recipe, () => mask.head ?? headMask(raw));
  const brain = mask.on(grid);
  if (!brain.data.includes(1))
    throw new InputError(
      `The brain mask (${mask.source}) has no voxel on the grid of ${grid.shape.join(' x ')} that the recipe makes. Check that mask and image belong together.`,
    );
  const data = grid === raw ? raw.data.slice() : resample(raw, grid, 'trilinear', { antialias: true }).data;
  const volume: Volume = { shape: grid.shape, affine: grid.affine, data };
  if (recipe.normalise === 'z-score') {
    const { mean, sd } = zScoreLine(volume, brain);
    // How much of each voxel came from inside the scan's grid: with it, normalising first and resampling then are one.
    const share = grid === raw ? undefined : resample(wholeGrid(raw), grid, 'trilinear').data;
    for (let at = 0; at < data.length; at++) data[at] = (data[at] - mean * (share ? share[at] : 1)) / sd;
  }
  if (recipe.outside === 'zero')
    for (let at = 0; at < data.length; at++) if (brain.data[at] === 0) data[at] = 0;
  return { volume, brain, brainSource: mask.source };
}

/** A map (Grad-CAM, ...) brought back to the subject's own grid: trilinear, 0 where the map does not reach. */
export function toSubjectGrid(map: Volume<VoxelArray>, subject: Grid): Volume {
  return resample(map, subject, 'trilinear');
}

interface FoundMask {
  readonly source: MaskSource;
  readonly on: (grid: Grid) => Mask;
  /** Otsu's head mask, where it was made anyway. */
  readonly head?: Mask;
}

const TAKES_GIVEN: ReadonlySet<Recipe['mask']> = new Set(['given', 'intracranial', 'auto']);

function brainMask(raw: Volume, wanted: Recipe['mask'], { brain, intracranial }: GivenMasks): FoundMask {
  if (brain && TAKES_GIVEN.has(wanted)) return { source: 'given', on: (grid) => onGrid(brain, grid) };
  switch (wanted) {
    case 'given':
      throw new InputError(
        'The recipe takes the brain mask that comes with the case (mask: given), but none came. Give one, or choose another mask: intracranial, otsu, nonzero or none.',
      );
    case 'nonzero':
      return { source: 'nonzero', on: (grid) => onGrid(maskNonzero(raw), grid) };
    case 'none':
      return whole(raw);
    case 'otsu':
      return otsu(raw);
    case 'intracranial':
      return intracranial ? { source: 'intracranial', on: intracranial } : headOrWhole(raw);
    case 'auto':
      return headOrWhole(raw);
  }
}

function headOrWhole(raw: Volume): FoundMask {
  // An image of one value has no head; it can still be fed as it is, and the source says that there was no mask.
  return raw.data.every((value) => value === raw.data[0]) ? whole(raw) : otsu(raw);
}

function otsu(raw: Volume): FoundMask {
  const head = headMask(raw);
  return { source: 'otsu', head, on: (grid) => onGrid(head, grid) };
}

function whole(raw: Volume): FoundMask {
  return { source: 'none', on: (grid) => onGrid(wholeGrid(raw), grid) };
}

function onGrid(mask: Mask, grid: Grid): Mask {
  return sameGrid(mask, grid) ? mask : resample(mask, grid, 'nearest');
}

/** Returns `raw` itself where the recipe keeps its grid. */
function finalGrid(raw: Volume, recipe: Recipe, head: () => Mask): Grid {
  const sizes = voxelSizes(raw.affine);
  const { spacing, shape } = recipe;
  const kept = !spacing || spacing.every((mm, axis) => Math.abs(mm - sizes[axis]) < 1e-4 * mm);
  const grid = kept ? raw : gridWithSpacing(raw, spacing);
  if (!shape) return grid;
  const middle = recipe.centre === 'mass' ? centreOfMass(head()) : undefined;
  const centre = middle
    ? transformPoint(invert(grid.affine), transformPoint(raw.affine, middle))
    : gridCentre(grid.shape);
  const cropped = croppedGrid(grid, shape, centre);
  return sameGrid(cropped, raw) ? raw : cropped;
}
