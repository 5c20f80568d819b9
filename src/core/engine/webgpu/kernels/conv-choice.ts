import type { Precision } from '../../engine';
import { product, type ConvGeometry, type ConvPass } from '../../wasm/conv-geometry';
import { problemOf } from './conv-problem';
import {
  TILE_NAMES,
  chooseGemm,
  gemmCost,
  partsFor,
  partsToTime,
  type GemmProblem,
  type TileName,
} from './gemm-choice';
import { MATRIX_TILE_NAMES, type MatrixTileName } from './matrix-product';
import {
  blockOf,
  halvesServe,
  matrixFor,
  matrixTiles,
  worthMatrix,
  type Abilities,
  type MatrixWay,
  type ProductChoice,
} from './product-choice';
import { TILE_SIZES, tileForProducts, tilesServe, type TiledChoice } from './tiled-convolution';

/** How a convolution or a gradient of it is computed: as one gathered matrix product over taps and channels, or by tiles. */
export type ConvChoice = ProductChoice | TiledChoice;

/** Whether a choice works by tiles. */
export const isTiled = (choice: ConvChoice): choice is TiledChoice => choice.way.startsWith('tiles-');

/** A convolution that a plan decides about. */
export interface PlannedConv {
  readonly pass: ConvPass;
  readonly g: ConvGeometry;
  readonly precision: Precision;
}

/** As plans record it: `taps tall 3`. */
export const choiceText = ({ way, tile, parts }: ConvChoice): string => `${way} ${tile} ${parts}`;

const isTile = (name: string): name is TileName => (TILE_NAMES as readonly string[]).includes(name);
const isMatrixTile = (name: string): name is MatrixTileName =>
  (MATRIX_TILE_NAMES as readonly string[]).includes(name);

/** The choice that a plan records; undefined where this version does not know it or this GPU cannot serve it. */
export function choiceOf(
  text: string | undefined,
  { pass, g, precision }: PlannedConv,
  abilities: Abilities,
): ConvChoice | undefined {
  const [, way, tile, digits] = /^(\S+) (\S+) ([1-9]\d{0,3})$/.exec(text ?? '') ?? [];
  const parts = Number(digits);
  if (way === 'taps' && isTile(tile)) return { way, tile, parts };
  const matrix = matrixFor(abilities, precision);
  if (isMatrixTile(tile) && matrix && matrixTiles(matrix).includes(tile)) {
    if (way === 'matrix') return { way, tile, parts };
    if (way === 'matrix-halves' && halvesServe(precision, g.inChannels, g.outChannels))
      return { way, tile, parts };
  }
  const size = TILE_SIZES.find((one) => way === `tiles-${one}`);
  if (size && isTile(tile) && parts === 1 && precision === 'f32' && tilesServe(pass, g, size))
    return { way: `tiles-${size}`, tile, parts };
  return undefined;
}

/** The choice where nothing was timed: a matrix unit, where there is one and enough to multiply. */
export function estimatedChoice(conv: PlannedConv, abilities: Abilities): ConvChoice {
  const { pass, g, precision } = conv;
  const problem = problemOf(pass, g);
  const ways = matrixWays(conv);
  const way = product(g.kernel) >= WORTH_COPYING ? ways[ways.length - 1] : ways[0];
  const candidates = matrixChoices(problem, precision, abilities).map((tile) => {
    const parts = partsFor(problem, blockOf({ way, tile }, precision));
    return { way, tile, parts };
  });
  if (candidates.length === 0) return { way: 'taps', ...chooseGemm(problem) };
  return candidates.reduce((a, b) => (costOf(problem, b, precision) < costOf(problem, a, precision) ? b : a));
}

/** Taps from which a copy in half precision is estimated to pay: each of them gathers the operand once more. */
const WORTH_COPYING = 8;

/** From the tensors as they are, and from copies in half precision where these can be read. */
function matrixWays({ g, precision }: PlannedConv): readonly MatrixWay[] {
  return halvesServe(precision, g.inChannels, g.outChannels) ? ['matrix', 'matrix-halves'] : ['matrix'];
}

function matrixChoices(problem: GemmProblem, precision: Precision, abilities: Abilities): MatrixTileName[] {
  const matrix = matrixFor(abilities, precision);
  return matrix && worthMatrix(problem) ? matrixTiles(matrix) : [];
}

/**
 * Over so few positions rounding does not average out, and short convolutions round several times as much as sums of taps: there
 * exactness is worth more than time, of which so little needs little. In half precision their transforms would lose too much.
 */
const FEW_POSITIONS = 500;

/** Choices by tiles, each with the register tile that is estimated best for its products. Only timing tells whether they pay. */
function tiledChoices({ pass, g, precision }: PlannedConv): TiledChoice[] {
  if (precision !== 'f32' || g.batch * product(g.output) < FEW_POSITIONS) return [];
  return TILE_SIZES.filter((size) => tilesServe(pass, g, size)).map((size) => ({
    way: `tiles-${size}`,
    tile: tileForProducts(pass, g, size),
    parts: 1,
  }));
}

const costOf = (problem: GemmProblem, choice: ProductChoice, precision: Precision) =>
  gemmCost(problem, blockOf(choice, precision), choice.parts);

/** Estimated slower than this many times the best of its way, a choice is not timed: estimates are rough. */
const WORTH_TIMING = 2;
/** Choices of each way that are timed at most. */
export const MOST_TIMED = 10;

/** Choices that are worth timing, the estimated one first. */
export function choicesToTime(
  conv: PlannedConv,
  abilities: Abilities,
  most: number = MOST_TIMED,
): ConvChoice[] {
  const problem = problemOf(conv.pass, conv.g);
  const first = estimatedChoice(conv, abilities);
  const withParts = (of: { way: 'taps'; tile: TileName } | { way: MatrixWay; tile: MatrixTileName }) =>
    partsToTime(problem, blockOf(of, conv.precision)).map((parts): ProductChoice => ({ ...of, parts }));
  const ways = [
    TILE_NAMES.flatMap((tile) => withParts({ way: 'taps', tile })),
    ...matrixWays(conv).map((way) =>
      matrixChoices(problem, conv.precision, abilities).flatMap((tile) => withParts({ way, tile })),
    ),
  ];
  const worth = ways.flatMap((choices) => {
    const costs = choices
      .map((choice) => ({ choice, cost: costOf(problem, choice, conv.precision) }))
      .sort((a, b) => a.cost - b.cost);
    return costs
      .filter(({ cost }) => cost <= WORTH_TIMING * costs[0].cost)
      .slice(0, most)
      .map(({ choice }) => choice);
  });
  const others: ConvChoice[] = [...worth, ...tiledChoices(conv).slice(0, most)];
  return [first, ...others.filter((choice) => choiceText(choice) !== choiceText(first))];
}
