import { threadsOf, type GemmTile } from './gemm-choice';
import type { Precision } from './settings';
import { ENTRY, GROUP, storage, uniform, unrolled } from './shader-text';

/** What tells one text of {@link filterGradientText} from another. */
export interface FilterGradientVariant {
  readonly tile: GemmTile;
  /** Input channels come in fours, output channels come in fours. */
  readonly vectorRows: boolean;
  readonly vectorColumns: boolean;
  readonly precision: Precision;
}

/** Positions whose place in the grid is worked out at once, one by each thread. */
const PLACES = 256;

/**
 * The gradient of a filter as a matrix product: rows are taps and input channels, columns output channels, and the sum runs
 * over the positions of dy. What a thread loads of x is always of the same tap and channels, so only the position changes:
 * places of 256 positions at a time are worked out by all threads and kept in workgroup memory, for divisions are slow.
 * Both tiles lie as [position][four channels], as the tensors do; a thread multiplies outer products.
 */
export function filterGradientText(variant: FilterGradientVariant): string {
  const { tile, vectorRows, vectorColumns, precision } = variant;
  const half = precision === 'f16';
  const element = half ? 'vec4<f16>' : 'vec4<f32>';
  return `${half ? 'enable f16;' : ''}
${storage([
  { name: 'x', type: vectorRows ? 'vec4<f32>' : 'f32' },
  { name: 'dy', type: vectorColumns ? 'vec4<f32>' : 'f32' },
  { name: 'result', type: vectorColumns ? 'vec4<f32>' : 'f32', access: 'read_write' },
])}
${uniform(
  3,
  `size: vec3<i32>, channels: i32,
  outputSize: vec3<i32>, columns: i32,
  stride: vec3<i32>, columnTiles: i32,
  padding: vec3<i32>, rowTiles: i32,
  dilation: vec3<i32>, groups: i32,
  kernel: vec3<i32>, positions: i32,
  rows: i32, perPart: i32, spare0: i32, spare1: i32,`,
)}
var<workgroup> left: array<${element}, ${(tile.rows * tile.depth) / 4}>;
var<workgroup> right: array<${element}, ${(tile.depth * tile.columns) / 4}>;
var<workgroup> places: array<vec4<i32>, ${PLACES}>;

/** Tap and channel of a row. A row beyond the last reads far outside of the grid. */
fn rowOf(row: i32) -> vec4<i32> {
  let tap = row / sizes.channels;
  let line = tap / sizes.kernel.z;
  let plane = line / sizes.kernel.y;
  let at = vec3<i32>(plane, line - plane * sizes.kernel.y, tap - line * sizes.kernel.z) * sizes.dilation;
  return vec4<i32>(select(vec3<i32>(-0x8000000), at, row < sizes.rows), row - tap * sizes.channels);
}

/** Where the window of a position begins in x, and the sample. */
fn placeOf(position: i32) -> vec4<i32> {
  let line = position / sizes.outputSize.z;
  let plane = line / sizes.outputSize.y;
  let sample = plane / sizes.outputSize.x;
  let at = vec3<i32>(plane - sample * sizes.outputSize.x, line - plane * sizes.outputSize.y, position - line * sizes.outputSize.z);
  return vec4<i32>(at * sizes.stride - sizes.padding, sample);
}

fn xAt(place: vec4<i32>, row: vec4<i32>) -> i32 {
  let at = place.xyz + row.xyz;
  if (any(at < vec3<i32>(0)) || any(at >= sizes.size)) { return -1; }
  return (((place.w * sizes.size.x + at.x) * sizes.size.y + at.y) * sizes.size.z + at.z) * sizes.channels + row.w;
}
${dyText(vectorColumns)}
@compute @workgroup_size(${threadsOf(tile)})
fn main(${ENTRY}) {
  let number = i32(${GROUP});
  if (number >= sizes.groups) { return; }
  let local = i32(thread);
  let firstColumn = (number % sizes.columnTiles) * ${tile.columns};
  let rest = number / sizes.columnTiles;
  let firstRow = (rest % sizes.rowTiles) * ${tile.rows};
  let part = rest / sizes.rowTiles;
  let begin = part * sizes.perPart;
  let end = min(sizes.positions, begin + sizes.perPart);
${sumText(variant)}
}`;
}

function dyText(vectorColumns: boolean): string {
  if (vectorColumns)
    return `
fn dyColumns(position: i32, column: i32) -> vec4<f32> {
  if (column >= sizes.columns) { return vec4<f32>(0); }
  return dy[(position * sizes.columns + column) / 4];
}
fn setColumns(at: i32, column: i32, value: vec4<f32>) {
  if (column < sizes.columns) { result[(at + column) / 4] = value; }
}`;
  return `
fn dyColumns(position: i32, column: i32) -> vec4<f32> {
  var value = vec4<f32>(0);
  let at = position * sizes.columns + column;
  if (column < sizes.columns) { value.x = dy[at]; }
  if (column + 1 < sizes.columns) { value.y = dy[at + 1]; }
  if (column + 2 < sizes.columns) { value.z = dy[at + 2]; }
  if (column + 3 < sizes.columns) { value.w = dy[at + 3]; }
  return value;
}
fn setColumns(at: i32, column: i32, value: vec4<f32>) {
  if (column < sizes.columns) { result[at + column] = value.x; }
  if (column + 1 < sizes.columns) { result[at + column + 1] = value.y; }
  if (column + 2 < sizes.columns) { result[at + column + 2] = value.z; }
  if (column + 3 < sizes.columns) { result[at + column + 3] = value.w; }
}`;
}

