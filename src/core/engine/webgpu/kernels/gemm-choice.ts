/**
 * How a matrix product is cut up. A workgroup makes `rows` x `columns` results, in steps of `depth` products; a thread
 * makes `threadRows` x `threadColumns` of them in registers.
 *
 * The reasons, for a GPU of NVIDIA's Hopper kind (132 multiprocessors of 128 FMA a cycle, 64 K registers, 128 bytes of
 * shared memory a cycle):
 * - 8 x 4 results a thread read 12 vec4 of shared memory for 128 FMA (4 steps of depth). Half of the lanes of a warp ask for the
 *   same vec4 of A, so this takes 16 of 32 cycles: arithmetic, not shared memory, is the limit. 4 x 4 would be on the edge.
 * - 8 x 8 halves what comes from L2 per FMA, at 64 accumulators: worth it only where enough workgroups are left over.
 * - 256 threads with up to 128 registers each: two workgroups per multiprocessor, which hide each other's barriers.
 *   Smaller workgroups wait less for each other; which way that goes is the device's matter, and tuned on it.
 * - Both tiles and the places of rows fit into the 16 KiB of workgroup memory that WebGPU guarantees everywhere: depth 16
 *   with 128 x 64 results takes 14 KiB, depth 8 with 128 x 128 takes 10.
 */
export interface GemmTile {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly threadRows: 4 | 8;
  readonly threadColumns: 4 | 8;
}

export interface GemmChoice {
  readonly tile: TileName;
  /** Parts into which the sum is cut; their results are added in a second pass, always in the same order. */
  readonly parts: number;
}

/** A matrix product: results `rows` x `columns`, each a sum of `depth` products, `count` times over. */
export interface GemmProblem {
  readonly kind: 'gather' | 'filter-gradient';
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly count: number;
}

export const TILES = {
  wide: { rows: 128, columns: 128, depth: 8, threadRows: 8, threadColumns: 8 },
  tall: { rows: 128, columns: 64, depth: 16, threadRows: 8, threadColumns: 4 },
  small: { rows: 64, columns: 64, depth: 16, threadRows: 4, threadColumns: 4 },
  narrow: { rows: 256, columns: 16, depth: 8, threadRows: 4, threadColumns: 4 },
  // Workgroups of 128 and 64 threads with more results a thread, and tiles for 32 columns: for tuning to find out.
  'tall-128': { rows: 128, columns: 64, depth: 8, threadRows: 8, threadColumns: 8 },
  'small-64': { rows: 64, columns: 64, depth: 8, threadRows: 8, threadColumns: 8 },
  'slim-128': { rows: 128, columns: 32, depth: 16, threadRows: 8, threadColumns: 4 },
} as const satisfies Record<string, GemmTile>;

export type TileName = keyof typeof TILES;

export const TILE_NAMES = Object.keys(TILES) as readonly TileName[];

/** So many workgroups keep a large GPU busy: two for each of 132 multiprocessors. */
const BUSY = 264;

/** A part of a sum is at least so many steps long: shorter ones cost more in the second pass than they win. */
const SHORTEST_PART = 8;

/** Floats that partial sums may take. */
const MOST_PARTIAL = 32 * 2 ** 20;

export const threadsOf = ({ rows, columns, threadRows, threadColumns }: GemmTile): number =>
  (rows / threadRows) * (columns / threadColumns);

/** What a workgroup makes, and how much of the sum a step takes. */
export interface Block {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}

const groupsOf = (tile: Block, { rows, columns, count }: GemmProblem): number =>
  Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns) * count;

/** The built-in choice: the largest tile that leaves the GPU busy, and the sum cut up where there are too few tiles. */
export function chooseGemm(problem: GemmProblem): GemmChoice {
  const tile = tileFor(problem);
  return { tile, parts: partsFor(problem, TILES[tile]) };
}

function tileFor(problem: GemmProblem): TileName {
  const { rows, columns } = problem;
  if (columns <= 16) return 'narrow';
  if (columns > 64 && groupsOf(TILES.wide, problem) >= BUSY) return 'wide';
  // The gradient of a filter has few results and long sums, which can be cut up.
  if (rows > 64 && (problem.kind === 'filter-gradient' || groupsOf(TILES.tall, problem) >= BUSY))
    return 'tall';
  return 'small';
}

/** Parts of the sum that give a large GPU something to do for every multiprocessor. */
export function partsFor(problem: GemmProblem, tile: Block): number {
  const wanted = Math.ceil(BUSY / groupsOf(tile, problem));
  return Math.max(1, Math.min(wanted, mostParts(problem, tile)));
}

function mostParts(problem: GemmProblem, tile: Block): number {
  if (problem.count > 1) return 1;
  const longest = Math.floor(Math.ceil(problem.depth / tile.depth) / SHORTEST_PART);
  const room = Math.floor(MOST_PARTIAL / (problem.rows * problem.columns));
  return Math.max(1, Math.min(longest, room));
}

/** Numbers of parts that are worth timing: as estimated, half and twice as many, and none. */
export function partsToTime(problem: GemmProblem, tile: Block): number[] {
  const estimate = partsFor(problem, tile);
  const tried = [estimate, 1, Math.round(estimate / 2), 2 * estimate];
  return [...new Set(tried.filter((parts) => parts >= 1 && parts <= mostParts(problem, tile)))];
}

/**
 * What a product costs by a tile, relative to other tiles: products including those of a tile's empty edges, the more the
 * less a tile reuses what it loads (a load from L2 takes as long as 24 products there), in waves of workgroups over a large GPU;
 * and the second pass over partial sums.
 */
export function gemmCost(problem: GemmProblem, tile: Block, parts: number): number {
  const groups = groupsOf(tile, problem) * parts;
  const waves = Math.max(1, groups / BUSY);
  // Half-empty last waves cost as much as full ones, where there are few.
  const rounded = waves > 4 ? waves : Math.ceil(waves);
  const perGroup =
    tile.rows * tile.columns * Math.ceil(problem.depth / parts) * (1 + 24 / tile.rows + 24 / tile.columns);
  const second = parts > 1 ? problem.rows * problem.columns * (parts + 1) * 24 : 0;
  return rounded * perGroup + second / BUSY;
}
