import { InputError } from '../../errors';
import { product, type ConvGeometry, type ConvPass } from './conv-geometry';
import { depthProducts, depthServes } from './depth-convolution';
import { canFold } from './direct-convolution';
import { tilesServe, tilingOf } from './tiled-convolution';
import type { TileSize } from './tile-axis';

/**
 * `direct`: tap by tap. `folded`: with the taps along a row as channels, for the few channels of a scan.
 * `depth`: by short convolutions along the depth, for a stem. `tiles-n`: by short convolutions of n results along each axis (Winograd's).
 */
export const ALGORITHMS = ['direct', 'folded', 'depth', 'tiles-2', 'tiles-3', 'tiles-4'] as const;
export type Algorithm = (typeof ALGORITHMS)[number];

const TILE_SIZES = new Map<Algorithm, TileSize>([
  ['tiles-2', 2],
  ['tiles-3', 3],
  ['tiles-4', 4],
]);

/** Results per tile and axis of an algorithm that works by tiles. */
export function tileSizeOf(algorithm: Algorithm): TileSize | undefined {
  return TILE_SIZES.get(algorithm);
}

/** Algorithms that can serve a shape and pass. */
export function algorithmsFor(pass: ConvPass, g: ConvGeometry): Algorithm[] {
  return [
    'direct',
    ...(canFold(pass, g) ? ['folded' as const] : []),
    ...(depthServes(pass, g) ? ['depth' as const] : []),
    ...(tilesServe(g) ? TILE_SIZES.keys() : []),
  ];
}

/** Names of a shape and pass -> the algorithm that computes it: what a run records and replays. */
export type RecordedPlan = Readonly<Record<string, string>>;

/** A convolution's name in a plan: `dx n4 64-128 24x24x24 k3x3x3 s2x2x2 p1x1x1 d1x1x1`. */
export function planKey(pass: ConvPass, g: ConvGeometry): string {
  const triple = (sizes: readonly number[]) => sizes.join('x');
  return [
    pass,
    `n${g.batch}`,
    `${g.inChannels}-${g.outChannels}`,
    triple(g.input),
    `k${triple(g.kernel)}`,
    `s${triple(g.stride)}`,
    `p${triple(g.padding)}`,
    `d${triple(g.dilation)}`,
  ].join(' ');
}

/** What a plan starts from. */
export interface PlanOptions {
  /** Replayed as it is, before anything else. */
  readonly recorded?: RecordedPlan;
  /** What was fastest on this machine when it was timed. */
  readonly timed?: RecordedPlan;
  /** Time the candidates of a shape when it comes for the first time and was never timed. */
  readonly tune?: boolean;
  /** Milliseconds by which candidates are timed; the process's own clock unless it is said. */
  readonly clock?: () => number;
}

/** Candidates that are estimated slower than this many times the best are not timed. */
const WORTH_TIMING = 2.5;
/** Each candidate runs once to warm up and then this often; its best counts. */
const TIMED_RUNS = 2;

/**
 * Which algorithm computes which convolution: the one place that chooses. What was chosen once stays chosen, so that a
 * run is repeatable; {@link used} is all of it.
 */
export class ConvPlan {
  private readonly chosen = new Map<string, Algorithm>();
  private readonly fresh = new Map<string, Algorithm>();

  constructor(private readonly options: PlanOptions = {}) {}

  /**
   * Computes a convolution: `run` is called with the algorithm to use, last with the one that stays chosen.
   */
  run(pass: ConvPass, g: ConvGeometry, run: (algorithm: Algorithm) => void): void {
    run(this.algorithmOf(pass, g, run));
  }

  /** The algorithm that stays chosen; `trial` is called with candidates where they are timed for that. */
  algorithmOf(pass: ConvPass, g: ConvGeometry, trial: (algorithm: Algorithm) => void): Algorithm {
    const key = planKey(pass, g);
    let algorithm = this.chosen.get(key);
    if (!algorithm) {
      algorithm = this.choose(key, pass, g, trial);
      this.chosen.set(key, algorithm);
    }
    return algorithm;
  }

  /** Every choice so far, and what is recorded; names in order. */
  used(): RecordedPlan {
    return sorted({ ...this.options.recorded, ...Object.fromEntries(this.chosen) });
  }

  /** Choices that were timed here and now. */
  timedNow(): RecordedPlan {
    return sorted(Object.fromEntries(this.fresh));
  }

  private choose(
    key: string,
    pass: ConvPass,
    g: ConvGeometry,
    run: (algorithm: Algorithm) => void,
  ): Algorithm {
    const candidates = algorithmsFor(pass, g);
    const known = (plan: RecordedPlan | undefined) =>
      candidates.find((candidate) => candidate === plan?.[key]);
    const before = known(this.options.recorded) ?? known(this.options.timed);
    if (before) return before;
    const worthTiming = this.options.tune ? mayChoose(pass, g) : [];
    if (worthTiming.length < 2) return estimatedBest(pass, g);
    const fastest = timeCandidates(worthTiming, run, this.options.clock ?? (() => performance.now()));
    this.fresh.set(key, fastest);
    return fastest;
  }
}

