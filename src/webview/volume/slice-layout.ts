import type { FileHeader, ViewerSettings } from '../../protocol/viewer';
import { apply, inverse, type Point } from './affine';
import type { Plane } from './mask-field';
import type { Tile, View } from './slice-drawing';

/** Device pixels of the whole drawing, and between its tiles. */
export interface Room {
  readonly width: number;
  readonly height: number;
  readonly gap: number;
}

/** Which voxel axis runs along the patient's left-right (posterior-anterior, inferior-superior) axis, and which way. */
interface Standing {
  readonly axis: number;
  readonly reversed: boolean;
  readonly voxels: number;
  readonly mm: number;
}

const LETTERS = ['RL', 'AP', 'SI'];

/** Patient axes of the views: to the right, upwards, and into the screen. */
const VIEWS: readonly (readonly [Exclude<View, 'render'>, across: number, up: number, into: number])[] = [
  ['axial', 0, 1, 2],
  ['coronal', 0, 2, 1],
  ['sagittal', 1, 2, 0],
];

/**
 * Where the three slices through a place stand: one scale for all, beside, below or in a square with room for the render,
 * whichever shows them largest. This is NiiVue's arrangement, so that nothing moves when it takes over.
 */
export function sliceTiles(
  header: Pick<FileHeader, 'shape' | 'spacingMm' | 'orientation' | 'affine'>,
  { width, height, gap }: Room,
  convention: ViewerSettings['convention'],
  at: Point,
): Tile[] {
  const standing = axesOf(header);
  const [x, y, z] = standing.map(({ mm }) => mm);
  const longest = Math.max(x, y, z);
  const fit = (w: number, h: number, columns: number, rows: number) => {
    const [roomW, roomH] = [width - (columns - 1) * gap, height - (rows - 1) * gap];
    const scale = Math.min(roomW / w, roomH / h);
    return { left: (roomW - w * scale) / 2, top: (roomH - h * scale) / 2, scale };
  };
  const column = fit(longest, y + z + z, 1, 3).scale;
  const row = fit(x + x + y, Math.max(y, z), 3, 1).scale;
  const square = fit(x + y, y + z, 2, 2);
  let places: readonly (readonly [left: number, top: number])[];
  let scale: number;
  if (column > row && column > square.scale) {
    const { left, top, scale: s } = fit(longest, y + z + z + longest, 1, 4);
    scale = s;
    places = [
      [left, top],
      [left, top + s * y + gap],
      [left, top + s * (y + z) + 2 * gap],
    ];
  } else if (row > square.scale) {
    const { left, top, scale: s } = fit(x + x + y + longest, Math.max(y, z), 4, 1);
    scale = s;
    places = [
      [left, top],
      [left + s * x + gap, top],
      [left + s * (x + x) + 2 * gap, top],
    ];
  } else {
    const { left, top, scale: s } = square;
    scale = s;
    places = [
      [left, top + s * z + gap],
      [left, top],
      [left + s * x + gap, top],
    ];
  }
  return VIEWS.map(([view, across, up, into], n) => {
    const tile = wholePixels(
      places[n][0],
      places[n][1],
      scale * standing[across].mm,
      scale * standing[up].mm,
      height,
    );
    // The nose is on the left of a sagittal slice in either convention, as in the report's figures.
    const mirrored = view === 'sagittal' || convention === 'radiological';
    return { view, ...tile, plane: planeOf(header, standing, tile, { across, up, into, mirrored }, at) };
  });
}

/** A tile on whole pixels, as the graphics cut it off, whose rows are counted from below. `of`: rows of the drawing. */
export function wholePixels(left: number, top: number, width: number, height: number, of: number) {
  const rows = Math.floor(height);
  const below = Math.trunc(of - top - height);
  return { left: Math.floor(left), top: of - below - rows, width: Math.floor(width), height: rows };
}

function axesOf({
  shape,
  spacingMm,
  orientation,
}: Pick<FileHeader, 'shape' | 'spacingMm' | 'orientation'>): Standing[] {
  return LETTERS.map((letters) => {
    const axis = [...orientation].findIndex((letter) => letters.includes(letter));
    return {
      axis,
      reversed: orientation[axis] === letters[1],
      voxels: shape[axis],
      mm: shape[axis] * spacingMm[axis],
    };
  });
}

/** Slices are cut along the voxel axes; the place decides the depth. */
function planeOf(
  { affine }: Pick<FileHeader, 'affine'>,
  standing: readonly Standing[],
  tile: { left: number; top: number; width: number; height: number },
  { across, up, into, mirrored }: { across: number; up: number; into: number; mirrored: boolean },
  at: Point,
): Plane {
  const depth = apply(inverse(affine), at)[standing[into].axis];
  const place = (x: number, y: number): Point => {
    const share = [0, 0, 0];
    const right = (x - tile.left) / tile.width;
    share[across] = mirrored ? 1 - right : right;
    share[up] = 1 - (y - tile.top) / tile.height;
    const voxel: [number, number, number] = [0, 0, 0];
    for (const along of [across, up]) {
      const { axis, reversed, voxels } = standing[along];
      voxel[axis] = (reversed ? 1 - share[along] : share[along]) * voxels - 0.5;
    }
    voxel[standing[into].axis] = depth;
    return apply(affine, voxel);
  };
  const origin = place(0, 0);
  const step = (to: Point): Point => to.map((n, axis) => n - origin[axis]) as unknown as Point;
  return { origin, right: step(place(1, 0)), down: step(place(0, 1)) };
}
