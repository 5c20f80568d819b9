import { InputError } from '../errors';
import type { Grid, Mask, Triple, Volume } from '../volume/volume';
import { voxelCount } from '../volume/volume';
import { determinant, sameGrid, transformPoint } from '../volume/affine';
import { rankStatistics } from './rank-statistics';

/**
 * What the mean heat over the lesion mask R is compared with. B is the brain mask.
 * - `roi/brain` (default): mean over R / mean over B
 * - `roi/outside`: mean over R / mean over B without R
 * - `roi/head`: mean over R / mean over the head mask (scored where one is given)
 * - `roi/grid`: mean over R / mean over the whole grid; far above 1 by chance alone where the grid holds much air
 * - `z`: (mean over R - mean over B) / standard deviation over B (population, n in the denominator); chance = 0
 *
 * The ratios have chance = 1. `roi/brain` is this project's reading of the study's Heat-Score (Lasagni et al. 2025),
 * whose formula was not published: a ratio of means fits its values.
 */
export const HEAT_SCORE_VARIANTS = ['roi/brain', 'roi/outside', 'roi/head', 'roi/grid', 'z'] as const;
export type HeatScoreVariant = (typeof HEAT_SCORE_VARIANTS)[number];
export const DEFAULT_VARIANT: HeatScoreVariant = 'roi/brain';

/** What a reader of a score must know; each is explained by {@link FLAG_MEANINGS}. */
export type ScoreFlag = keyof typeof FLAG_MEANINGS;

export const FLAG_MEANINGS = {
  'all-zero-map': 'the map is zero everywhere after ReLU: nothing speaks for the class, so there is no score',
  'flat-map': 'the map has one value everywhere: it points nowhere',
  'no-heat-in-brain': 'the map is zero inside the brain mask: scores relative to the brain do not exist',
  'flat-in-brain': 'the map has one value everywhere in the brain: z does not exist',
  'no-heat-in-head': 'the map is zero inside the head mask: roi/head does not exist',
  'no-heat-outside-roi': 'the map is zero in the brain outside the lesion: roi/outside does not exist',
  'brain-is-roi': 'the lesion mask fills the brain mask: nothing is left to compare it with',
  'roi-partly-outside-brain': 'some voxels of the lesion mask lie outside the brain mask',
  'peak-outside-brain': "the map's maximum lies outside the brain mask",
  'tied-maximum': 'several voxels share the maximum; the one nearest their centre of mass is taken',
} as const;

export interface HeatScore {
  readonly variant: HeatScoreVariant;
  /** No unit; null where it does not exist, and then a flag says why. */
  readonly score: number | null;
  /** Mean heat over all voxels of R, in the map's own unit. */
  readonly roiMean: number;
  /** Mean heat over the reference region; null where the region is empty. */
  readonly referenceMean: number | null;
  /** Standard deviation over the reference region, for `z`. */
  readonly referenceSd?: number;
  readonly roiVoxels: number;
  readonly roiMl: number;
}

/** Bounded companions of the Heat-Score; null for an all-zero map or where they do not exist. */
export interface LocalisationCompanions {
  /** Heat in R within B / heat in B: 0 to 1. */
  readonly massFraction: number | null;
  /** Voxels of R within B / voxels of B: what the mass fraction is by chance. */
  readonly volumeFraction: number;
  /** Whether the map's maximum over the whole grid lies in R. */
  readonly pointing: boolean | null;
  /** Whether the maximum lies in R or within 5 mm of the centre of a voxel of R. */
  readonly pointing5mm: boolean | null;
  /** Distance in mm from the maximum to the nearest voxel centre of R; 0 inside. */
  readonly peakDistanceMm: number | null;
  /** The voxel (i, j, k) of the maximum. */
  readonly peak: Triple | null;
  /** Voxels of R against the other voxels of B, ties counted half. */
  readonly auroc: number | null;
  /** Voxels of R against the other voxels of B; chance = volumeFraction. */
  readonly averagePrecision: number | null;
  /** Dice of the hottest |R within B| voxels of B with R; ties at the cut count by their share. */
  readonly topDice: number | null;
}

export interface LocalisationScores {
  /** One per variant, in the order of {@link HEAT_SCORE_VARIANTS}; `roi/head` only where a head mask was given. */
  readonly heatScores: readonly HeatScore[];
  readonly companions: LocalisationCompanions;
  readonly roi: { readonly voxels: number; readonly ml: number; readonly voxelsInBrain: number };
  readonly brain: { readonly voxels: number; readonly ml: number };
  readonly flags: readonly ScoreFlag[];
}

