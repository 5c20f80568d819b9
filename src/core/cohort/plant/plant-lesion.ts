import { InputError } from '../../errors';
import type { Random } from '../../random';
import { voxelCount, type Shape3 } from '../../volume/volume';
import { drawFunnel, funnelRadii, nearestVoxel } from './funnel';
import { growLesion, softEdge } from './lesion-growth';
import type { LesionSigns } from './lesion-signs';
import { LATERAL_VENTRICLES, LOBE_CORTEX, SIDE_OF_LABEL, Tissue, TISSUE_OF_LABEL } from './muse-labels';
import { smoothNoise } from './smooth-noise';
import type { WarpedCopy } from './warped-copy';

/** Share of white matter that turns grey right at the junction, and the width in mm over which that fades. */
const GREYING = { most: 0.9, fade: 0.7 } as const;
/** Weight of the smeared image near the junction, and how deep in white matter it acts, in mm. */
const BLUR = { weight: 0.6, depth: 5 } as const;
/** Share of grey matter in the funnel. */
const FUNNEL_GREY = 0.5;
/** Half width of the soft outline in mm. */
const RIM_MM = 2;
/** White matter counts as altered from this share of grey on. */
const ALTERED_SHARE = 0.2;
/** Farther than this from cortex, in mm, white matter is never altered (the funnel aside). */
const FAR_MM = 8;

/** What a lesion of strength 1 adds to the healthy signals; all on the copy's grid. */
export interface PlantedDelta {
  readonly t1w: Float32Array;
  readonly flair: Float32Array;
  /** 1 where the lesion stands at half strength or more and alters the tissue. */
  readonly mask: Float32Array;
}

/**
 * Plants a lesion into a warped copy of a real head. It starts in cortex of the lobe that touches lobar white matter and
 * grows within that hemisphere's cortex and white matter to its volume. With w its soft outline and d the distance of
 * white matter to cortex: a share 0.9 w / (1 + exp((d - thickening) / 0.7)) of white matter becomes grey matter as it is
 * nearby; up to 5 mm deep the image is smeared with weight 0.6 w over its tissue neighbours (T1w); T1w contrast and FLAIR
 * brightness of grey matter change as the signs say; the funnel is half grey matter.
 */
export function plantLesion(copy: WarpedCopy, signs: LesionSigns, random: Random): PlantedDelta {
  const { shape, spacing, labels } = copy;
  const toCortex = cortexDistance(copy);
  const isCortex = (v: number): boolean => TISSUE_OF_LABEL[labels[v]] === Tissue.Cortex;
  const isWhite = (v: number): boolean => TISSUE_OF_LABEL[labels[v]] === Tissue.LobarWhite;
  const greying = (v: number): number =>
    isWhite(v) ? GREYING.most / (1 + Math.exp((toCortex(v) - signs.thickeningMm) / GREYING.fade)) : 0;

  const seed = random.pick(seeds(copy, signs, isWhite));
  const side = SIDE_OF_LABEL[labels[seed]];
  const mask = new Float32Array(labels.length);
  const funnel = new Map<number, number>();
  const goal = signs.transmantle ? nearestVoxel(shape, seed, ventricles(labels)) : undefined;
  if (goal !== undefined) {
    const drawn = drawFunnel(shape, spacing, seed, goal, funnelRadii(signs.volumeMl), isWhite);
    drawn.voxels.forEach((v, n) => {
      funnel.set(v, drawn.cover[n]);
      if (drawn.cover[n] >= 0.5) mask[v] = 1;
    });
  }
  const inFunnel = mask.reduce((sum, value) => sum + value, 0);
  const alterable = (v: number): boolean => mask[v] === 0 && (isCortex(v) || greying(v) >= ALTERED_SHARE);
  const growth = growLesion({
    shape,
    spacing,
    seed,
    // Along the cortical ribbon, not through the depth of the white matter.
    passable: (v) => SIDE_OF_LABEL[labels[v]] === side && (isCortex(v) || toCortex(v) < Infinity),
    alterable,
    count: Math.max(Math.round((signs.volumeMl * 1000) / spacing ** 3) - inFunnel, 1),
    rim: RIM_MM,
    roughness: smoothNoise(shape, Math.max(8 / spacing, 1), random).map((value) => 0.25 * value),
  });
  const strength = new Map<number, number>();
  growth.voxels.forEach((v, n) => {
    strength.set(v, softEdge(growth.reach[n], growth.radius, RIM_MM));
    if (growth.reach[n] <= growth.radius && alterable(v)) mask[v] = 1;
  });
  return {
    mask,
    t1w: t1wDelta(copy, signs, strength, funnel, greying, toCortex),
    flair: flairDelta(copy, signs, strength, funnel, greying),
  };
}

/** Cortex of the lobe with lobar white matter of its side at most two voxels away. */
function seeds(copy: WarpedCopy, signs: LesionSigns, isWhite: (voxel: number) => boolean): number[] {
  const { shape, labels } = copy;
  const lobe = new Set(LOBE_CORTEX[signs.lobe]);
  const [ni, nij] = [shape[0], shape[0] * shape[1]];
  const steps = [1, ni, nij].flatMap((step) => [step, -step, 2 * step, -2 * step]);
  const found: number[] = [];
  for (let v = 0; v < labels.length; v++) {
    if (!lobe.has(labels[v])) continue;
    const side = SIDE_OF_LABEL[labels[v]];
    if (steps.some((step) => isWhite(v + step) && SIDE_OF_LABEL[labels[v + step]] === side)) found.push(v);
  }
  if (found.length === 0)
    throw new InputError(
      `The label map has no ${signs.lobe} cortex beside white matter under MUSE's numbers; planting needs MUSE or DLMUSE labels.`,
    );
  return found;
}

