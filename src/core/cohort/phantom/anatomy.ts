import type { Random } from '../../random';
import { voxelCount, type Shape3 } from '../../volume/volume';
import { rotation } from '../plant/rotation';
import { smoothNoise } from '../plant/smooth-noise';
import { Cortex } from './cortex';
import { deepStructuresNear } from './deep-structures';
import { FoldingPattern } from './folding';
import { blend, chain, cover, ellipsoid, type Bead } from './solids';
import { LABEL, PHANTOM_STRUCTURES } from './structures';

/** Signal of one tissue in both contrasts. */
interface Signal {
  t1w: number;
  flair: number;
}

/**
 * A healthy head, voxel by voxel, as layers that are laid over each other later: what lies under the cerebrum, the
 * cerebrum (how much of the voxel, and how deep below the pial surface), and what lies over its white matter. Kept apart
 * because a lesion changes the middle layer only.
 */
export interface Anatomy {
  readonly shape: Shape3;
  readonly spacing: number;
  readonly labels: Uint8Array;
  /** Left hemisphere -1, right +1, elsewhere 0. */
  readonly side: Int8Array;
  readonly underT1w: Float32Array;
  readonly underFlair: Float32Array;
  /** Share of the voxel that is cerebral cortex or white matter. */
  readonly cerebrum: Float32Array;
  /** Depth below the nearest pial surface in mm, sulcal walls included. */
  readonly depth: Float32Array;
  /** Number and share of the deep structure that covers the cerebrum here. */
  readonly over: Uint8Array;
  readonly overShare: Float32Array;
  /** Thickness of the cortex in mm. */
  readonly thickness: number;
  /** Signal by label number. */
  readonly signals: readonly Signal[];
}

/** Centre of the field of view in head coordinates (mm, origin near the anterior commissure, RAS). */
export const VIEW_CENTRE = [0, -17, 6] as const;

const CEREBELLUM = { centre: [22, -62, -37], radii: [29, 29, 20] } as const;
const VERMIS = { centre: [0, -62, -34], radii: [12, 26, 20] } as const;
const MIDBRAIN = { centre: [0, -19, -9], radii: [14, 10, 12] } as const;
const PONS = { centre: [0, -24, -27], radii: [15, 12, 14] } as const;
const FOURTH_VENTRICLE = { centre: [0, -41, -31], radii: [5.5, 5, 10] } as const;
const MEDULLA: readonly Bead[] = [
  [0, -29, -38, 9],
  [0, -35, -64, 6.5],
];
const LEAF_CENTRE = [0, -50, -32] as const;
/** Thickness of the cerebellar cortex and depth of the clefts between its leaves, in mm. */
const LEAF = { thickness: 2.4, depth: 10 } as const;