export interface MapToScore {
  /** The class map on the grid of the masks; negative parts count as 0 (ReLU). Never rescaled. */
  readonly heat: Volume;
  readonly roi: Mask;
  readonly brain: Mask;
  readonly head?: Mask;
  /** Names of the files, for error sentences. */
  readonly names?: {
    readonly heat?: string;
    readonly roi?: string;
    readonly brain?: string;
    readonly head?: string;
  };
}

/** Headers keep affines as float32 or as a quaternion, so equal grids differ by rounding; this is far below a voxel. */
const GRID_TOLERANCE_MM = 0.05;

/** Radius of the lenient pointing game. */
const NEAR_MM = 5;

/**
 * Heat-Scores of all variants and their companions. The map is never normalised: subtracting its minimum would change
 * every ratio; a positive factor changes none.
 *
 * @throws InputError for an empty mask, a mask on another grid, a mask that misses the brain, a map that holds NaN.
 */
export function scoreMap(input: MapToScore): LocalisationScores {
  const { heat, roi, brain, head } = input;
  const names = namesOf(input);
  checkMap(heat, names.heat);
  for (const [mask, name] of [
    [roi, names.roi],
    [brain, names.brain],
    [head, names.head],
  ] as const)
    if (mask) checkMask(mask, name, heat, names.heat);

  const total = sums(heat, roi, brain, head);
  if (total.roi.n === 0)
    throw new InputError(
      `${capital(names.roi)} is empty: no voxel is above 0. A Heat-Score needs a drawn lesion, and controls have none: leave them out.`,
    );
  for (const [mask, region, name] of [
    [brain, total.brain, names.brain],
    [head, total.head, names.head],
  ] as const)
    if (mask && region.n === 0)
      throw new InputError(
        `${capital(name)} is empty: no voxel is above 0. Give another mask or leave it out.`,
      );
  if (total.roiInBrain.n === 0)
    throw new InputError(
      `${capital(names.roi)} lies entirely outside ${names.brain} (${total.roi.n} voxels, none in common). Check that both belong to this participant and to the same image.`,
    );

  const peak = peakOf(heat);
  const flags: ScoreFlag[] = [];
  if (total.roiInBrain.n < total.roi.n) flags.push('roi-partly-outside-brain');
  if (total.outside.n === 0) flags.push('brain-is-roi');
  if (peak.value === 0) flags.push('all-zero-map');
  else {
    if (total.brain.sum === 0) flags.push('no-heat-in-brain');
    else if (total.brainSd === 0) flags.push('flat-in-brain');
    else if (total.outside.sum === 0) flags.push('no-heat-outside-roi');
    if (head && total.head.sum === 0) flags.push('no-heat-in-head');
    if (peak.flat) flags.push('flat-map');
    else {
      if (peak.tied > 1) flags.push('tied-maximum');
      if (brain.data[peak.index] === 0) flags.push('peak-outside-brain');
    }
  }

  const ml = Math.abs(determinant(heat.affine)) / 1000;
  return {
    heatScores: heatScores(total, head !== undefined, ml),
    companions: companions(input, total, peak),
    roi: { voxels: total.roi.n, ml: total.roi.n * ml, voxelsInBrain: total.roiInBrain.n },
    brain: { voxels: total.brain.n, ml: total.brain.n * ml },
    flags,
  };
}

/** The row of one variant. */
export function heatScoreOf(
  scores: LocalisationScores,
  variant: HeatScoreVariant = DEFAULT_VARIANT,
): HeatScore {
  const found = scores.heatScores.find((score) => score.variant === variant);
  if (found) return found;
  throw new InputError(
    variant === 'roi/head'
      ? 'The Heat-Score roi/head needs a head mask, and none was given.'
      : `There is no Heat-Score ${variant}; the variants are ${HEAT_SCORE_VARIANTS.join(', ')}.`,
  );
}

/** Throws unless the map has a voxel for every cell of its grid and all of them are finite. */
export function checkMap(heat: Volume, name = 'the class map'): void {
  checkSize(heat, name);
  for (let at = 0; at < heat.data.length; at++)
    if (!Number.isFinite(heat.data[at]))
      throw new InputError(
        `${capital(name)} holds ${heat.data[at]} at voxel (${voxelAt(heat, at).join(', ')}): a map must be finite. The network has probably diverged.`,
      );
}

