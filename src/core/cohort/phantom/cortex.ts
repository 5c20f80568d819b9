import type { Random } from '../../random';
import { FoldingPattern } from './folding';
import { cover, ellipsoid } from './solids';
import { LABEL } from './structures';

const HEMISPHERE = { centre: [0, -17, 20], radii: [68, 88, 58] } as const;
const TEMPORAL = { centre: [41, -17, -17], radii: [25, 45, 21] } as const;
/** Around the ventricles there is no cortex on the medial wall. */
const CORE = { centre: [0, -5, 8], radii: [31, 40, 23] } as const;
/** Where the lines that sulci follow inward meet, left and right. */
const FOLD_CENTRES = [
  [-30, -15, 8],
  [30, -15, 8],
] as const;
/** Deeper than this below the hull there are no sulci, in mm. */
const DEEPEST = 36;
/** Distance from the midline to the insula in mm. */
const INSULA_X = 38;

/**
 * The cerebrum of one head: two hemispheres, each a smooth hull (a lobe above the skull base and tentorium, and a
 * temporal lobe) into which sulci, the Sylvian fissure and the cleft over the insula are cut. Cortex is what lies within
 * its thickness of that folded pial surface. {@link measure} leaves its answer in the fields.
 */
export class Cortex {
  /** Signed distance to the smooth hull of the upper part and of the temporal lobe, in mm. */
  upper = 0;
  temporal = 0;
  /** Share of the voxel that is cerebral tissue. */
  share = 0;
  /** Depth below the nearest pial surface, in mm; negative in CSF. */
  depth = 0;
  private insular = false;
  private sylvian = 0;

  private readonly folds: readonly FoldingPattern[];
  private readonly reach: FoldingPattern;
  /** Half the width of a sulcus in mm. */
  private readonly sulcus: number;

  constructor(random: Random) {
    this.sulcus = random.uniform(0.45, 0.9);
    this.folds = [0, 1].map(() => new FoldingPattern(random, random.uniform(25, 29)));
    this.reach = new FoldingPattern(random, 70);
  }

  /** Sets `upper` and `temporal`. */
  measureHull(ax: number, y: number, z: number): void {
    const hemisphere = ellipsoid(ax, y, z, HEMISPHERE.centre, HEMISPHERE.radii);
    // The floor: skull base in front, tentorium behind.
    const floor = (y > -25 ? -12 - 0.2 * y : -0.75 + 0.25 * y) - z;
    this.upper = Math.max(hemisphere, floor);
    this.temporal = ellipsoid(ax, y, z, TEMPORAL.centre, TEMPORAL.radii);
  }

  /**
   * Sets `share` and `depth`; false where there is no cerebrum at all. {@link measureHull} comes first.
   *
   * @param gap signed distance to what the cerebrum leaves room for (cerebellum, brainstem)
   * @param wobbleX how far the folds are pushed aside here, in mm, and so on
   */
  measure(
    x: number,
    y: number,
    z: number,
    gap: number,
    voxel: number,
    wobbleX: number,
    wobbleY: number,
    wobbleZ: number,
  ): boolean {
    const ax = Math.abs(x);
    const hull = Math.max(Math.min(this.upper, this.temporal), 1 - ax, -gap);
    const core = ellipsoid(ax, y, z, CORE.centre, CORE.radii);
    if (Math.min(hull, core) >= voxel) return false;
    this.sylvian = sylvianHeight(y, z);
    this.share = cover(hull, voxel);
    this.depth = -hull;
    const below = Math.max(-hull, 0);
    if (below < DEEPEST) {
      const centre = x < 0 ? FOLD_CENTRES[0] : FOLD_CENTRES[1];
      const radius = Math.max(Math.hypot(x - centre[0], y - centre[1], z - centre[2]), 1);
      const wall = this.folds[x < 0 ? 0 : 1].distance(
        x + wobbleX,
        y + wobbleY,
        z + wobbleZ,
        centre,
        1 + below / radius,
      );
      // How deep sulci reach differs slowly from place to place: 10 to 20 mm. They gape at the surface.
      const reach = 10 + 0.57 * this.reach.distance(x, y, z, centre, 1);
      const half = this.sulcus * (1 + 0.8 * Math.max(0, 1 - below / 8));
      this.cut(Math.hypot(wall, Math.max(0, below - reach)), half, voxel);
    }
    this.cutSylvianFissure(ax + wobbleX, y + wobbleY, z + wobbleZ, voxel);
    this.share = Math.max(this.share, cover(core, voxel));
    this.depth = Math.max(this.depth, -core);
    return true;
  }

  /** Label number of cortex at a measured place. */
  lobe(y: number, z: number): number {
    if (this.insular) return LABEL['insular cortex'];
    if (y < -66 + 0.15 * z) return LABEL['occipital cortex'];
    const belowFissure = this.sylvian < 0;
    if (this.temporal < this.upper || (belowFissure && y < 5)) return LABEL['temporal cortex'];
    // The central sulcus: further back at the vertex than beside the fissure.
    return y > 2 - 0.42 * (z - 10) ? LABEL['frontal cortex'] : LABEL['parietal cortex'];
  }

  /** Rises from the temporal pole backward; at its floor a plate of cortex, the insula, faces outward. */
  private cutSylvianFissure(ax: number, y: number, z: number, voxel: number): void {
    const sylvian = sylvianHeight(y, z);
    const fissure = Math.hypot(
      Math.max(0, -38 - y, y - 24),
      Math.max(0, INSULA_X - ax),
      sylvian / Math.hypot(1, 0.3),
    );
    const beside = 11 * (Math.hypot((y - 2) / 19, (sylvian - 1) / 12) - 1);
    const floor = Math.hypot(ax - INSULA_X, Math.max(0, beside));
    const half = this.sulcus + 0.6;
    this.insular = ax < INSULA_X + 4 && floor < fissure && floor - half < this.depth;
    this.cut(fissure, half, voxel);
    this.cut(floor, half, voxel);
  }

  /** Takes a cleft of half-width `half`, whose middle is `away` mm off, out of the tissue. */
  private cut(away: number, half: number, voxel: number): void {
    const open = cover(away - half, voxel) - cover(away + half, voxel);
    this.share = Math.min(this.share, 1 - open);
    this.depth = Math.min(this.depth, away - half);
  }
}

/** Height above the plane of the Sylvian fissure in mm, measured upright. */
function sylvianHeight(y: number, z: number): number {
  return z + 4 + 0.3 * y;
}
