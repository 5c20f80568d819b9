import { InputError } from '../errors';
import { determinant } from './affine';
import { meanAndSd, percentiles } from './intensity';
import type { Mask, Volume } from './volume';

/** Percentiles that {@link describeVoxels} gives. */
export const DESCRIBED_PERCENTILES = [1, 2, 25, 50, 75, 98, 99] as const;

/** More different values than this are no labels. */
const MOST_LABELS = 512;

/** Numbers over voxels, in file units. Of the finite ones; null where there are none. */
export interface VoxelDescription {
  /** Voxels that were looked at: those of the mask, or all. */
  readonly voxels: number;
  /** How many of them are NaN or infinite. */
  readonly notFinite: number;
  /** Volume of the voxels in millilitres. */
  readonly ml: number;
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
  /** Of the population: divided by n. */
  readonly sd: number | null;
  /** By name (`'50'`), numpy's linear rule. */
  readonly percentiles: Readonly<Record<string, number>>;
  /** Each value with its voxels, where the volume is a mask or a label map; else null. */
  readonly labels: readonly { readonly value: number; readonly voxels: number }[] | null;
}

/**
 * Describes the voxels of a volume, or those inside a mask on the same grid.
 * @throws InputError for a mask without a voxel
 */
export function describeVoxels(volume: Volume, mask?: Mask): VoxelDescription {
  const inside = mask ? volume.data.filter((_value, at) => mask.data[at] !== 0) : volume.data;
  if (inside.length === 0)
    throw new InputError(
      'The mask has no voxel on the grid of the image, so there is nothing to describe. Check that both belong together.',
    );
  const finite = inside.every(Number.isFinite) ? inside : inside.filter(Number.isFinite);
  const found = finite.length > 0;
  const { mean, sd } = meanAndSd(finite);
  const named = found ? percentiles(finite, [0, ...DESCRIBED_PERCENTILES, 100]) : [];
  return {
    voxels: inside.length,
    notFinite: inside.length - finite.length,
    ml: (inside.length * Math.abs(determinant(volume.affine))) / 1000,
    min: found ? named[0] : null,
    max: found ? named[named.length - 1] : null,
    mean: found ? mean : null,
    sd: found ? sd : null,
    percentiles: Object.fromEntries(
      found ? DESCRIBED_PERCENTILES.map((percent, n) => [String(percent), named[n + 1]]) : [],
    ),
    labels: finite.length === inside.length && piecewiseConstant(volume) ? counted(inside) : null,
  };
}

/**
 * Whether neighbours along i that are both not 0 mostly have one value. In a label map nine of ten do, in a scan with
 * whole grey values few: an 8-bit scan has no more different values than a label map, so counting them would not do.
 */
function piecewiseConstant({ data, shape: [ni] }: Volume): boolean {
  let pairs = 0;
  let equal = 0;
  for (let at = 1; at < data.length; at++) {
    if (at % ni === 0 || data[at] === 0 || data[at - 1] === 0) continue;
    pairs++;
    if (data[at] === data[at - 1]) equal++;
  }
  return equal >= pairs / 2;
}

function counted(values: Float32Array): { value: number; voxels: number }[] | null {
  const counts = new Map<number, number>();
  for (const value of values) {
    const before = counts.get(value);
    if (before === undefined && (!Number.isInteger(value) || counts.size === MOST_LABELS)) return null;
    counts.set(value, (before ?? 0) + 1);
  }
  return [...counts].sort(([a], [b]) => a - b).map(([value, voxels]) => ({ value, voxels }));
}