/** Draws one healthy head; every head has its own proportions, warp, folds, ventricles and tissue signals. */
export function drawAnatomy(shape: Shape3, spacing: number, random: Random): Anatomy {
  const voxels = voxelCount(shape);
  const scales = [0, 1, 2].map(() => random.uniform(0.95, 1.05));
  const turn = rotation([0, 1, 2].map(() => (random.uniform(-5, 5) * Math.PI) / 180));
  const [warpX, warpY, warpZ] = [0, 1, 2].map(() => smoothNoise(shape, 45 / spacing, random));
  const [wobbleX, wobbleY, wobbleZ] = [0, 1, 2].map(() => smoothNoise(shape, 13 / spacing, random));
  const thickness = random.uniform(2.5, 3);
  const cortex = new Cortex(random);
  const leaves = new FoldingPattern(random, 13, 0.85);
  const signals = drawSignals(random);

  const labels = new Uint8Array(voxels);
  const side = new Int8Array(voxels);
  const underT1w = new Float32Array(voxels).fill(signals[0].t1w);
  const underFlair = new Float32Array(voxels).fill(signals[0].flair);
  const cerebrum = new Float32Array(voxels);
  const depth = new Float32Array(voxels);
  const deep = new DeepLayer(voxels, spacing, random.uniform(0.85, 1.35));
  const layers = new Layers(signals);

  let v = -1;
  for (let k = 0; k < shape[2]; k++) {
    for (let j = 0; j < shape[1]; j++) {
      for (let i = 0; i < shape[0]; i++) {
        v++;
        const mx = (i - (shape[0] - 1) / 2) * spacing;
        const my = (j - (shape[1] - 1) / 2) * spacing;
        const mz = (k - (shape[2] - 1) / 2) * spacing;
        const x = (turn[0] * mx + turn[1] * my + turn[2] * mz) / scales[0] + VIEW_CENTRE[0] + 1.8 * warpX[v];
        const y = (turn[3] * mx + turn[4] * my + turn[5] * mz) / scales[1] + VIEW_CENTRE[1] + 1.8 * warpY[v];
        const z = (turn[6] * mx + turn[7] * my + turn[8] * mz) / scales[2] + VIEW_CENTRE[2] + 1.8 * warpZ[v];
        if (z > -30 && (x / 96) ** 2 + ((y + 17) / 118) ** 2 + (z / 120) ** 2 > 1) continue; // air
        const ax = Math.abs(x);
        cortex.measureHull(ax, y, z);
        const cerebellum = blend(
          ellipsoid(ax, y, z, CEREBELLUM.centre, CEREBELLUM.radii),
          ellipsoid(x, y, z, VERMIS.centre, VERMIS.radii),
          6,
        );
        const pons = ellipsoid(x, y, z, PONS.centre, PONS.radii);
        const upperStem = blend(ellipsoid(x, y, z, MIDBRAIN.centre, MIDBRAIN.radii), pons, 6);
        const stem = blend(upperStem, chain(x, y, z, MEDULLA), 8);
        const brain = blend(blend(cortex.upper, cortex.temporal, 12), blend(cerebellum, stem, 12), 12);
        const cavity = brain - 3;
        if (!layers.drawCovering(ax, y, z, cavity, spacing)) continue;

        let label = layers.label;
        if (cavity < spacing) {
          layers.lay(LABEL.brainstem, cover(stem, spacing));
          if (cerebellum < spacing) {
            const leaf = leaves.distance(x, y, z, LEAF_CENTRE, 1);
            const cleft = Math.hypot(leaf, Math.max(0, -cerebellum - LEAF.depth)) - 0.2;
            const leafDepth = Math.min(-cerebellum, cleft);
            layers.lay(LABEL['cerebellar cortex'], cover(cerebellum, spacing));
            layers.lay(LABEL['cerebellar white matter'], cover(LEAF.thickness - leafDepth, spacing));
          }
          const fourth = ellipsoid(x, y, z, FOURTH_VENTRICLE.centre, FOURTH_VENTRICLE.radii);
          layers.lay(LABEL['fourth ventricle'], cover(fourth, spacing));
          label = layers.label;
          const gap = Math.min(cerebellum - 2.5, stem - 1.5);
          if (cortex.measure(x, y, z, gap, spacing, 1.8 * wobbleX[v], 1.8 * wobbleY[v], 1.8 * wobbleZ[v])) {
            cerebrum[v] = cortex.share;
            depth[v] = cortex.depth;
            if (cortex.share >= 0.5) {
              side[v] = x < 0 ? -1 : 1;
              label = cortex.depth > thickness ? LABEL['cerebral white matter'] : cortex.lobe(y, z);
            }
            label = deep.draw(v, ax, y, z) || label;
          }
        }
        labels[v] = label;
        underT1w[v] = layers.t1w;
        underFlair[v] = layers.flair;
      }
    }
  }
  deep.labelMissing(labels);
  const { over, overShare } = deep;
  const under = { underT1w, underFlair };
  return { shape, spacing, labels, side, ...under, cerebrum, depth, over, overShare, thickness, signals };
}

/** Every tissue's signal varies a little from head to head; cortex as one, or a lobe of its own signal would be a sign. */
function drawSignals(random: Random): Signal[] {
  const jitter = (): Signal => ({ t1w: random.normal(1, 0.015), flair: random.normal(1, 0.015) });
  const cortical = jitter();
  return [
    { t1w: 0.02, flair: 0.02 },
    ...PHANTOM_STRUCTURES.map(({ name, t1w, flair }) => {
      const own = jitter();
      const factor = name.endsWith('cortex') ? cortical : own;
      return { t1w: t1w * factor.t1w, flair: flair * factor.flair };
    }),
  ];
}