function sumText({ tile, vectorRows, precision }: FilterGradientVariant): string {
  const threads = threadsOf(tile);
  const tall = tile.rows / 4;
  const wide = tile.columns / 4;
  const lefts = (tile.depth * tall) / threads;
  const rights = Math.ceil((tile.depth * wide) / threads);
  const spare = (tile.depth * wide) % threads !== 0;
  const across = tile.columns / tile.threadColumns;
  const down = tile.rows / tile.threadRows;
  const quads = tile.threadRows / 4;
  const halves = tile.threadColumns / 4;
  const into = precision === 'f16' ? 'vec4<f16>' : '';
  const rowsText = vectorRows
    ? `  let row = rowOf(firstRow + 4 * (local % ${tall}));`
    : unrolled(4, (k) => `  let row${k} = rowOf(firstRow + 4 * (local % ${tall}) + ${k});`);
  const loadX = (to: string) =>
    vectorRows
      ? `{ let at = xAt(place, row); if (at >= 0) { ${to} = x[at / 4]; } }`
      : unrolled(4, (k) => `{ let at = xAt(place, row${k}); if (at >= 0) { ${to}.${'xyzw'[k]} = x[at]; } }`);
  return `
${rowsText}
  let across = local % ${across};
  let down = local / ${across};
${unrolled(tile.threadRows, (i) => unrolled(halves, (h) => `  var sum${i}_${h} = vec4<f32>(0);`))}
${unrolled(lefts, (i) => `  var nextLeft${i}: vec4<f32>;`)}
${unrolled(rights, (i) => `  var nextRight${i}: vec4<f32>;`)}
  for (var block = begin; block < end; block += ${PLACES}) {
    workgroupBarrier();
    for (var p = local; p < ${PLACES}; p += ${threads}) {
      places[p] = placeOf(block + p);
      if (block + p >= end) { places[p].x = -0x10000000; }
    }
    workgroupBarrier();
    let steps = min(${PLACES / tile.depth}, (end - block + ${tile.depth - 1}) / ${tile.depth});
    for (var step = 0; step <= steps; step++) {
      if (step > 0) {
        workgroupBarrier();
${unrolled(lefts, (i) => `        left[local + ${i * threads}] = ${into}(nextLeft${i});`)}
${unrolled(
  rights,
  (i) =>
    `        ${spare ? `if (local + ${i * threads} < ${tile.depth * wide}) ` : ''}{ right[local + ${i * threads}] = ${into}(nextRight${i}); }`,
)}
        workgroupBarrier();
      }
      if (step < steps) {
${unrolled(
  lefts,
  (i) => `
        {
          let place = places[step * ${tile.depth} + (local + ${i * threads}) / ${tall}];
          nextLeft${i} = vec4<f32>(0);
          ${loadX(`nextLeft${i}`)}
        }`,
)}
${unrolled(
  rights,
  (i) => `
        {
          let position = block + step * ${tile.depth} + (local + ${i * threads}) / ${wide};
          nextRight${i} = vec4<f32>(0);
          if (position < end) { nextRight${i} = dyColumns(position, firstColumn + 4 * ((local + ${i * threads}) % ${wide})); }
        }`,
)}
      }
      if (step > 0) {
        for (var deep = 0; deep < ${tile.depth}; deep += 4) {
${unrolled(4, (k) => unrolled(halves, (h) => `          let b${k}_${h} = right[(deep + ${k}) * ${wide} + across + ${h * across}];`))}
${unrolled(
  quads,
  (q) => `          {
${unrolled(4, (k) => `            let a${k} = left[(deep + ${k}) * ${tall} + down + ${q * down}];`)}
${unrolled(4, (j) => unrolled(halves, (h) => `            ${outer(precision, 4 * q + j, j, h)}`))}
          }`,
)}
        }
      }
    }
  }

  let start = part * sizes.rows * sizes.columns;
${unrolled(
  tile.threadRows,
  (i) => `
  {
    let row = firstRow + 4 * (down + ${Math.floor(i / 4) * down}) + ${i % 4};
    if (row < sizes.rows) {
${unrolled(halves, (h) => `      setColumns(start + row * sizes.columns, firstColumn + 4 * (across + ${h * across}), sum${i}_${h});`)}
    }
  }`,
)}`;
}

/** Four positions join a sum; in half precision their products are added first. */
function outer(precision: Precision, i: number, j: number, h: number): string {
  const lane = 'xyzw'[j];
  const sum = `sum${i}_${h}`;
  if (precision === 'f16')
    return `${sum} += vec4<f32>(a0.${lane} * b0_${h} + a1.${lane} * b1_${h} + a2.${lane} * b2_${h} + a3.${lane} * b3_${h});`;
  return `${sum} = fma(vec4<f32>(a3.${lane}), b3_${h}, fma(vec4<f32>(a2.${lane}), b2_${h}, fma(vec4<f32>(a1.${lane}), b1_${h}, fma(vec4<f32>(a0.${lane}), b0_${h}, ${sum}))));`;
}
