import { drawAnatomy, VIEW_CENTRE } from '../../src/core/cohort/phantom/anatomy';
import { LABEL, PHANTOM_STRUCTURES } from '../../src/core/cohort/phantom/structures';
import { rotation } from '../../src/core/cohort/plant/rotation';
import { smoothNoise } from '../../src/core/cohort/plant/smooth-noise';
import { Random } from '../../src/core/random';
import { multiply } from '../../src/core/volume/affine';
import { resample } from '../../src/core/volume/resample';
import { gaussianSmooth } from '../../src/core/volume/smoothing';
import {
  voxelCount,
  type Affine,
  type Grid,
  type Mask,
  type Shape3,
  type Volume,
} from '../../src/core/volume/volume';

/** The head as it is drawn: with more neck than a phantom cohort has, for scans have it too. */
const DRAWN: { readonly shape: Shape3; readonly spacing: number } = { shape: [72, 84, 92], spacing: 2.8 };
/** The grid of the images. */
const SHAPE: Shape3 = [70, 80, 78];
const SPACING = 3.5;

/** One head in two contrasts that no scanner was asked for, and what of it lies inside the skull. */
export interface AnyContrastHead {
  readonly t1w: Volume;
  readonly flair: Volume;
  /** 1 inside the skull (of a stripped head: what was left), else 0. */
  readonly inside: Mask;
}

/**
 * A phantom's anatomy under intensities that are drawn anew for every tissue, so that what a network learns from it does
 * not hang on a contrast (the idea of SynthSeg, Billot et al. 2023): half of the images lean on T1w or FLAIR, the others
 * on nothing. Size, proportions, tilt, field of view, bias field, sharpness and noise are drawn too; some heads are
 * stripped of their skull, some of their face. Both images share geometry and mask.
 */
export function drawAnyContrastHead(seed: number, subject: number): AnyContrastHead {
  const stream = (name: string): Random => Random.seeded(seed, 'any contrast', subject, name);
  const { shape, spacing } = DRAWN;
  const { labels } = drawAnatomy(shape, spacing, stream('anatomy'));
  const random = stream('geometry');
  const drawn: Grid = { shape, affine: centred(shape, spacing, VIEW_CENTRE) };
  const placed: Grid = { shape, affine: multiply(placement(random), drawn.affine) };
  const view: Grid = { shape: SHAPE, affine: centred(SHAPE, SPACING, [0, -17, -2]) };
  const kept = keptVoxels(labels, drawn, random);
  const inside = labels.map((label, v) => (kept[v] === 1 && label >= LABEL['cerebrospinal fluid'] ? 1 : 0));
  const share = resample({ ...placed, data: inside }, view, 'trilinear');
  const image = (name: 't1w' | 'flair'): Volume => {
    const look = stream(name);
    const signal = signals(labels, kept, drawn, name, look);
    const sharp = gaussianSmooth(
      { ...placed, data: signal },
      [0, 1, 2].map(() => look.uniform(0.4, 1.1)) as [number, number, number],
    );
    return scanned(resample(sharp, view, 'trilinear'), look);
  };
  return {
    t1w: image('t1w'),
    flair: image('flair'),
    inside: { ...view, data: Uint8Array.from(share.data, (value) => (value >= 0.5 ? 1 : 0)) },
  };
}

function centred(shape: Shape3, spacing: number, middle: readonly number[]): Affine {
  const row = (axis: number): number[] =>
    [0, 1, 2]
      .map((column) => (column === axis ? spacing : 0))
      .concat(middle[axis] - ((shape[axis] - 1) / 2) * spacing);
  return [...row(0), ...row(1), ...row(2), 0, 0, 0, 1];
}

/** Tilt, size and proportions of a head, and where it lies in the view. */
function placement(random: Random): Affine {
  const turn = rotation([15, 8, 8].map((degrees) => (random.uniform(-degrees, degrees) * Math.PI) / 180));
  const size = random.uniform(0.84, 1.12);
  const scales = [0, 1, 2].map(() => size * random.uniform(0.92, 1.08));
  const shift = [0, 1, 2].map(() => random.uniform(-12, 12));
  return [0, 1, 2]
    .flatMap((row) => [...[0, 1, 2].map((column) => turn[3 * row + column] * scales[column]), shift[row]])
    .concat(0, 0, 0, 1);
}

