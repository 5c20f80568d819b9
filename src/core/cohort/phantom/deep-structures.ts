import { chain, ellipsoid, type Bead } from './solids';
import { LABEL } from './structures';

const VENTRICLE: readonly Bead[] = [
  [7, 27, 6, 4.5],
  [9, 8, 16, 4.5],
  [12, -18, 18, 4.5],
  [20, -36, 10, 6],
  [29, -28, -6, 3.5],
  [31, -12, -12, 2.6],
];
const CAUDATE: readonly Bead[] = [
  [14, 20, 5, 6.5],
  [15.5, 8, 13, 5.2],
  [18, -8, 18, 4],
  [21, -22, 17, 3],
];
const HIPPOCAMPUS: readonly Bead[] = [
  [25, -10, -19, 5],
  [27, -22, -16, 5],
  [25, -34, -7, 4],
];

/** Something within the white matter around the ventricles; distances take |x|, so that both sides have it. */
export interface DeepStructure {
  readonly number: number;
  /** Signed distance in mm; `ventricles` scales what holds CSF. */
  readonly distance: (ax: number, y: number, z: number, ventricles: number) => number;
}

/** Later ones lie over earlier ones. */
const DEEP_STRUCTURES: readonly DeepStructure[] = [
  {
    number: LABEL['internal capsule'],
    distance: (x, y, z) => ellipsoid(x, y, z, [19.5, -4, 7], [6, 21, 13]),
  },
  { number: LABEL['corpus callosum'], distance: callosum },
  { number: LABEL.putamen, distance: (x, y, z) => ellipsoid(x, y, z, [26.5, 3, 2], [5.5, 16, 10]) },
  { number: LABEL.pallidum, distance: (x, y, z) => ellipsoid(x, y, z, [19.5, -2, 0], [4.5, 10, 7]) },
  { number: LABEL.thalamus, distance: (x, y, z) => ellipsoid(x, y, z, [10.5, -17, 5], [8, 14, 9]) },
  { number: LABEL.caudate, distance: (x, y, z) => chain(x, y, z, CAUDATE) },
  { number: LABEL.hippocampus, distance: (x, y, z) => chain(x, y, z, HIPPOCAMPUS) },
  { number: LABEL.amygdala, distance: (x, y, z) => ellipsoid(x, y, z, [23.5, 0, -18], [6.5, 6.5, 6.5]) },
  { number: LABEL['lateral ventricles'], distance: (x, y, z, size) => chain(x, y, z, VENTRICLE, size) },
  {
    number: LABEL['third ventricle'],
    distance: (x, y, z, size) => ellipsoid(x, y, z, [0, -11, 1], [2.6 * size, 13, 10]),
  },
];
const NONE: readonly DeepStructure[] = [];

/** The structures that can reach a place: none outside of the box that holds them all. */
export function deepStructuresNear(ax: number, y: number, z: number): readonly DeepStructure[] {
  return ax < 42 && y > -50 && y < 42 && z > -32 && z < 38 ? DEEP_STRUCTURES : NONE;
}

/** An arch over the ventricles, from genu to splenium, reaching 15 mm to both sides. */
function callosum(ax: number, y: number, z: number): number {
  const ring = Math.abs(ellipsoid(0, y, z, [0, -4, 3], [1e3, 33, 24])) - 3.2;
  return Math.max(ring, ax - 15, 2 - z);
}
