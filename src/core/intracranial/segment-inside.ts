import { InputError } from '../errors';
import { networkInput } from '../model/input';
import type { SegmentationNetwork } from '../pretrain/segmentation-network';
import { fromTensorOrder, shapeInAxes } from '../volume/axes';
import { determinant, voxelSizes } from '../volume/affine';
import { otsuThreshold } from '../volume/head-mask';
import { dilated, eroded, fillHoles, largestComponent, maskAbove, wholeGrid } from '../volume/mask';
import { applyRecipe, type Recipe } from '../volume/recipe';
import { resample } from '../volume/resample';
import type { Grid, Mask, Volume } from '../volume/volume';

/** What a network said of a scan, on the grid on which it saw it. */
export interface Inside extends Grid {
  /** Above 0: inside the skull, the surer the larger. What does not belong to the mask is at most 0. */
  readonly scores: Volume;
  /** The largest part that hangs together, holes filled. */
  readonly mask: Mask;
  /** Volume of the mask in litres. */
  readonly litres: number;
}

/**
 * What lies inside the skull of a raw scan, by a network that learned it as its only task.
 * @param recipe how the network wants scans prepared, with Otsu's head mask
 */
export async function segmentInside(
  network: SegmentationNetwork,
  recipe: Recipe,
  raw: Volume,
): Promise<Inside> {
  if (network.decoder.tasks.length !== 1 || network.spec.inChannels !== 1)
    throw new InputError(
      `A network of one channel and one task makes a mask, not one of ${network.spec.inChannels} and ${network.decoder.tasks.length}.`,
    );
  const seen = await look(network, recipe, raw);
  // Where the middle of the head was mistaken the head may be cut: then once more, with all that the scan shows.
  return touchesTop(seen.mask) ? look(network, wholeView(recipe, raw), raw) : seen;
}

async function look(network: SegmentationNetwork, recipe: Recipe, raw: Volume): Promise<Inside> {
  const prepared = applyRecipe(raw, recipe);
  const volume = withAir(prepared.volume, prepared.brain, raw);
  const { shape, affine } = volume;
  const x = networkInput([volume], network.spec);
  // Every scan is normalised by its own statistics, as in training, where a batch is one image: contrasts differ by more
  // than running means could say.
  const pass = network.run(x, { statistics: 'batch' });
  let logits: Float32Array;
  try {
    logits = (await pass.output.data<'float32'>()).slice();
  } finally {
    pass.dispose();
    x.dispose();
  }
  const { axes } = network.spec;
  const data = fromTensorOrder(logits, shapeInAxes(shape, axes), axes);
  const mask = withoutNeighbours(fillHoles(largestComponent(maskAbove({ shape, affine, data }, 0))));
  for (let v = 0; v < data.length; v++) {
    // What was taken away ends half way to what stays, as where the network itself changes its mind.
    if (mask.data[v] === 0) data[v] = -Math.abs(data[v]);
    else if (data[v] <= 0) data[v] = FILLED;
  }
  const voxels = mask.data.reduce((sum, value) => sum + value, 0);
  const litres = (voxels * Math.abs(determinant(affine))) / 1e6;
  return { shape, affine, mask, litres, scores: { shape, affine, data } };
}

function touchesTop({ shape: [ni, nj, nk], data }: Mask): boolean {
  return data.subarray(ni * nj * (nk - 1)).includes(1);
}

/**
 * A network that has learned on drawn heads takes parts of real necks and faces for brain. The inside of a skull is about
 * as high as it is wide (of a phantom 141 and 142 mm): what lies lower is neck. And it is one thick body: what hangs on it
 * by less than the width of a ball is something else.
 */
function withoutNeighbours(mask: Mask): Mask {
  const head = withoutNeck(mask);
  const near = dilated(largestComponent(eroded(head, BALL_MM)), BALL_MM + EDGE_MM);
  return { ...mask, data: near.data.map((value, v) => value & head.data[v]) };
}

const BALL_MM = 12;
/** Corners that a ball does not reach are kept. */
const EDGE_MM = 2;
/** Below the top, in mm: the part of a head that is only skull and what is in it. */
const CAP_MM = 90;

