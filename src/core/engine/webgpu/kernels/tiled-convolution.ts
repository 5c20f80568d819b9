import type { TensorInfo } from '@tensorflow/tfjs-core';
import { axisOf, product, type ConvGeometry, type ConvPass } from '../../wasm/conv-geometry';
import { canTile, tileAxis, type TileSize, type TiledAxis } from '../../wasm/tile-axis';
import type { GpuBackend } from '../backend';
import {
  TRANSFORM_FIELDS,
  axisTransformText,
  lanesOf,
  type AxisMatrix,
  type AxisTransform,
} from './axis-transform-text';
import { batchedGradient } from './filter-gradient';
import { batchedProduct } from './gather-product';
import { chooseGemm, type GemmProblem, type TileName } from './gemm-choice';
import { table } from './implementation';
import { laidOut } from './shader-text';
import { withSwappedFilter } from './swapped-filter';
import { words } from './uniform-values';

// Convolutions by short convolutions along the axes (Winograd's; see short-convolutions.mjs): tiles of the input and the filter are
// transformed, every product of the transforms is a matrix product over the channels, and its results are transformed back.

type Data = TensorInfo | GPUBuffer;

/** By short convolutions of 2, 3 or 4 results along each axis, whose products are made by a register tile. */
export interface TiledChoice {
  readonly way: `tiles-${TileSize}`;
  readonly tile: TileName;
  readonly parts: 1;
}

export const TILE_SIZES = [2, 3, 4] as const satisfies readonly TileSize[];

const sizeOf = ({ way }: TiledChoice): TileSize => Number(way.slice('tiles-'.length)) as TileSize;

/**
 * Bytes of transformed tiles, of both sides, that are held at a time: they are written and read at once, and so many stay in the
 * second-level cache of a large GPU (50 MB of an H100's), which memory could not keep up with.
 */
const TILES_BYTES = 32 * 2 ** 20;

/** Bytes of a transformed filter, or of its sums, that are held beside them. */
const FILTER_BYTES = 128 * 2 ** 20;

interface Tiling {
  readonly axes: readonly [TiledAxis, TiledAxis, TiledAxis];
  readonly products: number;
  readonly tiles: number;
  /** Tiles along each axis. */
  readonly grid: readonly number[];
}

const tilings = new Map<string, Tiling>();
const TILINGS_KEPT = 256;

/** How a convolution is cut; a network asks for the same few dozen over and over. */
function tilingOf(pass: ConvPass, g: ConvGeometry, size: TileSize): Tiling {
  const key = JSON.stringify([pass === 'dx', size, g]);
  let tiling = tilings.get(key);
  if (!tiling) {
    if (tilings.size >= TILINGS_KEPT) tilings.clear();
    tilings.set(key, (tiling = cut(pass === 'dx' ? 'dx' : 'y', g, size)));
  }
  return tiling;
}

function cut(pass: 'y' | 'dx', g: ConvGeometry, size: TileSize): Tiling {
  const [d, h, w] = [0, 1, 2].map((a) => tileAxis(axisOf(g, a), pass, size));
  const grid = [d, h, w].map(({ reads }) => reads.length);
  return {
    axes: [d, h, w],
    products: product([d, h, w].map(({ algorithm }) => algorithm.products)),
    tiles: g.batch * product(grid),
    grid,
  };
}

/** Tiles that are worked on at a time. */
function chunkOf({ products, tiles }: Tiling, channels: number, most = Infinity): number {
  const perTile = 4 * products * channels;
  return Math.min(tiles, Math.max(1, Math.floor(Math.min(TILES_BYTES, most) / perTile)));
}

/** Whether tiles can serve a convolution, and what they borrow is not out of proportion. */
export function tilesServe(pass: ConvPass, g: ConvGeometry, size: TileSize): boolean {
  if (![0, 1, 2].every((a) => canTile(axisOf(g, a)))) return false;
  const tiling = tilingOf(pass, g, size);
  const goes =
    pass === 'dfilter' ? Math.ceil(tiling.tiles / chunkOf(tiling, g.inChannels + g.outChannels)) : 1;
  return 4 * goes * tiling.products * g.inChannels * g.outChannels <= FILTER_BYTES;
}

