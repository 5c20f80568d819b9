import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { GpuBackend, GpuProgram } from '../backend';
import { sizeOf } from './implementation';
import { ENTRY, GROUP, laidOut, storage, uniform } from './shader-text';
import { float, words } from './uniform-values';

/** Neighbouring lanes take neighbouring channels: 128 bytes in one read. */
export const LANES = 32;

/** Rows that a workgroup reads side by side. */
export const DOWN = 8;

/** Chunks of rows at most: what the second pass has to put together. */
const MOST_CHUNKS = 1024;

/** Rows of a chunk at least: below, the second pass costs more than the first one wins. */
const SHORTEST = 64;

export interface Rows {
  readonly rows: number;
  readonly channels: number;
}

/** How rows are cut into chunks, one per workgroup and block of channels. Depends on the size alone, so sums do. */
export function chunked({ rows, channels }: Rows): { perChunk: number; chunks: number; blocks: number } {
  const perChunk = DOWN * Math.ceil(Math.max(SHORTEST, rows / MOST_CHUNKS) / DOWN);
  return { perChunk, chunks: Math.ceil(rows / perChunk), blocks: Math.ceil(channels / LANES) };
}

export const rowsOf = (x: TensorInfo): Rows => {
  const channels = x.shape[x.shape.length - 1];
  return { rows: sizeOf(x) / channels, channels };
};

/** Moments of two sets are put together without cancellation (Chan, Golub & LeVeque 1979): x counts, y mean, z squares. */
const JOINED = `
fn joined(a: vec3<f32>, b: vec3<f32>) -> vec3<f32> {
  let n = a.x + b.x;
  if (b.x == 0.0) { return a; }
  if (a.x == 0.0) { return b; }
  let d = b.y - a.y;
  let share = b.x / n;
  return vec3<f32>(n, a.y + d * share, a.z + b.z + d * d * a.x * share);
}`;

/** Moments of all rows of the workgroup's lanes by halving; the result is in the first row. */
const HALVING = `
  all[thread] = mine;
  for (var half = ${DOWN / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (down < half) { all[thread] = joined(all[thread], all[thread + half * ${LANES}u]); }
  }`;

/** Welford's recurrence (1962), a thread every eighth row. */
const FIRST: GpuProgram = {
  key: 'channel-moments of chunks',
  wgsl: () => `
${storage([
  { name: 'x', type: 'f32' },
  { name: 'partial', type: 'f32', access: 'read_write' },
])}
${uniform(2, 'rows: u32, channels: u32, perChunk: u32, groups: u32, blocks: u32,')}
var<workgroup> all: array<vec3<f32>, ${LANES * DOWN}>;
${JOINED}
@compute @workgroup_size(${LANES * DOWN})
fn main(${ENTRY}) {
  let number = ${GROUP};
  if (number >= sizes.groups) { return; }
  let chunk = number / sizes.blocks;
  let c = number % sizes.blocks * ${LANES}u + thread % ${LANES}u;
  let down = thread / ${LANES}u;
  let end = min(sizes.rows, (chunk + 1u) * sizes.perChunk);
  var mine = vec3<f32>(0);
  if (c < sizes.channels) {
    for (var row = chunk * sizes.perChunk + down; row < end; row += ${DOWN}u) {
      let value = x[row * sizes.channels + c];
      mine.x += 1.0;
      let d = value - mine.y;
      mine.y += d / mine.x;
      mine.z += d * (value - mine.y);
    }
  }
${HALVING}
  if (down == 0u && c < sizes.channels) {
    partial[2u * chunk * sizes.channels + c] = all[thread].y;
    partial[(2u * chunk + 1u) * sizes.channels + c] = all[thread].z;
  }
}`,
};

const SECOND: GpuProgram = {
  key: 'channel-moments of all chunks',
  wgsl: () => `
${storage([
  { name: 'partial', type: 'f32' },
  { name: 'gamma', type: 'f32' },
  { name: 'mean', type: 'f32', access: 'read_write' },
  { name: 'variance', type: 'f32', access: 'read_write' },
  { name: 'factor', type: 'f32', access: 'read_write' },
])}
${uniform(5, 'rows: u32, channels: u32, perChunk: u32, chunks: u32, epsilon: f32,')}
var<workgroup> all: array<vec3<f32>, ${LANES * DOWN}>;
${JOINED}
@compute @workgroup_size(${LANES * DOWN})
fn main(${ENTRY}) {
  let c = (${GROUP}) * ${LANES}u + thread % ${LANES}u;
  let down = thread / ${LANES}u;
  var mine = vec3<f32>(0);
  if (c < sizes.channels) {
    for (var chunk = down; chunk < sizes.chunks; chunk += ${DOWN}u) {
      let count = min(sizes.perChunk, sizes.rows - chunk * sizes.perChunk);
      mine = joined(mine, vec3<f32>(f32(count), partial[2u * chunk * sizes.channels + c], partial[(2u * chunk + 1u) * sizes.channels + c]));
    }
  }
${HALVING}
  if (down == 0u && c < sizes.channels) {
    let spread = all[thread].z / f32(sizes.rows);
    mean[c] = all[thread].y;
    variance[c] = spread;
    factor[c] = gamma[c] / sqrt(spread + sizes.epsilon);
  }
}`,
};

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
  const { perChunk, chunks, blocks } = chunked({ rows, channels });
  backend.scratch(8 * chunks * channels, (partial) => {
    const groups = chunks * blocks;
    const first = words(rows, channels, perChunk, groups, blocks, 0, 0, 0);
    backend.dispatch(FIRST, [x, partial], laidOut(groups), first);
    backend.dispatch(
      SECOND,
      [partial, gamma, to.mean, to.variance, to.factor],
      [blocks],
      words(rows, channels, perChunk, chunks, float(epsilon), 0, 0, 0),
    );
  });
}