/** Throws unless the mask lies on the map's grid. */
export function checkMask(mask: Mask, name: string, grid: Grid, gridName: string): void {
  checkSize(mask, name);
  if (!sameGrid(mask, grid, GRID_TOLERANCE_MM))
    throw new InputError(
      `${capital(name)} (${mask.shape.join(' x ')}) does not lie on the grid of ${gridName} (${grid.shape.join(' x ')}): size or affine differ. Resample the mask to that grid first, by nearest neighbour.`,
    );
}

interface Sum {
  n: number;
  sum: number;
}

interface RegionSums {
  readonly roi: Sum;
  readonly brain: Sum;
  readonly roiInBrain: Sum;
  /** The brain without the lesion. */
  readonly outside: Sum;
  readonly head: Sum;
  readonly grid: Sum;
  /** Standard deviation over the brain. */
  readonly brainSd: number;
}

function sums(heat: Volume, roi: Mask, brain: Mask, head: Mask | undefined): RegionSums {
  const inRoi = { n: 0, sum: 0 };
  const inBrain = { n: 0, sum: 0 };
  const inBoth = { n: 0, sum: 0 };
  const outside = { n: 0, sum: 0 };
  const inHead = { n: 0, sum: 0 };
  const grid = { n: heat.data.length, sum: 0 };
  let lowest = Infinity;
  let highest = 0;
  for (let v = 0; v < heat.data.length; v++) {
    const value = positivePart(heat.data[v]);
    grid.sum += value;
    if (roi.data[v] !== 0) add(inRoi, value);
    if (head && head.data[v] !== 0) add(inHead, value);
    if (brain.data[v] === 0) continue;
    add(inBrain, value);
    add(roi.data[v] !== 0 ? inBoth : outside, value);
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
  }
  const mean = inBrain.sum / inBrain.n;
  let squares = 0;
  for (let v = 0; v < heat.data.length; v++)
    if (brain.data[v] !== 0) squares += (positivePart(heat.data[v]) - mean) ** 2;
  // Rounding of the mean would give a constant map a deviation of about 1e-17 instead of none.
  const brainSd = highest > lowest ? Math.sqrt(squares / inBrain.n) : 0;
  return { roi: inRoi, brain: inBrain, roiInBrain: inBoth, outside, head: inHead, grid, brainSd };
}

function add(region: Sum, value: number): void {
  region.n++;
  region.sum += value;
}

function heatScores(total: RegionSums, withHead: boolean, ml: number): HeatScore[] {
  const roiMean = total.roi.sum / total.roi.n;
  const roi = { roiMean, roiVoxels: total.roi.n, roiMl: total.roi.n * ml };
  const ratio = (variant: HeatScoreVariant, n: number, sum: number): HeatScore => {
    const referenceMean = n > 0 ? sum / n : null;
    return { variant, score: referenceMean ? roiMean / referenceMean : null, referenceMean, ...roi };
  };
  const brainMean = total.brain.sum / total.brain.n;
  const scores = [
    ratio('roi/brain', total.brain.n, total.brain.sum),
    ratio('roi/outside', total.outside.n, total.outside.sum),
  ];
  if (withHead) scores.push(ratio('roi/head', total.head.n, total.head.sum));
  scores.push(ratio('roi/grid', total.grid.n, total.grid.sum), {
    variant: 'z',
    score: total.brainSd > 0 ? (roiMean - brainMean) / total.brainSd : null,
    referenceMean: brainMean,
    referenceSd: total.brainSd,
    ...roi,
  });
  return scores;
}

function companions(input: MapToScore, total: RegionSums, peak: Peak): LocalisationCompanions {
  const volumeFraction = total.roiInBrain.n / total.brain.n;
  if (peak.value === 0)
    return {
      massFraction: null,
      volumeFraction,
      pointing: null,
      pointing5mm: null,
      peakDistanceMm: null,
      peak: null,
      auroc: null,
      averagePrecision: null,
      topDice: null,
    };
  const { heat, roi } = input;
  const distance = peak.flat ? null : distanceToMask(heat, peak.index, roi);
  const ranks =
    total.roiInBrain.n < total.brain.n ? rankStatistics(...insideBrain(input, total.brain.n)) : undefined;
  return {
    massFraction: total.brain.sum > 0 ? total.roiInBrain.sum / total.brain.sum : null,
    volumeFraction,
    pointing: distance === null ? null : roi.data[peak.index] !== 0,
    pointing5mm: distance === null ? null : distance <= NEAR_MM,
    peakDistanceMm: distance,
    peak: peak.flat ? null : voxelAt(heat, peak.index),
    auroc: ranks?.auroc ?? null,
    averagePrecision: ranks?.averagePrecision ?? null,
    topDice: ranks?.topDice ?? null,
  };
}