function ventricles(labels: Uint8Array): Int32Array {
  const inside = new Set(LATERAL_VENTRICLES);
  const found: number[] = [];
  for (let v = 0; v < labels.length; v++) if (inside.has(labels[v])) found.push(v);
  return Int32Array.from(found);
}

/** Distance in mm from a white matter voxel's centre to the border of the nearest cortex; Infinity from about {@link FAR_MM}. */
function cortexDistance({ shape, spacing, labels }: WarpedCopy): (voxel: number) => number {
  const [ni, nj, nk] = shape;
  const reach = Math.ceil(FAR_MM / spacing);
  const offsets: { di: number; dj: number; dk: number; mm: number }[] = [];
  for (let dk = -reach; dk <= reach; dk++)
    for (let dj = -reach; dj <= reach; dj++)
      for (let di = -reach; di <= reach; di++) {
        const mm = spacing * Math.sqrt(di * di + dj * dj + dk * dk);
        if (mm > 0 && mm <= FAR_MM) offsets.push({ di, dj, dk, mm });
      }
  offsets.sort((a, b) => a.mm - b.mm);
  const known = new Map<number, number>();
  return (voxel) => {
    const before = known.get(voxel);
    if (before !== undefined) return before;
    const i = voxel % ni;
    const j = Math.floor(voxel / ni) % nj;
    const k = Math.floor(voxel / (ni * nj));
    let distance = Infinity;
    for (const { di, dj, dk, mm } of offsets) {
      if (i + di < 0 || i + di >= ni || j + dj < 0 || j + dj >= nj || k + dk < 0 || k + dk >= nk) continue;
      if (TISSUE_OF_LABEL[labels[voxel + di + ni * (dj + nj * dk)]] !== Tissue.Cortex) continue;
      distance = mm - spacing / 2;
      break;
    }
    known.set(voxel, distance);
    return distance;
  };
}

function t1wDelta(
  { shape, t1w, labels }: WarpedCopy,
  signs: LesionSigns,
  strength: ReadonlyMap<number, number>,
  funnel: ReadonlyMap<number, number>,
  greying: (voxel: number) => number,
  toCortex: (voxel: number) => number,
): Float32Array {
  const isCortex = (v: number): boolean => TISSUE_OF_LABEL[labels[v]] === Tissue.Cortex;
  const grey = meanOver(t1w, [...strength.keys()].filter(isCortex));
  const white = 1; // the copy's unit
  const greyed = new Map<number, number>();
  for (const [v, w] of strength) greyed.set(v, t1w[v] + w * greying(v) * (grey - t1w[v]));
  const delta = new Float32Array(voxelCount(shape));
  for (const [v, w] of strength) {
    let value = greyed.get(v) as number;
    if (isCortex(v) || toCortex(v) < BLUR.depth)
      value += BLUR.weight * w * (tissueMean(v, shape, labels, greyed, t1w) - value);
    value += signs.contrastLoss * w * ((grey + white) / 2 - value);
    delta[v] = value - t1w[v];
  }
  for (const [v, cover] of funnel) {
    const value = t1w[v] + delta[v];
    delta[v] += FUNNEL_GREY * cover * (grey - value);
  }
  return delta;
}

/** Mean over the 27 voxels around one that are cortex or lobar white matter. */
function tissueMean(
  voxel: number,
  shape: Shape3,
  labels: Uint8Array,
  changed: ReadonlyMap<number, number>,
  otherwise: Float32Array,
): number {
  let sum = 0;
  let count = 0;
  for (let dk = -1; dk <= 1; dk++)
    for (let dj = -1; dj <= 1; dj++)
      for (let di = -1; di <= 1; di++) {
        const v = voxel + di + shape[0] * (dj + shape[1] * dk);
        if (!(SIDE_OF_LABEL[labels[v]] > 0)) continue;
        sum += changed.get(v) ?? otherwise[v];
        count++;
      }
  return sum / count;
}

function flairDelta(
  { flair, labels }: WarpedCopy,
  signs: LesionSigns,
  strength: ReadonlyMap<number, number>,
  funnel: ReadonlyMap<number, number>,
  greying: (voxel: number) => number,
): Float32Array {
  const isCortex = (v: number): boolean => TISSUE_OF_LABEL[labels[v]] === Tissue.Cortex;
  const grey = meanOver(flair, [...strength.keys()].filter(isCortex));
  const delta = new Float32Array(flair.length);
  for (const [v, w] of strength) {
    const share = w * greying(v);
    const value = flair[v] + share * (grey - flair[v]);
    delta[v] = value * (1 + (isCortex(v) ? w : share) * signs.hyperintensity) - flair[v];
  }
  for (const [v, cover] of funnel) {
    const value = flair[v] + delta[v];
    delta[v] += FUNNEL_GREY * cover * Math.max(0, grey * (1 + signs.hyperintensity) - value);
  }
  return delta;
}

function meanOver(data: Float32Array, voxels: readonly number[]): number {
  return voxels.reduce((sum, v) => sum + data[v], 0) / voxels.length;
}
