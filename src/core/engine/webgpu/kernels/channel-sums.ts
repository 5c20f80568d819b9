import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { GpuBackend, GpuProgram } from '../backend';
import { DOWN, LANES, chunked, type Rows } from './channel-moments';
import { ENTRY, GROUP, laidOut, storage, uniform, type Binding } from './shader-text';
import { words } from './uniform-values';

/** What is summed over rows, channel by channel: one or two terms of every element. */
export interface Terms {
  /** Names the program. */
  readonly name: string;
  readonly bindings: readonly Binding[];
  readonly buffers: readonly (TensorInfo | GPUBuffer)[];
  /** WGSL that sets `first` and `second` for row `row`, channel `c` and element `i`. */
  readonly text: string;
  /** Fields of the uniform behind those of every sum, and their values. */
  readonly fields?: string;
  readonly values?: readonly number[];
}

const HALVING = `
  all[thread] = mine;
  for (var half = ${DOWN / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (down < half) { all[thread] += all[thread + half * ${LANES}u]; }
  }`;

function firstPass(terms: Terms): GpuProgram {
  const { bindings } = terms;
  return {
    key: `channel-sums ${terms.name}`,
    wgsl: () => `
${storage([...bindings, { name: 'partial', type: 'vec2<f32>', access: 'read_write' }])}
${uniform(bindings.length + 1, `rows: u32, channels: u32, perChunk: u32, groups: u32, blocks: u32, ${terms.fields ?? ''}`)}
var<workgroup> all: array<vec2<f32>, ${LANES * DOWN}>;
@compute @workgroup_size(${LANES * DOWN})
fn main(${ENTRY}) {
  let number = ${GROUP};
  if (number >= sizes.groups) { return; }
  let chunk = number / sizes.blocks;
  let c = number % sizes.blocks * ${LANES}u + thread % ${LANES}u;
  let down = thread / ${LANES}u;
  let end = min(sizes.rows, (chunk + 1u) * sizes.perChunk);
  var mine = vec2<f32>(0);
  if (c < sizes.channels) {
    for (var row = chunk * sizes.perChunk + down; row < end; row += ${DOWN}u) {
      let i = row * sizes.channels + c;
      var first = 0.0;
      var second = 0.0;
      ${terms.text}
      mine += vec2<f32>(first, second);
    }
  }
${HALVING}
  if (down == 0u && c < sizes.channels) { partial[chunk * sizes.channels + c] = all[thread]; }
}`,
  };
}

const SECOND: GpuProgram = {
  key: 'channel-sums of all chunks',
  wgsl: () => `
${storage([
  { name: 'partial', type: 'vec2<f32>' },
  { name: 'sums', type: 'f32', access: 'read_write' },
])}
${uniform(2, 'channels: u32, chunks: u32,')}
var<workgroup> all: array<vec2<f32>, ${LANES * DOWN}>;
@compute @workgroup_size(${LANES * DOWN})
fn main(${ENTRY}) {
  let c = (${GROUP}) * ${LANES}u + thread % ${LANES}u;
  let down = thread / ${LANES}u;
  var mine = vec2<f32>(0);
  if (c < sizes.channels) {
    for (var chunk = down; chunk < sizes.chunks; chunk += ${DOWN}u) { mine += partial[chunk * sizes.channels + c]; }
  }
${HALVING}
  if (down == 0u && c < sizes.channels) {
    sums[c] = all[thread].x;
    sums[sizes.channels + c] = all[thread].y;
  }
}`,
};

/** Sums of both terms, [2, C], added in the same order every time. */
export function channelSums(
  backend: GpuBackend,
  { rows, channels }: Rows,
  terms: Terms,
  sums: TensorInfo | GPUBuffer,
): void {
  const { perChunk, chunks, blocks } = chunked({ rows, channels });
  backend.scratch(8 * chunks * channels, (partial) => {
    const groups = chunks * blocks;
    backend.dispatch(
      firstPass(terms),
      [...terms.buffers, partial],
      laidOut(groups),
      words(rows, channels, perChunk, groups, blocks, ...(terms.values ?? [])),
    );
    backend.dispatch(SECOND, [partial, sums], [blocks], words(channels, chunks));
  });
}
