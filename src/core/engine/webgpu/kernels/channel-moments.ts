import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { GpuBackend, GpuProgram } from '../backend';
import { sizeOf } from './implementation';
import { ENTRY, GROUP, laidOut, laneTypes, lanesFor, storage, uniform, type Lanes } from './shader-text';
import { float, words } from './uniform-values';

export const THREADS = 256;

/** Chunks of rows at most: what the second pass has to put together. */
const MOST_CHUNKS = 1024;

/** Rows of a chunk at least: below, the second pass costs more than the first one wins. */
const SHORTEST = 64;

export interface Rows {
  readonly rows: number;
  readonly channels: number;
}

/**
 * How a workgroup reads rows of channels: `across` neighbouring threads take neighbours of a row, one or four each, and `down` rows are
 * read side by side.
 */
export interface RowLayout {
  readonly lanes: Lanes;
  readonly across: number;
  readonly down: number;
}

/** Up to 128 bytes of a row in one read by single channels, 256 by fours. */
export function layoutOf(channels: number): RowLayout {
  const lanes = lanesFor(channels);
  const across = lanes === 1 ? 32 : Math.min(16, 2 ** Math.ceil(Math.log2(channels / 4)));
  return { lanes, across, down: THREADS / across };
}

/** How rows are cut into chunks, one per workgroup and block of channels. Depends on the size alone, so sums do. */
export function chunked({ rows, channels }: Rows): { perChunk: number; chunks: number; blocks: number } {
  const { lanes, across, down } = layoutOf(channels);
  const perChunk = down * Math.ceil(Math.max(SHORTEST, rows / MOST_CHUNKS) / down);
  const blocks = Math.ceil(channels / lanes / across);
  return { perChunk, chunks: Math.ceil(rows / perChunk), blocks };
}

export const rowsOf = (x: TensorInfo): Rows => {
  const channels = x.shape[x.shape.length - 1];
  return { rows: sizeOf(x) / channels, channels };
};

/** Moments of two sets are put together without cancellation (Chan, Golub & LeVeque 1979). */
const MOMENTS = `
struct Moments { count: f32, mean: T, squares: T }
var<workgroup> all: array<Moments, ${THREADS}>;
fn joined(a: Moments, b: Moments) -> Moments {
  if (b.count == 0.0) { return a; }
  if (a.count == 0.0) { return b; }
  let n = a.count + b.count;
  let d = b.mean - a.mean;
  let share = b.count / n;
  return Moments(n, a.mean + d * share, a.squares + b.squares + d * d * (a.count * share));
}`;

/** Moments of all rows of the workgroup's lanes by halving; the result is in the first row. */
const halving = ({ across, down }: RowLayout) => `
  all[thread] = mine;
  for (var half = ${down / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (down < half) { all[thread] = joined(all[thread], all[thread + half * ${across}u]); }
  }`;

/** Welford's recurrence (1962), a thread every so many rows. */
const first = (layout: RowLayout): GpuProgram => ({
  key: `channel-moments of chunks ${JSON.stringify(layout)}`,
  wgsl: () => `
${laneTypes(layout.lanes)}
${storage([
  { name: 'x', type: 'T' },
  { name: 'partial', type: 'T', access: 'read_write' },
])}
${uniform(2, 'rows: u32, channels: u32, perChunk: u32, groups: u32, blocks: u32,')}
${MOMENTS}
@compute @workgroup_size(${THREADS})
fn main(${ENTRY}) {
  let number = ${GROUP};
  if (number >= sizes.groups) { return; }
  let chunk = number / sizes.blocks;
  let c = number % sizes.blocks * ${layout.across}u + thread % ${layout.across}u;
  let down = thread / ${layout.across}u;
  let end = min(sizes.rows, (chunk + 1u) * sizes.perChunk);
  var mine = Moments(0.0, T(0), T(0));
  if (c < sizes.channels) {
    for (var row = chunk * sizes.perChunk + down; row < end; row += ${layout.down}u) {
      let value = x[row * sizes.channels + c];
      mine.count += 1.0;
      let d = value - mine.mean;
      mine.mean += d * (1.0 / mine.count);
      mine.squares += d * (value - mine.mean);
    }
  }
${halving(layout)}
  if (down == 0u && c < sizes.channels) {
    partial[2u * chunk * sizes.channels + c] = all[thread].mean;
    partial[(2u * chunk + 1u) * sizes.channels + c] = all[thread].squares;
  }
}`,
});

const second = (layout: RowLayout): GpuProgram => ({
  key: `channel-moments of all chunks ${JSON.stringify(layout)}`,
  wgsl: () => `
${laneTypes(layout.lanes)}
${storage([
  { name: 'partial', type: 'T' },
  { name: 'gamma', type: 'T' },
  { name: 'mean', type: 'T', access: 'read_write' },
  { name: 'variance', type: 'T', access: 'read_write' },
  { name: 'factor', type: 'T', access: 'read_write' },
])}
${uniform(5, 'rows: u32, channels: u32, perChunk: u32, chunks: u32, epsilon: f32,')}
${MOMENTS}
@compute @workgroup_size(${THREADS})
fn main(${ENTRY}) {
  let c = (${GROUP}) * ${layout.across}u + thread % ${layout.across}u;
  let down = thread / ${layout.across}u;
  var mine = Moments(0.0, T(0), T(0));
  if (c < sizes.channels) {
    for (var chunk = down; chunk < sizes.chunks; chunk += ${layout.down}u) {
      let count = min(sizes.perChunk, sizes.rows - chunk * sizes.perChunk);
      mine = joined(mine, Moments(f32(count), partial[2u * chunk * sizes.channels + c], partial[(2u * chunk + 1u) * sizes.channels + c]));
    }
  }
${halving(layout)}
  if (down == 0u && c < sizes.channels) {
    let spread = all[thread].squares / f32(sizes.rows);
    mean[c] = all[thread].mean;
    variance[c] = spread;
    factor[c] = gamma[c] / sqrt(spread + sizes.epsilon);
  }
}`,
});

/**
 * Mean and biased variance of every channel, in two passes that always add in the same order, and what normalisation
 * multiplies with: gamma / sqrt(variance + epsilon).
 */
export function channelMoments(
  backend: GpuBackend,
  x: TensorInfo,
  gamma: TensorInfo,
  epsilon: number,
  to: { readonly mean: TensorInfo; readonly variance: TensorInfo; readonly factor: GPUBuffer },
): void {
  const { rows, channels } = rowsOf(x);
  const layout = layoutOf(channels);
  const { perChunk, chunks, blocks } = chunked({ rows, channels });
  const inRow = channels / layout.lanes;
  backend.scratch(8 * chunks * channels, (partial) => {
    const groups = chunks * blocks;
    const sizes = words(rows, inRow, perChunk, groups, blocks, 0, 0, 0);
    backend.dispatch(first(layout), [x, partial], laidOut(groups), sizes);
    backend.dispatch(
      second(layout),
      [partial, gamma, to.mean, to.variance, to.factor],
      [blocks],
      words(rows, inRow, perChunk, chunks, float(epsilon), 0, 0, 0),
    );
  });
}
