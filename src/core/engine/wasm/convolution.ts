import { canFold, multiplyGradientTaps, multiplyTaps } from './direct-convolution';
import type { ConvGeometry, ConvPass } from './conv-geometry';
import type { Machine } from './machine';
import { multiplyGradientTiles, multiplyTiles, tilesServe } from './tiled-convolution';
import type { TileSize } from './tile-axis';

/**
 * `direct`: tap by tap. `folded`: with the taps along a row as channels, for the few channels of a scan.
 * `tiles-n`: by short convolutions of n results along each axis (Winograd's).
 */
export const ALGORITHMS = ['direct', 'folded', 'tiles-2', 'tiles-3', 'tiles-4'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

const TILE_SIZES = new Map<Algorithm, TileSize>([
  ['tiles-2', 2],
  ['tiles-3', 3],
  ['tiles-4', 4],
]);

/** Algorithms that can serve a shape and pass. */
export function algorithmsFor(pass: ConvPass, g: ConvGeometry): Algorithm[] {
  return [
    'direct',
    ...(canFold(pass, g) ? ['folded' as const] : []),
    ...(tilesServe(g) ? TILE_SIZES.keys() : []),
  ];
}

/** y = x convolved with filter; all are addresses, NDHWC and DHWIO. */
export function convolve(
  machine: Machine,
  g: ConvGeometry,
  x: number,
  filter: number,
  y: number,
  algorithm = algorithmFor('y', g),
): void {
  const size = TILE_SIZES.get(algorithm);
  if (size) multiplyTiles(machine, 'y', g, size, x, filter, y);
  else multiplyTaps(machine, 'y', g, algorithm === 'folded', x, filter, y);
}

/** dx from dy. */
export function convolveInputGradient(
  machine: Machine,
  g: ConvGeometry,
  dy: number,
  filter: number,
  dx: number,
  algorithm = algorithmFor('dx', g),
): void {
  const size = TILE_SIZES.get(algorithm);
  if (size) multiplyTiles(machine, 'dx', g, size, dy, filter, dx);
  else multiplyTaps(machine, 'dx', g, algorithm === 'folded', dy, filter, dx);
}

/** dfilter from x and dy. */
export function convolveFilterGradient(
  machine: Machine,
  g: ConvGeometry,
  x: number,
  dy: number,
  dfilter: number,
  algorithm = algorithmFor('dfilter', g),
): void {
  const size = TILE_SIZES.get(algorithm);
  if (size) multiplyGradientTiles(machine, g, size, x, dy, dfilter);
  else multiplyGradientTaps(machine, g, algorithm === 'folded', x, dy, dfilter);
}

function algorithmFor(pass: ConvPass, g: ConvGeometry): Algorithm {
  return canFold(pass, g) ? 'folded' : 'direct';
}
