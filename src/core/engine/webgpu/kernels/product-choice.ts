import type { Precision } from '../../engine';
import { TILES, type Block, type GemmProblem, type TileName } from './gemm-choice';
import {
  MATRIX_TILES,
  MATRIX_TILE_NAMES,
  matrixBuffers,
  matrixDepth,
  matrixProduct,
  type MatrixDialect,
  type MatrixTileName,
  type MatrixUnit,
  type WorkgroupLimits,
} from './matrix-product';
import { registerProduct, type LeftLayout, type TileProduct } from './tile-product';

/**
 * How a matrix product is computed: by a thread's arithmetic (`taps`) or by matrix units (`matrix`), by which tile, and in how
 * many parts its sum is cut, which are added in a second pass, always in the same order. `matrix-halves`: by matrix units from
 * copies of the operands in half precision.
 */
export type ProductChoice =
  | { readonly way: 'taps'; readonly tile: TileName; readonly parts: number }
  | { readonly way: MatrixWay; readonly tile: MatrixTileName; readonly parts: number };

export type MatrixWay = 'matrix' | 'matrix-halves';

/** Whether copies in half precision can be read by fours. */
export const halvesServe = (precision: Precision, ...channels: readonly number[]): boolean =>
  precision === 'f16' && channels.every((count) => count % 4 === 0 && count >= 16);

/** The matrix unit of a GPU, where it has one that was found right. */
export interface MatrixAbility {
  readonly unit: MatrixUnit;
  readonly dialect: MatrixDialect;
  readonly limits: WorkgroupLimits;
}

/** What of a GPU decides which choices it can serve. */
export interface Abilities {
  readonly matrices?: readonly MatrixAbility[];
}

/** The matrix unit that multiplies in this precision: it rounds as much as was asked for, and not more. */
export function matrixFor({ matrices }: Abilities, precision: Precision): MatrixAbility | undefined {
  return matrices?.find(({ unit }) => unit.element === precision);
}

/** Matrix tiles for which this GPU has threads and memory. */
export function matrixTiles({ unit, limits }: MatrixAbility): MatrixTileName[] {
  return MATRIX_TILE_NAMES.filter((name) => matrixBuffers(unit, name, limits) > 0);
}

/** What a workgroup makes at a time. */
export function blockOf(choice: Pick<ProductChoice, 'way' | 'tile'>, precision: Precision): Block {
  if (choice.tile in TILES) return TILES[choice.tile as TileName];
  const { rows, columns } = MATRIX_TILES[choice.tile as MatrixTileName];
  return { rows, columns, depth: matrixDepth({ element: precision }) };
}

const multipliers = new Map<string, TileProduct>();

/** The texts that multiply as chosen, and what tells them from others. */
export function multiplierOf(
  settings: Abilities & { readonly precision: Precision },
  choice: ProductChoice,
  layout: LeftLayout,
): { key: string; product: TileProduct } {
  const { precision } = settings;
  if (choice.way === 'taps') {
    const { tile } = choice;
    return kept([tile, layout, precision], () => registerProduct(TILES[tile], precision, layout));
  }
  const { tile } = choice;
  const matrix = matrixFor(settings, precision);
  if (!matrix) throw new Error(`This GPU has no matrix unit for ${precision} that was found right.`);
  const { unit, dialect, limits } = matrix;
  const buffers = matrixBuffers(unit, tile, limits);
  if (buffers === 0) throw new Error(`The tile ${tile} does not fit this GPU's matrix unit.`);
  return kept([tile, layout, buffers, dialect.name, JSON.stringify(unit)], () =>
    matrixProduct(unit, tile, buffers, dialect, layout),
  );
}

/** Texts are long, and asked for with every command. */
function kept(
  of: readonly (string | number)[],
  make: () => TileProduct,
): { key: string; product: TileProduct } {
  const key = of.join(' ');
  let product = multipliers.get(key);
  if (!product) multipliers.set(key, (product = make()));
  return { key, product };
}

/** Whether there is enough to multiply for a matrix unit: it works in steps that smaller products do not fill. */
export const worthMatrix = ({ columns, depth }: GemmProblem): boolean => columns >= 16 && depth >= 64;