/** Without what lies lower below its top than its cap is wide. Grids are upright: k goes up. */
function withoutNeck(mask: Mask): Mask {
  const [ni, nj, nk] = mask.shape;
  const [widthMm, , heightMm] = voxelSizes(mask.affine);
  const slice = (k: number): Uint8Array => mask.data.subarray(k * ni * nj, (k + 1) * ni * nj);
  let top = nk - 1;
  while (top > 0 && !slice(top).includes(1)) top--;
  let width = 0;
  for (let k = top; k >= 0 && (top - k) * heightMm <= CAP_MM; k--) {
    let least = ni;
    let most = -1;
    slice(k).forEach((value, v) => {
      if (value === 0) return;
      least = Math.min(least, v % ni);
      most = Math.max(most, v % ni);
    });
    width = Math.max(width, (most - least + 1) * widthMm);
  }
  const data = mask.data.slice();
  for (let k = 0; k < nk; k++) if ((top - k) * heightMm > width) data.fill(0, k * ni * nj, (k + 1) * ni * nj);
  return { ...mask, data };
}

/**
 * The recipe for all that a scan shows: nothing is cut off, wherever the head lies, and where a scan shows less than the
 * network has learned on, it is filled up.
 */
function wholeView(recipe: Recipe, { shape, affine }: Grid): Recipe {
  const { spacing, shape: learned } = recipe;
  if (!spacing || !learned)
    throw new InputError('The network that makes masks does not say on which grid it has learned.');
  const sizes = voxelSizes(affine);
  const side = (axis: 0 | 1 | 2): number =>
    Math.max(learned[axis], Math.ceil((shape[axis] * sizes[axis]) / spacing[axis]));
  return { ...recipe, centre: 'grid', shape: [side(0), side(1), side(2)] };
}

/**
 * A prepared scan with air where it had been filled up: there it holds 0, its mean, and a bright frame around a head
 * looks like a scalp. The network has learned on scans that fill its grid. Air is what lies outside of the head mask.
 */
function withAir(volume: Volume, head: Mask, raw: Volume): Volume {
  const share = resample(wholeGrid(raw), volume, 'trilinear').data;
  let sum = 0;
  let voxels = 0;
  for (let v = 0; v < share.length; v++)
    if (share[v] === 1 && head.data[v] === 0) {
      sum += volume.data[v];
      voxels++;
    }
  const air = voxels > 0 ? sum / voxels : 0;
  return { ...volume, data: volume.data.map((value, v) => value + (1 - share[v]) * air) };
}

/** Score of a voxel that was a hole. */
const FILLED = 1;

/** Litres that lie inside the skulls of people, children and brains without CSF included. */
const LITRES = { least: 0.5, most: 2.2 } as const;
/** Share of the mask that must not be air: brighter than this share of the mean of what Otsu's threshold parts from air. */
const LEAST_TISSUE = { share: 0.6, ofMean: 0.1 } as const;

/** Why a mask is not to be trusted, half a sentence for people; undefined where nothing speaks against it. */
export function doubtAbout(inside: Inside, raw: Volume): string | undefined {
  const { litres } = inside;
  if (litres < LITRES.least || litres > LITRES.most)
    return `the intracranial head found ${litres.toFixed(2)} litres, where ${LITRES.least} to ${LITRES.most} can be`;
  const mask = insideOn(inside, raw);
  const air = LEAST_TISSUE.ofMean * meanAbove(raw.data, otsuThreshold(raw.data));
  let all = 0;
  let tissue = 0;
  for (let v = 0; v < mask.data.length; v++) {
    all += mask.data[v];
    tissue += raw.data[v] > air ? mask.data[v] : 0;
  }
  return tissue < LEAST_TISSUE.share * all
    ? `${Math.round((100 * (all - tissue)) / all)} % of what the intracranial head found is air`
    : undefined;
}

function meanAbove(data: Float32Array, threshold: number): number {
  let sum = 0;
  let count = 0;
  for (const value of data)
    if (value > threshold) {
      sum += value;
      count++;
    }
  return sum / count;
}

/** The mask on another grid: where the scores, interpolated, are above 0. */
export function insideOn({ scores }: Pick<Inside, 'scores'>, grid: Grid): Mask {
  return maskAbove(resample(scores, grid, 'trilinear'), 0);
}
