import { InputError } from '../errors';
import { Random } from '../random';
import { multiply, transformPoint } from '../volume/affine';
import { centreOfMass } from '../volume/grid';
import { resample } from '../volume/resample';
import type { Mask, Volume } from '../volume/volume';
import { checkMap, checkMask } from './heat-score';

/**
 * A Heat-Score is compared with scores that say nothing about the lesion: the same map against the mask mirrored to
 * the other hemisphere, the same map against other patients' masks, and maps of a network with randomised weights
 * against the same mask. All are `roi/brain`.
 */
export type NullKind = 'mirrored' | 'other-mask' | 'random-network';

export interface NullScore {
  readonly kind: NullKind;
  /** Whose mask or which randomised network. */
  readonly from: string;
  /** roi/brain; null for an all-zero map or where the mask misses the brain. */
  readonly score: number | null;
}

export interface NullSummary {
  /** Scores that exist. */
  readonly n: number;
  readonly mean: number;
  /** 95th percentile, linear between order statistics (numpy's default). With few scores it is close to the largest. */
  readonly p95: number;
}

export interface NullScores {
  readonly variant: 'roi/brain';
  readonly observed: number | null;
  readonly scores: readonly NullScore[];
  /** Over all scores that exist; undefined where there are none. */
  readonly summary: NullSummary | undefined;
  /** Share of the lesion mask's voxels that the mirrored mask covers as well: near 0, but for lesions at the midline. */
  readonly mirrorOverlap: number;
}

export interface NullInput {
  readonly heat: Volume;
  readonly roi: Mask;
  readonly brain: Mask;
  /** Other patients' masks, brought to this map's grid. */
  readonly otherMasks?: readonly { readonly id: string; readonly mask: Mask }[];
  /** This patient's maps from networks with randomised weights, on this grid. */
  readonly randomMaps?: readonly { readonly id: string; readonly heat: Volume }[];
  /** Scanner x of the mirror plane in mm; default {@link midline} of the brain mask. */
  readonly midlineMm?: number;
}

/**
 * The null beside one Heat-Score.
 *
 * A mask that is not the map's own counts with its voxels inside the brain only: heat in the air beside a smaller
 * brain would make the null too easy to exceed.
 */
export function nullScores(input: NullInput): NullScores {
  const { heat, roi, brain } = input;
  const row = scoreRow({
    ...input,
    id: 'this',
    source: 'this',
    masks: (input.otherMasks ?? []).map(({ id, mask }) => {
      checkMask(mask, `the lesion mask of ${id}`, heat, 'the class map');
      return { id, voxels: maskVoxels(mask) };
    }),
  });
  const mirrored = maskVoxels(mirrorMask(roi, input.midlineMm ?? midline(brain)));
  const scores: NullScore[] = [{ kind: 'mirrored', from: 'own mask', score: row.mirrored }];
  row.others.forEach((score, index) =>
    scores.push({ kind: 'other-mask', from: input.otherMasks?.[index].id ?? '', score }),
  );
  for (const { id, heat: random } of input.randomMaps ?? []) {
    checkMask(roi, 'the lesion mask', random, `the map of ${id}`);
    const { own } = scoreRow({ id, source: id, heat: random, roi, brain, masks: [] });
    scores.push({ kind: 'random-network', from: id, score: own });
  }
  let shared = 0;
  for (const v of mirrored) if (roi.data[v] !== 0) shared++;
  return {
    variant: 'roi/brain',
    observed: row.own,
    scores,
    summary: summarise(scores.flatMap(({ score }) => score ?? [])),
    mirrorOverlap: shared / maskVoxels(roi).length,
  };
}

/** Whether a score means something: above the null's 95th percentile. False where either does not exist. */
export function exceedsNull(score: number | null, summary: NullSummary | undefined): boolean {
  return score !== null && summary !== undefined && score > summary.p95;
}

/** Ascending file-order indices of a mask's voxels: what {@link scoreRow} reads of other patients' masks, small to keep. */
export function maskVoxels(mask: Mask): Int32Array {
  let count = 0;
  for (const value of mask.data) if (value !== 0) count++;
  const voxels = new Int32Array(count);
  let at = 0;
  for (let v = 0; v < mask.data.length; v++) if (mask.data[v] !== 0) voxels[at++] = v;
  return voxels;
}

