import { InputError } from '../../errors';
import { Random } from '../../random';
import { voxelCount, type Affine, type Mask, type Shape3, type Volume } from '../../volume/volume';
import type { Group } from '../cohort';
import { Acquisition } from '../plant/acquisition';
import { drawFunnel, funnelRadii, nearestVoxel } from '../plant/funnel';
import { growLesion, softEdge } from '../plant/lesion-growth';
import { drawLesionSigns, type LesionSigns } from '../plant/lesion-signs';
import { smoothNoise } from '../plant/smooth-noise';
import { drawAnatomy, VIEW_CENTRE, type Anatomy } from './anatomy';
import { cover } from './solids';
import { LABEL, PHANTOM_STRUCTURES } from './structures';

/** Longest side of the field of view in mm: the largest head that is drawn fits. */
const VIEW_MM = 224;
/** Width over which a lesion's grey-white junction is smeared, in mm. */
const BLUR_MM = 4;
/** Share of grey matter in the white matter of the funnel. */
const FUNNEL_GREY = 0.5;
/** Half width of a lesion's soft outline in mm. */
const RIM_MM = 2;
/** Standard deviation of the fine texture of all tissue, as a share of its signal. */
const TEXTURE = 0.02;
/** A voxel counts as altered when at full strength at least this share of it turns from white to grey. */
const ALTERED_SHARE = 0.2;

export interface PhantomPlace {
  readonly seed: number;
  /** Number of the head: the same seed and subject give the same anatomy, with or without a lesion. */
  readonly subject: number;
  readonly shape: Shape3;
  /** Isotropic voxel size in mm. */
  readonly spacing: number;
}

export interface PhantomOptions {
  readonly group?: Group;
  /** 0 (bright lesions) to 1 (thickening and blur without any change of brightness); 0.5 is as published. */
  readonly difficulty?: number;
}

export interface PhantomHead {
  /** Whole numbers; white matter at about 1000. */
  readonly t1w: Volume;
  /** Whole numbers; normal cortex at about 1000. */
  readonly flair: Volume;
  /** Numbers of {@link PHANTOM_STRUCTURES}; the anatomy before the lesion. */
  readonly labels: Volume<Uint8Array>;
  readonly brain: Mask;
  /** Present for fcd only. */
  readonly lesion?: PhantomLesion;
}

export interface PhantomLesion extends LesionSigns {
  readonly mask: Mask;
  /** Strength of the lesion in every voxel, funnel included, 0..1: where it is 0 the head is the control's. */
  readonly strength: Float32Array;
}

/**
 * Grid of a phantom head with `size` voxels along its longest side (front to back); the other two sides have 7/8 of it.
 * The field of view is always 196 x 224 x 196 mm.
 */
export function phantomGrid(size: number): { readonly shape: Shape3; readonly spacing: number } {
  if (!Number.isInteger(size) || size < 32 || size > 256)
    throw new InputError(`The size of a phantom is ${size}; give a whole number of voxels from 32 to 256.`);
  const across = 2 * Math.round((size * 7) / 16);
  return { shape: [across, size, across], spacing: VIEW_MM / size };
}

/**
 * Draws one head in T1w and FLAIR, with its labels. A patient's head is the control's head of the same seed and subject
 * plus a lesion: folds, signals, bias field and noise are the same numbers, and outside of the lesion no voxel differs.
 *
 * The lesion: cortex thickened by 2 to 4 mm, its junction with white matter smeared over 4 mm, FLAIR signal raised and
 * T1w contrast lowered by the amounts that `difficulty` sets, in 40 % a funnel of half grey matter to the ventricle. Its
 * mask holds the voxels where the lesion stands at half strength or more and which it alters: cortex, white matter of
 * which at least a fifth turns grey, and the funnel.
 */
export function makePhantomHead(place: PhantomPlace, options: PhantomOptions = {}): PhantomHead {
  const { seed, subject, shape, spacing } = place;
  const stream = (name: string): Random => Random.seeded(seed, 'phantom', subject, name);
  const anatomy = drawAnatomy(shape, spacing, stream('anatomy'));
  const lesion =
    options.group === 'fcd'
      ? drawLesion(anatomy, drawLesionSigns(stream('signs'), options.difficulty ?? 0.5), stream('place'))
      : undefined;
  const { t1w, flair } = render(anatomy, lesion);
  const scan = (signal: Float32Array, noise: number, name: string): Float32Array =>
    new Acquisition(shape, spacing, TEXTURE, noise, stream(name)).scan(signal);

  const affine: Affine = [
    ...[spacing, 0, 0, VIEW_CENTRE[0] - ((shape[0] - 1) / 2) * spacing],
    ...[0, spacing, 0, VIEW_CENTRE[1] - ((shape[1] - 1) / 2) * spacing],
    ...[0, 0, spacing, VIEW_CENTRE[2] - ((shape[2] - 1) / 2) * spacing],
    ...[0, 0, 0, 1],
  ];
  const inBrain = Uint8Array.from([0, ...PHANTOM_STRUCTURES.map(({ brain }) => (brain ? 1 : 0))]);
  const grid = { shape, affine };
  return {
    t1w: { ...grid, data: scan(t1w, 0.022, 't1w') },
    flair: { ...grid, data: scan(flair, 0.03, 'flair') },
    labels: { ...grid, data: anatomy.labels },
    brain: { ...grid, data: anatomy.labels.map((label) => inBrain[label]) },
    ...(lesion && {
      lesion: {
        ...lesion.signs,
        mask: { ...grid, data: lesion.mask },
        strength: lesion.strength.map((value, v) => Math.max(value, lesion.funnel[v])),
      },
    }),
  };
}

