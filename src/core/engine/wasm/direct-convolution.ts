import type { Triple } from '../ops/kernels';
import { SINK_AT, ZEROS_AT } from './control';
import { axisOf, product, type ConvGeometry, type ConvPass } from './conv-geometry';
import { gatherAxis } from './gather-axis';
import type { Machine } from './machine';

/** Positions per tile of the micro-kernels. */
const TILE = 6;
/** Table of addresses that a thread works through at a time: half of a first-level cache. */
const TABLE_BYTES = 16_384;
/** Beside the table and its width offsets, a thread keeps the positions of a tile and a partial panel's result. */
const THREAD_BYTES = 640;
/** Tiles that are multiplied with a slice of a panel while it is in the cache. */
const LEAST_TILES = 4;
const MOST_TILES = 16;
/** Pieces of work per thread, so that a thread that was held up does not hold up the others. */
const PIECES = 8;
const MOST_PIECES = 24;
/** Positions of dy that are multiplied with every tap while they are in the cache. */
const BLOCK_POSITIONS = 256;
/** The same where tiles run across taps, whose inputs are copied side by side. */
const ACROSS_POSITIONS = 128;
/** Tiles run across taps where those of each tap would be larger than its channels by this factor. */
const WORTH_CROSSING = 1.15;
/** Panels of dy that a thread copies at a time: half of a second-level cache. */
const MOST_PANELS = 32;
/** With so few input channels the taps along a row are taken as channels (a scan's modalities). */
const FOLD_CHANNELS = 4;
/** Products that a micro-kernel sums in registers; panels are packed and multiplied in slices of so many (micro-kernels.mjs). */
const CHAIN = 256;
/** Which entries of a tile's table count. */
const RANGE_BYTES = 16;
/** Tables that a thread keeps where it packs panels of its own. */
const OWN_TABLES_BYTES = 1 << 18;
/** Panels that it packs at a time: their slice takes half of a second-level cache, and rows of the filter are read in runs. */
const MOST_OWN_PANELS = 8;
/** Pieces of work per thread where each packs panels of its own. */
const PIECES_OF_PANELS = 2;
/** Height or width of grids on which much of what taps read is padding. */
const SMALL_GRID = 8;
/** Work that is done before another thread has woken: so many floats to copy, multiply-adds to compute. */
const ALONE = { floats: 65_536, products: 1_000_000 };

/** Whether the taps along a row may be taken as channels: `folded` below. */
export function canFold(pass: ConvPass, g: ConvGeometry): boolean {
  return pass !== 'dx' && g.inChannels <= FOLD_CHANNELS && g.kernel[2] > 1 && g.dilation[2] === 1;
}

/** y from x or dx from dy, tap by tap; `folded`: with the taps along a row as channels. All are addresses. */
export function multiplyTaps(
  machine: Machine,
  pass: 'y' | 'dx',
  g: ConvGeometry,
  folded: boolean,
  source: number,
  filter: number,
  result: number,
): void {
  if (folded)
    withPaddedRows(machine, g, source, (padded) =>
      gather(machine, pass, fold(g), padded, filter, result, false),
    );
  else gather(machine, pass, g, source, filter, result, false);
}

/** dx from dy, tap by tap, added to what is there: hardly more than writing it, and a pass over memory is spared. */
export function addTaps(machine: Machine, g: ConvGeometry, dy: number, filter: number, sum: number): void {
  gather(machine, 'dx', g, dy, filter, sum, true);
}

/** dfilter from x and dy, tap by tap. */
export function multiplyGradientTaps(
  machine: Machine,
  g: ConvGeometry,
  folded: boolean,
  x: number,
  dy: number,
  dfilter: number,
): void {
  if (folded) withPaddedRows(machine, g, x, (padded) => outerProducts(machine, fold(g), padded, dy, dfilter));
  else outerProducts(machine, g, x, dy, dfilter);
}

/** A convolution whose taps read `run` floats, and voxels of x that are `voxel` floats apart. */
interface Folded extends ConvGeometry {
  readonly run?: number;
}

/**
 * The same convolution over rows that bring their padding along: neighbouring voxels' channels lie one after the other,
 * so the kW taps of a row are one tap of kW x Ci floats.
 */
function fold(g: ConvGeometry): Folded {
  const [d, h, w] = g.input;
  return {
    ...g,
    input: [d, h, w + 2 * g.padding[2]],
    padding: [g.padding[0], g.padding[1], 0],
    kernel: [g.kernel[0], g.kernel[1], 1],
    run: g.kernel[2] * g.inChannels,
  };
}

function withPaddedRows(machine: Machine, g: ConvGeometry, x: number, use: (padded: number) => void): void {
  const rows = g.batch * g.input[0] * g.input[1];
  const rowBytes = g.input[2] * g.inChannels * 4;
  const padBytes = g.padding[2] * g.inChannels * 4;
  machine.heap.withScratch([rows * (rowBytes + 2 * padBytes)], (padded) => {
    machine.pool.run('padRows', [x, padded, rows, rowBytes, padBytes], (rows * rowBytes) / 4 <= ALONE.floats);
    use(padded);
  });
}