/** The matrix products of a convolution by tiles. */
export function tiledProblem(pass: ConvPass, g: ConvGeometry, size: TileSize): GemmProblem {
  const tiling = tilingOf(pass, g, size);
  const tiles = chunkOf(tiling, g.inChannels + g.outChannels);
  const count = tiling.products;
  if (pass === 'dfilter')
    return { kind: 'filter-gradient', rows: g.inChannels, columns: g.outChannels, depth: tiles, count };
  const [depth, columns] = pass === 'y' ? [g.inChannels, g.outChannels] : [g.outChannels, g.inChannels];
  return { kind: 'gather', rows: tiles, columns, depth, count };
}

/** The register tile by which the products of a convolution are made, where nothing was timed. */
export const tileForProducts = (pass: ConvPass, g: ConvGeometry, size: TileSize): TileName =>
  chooseGemm(tiledProblem(pass, g, size)).tile;

/** Bytes that a convolution by tiles borrows, the swapped filter of `dx` aside, where a buffer holds `largest` bytes at most. */
export function tiledScratchBytes(
  pass: ConvPass,
  g: ConvGeometry,
  choice: TiledChoice,
  largest: number,
): number {
  const tiling = tilingOf(pass, g, sizeOf(choice));
  const { products, tiles } = tiling;
  const channels = g.inChannels + g.outChannels;
  const chunk = chunkOf(tiling, channels, largest);
  const goes = pass === 'dfilter' ? Math.ceil(tiles / chunk) : 1;
  return 4 * products * (goes * g.inChannels * g.outChannels + chunk * channels);
}

/** y from x, dx from dy, or the filter's gradient from x and dy, by tiles. */
export function tiledConvolution(
  backend: GpuBackend,
  pass: ConvPass,
  g: ConvGeometry,
  choice: TiledChoice,
  a: TensorInfo,
  b: TensorInfo,
  result: TensorInfo,
): void {
  const { tile } = choice;
  const tiling = tilingOf(pass, g, sizeOf(choice));
  if (pass === 'dfilter') return gradientByTiles(backend, g, tiling, tile, a, b, result);
  if (pass === 'y') return multiplyTiles(backend, pass, g, tiling, tile, a, b, result);
  withSwappedFilter(backend, b, (swapped) =>
    multiplyTiles(backend, pass, g, tiling, tile, a, swapped, result),
  );
}

const perAxis = (
  { axes }: Tiling,
  matrix: (axis: TiledAxis, a: number) => AxisMatrix,
): AxisTransform['matrices'] => [matrix(axes[0], 0), matrix(axes[1], 1), matrix(axes[2], 2)];

const transposed = (matrix: AxisMatrix): AxisMatrix => matrix[0].map((_, i) => matrix.map((row) => row[i]));

function multiplyTiles(
  backend: GpuBackend,
  pass: 'y' | 'dx',
  g: ConvGeometry,
  tiling: Tiling,
  tile: TileName,
  source: TensorInfo,
  filter: Data,
  result: TensorInfo,
): void {
  const { products, tiles } = tiling;
  const [channels, columns] = pass === 'y' ? [g.inChannels, g.outChannels] : [g.outChannels, g.inChannels];
  // dx reads dy with the taps reversed, where the stride is 1; those of a strided gradient are in order.
  const filters = perAxis(tiling, ({ algorithm }, a) =>
    pass === 'dx' && g.stride[a] === 1 ? algorithm.filter.map((row) => [...row].reverse()) : algorithm.filter,
  );
  const chunk = chunkOf(tiling, channels + columns, backend.device.limits.maxStorageBufferBindingSize);
  const reads = placesOf(backend, tiling, 'reads');
  const makes = placesOf(backend, tiling, 'makes');
  const [from, to] = pass === 'y' ? [g.input, g.output] : [g.output, g.input];
  backend.scratch(4 * products * channels * columns, (multiplied) =>
    backend.scratch(4 * products * chunk * channels, (left) =>
      backend.scratch(4 * products * chunk * columns, (made) => {
        sumBlocks(backend, filters, filter, multiplied, channels * columns, 1);
        for (let first = 0; first < tiles; first += chunk) {
          const count = Math.min(chunk, tiles - first);
          const part = { grid: tiling.grid, first, count };
          const data = perAxis(tiling, ({ algorithm }) => algorithm.data);
          moveTiles(backend, { kind: 'gather', matrices: data }, source, left, reads, from, channels, part);
          batchedProduct(
            backend,
            { way: 'taps', tile, parts: 1 },
            { rows: count, depth: channels, columns, count: products },
            left,
            multiplied,
            made,
          );
          const back = perAxis(tiling, ({ algorithm }) => algorithm.result);
          moveTiles(backend, { kind: 'scatter', matrices: back }, made, result, makes, to, columns, part);
        }
      }),
    ),
  );
}