interface DrawnLesion {
  readonly signs: LesionSigns;
  readonly mask: Uint8Array;
  /** Strength of thickening, blur and brightness, 0..1. */
  readonly strength: Float32Array;
  /** Cover of the funnel, 0..1. */
  readonly funnel: Float32Array;
}

function drawLesion(anatomy: Anatomy, signs: LesionSigns, random: Random): DrawnLesion {
  const { shape, spacing, labels, side, depth, thickness } = anatomy;
  const voxels = voxelCount(shape);
  const isCortex = (v: number): boolean =>
    labels[v] >= LABEL['frontal cortex'] && labels[v] <= LABEL['insular cortex'];
  const isWhite = (v: number): boolean => labels[v] === LABEL['cerebral white matter'];
  const lobe = LABEL[`${signs.lobe} cortex`];
  const candidates: number[] = [];
  const ventricle: number[] = [];
  for (let v = 0; v < voxels; v++) {
    if (labels[v] === lobe && depth[v] > thickness / 2) candidates.push(v);
    else if (labels[v] === LABEL['lateral ventricles']) ventricle.push(v);
  }
  if (candidates.length === 0)
    throw new InputError(`Voxels of ${spacing} mm are too coarse for a phantom's cortex.`);
  const seed = random.pick(candidates);

  const mask = new Uint8Array(voxels);
  const strength = new Float32Array(voxels);
  const funnel = new Float32Array(voxels);
  let inFunnel = 0;
  const goal = signs.transmantle ? nearestVoxel(shape, seed, Int32Array.from(ventricle)) : undefined;
  if (goal !== undefined) {
    const drawn = drawFunnel(shape, spacing, seed, goal, funnelRadii(signs.volumeMl), isWhite);
    drawn.voxels.forEach((voxel, n) => {
      funnel[voxel] = drawn.cover[n];
      if (drawn.cover[n] < 0.5) return;
      mask[voxel] = 1;
      inFunnel++;
    });
  }
  const alterable = (v: number): boolean =>
    mask[v] === 0 &&
    (isCortex(v) || whiteShare(anatomy, v, 0, signs) - whiteShare(anatomy, v, 1, signs) >= ALTERED_SHARE);
  const growth = growLesion({
    shape,
    spacing,
    seed,
    passable: (v) => side[v] === side[seed] && (isCortex(v) || isWhite(v)),
    alterable,
    count: Math.max(Math.round((signs.volumeMl * 1000) / spacing ** 3) - inFunnel, 1),
    rim: RIM_MM,
    roughness: smoothNoise(shape, Math.max(8 / spacing, 1), random).map((value) => 0.25 * value),
  });
  growth.voxels.forEach((v, n) => {
    strength[v] = softEdge(growth.reach[n], growth.radius, RIM_MM);
    if (growth.reach[n] <= growth.radius && alterable(v)) mask[v] = 1;
  });
  return { signs, mask, strength, funnel };
}

/** Share of white matter in the cerebral part of a voxel, with a lesion at `strength`. */
function whiteShare(
  anatomy: Anatomy,
  voxel: number,
  strength: number,
  signs: Pick<LesionSigns, 'thickeningMm'>,
): number {
  const junction = anatomy.thickness + strength * signs.thickeningMm;
  return cover(junction - anatomy.depth[voxel], anatomy.spacing + strength * BLUR_MM);
}

/** What a healthy head has of them. */
const NO_SIGNS = { thickeningMm: 0, hyperintensity: 0, contrastLoss: 0 };

/** Lays the layers over each other: signal without gain, bias and noise. */
function render(anatomy: Anatomy, lesion?: DrawnLesion): { t1w: Float32Array; flair: Float32Array } {
  const { labels, cerebrum, over, overShare, signals } = anatomy;
  const t1w = anatomy.underT1w.slice();
  const flair = anatomy.underFlair.slice();
  const white = signals[LABEL['cerebral white matter']];
  const signs = lesion?.signs ?? NO_SIGNS;
  for (let v = 0; v < t1w.length; v++) {
    const share = cerebrum[v];
    if (share > 0) {
      const strength = lesion ? lesion.strength[v] : 0;
      const cortex = signals[labels[v] === LABEL['insular cortex'] ? labels[v] : LABEL['frontal cortex']];
      const funnel = lesion ? FUNNEL_GREY * lesion.funnel[v] : 0;
      const whites = whiteShare(anatomy, v, strength, signs) * (1 - funnel);
      const sick = Math.max(strength, lesion ? lesion.funnel[v] : 0);
      const greyT1w = cortex.t1w + sick * signs.contrastLoss * (white.t1w - cortex.t1w);
      const greyFlair = cortex.flair * (1 + sick * signs.hyperintensity);
      t1w[v] += share * (greyT1w + whites * (white.t1w - greyT1w) - t1w[v]);
      flair[v] += share * (greyFlair + whites * (white.flair - greyFlair) - flair[v]);
    }
    if (overShare[v] > 0) {
      t1w[v] += overShare[v] * (signals[over[v]].t1w - t1w[v]);
      flair[v] += overShare[v] * (signals[over[v]].flair - flair[v]);
    }
  }
  return { t1w, flair };
}