/** How a gathering pass is shared out, and scratch memory in bytes: results do not depend on it. */
function gatherPlan(pass: 'y' | 'dx', g: Folded, threads: number, panel: number) {
  const forward = pass === 'y';
  const sourceGrid = forward ? g.input : g.output;
  const grid = forward ? g.output : g.input;
  const voxel = forward ? g.inChannels : g.outChannels;
  const rows = g.run ?? g.inChannels;
  const k = forward ? rows : g.outChannels;
  const channels = forward ? g.outChannels : rows;
  const taps = product(g.kernel);
  const panels = Math.ceil(channels / panel);
  const panelBytes = taps * k * panel * 4;

  const axes = gatherAxes(pass, g, sourceGrid, voxel);
  const mostTaps = axes.reduce((product, axis) => product * axis[1], 1);
  const tileBytes = 32 * (1 + mostTaps);
  const classes = axes.reduce((product, axis) => product * axis[0], 1);
  const largest = axes.reduce((product, axis, a) => product * Math.ceil(grid[a] / axis[0]), g.batch);
  const tiles = Math.ceil(largest / TILE);
  // A filter that is larger than what it is multiplied with is not worth a way through memory. Slices of several taps
  // are the same ones only where every position meets all taps.
  const ownGroups = Math.min(
    panels,
    Math.max(Math.ceil(panels / MOST_OWN_PANELS), PIECES_OF_PANELS * threads),
  );
  const packsOwn =
    taps * channels > largest * classes &&
    ownGroups >= 2 * threads &&
    (k >= CHAIN || classes === 1) &&
    classes * tiles * (tileBytes + RANGE_BYTES) <= OWN_TABLES_BYTES;
  const tilesPerChunk = packsOwn
    ? tiles
    : Math.max(
        1,
        Math.min(
          tiles,
          Math.max(LEAST_TILES, Math.min(MOST_TILES, Math.ceil(tiles / (MOST_PIECES * threads)))),
          Math.floor(TABLE_BYTES / tileBytes),
        ),
      );
  const chunks = Math.ceil(tiles / tilesPerChunk);
  let groups = 1;
  while (chunks * classes * groups < PIECES * threads && groups < panels) groups *= 2;
  groups = packsOwn ? ownGroups : Math.min(groups, panels);
  const sliceFloats = CHAIN * panel;
  const own = packsOwn ? Math.ceil(panels / groups) * sliceFloats * 4 : 0;
  return {
    sourceBytes: product(sourceGrid) * voxel * 4,
    grid,
    rows,
    k,
    channels,
    taps,
    axes,
    tilesPerChunk,
    groups,
    packsOwn,
    depthFirst: meetsLessPadding(grid, axes),
    packed: packsOwn ? 0 : panels * panelBytes,
    thread:
      (packsOwn ? classes : 1) * tilesPerChunk * (tileBytes + RANGE_BYTES) +
      THREAD_BYTES +
      32 * axes[2][1] +
      own,
  };
}

/** y from x, or dx from dy: every result gathers what its taps read; added to what is there where `accumulates`. */
function gather(
  machine: Machine,
  pass: 'y' | 'dx',
  g: Folded,
  source: number,
  filter: number,
  result: number,
  accumulates: boolean,
): void {
  const { heap, pool, panel } = machine;
  const forward = pass === 'y';
  const plan = gatherPlan(pass, g, pool.threads, panel);
  const { axes, taps, rows, packsOwn } = plan;
  const alone = g.batch * product(g.output) * taps * rows * g.outChannels <= ALONE.products;
  const axisBytes = axes.map((axis) => axis.byteLength);
  heap.withScratch([plan.packed, plan.thread * pool.threads, ...axisBytes], (packed, scratch, ...axisAt) => {
    if (!packsOwn)
      pool.run(forward ? 'packFilter' : 'packFilterTransposed', [filter, packed, taps, rows, g.outChannels]);
    axes.forEach((axis, a) => heap.int32(axisAt[a], axis.length).set(axis));
    pool.run(
      'convolution',
      [
        source,
        packed,
        result,
        ZEROS_AT,
        SINK_AT,
        scratch,
        plan.thread,
        g.batch,
        plan.sourceBytes,
        ...plan.grid,
        plan.channels,
        plan.k,
        taps,
        ...axisAt,
        plan.tilesPerChunk,
        plan.groups,
        packsOwn ? filter : 0,
        forward ? 0 : 1,
        plan.depthFirst ? 1 : 0,
        accumulates ? 1 : 0,
      ],
      alone,
    );
  });
}

/** Whether height and width are so small that more is padding there than along the depth. */
function meetsLessPadding(grid: Triple, axes: readonly Int32Array[]): boolean {
  return axes[1][1] * axes[2][1] > 1 && Math.min(grid[1], grid[2]) <= SMALL_GRID;
}

const axisCache = new Map<string, readonly Int32Array[]>();
const AXIS_CACHE_SIZE = 256;

