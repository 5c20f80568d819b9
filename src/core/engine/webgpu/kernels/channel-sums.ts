import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { GpuBackend, GpuProgram } from '../backend';
import { THREADS, chunked, layoutOf, type RowLayout, type Rows } from './channel-moments';
import {
  ENTRY,
  GROUP,
  laidOut,
  laneTypes,
  laneTypesWith,
  storage,
  uniform,
  type Binding,
  type Lanes,
} from './shader-text';
import { words } from './uniform-values';

/** What is summed over rows, channel by channel: one or two terms of every element. */
export interface Terms {
  /** Names the program. */
  readonly name: string;
  /** Of `T` and `I`, as many channels at a time as {@link layoutOf} says. */
  readonly bindings: readonly Binding[];
  readonly buffers: readonly (TensorInfo | GPUBuffer)[];
  /** Some of them lie in half precision, and are bound as `H`. */
  readonly halves?: boolean;
  /** WGSL that sets `first` and `second` for row `row`, channel `c` and element `i`. */
  readonly text: (lanes: Lanes) => string;
  /** Fields of the uniform behind those of every sum, and their values. */
  readonly fields?: string;
  readonly values?: readonly number[];
}

const MEMORY = `
struct Sums { first: T, second: T }
var<workgroup> all: array<Sums, ${THREADS}>;`;

const halving = ({ across, down }: RowLayout) => `
  all[thread] = mine;
  for (var half = ${down / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (down < half) {
      all[thread].first += all[thread + half * ${across}u].first;
      all[thread].second += all[thread + half * ${across}u].second;
    }
  }`;

function firstPass(terms: Terms, layout: RowLayout): GpuProgram {
  const { bindings } = terms;
  return {
    key: `channel-sums ${terms.name} ${JSON.stringify(layout)}`,
    readsHalves: terms.halves,
    wgsl: () => `
${laneTypesWith(terms.halves === true, layout.lanes)}
${storage([...bindings, { name: 'partial', type: 'T', access: 'read_write' }])}
${uniform(bindings.length + 1, `rows: u32, channels: u32, perChunk: u32, groups: u32, blocks: u32, ${terms.fields ?? ''}`)}
${MEMORY}
@compute @workgroup_size(${THREADS})
fn main(${ENTRY}) {
  let number = ${GROUP};
  if (number >= sizes.groups) { return; }
  let chunk = number / sizes.blocks;
  let c = number % sizes.blocks * ${layout.across}u + thread % ${layout.across}u;
  let down = thread / ${layout.across}u;
  let end = min(sizes.rows, (chunk + 1u) * sizes.perChunk);
  var mine = Sums(T(0), T(0));
  if (c < sizes.channels) {
    for (var row = chunk * sizes.perChunk + down; row < end; row += ${layout.down}u) {
      let i = row * sizes.channels + c;
      var first = T(0);
      var second = T(0);
      ${terms.text(layout.lanes)}
      mine.first += first;
      mine.second += second;
    }
  }
${halving(layout)}
  if (down == 0u && c < sizes.channels) {
    partial[2u * chunk * sizes.channels + c] = all[thread].first;
    partial[(2u * chunk + 1u) * sizes.channels + c] = all[thread].second;
  }
}`,
  };
}

const second = (layout: RowLayout): GpuProgram => ({
  key: `channel-sums of all chunks ${JSON.stringify(layout)}`,
  wgsl: () => `
${laneTypes(layout.lanes)}
${storage([
  { name: 'partial', type: 'T' },
  { name: 'sums', type: 'T', access: 'read_write' },
])}
${uniform(2, 'channels: u32, chunks: u32,')}
${MEMORY}
@compute @workgroup_size(${THREADS})
fn main(${ENTRY}) {
  let c = (${GROUP}) * ${layout.across}u + thread % ${layout.across}u;
  let down = thread / ${layout.across}u;
  var mine = Sums(T(0), T(0));
  if (c < sizes.channels) {
    for (var chunk = down; chunk < sizes.chunks; chunk += ${layout.down}u) {
      mine.first += partial[2u * chunk * sizes.channels + c];
      mine.second += partial[(2u * chunk + 1u) * sizes.channels + c];
    }
  }
${halving(layout)}
  if (down == 0u && c < sizes.channels) {
    sums[c] = all[thread].first;
    sums[sizes.channels + c] = all[thread].second;
  }
}`,
});

/** Sums of both terms, [2, C], added in the same order every time. */
export function channelSums(
  backend: GpuBackend,
  { rows, channels }: Rows,
  terms: Terms,
  sums: TensorInfo | GPUBuffer,
): void {
  const layout = layoutOf(channels);
  const { perChunk, chunks, blocks } = chunked({ rows, channels });
  const inRow = channels / layout.lanes;
  backend.scratch(8 * chunks * channels, (partial) => {
    const groups = chunks * blocks;
    backend.dispatch(
      firstPass(terms, layout),
      [...terms.buffers, partial],
      laidOut(groups),
      words(rows, inRow, perChunk, groups, blocks, ...(terms.values ?? [])),
    );
    backend.dispatch(second(layout), [partial, sums], [blocks], words(inRow, chunks));
  });
}