function sorted(plan: RecordedPlan): RecordedPlan {
  return Object.fromEntries(Object.entries(plan).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/**
 * Over so few positions rounding does not average out, and short convolutions round twice as much as sums of taps: there
 * exactness is worth more than time, of which so little needs little.
 */
const FEW_POSITIONS = 500;

/** What may be chosen without being asked for. */
function candidatesFor(pass: ConvPass, g: ConvGeometry): Algorithm[] {
  const few = g.batch * product(g.output) < FEW_POSITIONS;
  return algorithmsFor(pass, g).filter(
    (algorithm) => !(few && (tileSizeOf(algorithm) || algorithm === 'depth')),
  );
}

/** Algorithms that are worth timing: their estimates are not far from the best. */
export function mayChoose(pass: ConvPass, g: ConvGeometry): Algorithm[] {
  const costs = candidatesFor(pass, g).map((algorithm) => ({
    algorithm,
    cost: estimate(algorithm, pass, g),
  }));
  const least = Math.min(...costs.map(({ cost }) => cost));
  return costs.filter(({ cost }) => cost <= WORTH_TIMING * least).map(({ algorithm }) => algorithm);
}

function timeCandidates(
  candidates: readonly Algorithm[],
  run: (algorithm: Algorithm) => void,
  clock: () => number,
): Algorithm {
  const timed = candidates.map((algorithm) => {
    let best = Infinity;
    try {
      run(algorithm);
    } catch (error) {
      // Its working memory does not fit beside the step's; another's may.
      if (error instanceof InputError) return { algorithm, best };
      throw error;
    }
    for (let i = 0; i < TIMED_RUNS; i++) {
      const start = clock();
      run(algorithm);
      best = Math.min(best, clock() - start);
    }
    return { algorithm, best };
  });
  return timed.reduce((a, b) => (b.best < a.best ? b : a)).algorithm;
}

/** The choice where nothing was timed. */
export function estimatedBest(pass: ConvPass, g: ConvGeometry): Algorithm {
  const served = candidatesFor(pass, g);
  // Both are worth more than the taps' number tells.
  for (const algorithm of ['depth', 'folded'] as const) if (served.includes(algorithm)) return algorithm;
  return candidatesFor(pass, g)
    .map((algorithm) => ({ algorithm, cost: estimate(algorithm, pass, g) }))
    .reduce((a, b) => (b.cost < a.cost ? b : a)).algorithm;
}

/**
 * Nanoseconds of one thread of a machine with fused 256-bit operations, measured; only their ratios matter. A product is
 * a multiplication and an addition; the transforms' cost is per product of a tile and group of 8 channels.
 */
const COST = {
  directProduct: 0.02,
  tiledProduct: 0.024,
  transformData: 4,
  transformResult: 3,
  /** Bytes of the transformed filter: made and read back, or summed and read back. */
  filterByte: 0.38,
  /** Bytes of the filter, packed for the direct convolution. */
  packedByte: 0.3,
} as const;

/** Tiles are worked through six at a time. */
const TILE_ROWS = 6;

function estimate(algorithm: Algorithm, pass: ConvPass, g: ConvGeometry): number {
  const size = tileSizeOf(algorithm);
  const pairs = g.inChannels * g.outChannels;
  const taps = product(g.kernel);
  if (algorithm === 'depth') return depthProducts(g) * COST.directProduct;
  if (!size) {
    const insides = [0, 1, 2].map((a) => tapsInside(g, a));
    // Some of the taps in the padding are left out.
    const products = g.batch * ((product(insides) + taps * product(g.output)) / 2) * pairs;
    return products * COST.directProduct + taps * pairs * 4 * COST.packedByte;
  }
  const { products, tiles } = tilingOf(pass, g, size);
  const rows = pass === 'dfilter' ? tiles : Math.ceil(tiles / TILE_ROWS) * TILE_ROWS;
  const groups = { in: Math.ceil(g.inChannels / 8), out: Math.ceil(g.outChannels / 8) };
  const [data, result] = pass === 'dx' ? [groups.out, groups.in] : [groups.in, groups.out];
  return (
    products * rows * pairs * COST.tiledProduct +
    products * tiles * (data * COST.transformData + result * COST.transformResult) +
    products * pairs * 4 * COST.filterByte
  );
}

/** Of all positions of y and taps along an axis, how many read what is not padding. */
function tapsInside(g: ConvGeometry, a: number): number {
  let count = 0;
  for (let o = 0; o < g.output[a]; o++)
    for (let k = 0; k < g.kernel[a]; k++) {
      const at = o * g.stride[a] - g.padding[a] + k * g.dilation[a];
      if (at >= 0 && at < g.input[a]) count++;
    }
  return count;
}