/** The tables of the three axes; a network asks for the same few dozen over and over. */
function gatherAxes(
  pass: 'y' | 'dx',
  g: ConvGeometry,
  sourceGrid: Triple,
  voxel: number,
): readonly Int32Array[] {
  const key = JSON.stringify([pass, g.input, g.output, g.kernel, g.stride, g.padding, g.dilation, voxel]);
  let axes = axisCache.get(key);
  if (!axes) {
    const line = voxel * 4;
    const bytes = [sourceGrid[1] * sourceGrid[2] * line, sourceGrid[2] * line, line];
    const tapSteps = [g.kernel[1] * g.kernel[2], g.kernel[2], 1];
    axes = [0, 1, 2].map((a) => gatherAxis(axisOf(g, a), pass, bytes[a], tapSteps[a]));
    if (axisCache.size >= AXIS_CACHE_SIZE) axisCache.clear();
    axisCache.set(key, axes);
  }
  return axes;
}

/** How the tiles of a filter's gradient are shared out, and scratch memory in bytes: results depend on the block alone. */
function gradientPlan(g: Folded, threads: number, panel: number) {
  const taps = product(g.kernel);
  const rows = g.run ?? g.inChannels;
  const perTap = Math.ceil(rows / TILE);
  const across = taps > 1 && (perTap * TILE) / rows > WORTH_CROSSING;
  const items = across ? Math.ceil((taps * rows) / TILE) : taps * perTap;
  const panels = Math.ceil(g.outChannels / panel);
  const wanted = across ? ACROSS_POSITIONS : BLOCK_POSITIONS;
  const rowsPerBlock = Math.min(
    g.batch * g.output[0] * g.output[1],
    Math.max(1, Math.floor(wanted / g.output[2])),
  );
  const positions = rowsPerBlock * g.output[2];
  const chunks = gradientChunks(items, panels, across ? items : perTap, threads);
  const dyBytes = Math.ceil(panels / chunks.columns) * positions * panel * 4;
  const tilesPerTap = Math.min(perTap, Math.ceil(items / chunks.rows));
  const tapsPerChunk = Math.min(taps, Math.ceil((Math.ceil(items / chunks.rows) * TILE) / rows) + 2);
  const xBytes = positions * (across ? tapsPerChunk * rows * 4 + 48 : tilesPerTap * TILE * 4) + 64;
  return {
    taps,
    rows,
    across,
    rowsPerBlock,
    chunks,
    thread: Math.ceil((rowsPerBlock * 12 + TILE * panel * 4 + dyBytes + xBytes) / 64) * 64,
  };
}

/**
 * The cheapest ranges of rows and panels, by what a thread does per position: cycles of a tile's multiplication, of
 * copying six rows of x for a tile, of copying a panel of dy for all tiles of a tap.
 */
function gradientChunks(items: number, panels: number, itemsPerTap: number, threads: number) {
  let best = { rows: 1, columns: Math.min(panels, Math.ceil(panels / MOST_PANELS)), cost: Infinity };
  for (let columns = Math.ceil(panels / MOST_PANELS); columns <= panels; columns++)
    for (let rows = 1; rows <= items && rows * columns <= 4 * threads + columns; rows++) {
      const [tiles, width] = [Math.ceil(items / rows), Math.ceil(panels / columns)];
      const copies = Math.max(1, tiles / itemsPerTap);
      const one = tiles * (width * 6 + 5) + copies * width * 8;
      const turns = Math.ceil((rows * columns) / threads);
      // A thread that is held up holds up the others less where there are more turns.
      const cost = one * turns * (1 + 0.04 / turns);
      if (cost < best.cost) best = { rows, columns, cost };
    }
  return best;
}

function outerProducts(machine: Machine, g: Folded, x: number, dy: number, dfilter: number): void {
  const { heap, pool } = machine;
  const { taps, rows, across, rowsPerBlock, chunks, thread } = gradientPlan(g, pool.threads, machine.panel);
  heap.withScratch([thread * pool.threads], (scratch) => {
    pool.run(
      'filterGradient',
      [
        x,
        dy,
        dfilter,
        scratch,
        thread,
        g.batch,
        ...g.input,
        g.inChannels * 4,
        rows,
        ...g.output,
        g.outChannels,
        ...g.kernel,
        ...g.stride,
        ...g.padding,
        ...g.dilation,
        rowsPerBlock,
        chunks.rows,
        chunks.columns,
        across ? 1 : 0,
      ],
      g.batch * product(g.output) * taps * rows * g.outChannels <= ALONE.products,
    );
  });
}

/** Bytes of scratch memory that a pass takes tap by tap: an upper bound, tables included. */
export function directScratchBytes(
  pass: ConvPass,
  g: ConvGeometry,
  folded: boolean,
  threads: number,
  panel: number,
): number {
  const copied = folded ? fold(g) : g;
  const [d, h, w] = copied.input;
  const copy = folded ? g.batch * d * h * w * g.inChannels * 4 : 0;
  if (pass === 'dfilter') return copy + gradientPlan(copied, threads, panel).thread * threads;
  const plan = gatherPlan(pass, copied, threads, panel);
  const tables = plan.axes.reduce((sum, axis) => sum + axis.byteLength + 64, 0);
  return copy + plan.packed + tables + threads * plan.thread;
}