/** 1 for voxels that the image shows: field of view, defaced, stripped of the skull. */
function keptVoxels(labels: Uint8Array, grid: Grid, random: Random): Uint8Array {
  const { shape, affine } = grid;
  const kept = new Uint8Array(labels.length).fill(1);
  const bottom = random.chance(0.6) ? random.uniform(-105, -62) : -Infinity;
  const defaced = random.chance(0.25);
  const edge = random.uniform(-20, 20);
  const stripped = random.chance(0.25) ? (random.chance(0.6) ? 'brain' : 'skull') : 'not';
  const brain =
    stripped === 'brain'
      ? gaussianSmooth(
          {
            ...grid,
            data: Float32Array.from(labels, (label) => (label > LABEL['cerebrospinal fluid'] ? 1 : 0)),
          },
          [1.2, 1.2, 1.2],
        ).data
      : undefined;
  let v = 0;
  for (let k = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++)
      for (let i = 0; i < shape[0]; i++, v++) {
        const y = affine[5] * j + affine[7];
        const z = affine[10] * k + affine[11];
        const inSkull = labels[v] >= LABEL['cerebrospinal fluid'];
        if (z < bottom) kept[v] = 0;
        else if (stripped === 'skull' && !inSkull) kept[v] = 0;
        else if (brain && !(inSkull && brain[v] > 0.45)) kept[v] = 0;
        else if (defaced && !inSkull && y - edge > 25 + 0.9 * (z + 20)) kept[v] = 0;
      }
  return kept;
}

/** Signal by voxel, 0 where nothing is shown. */
function signals(
  labels: Uint8Array,
  kept: Uint8Array,
  grid: Grid,
  lean: 't1w' | 'flair',
  random: Random,
): Float32Array {
  const table = random.chance(0.5) ? leaning(lean, random) : anything(random);
  const { shape } = grid;
  const patches = smoothNoise(shape, random.uniform(5, 12), random);
  const marrow = smoothNoise(shape, random.uniform(2, 5), random);
  const texture = smoothNoise(shape, 2, random);
  const soft = [0, 1, 2].map(() => random.uniform(0.1, 1.1));
  const bone = random.uniform(0, 0.7);
  const outer = random.chance(0.5) ? outerSkull(labels, shape) : undefined;
  const rough = random.uniform(0, 0.08);
  const air = random.uniform(0, 0.03);
  return Float32Array.from(labels, (label, v) => {
    if (kept[v] === 0) return 0;
    if (label === 0) return air;
    let value = table[label];
    if (label === LABEL['scalp and face'] || (label === LABEL.skull && outer?.[v] === 1))
      value = patches[v] > 0.8 ? soft[0] : patches[v] < -0.8 ? soft[1] : patches[v] > 0.2 ? soft[2] : value;
    else if (label === LABEL.skull && marrow[v] > 0) value += (bone - value) * Math.min(1, marrow[v]);
    return Math.max(0, value * (1 + rough * texture[v]));
  });
}

/** Skull voxels that touch the scalp or the air: in some heads they are scalp too, so that skulls are thick and thin. */
function outerSkull(labels: Uint8Array, [ni, nj]: Shape3): Uint8Array {
  const steps = [1, -1, ni, -ni, ni * nj, -ni * nj];
  return labels.map((label, v) =>
    label === LABEL.skull && steps.some((step) => (labels[v + step] ?? 0) < LABEL.skull) ? 1 : 0,
  );
}

/** Each structure as in the phantom, within a third. */
function leaning(contrast: 't1w' | 'flair', random: Random): number[] {
  const groups = new Map<string, number>();
  return [
    0,
    ...PHANTOM_STRUCTURES.map((structure) => {
      const group = groupOf(structure.name);
      const factor = groups.get(group) ?? random.uniform(0.75, 1.3);
      groups.set(group, factor);
      return structure[contrast] * factor * random.uniform(0.95, 1.05);
    }),
  ];
}

/** Each tissue anything between black and white. */
function anything(random: Random): number[] {
  const groups = new Map<string, number>();
  return [
    0,
    ...PHANTOM_STRUCTURES.map(({ name }) => {
      const group = groupOf(name);
      const value =
        groups.get(group) ?? random.uniform(group === 'skull' ? 0 : 0.08, group === 'skull' ? 0.5 : 1.1);
      groups.set(group, value);
      return value * random.uniform(0.9, 1.1);
    }),
  ];
}

function groupOf(name: string): string {
  if (name === 'scalp and face' || name === 'skull') return name;
  if (/ventricle|fluid/.test(name)) return 'fluid';
  return /white|capsule|callosum|brainstem|pallidum|thalamus/.test(name) ? 'white' : 'grey';
}

/** Bias field, gamma, Rician noise; whole numbers up to some hundreds or thousands. */
function scanned({ shape, affine, data }: Volume, random: Random): Volume {
  const bias = smoothNoise(shape, random.uniform(50, 100) / SPACING, random);
  const strength = random.uniform(0, 0.3);
  const gamma = random.uniform(0.75, 1.35);
  const noise = random.uniform(0.005, 0.06);
  const gain = random.uniform(200, 1500);
  const out = new Float32Array(voxelCount(shape));
  const blank = random.chance(0.5);
  for (let v = 0; v < out.length; v++) {
    if (blank && data[v] === 0) continue;
    const a = Math.max(0, data[v]) ** gamma * Math.exp(strength * bias[v]) + random.normal(0, noise);
    const b = random.normal(0, noise);
    out[v] = Math.min(32767, Math.round(gain * Math.hypot(a, b)));
  }
  return { shape, affine, data: out };
}