function insideBrain({ heat, roi, brain }: MapToScore, voxels: number): [Float32Array, Uint8Array] {
  const values = new Float32Array(voxels);
  const labels = new Uint8Array(voxels);
  let at = 0;
  for (let v = 0; v < heat.data.length; v++) {
    if (brain.data[v] === 0) continue;
    values[at] = positivePart(heat.data[v]);
    labels[at++] = roi.data[v] === 0 ? 0 : 1;
  }
  return [values, labels];
}

interface Peak {
  readonly value: number;
  readonly index: number;
  readonly tied: number;
  /** Every voxel has the maximum. */
  readonly flat: boolean;
}

/**
 * The maximum of the map. An up-sampled map can have a plateau (beyond the outermost cells its value is held), so of
 * several voxels with the maximum the one nearest to their centre of mass is taken, the first in file order of equals.
 */
function peakOf(heat: Volume): Peak {
  let value = 0;
  for (const v of heat.data) if (v > value) value = v;
  const [nx, ny] = heat.shape;
  const tied: number[] = [];
  const centre = [0, 0, 0];
  let count = 0;
  for (let v = heat.data.indexOf(value); v >= 0 && value > 0; v = heat.data.indexOf(value, v + 1)) {
    count++;
    centre[0] += v % nx;
    centre[1] += Math.floor(v / nx) % ny;
    centre[2] += Math.floor(v / (nx * ny));
    tied.push(v);
  }
  if (count === heat.data.length || count === 0) return { value, index: 0, tied: count, flat: count > 0 };
  const middle = transformPoint(heat.affine, [centre[0] / count, centre[1] / count, centre[2] / count]);
  let index = tied[0];
  let nearest = Infinity;
  for (const v of tied) {
    const distance = squaredDistance(transformPoint(heat.affine, voxelAt(heat, v)), middle);
    if (distance < nearest) [index, nearest] = [v, distance];
  }
  return { value, index, tied: count, flat: false };
}

/** Millimetres from a voxel's centre to the nearest voxel centre of the mask. */
function distanceToMask(grid: Grid, index: number, mask: Mask): number {
  if (mask.data[index] !== 0) return 0;
  const from = transformPoint(grid.affine, voxelAt(grid, index));
  let nearest = Infinity;
  for (let v = 0; v < mask.data.length; v++) {
    if (mask.data[v] === 0) continue;
    nearest = Math.min(nearest, squaredDistance(transformPoint(grid.affine, voxelAt(grid, v)), from));
  }
  return Math.sqrt(nearest);
}

function squaredDistance(a: Triple, b: Triple): number {
  return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2;
}

function voxelAt({ shape }: Grid, index: number): Triple {
  return [
    index % shape[0],
    Math.floor(index / shape[0]) % shape[1],
    Math.floor(index / (shape[0] * shape[1])),
  ];
}

/** ReLU; never -0, whose bits would not order. */
function positivePart(value: number): number {
  return value > 0 ? value : 0;
}

function checkSize(volume: Volume | Mask, name: string): void {
  if (volume.data.length !== voxelCount(volume.shape) || volume.data.length === 0)
    throw new InputError(
      `${capital(name)} holds ${volume.data.length} voxels, but its grid ${volume.shape.join(' x ')} has ${voxelCount(volume.shape)}.`,
    );
}

function namesOf({ names }: MapToScore): { heat: string; roi: string; brain: string; head: string } {
  const named = (what: string, file: string | undefined): string => (file ? `${what} ${file}` : what);
  return {
    heat: named('the class map', names?.heat),
    roi: named('the lesion mask', names?.roi),
    brain: named('the brain mask', names?.brain),
    head: named('the head mask', names?.head),
  };
}

function capital(text: string): string {
  return text[0].toUpperCase() + text.slice(1);
}