function gradientByTiles(
  backend: GpuBackend,
  g: ConvGeometry,
  tiling: Tiling,
  tile: TileName,
  x: TensorInfo,
  dy: TensorInfo,
  dfilter: TensorInfo,
): void {
  const { products, tiles } = tiling;
  const { inChannels, outChannels } = g;
  const { maxStorageBufferBindingSize: most } = backend.device.limits;
  const chunk = chunkOf(tiling, inChannels + outChannels, most);
  const chunks = Math.ceil(tiles / chunk);
  const reads = placesOf(backend, tiling, 'reads');
  const makes = placesOf(backend, tiling, 'makes');
  const pairs = inChannels * outChannels;
  backend.scratch(4 * chunks * products * pairs, (sums) => {
    backend.scratch(4 * products * chunk * inChannels, (left) =>
      backend.scratch(4 * products * chunk * outChannels, (right) => {
        for (let index = 0; index < chunks; index++) {
          const first = index * chunk;
          const count = Math.min(chunk, tiles - first);
          const part = { grid: tiling.grid, first, count };
          const data = perAxis(tiling, ({ algorithm }) => algorithm.data);
          moveTiles(backend, { kind: 'gather', matrices: data }, x, left, reads, g.input, inChannels, part);
          const spread = perAxis(tiling, ({ algorithm }) => transposed(algorithm.result));
          moveTiles(
            backend,
            { kind: 'gather', matrices: spread },
            dy,
            right,
            makes,
            g.output,
            outChannels,
            part,
          );
          batchedGradient(
            backend,
            { way: 'taps', tile, parts: 1 },
            { rows: inChannels, depth: count, columns: outChannels, count: products },
            left,
            right,
            { sums, from: index * products * pairs },
          );
        }
      }),
    );
    const filters = perAxis(tiling, ({ algorithm }) => transposed(algorithm.filter));
    sumBlocks(backend, filters, sums, dfilter, pairs, chunks);
  });
}

/** Tiles between a grid and products. */
function moveTiles(
  backend: GpuBackend,
  transform: AxisTransform,
  from: Data,
  to: Data,
  places: TensorInfo,
  size: readonly number[],
  channels: number,
  {
    grid,
    first,
    count,
  }: { readonly grid: readonly number[]; readonly first: number; readonly count: number },
): void {
  const blocks = Math.ceil(channels / lanesOf(transform));
  const groups = count * blocks;
  const sizes = words(...[...size, channels], ...[...grid, blocks], ...[first, count, groups, 1]);
  backend.dispatch(programOf(transform), [from, to, places], laidOut(groups), sizes);
}

/** Filters: [parts, inputs, pairs], parts added up, to [results, pairs]. */
function sumBlocks(
  backend: GpuBackend,
  matrices: AxisTransform['matrices'],
  from: Data,
  to: Data,
  pairs: number,
  parts: number,
): void {
  const transform: AxisTransform = { kind: 'sum', matrices };
  const blocks = Math.ceil(pairs / lanesOf(transform));
  const sizes = words(...[0, 0, 0, pairs], ...[1, 1, 1, blocks], ...[0, 1, blocks, parts]);
  backend.dispatch(programOf(transform), [from, to], laidOut(blocks), sizes);
}

const programOf = (transform: AxisTransform) => ({
  key: `axis-transform ${JSON.stringify(transform)} ${TRANSFORM_FIELDS.length}`,
  wgsl: () => axisTransformText(transform),
});

const tables = new WeakMap<GpuBackend, Map<Tiling, Partial<Record<'reads' | 'makes', TensorInfo>>>>();

/** Places along the axes, tile by tile, on the GPU, where they stay: some kilobytes. */
function placesOf(backend: GpuBackend, tiling: Tiling, of: 'reads' | 'makes'): TensorInfo {
  let ofBackend = tables.get(backend);
  if (!ofBackend) tables.set(backend, (ofBackend = new Map()));
  let known = ofBackend.get(tiling);
  if (!known) ofBackend.set(tiling, (known = {}));
  return (known[of] ??= table(backend, Int32Array.from(tiling.axes.flatMap((axis) => axis[of].flat()))));
}