/** Signal of one voxel while tissues are laid over each other, each by the share of the voxel that it fills. */
class Layers {
  t1w = 0;
  flair = 0;
  /** The last tissue that filled half of the voxel. */
  label = 0;

  constructor(private readonly signals: readonly Signal[]) {}

  lay(number: number, share: number, signal: Signal = this.signals[number]): void {
    this.t1w += share * (signal.t1w - this.t1w);
    this.flair += share * (signal.flair - this.flair);
    if (share >= 0.5) this.label = number;
  }

  /**
   * Starts a voxel with all that surrounds the brain: air, scalp, face, neck, skull, CSF. False where it is air only.
   *
   * @param cavity signed distance to the inner table of the skull
   */
  drawCovering(ax: number, y: number, z: number, cavity: number, voxel: number): boolean {
    this.t1w = this.signals[0].t1w;
    this.flair = this.signals[0].flair;
    this.label = 0;
    const scalp = cavity - 12 - 2 * cover(z - 60, 40);
    const neck = Math.hypot(ax / 1.05, (y + 28) / 1.15);
    const face = ellipsoid(ax, y, z, [0, 38, -52], [56, 47, 58]);
    const head = blend(blend(scalp, Math.max(neck - 50, z + 20), 30), face, 18);
    if (head > voxel) return false;
    const number = LABEL['scalp and face'];
    this.lay(number, cover(head, voxel));
    if (cavity > 0) {
      const jaw = ellipsoid(ax, y, z, [0, 36, -60], [46, 38, 44]);
      this.lay(number, cover(Math.min(Math.max(neck - 42, z + 34), jaw), voxel), MUSCLE);
      this.lay(number, cover(ellipsoid(ax, y, z, [32, 62, -19], [12, 12, 12]), voxel), EYE);
      this.lay(0, cover(ellipsoid(ax, y, z, [0, 52, -46], [13, 22, 17]), voxel)); // nasal cavity
      this.lay(0, cover(ellipsoid(ax, y, z, [28, 56, -48], [12, 14, 13]), voxel)); // maxillary sinus
    }
    // Bright marrow between two dark tables.
    const marrow = Math.exp(-(((cavity - 4) / 1.6) ** 2));
    const { t1w, flair } = this.signals[LABEL.skull];
    this.lay(LABEL.skull, cover(cavity - 8, voxel), {
      t1w: t1w + 0.35 * marrow,
      flair: flair + 0.2 * marrow,
    });
    this.lay(LABEL['cerebrospinal fluid'], cover(cavity, voxel));
    return true;
  }
}

const MUSCLE: Signal = { t1w: 0.48, flair: 0.42 };
const EYE: Signal = { t1w: 0.24, flair: 0.16 };

/** The deep structures over the white matter: which covers a voxel, and how much of it. */
class DeepLayer {
  readonly over: Uint8Array;
  readonly overShare: Float32Array;
  /** Largest share of a voxel that a structure has anywhere, and where; by label number. */
  private readonly most = new Map<number, { share: number; voxel: number }>();

  constructor(
    voxels: number,
    private readonly voxel: number,
    private readonly ventricles: number,
  ) {
    this.over = new Uint8Array(voxels);
    this.overShare = new Float32Array(voxels);
  }

  /** Draws voxel `v`; returns the number of the structure that fills half of it or more, else 0. */
  draw(v: number, ax: number, y: number, z: number): number {
    for (const { number, distance } of deepStructuresNear(ax, y, z)) {
      const share = cover(distance(ax, y, z, this.ventricles), this.voxel);
      if (share <= 0) continue;
      if (share > (this.most.get(number)?.share ?? 0)) this.most.set(number, { share, voxel: v });
      if (share < 0.5 && share <= this.overShare[v]) continue;
      this.over[v] = number;
      this.overShare[v] = share;
    }
    return this.overShare[v] >= 0.5 ? this.over[v] : 0;
  }

  /** In coarse grids a thin structure may nowhere fill half a voxel: it gets the one that it fills most. */
  labelMissing(labels: Uint8Array): void {
    const present = new Set(labels);
    for (const [number, { voxel }] of this.most) if (!present.has(number)) labels[voxel] = number;
  }
}