/** Scanner x, in mm, of the brain's midline: its centre of mass. The plane is taken perpendicular to scanner x. */
export function midline(brain: Mask): number {
  const centre = centreOfMass(brain);
  if (!centre)
    throw new InputError('The brain mask is empty, so its midline cannot be found. Give another mask.');
  return transformPoint(brain.affine, centre)[0];
}

/** The mask reflected left to right at scanner x = `midlineMm`, on the same grid, by nearest neighbour. */
export function mirrorMask(mask: Mask, midlineMm: number): Mask {
  const reflection = [-1, 0, 0, 2 * midlineMm, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
  return resample({ ...mask, affine: multiply(reflection, mask.affine) }, mask, 'nearest');
}

/** One map's scores against every mask of the cohort: a row of the score matrix. */
export interface ScoreRow {
  readonly id: string;
  /** The head this map stems from: copies and planted twins of one head share it. */
  readonly source: string;
  /** The Heat-Score roi/brain against its own mask; null for an all-zero map. */
  readonly own: number | null;
  /** Against the own mask mirrored; null where that misses the brain or the map is zero. */
  readonly mirrored: number | null;
  /** Against each given mask, in their order; null as above. */
  readonly others: readonly (number | null)[];
}

export interface ScoreRowInput {
  readonly id: string;
  readonly source: string;
  readonly heat: Volume;
  readonly roi: Mask;
  readonly brain: Mask;
  /** Masks of the cohort on this map's grid. */
  readonly masks: readonly { readonly id: string; readonly voxels: Int32Array }[];
  readonly midlineMm?: number;
}

/** Scores one map against its own mask, its mirror image and all others: each map is read once, then may be let go. */
export function scoreRow(input: ScoreRowInput): ScoreRow {
  const { id, source, heat, roi, brain, masks } = input;
  checkMap(heat, `the class map of ${id}`);
  checkMask(roi, `the lesion mask of ${id}`, heat, 'its class map');
  checkMask(brain, `the brain mask of ${id}`, heat, 'its class map');
  let sum = 0;
  let voxels = 0;
  for (let v = 0; v < heat.data.length; v++) {
    if (brain.data[v] === 0) continue;
    voxels++;
    if (heat.data[v] > 0) sum += heat.data[v];
  }
  if (voxels === 0) throw new InputError(`The brain mask of ${id} is empty. Give another mask.`);
  const reference = sum / voxels;
  for (const mask of masks)
    if (mask.voxels.length > 0 && mask.voxels[mask.voxels.length - 1] >= heat.data.length)
      throw new InputError(
        `The lesion mask of ${mask.id} reaches beyond the grid of the class map of ${id} (${heat.shape.join(' x ')}). Bring all masks to that grid first.`,
      );
  const against = (mask: Int32Array, whole: boolean): number | null => {
    let heatSum = 0;
    let count = 0;
    for (const v of mask) {
      if (!whole && brain.data[v] === 0) continue;
      count++;
      if (heat.data[v] > 0) heatSum += heat.data[v];
    }
    return count > 0 && reference > 0 ? heatSum / count / reference : null;
  };
  const own = maskVoxels(roi);
  if (!own.some((v) => brain.data[v] !== 0))
    throw new InputError(
      `The lesion mask of ${id} ${own.length === 0 ? 'is empty' : 'lies entirely outside the brain mask'}: there is no Heat-Score. Controls have none; leave them out.`,
    );
  const mirrored = mirrorMask(roi, input.midlineMm ?? midline(brain));
  return {
    id,
    source,
    own: against(own, true),
    mirrored: against(maskVoxels(mirrored), false),
    others: masks.map((mask) => against(mask.voxels, false)),
  };
}

export interface CohortNull {
  readonly variant: 'roi/brain';
  /** Mean Heat-Score over the maps that have one. */
  readonly observed: number;
  /** Maps counted in the mean, and all-zero maps (left out, or counted as 0 where asked). */
  readonly n: number;
  readonly zeroMaps: number;
  /** Cohort means under the null, ascending. */
  readonly distribution: Float64Array;
  readonly p95: number;
  /** (1 + draws at or above the observed mean) / (1 + draws), one-sided (Phipson & Smyth 2010). */
  readonly p: number;
  readonly exceeds: boolean;
}

export interface CohortNullOptions {
  readonly seed: number;
  /** Default 10000. */
  readonly draws?: number;
  /** What an all-zero map counts as. Default: left out of every mean. */
  readonly zeroMaps?: 'left out' | 'as 0';
}

/**
 * Whether the cohort's mean Heat-Score is more than any masks of this cohort would give: in every draw the masks are
 * permuted among the heads, every map is scored against a mask of the head that it drew, and the mean is taken. A map
 * whose head drew itself is scored against its own mask mirrored. The permutation goes by source head, since copies of
 * one head are not independent.
 *
 * @param rows one per map; `others[j]` is the score against the mask of `rows[j]`.
 */
export function cohortNull(rows: readonly ScoreRow[], options: CohortNullOptions): CohortNull {
  const { seed, draws = 10_000, zeroMaps = 'left out' } = options;
  rows.forEach((row) => {
    if (row.others.length !== rows.length)
      throw new InputError(
        `The row of ${row.id} has scores against ${row.others.length} masks, but the cohort has ${rows.length}: every map must be scored against the mask of every row, in the same order.`,
      );
  });
  const zeros = rows.filter((row) => row.own === null).length;
  const counted = zeroMaps === 'as 0' ? rows : rows.filter((row) => row.own !== null);
  if (counted.length === 0)
    throw new InputError(
      rows.length === 0
        ? 'There are no maps to compare with a null: score at least one patient.'
        : `All ${rows.length} maps are zero everywhere: there is no mean Heat-Score to compare with a null.`,
    );

  const sources = [...new Set(rows.map((row) => row.source))];
  const position = new Map(sources.map((source, index) => [source, index]));
  const masksOf = sources.map((source) => rows.flatMap((row, index) => (row.source === source ? index : [])));
  const random = Random.seeded(seed, 'cohort null');
  const order = sources.map((_, index) => index);
  const distribution = new Float64Array(draws);
  let filled = 0;
  for (let draw = 0; draw < draws; draw++) {
    const drawn = random.shuffled(order);
    let sum = 0;
    let n = 0;
    for (const row of counted) {
      const own = position.get(row.source)!;
      const score =
        row.own === null
          ? 0
          : drawn[own] === own
            ? row.mirrored
            : row.others[random.pick(masksOf[drawn[own]])];
      if (score === null) continue;
      sum += score;
      n++;
    }
    if (n > 0) distribution[filled++] = sum / n;
  }
  if (filled === 0)
    throw new InputError(
      'No mask of another patient, and no mirrored mask, meets the brain of any map: there is no null. Check that all masks were brought to the grid of the maps.',
    );
  const means = distribution.slice(0, filled).sort();
  const observed = counted.reduce((sum, row) => sum + (row.own ?? 0), 0) / counted.length;
  const p95 = percentile(means, 0.95);
  const above = means.reduce((count, mean) => count + (mean >= observed ? 1 : 0), 0);
  return {
    variant: 'roi/brain',
    observed,
    n: counted.length,
    zeroMaps: zeros,
    distribution: means,
    p95,
    p: (1 + above) / (1 + filled),
    exceeds: observed > p95,
  };
}

function summarise(scores: readonly number[]): NullSummary | undefined {
  if (scores.length === 0) return undefined;
  const sorted = Float64Array.from(scores).sort();
  return {
    n: sorted.length,
    mean: sorted.reduce((sum, score) => sum + score, 0) / sorted.length,
    p95: percentile(sorted, 0.95),
  };
}

/** Linear between order statistics: numpy's default. */
function percentile(ascending: Float64Array, share: number): number {
  const at = share * (ascending.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, ascending.length - 1);
  return ascending[low] + (at - low) * (ascending[high] - ascending[low]);
}
