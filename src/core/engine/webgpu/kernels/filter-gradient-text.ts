import { ENTRY, GROUP, directivesText, storage, uniform, unrolled } from './shader-text';
import { nextText, sharesOf, stepsText, type Operands, type TileProduct } from './tile-product';

/** What tells one text of {@link filterGradientText} from another, beside how it multiplies. */
export interface FilterGradientVariant {
  /** Input channels come in fours, output channels come in fours. */
  readonly vectorRows: boolean;
  readonly vectorColumns: boolean;
  /** Halves only where both come in fours. */
  readonly operands: Operands;
  /** Of x, where it lies otherwise: halves where input channels come in fours, for products in half precision. */
  readonly left?: Operands;
}

/** Positions whose place in the grid is worked out at once, one by each thread. */
const PLACES = 256;

/**
 * The gradient of a filter as a matrix product: rows are taps and input channels, columns output channels, and the sum runs
 * over the positions of dy. What a thread loads of x is always of the same tap and channels, so only the position changes:
 * places of 256 positions at a time are worked out by all threads and kept in workgroup memory, for divisions are slow.
 * @param product multiplies; both operands lie as [position][four channels], as the tensors do
 */
export function filterGradientText(variant: FilterGradientVariant, product: TileProduct): string {
  const { vectorRows, vectorColumns, operands, left = operands } = variant;
  return `${directivesText(product.directives)}
${storage([
  { name: 'x', type: vectorRows ? `vec4<${left}>` : 'f32' },
  { name: 'dy', type: vectorColumns ? `vec4<${operands}>` : 'f32' },
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
  rows: i32, perPart: i32, parts: i32, resultStart: i32,
  apart: vec3<i32>, batches: i32,`,
)}
${product.memory}
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

fn xAt(start: i32, place: vec4<i32>, row: vec4<i32>) -> i32 {
  let at = place.xyz + row.xyz;
  if (any(at < vec3<i32>(0)) || any(at >= sizes.size)) { return -1; }
  return start + (((place.w * sizes.size.x + at.x) * sizes.size.y + at.y) * sizes.size.z + at.z) * sizes.channels + row.w;
}
${dyText(vectorColumns, operands)}
@compute @workgroup_size(${product.threads}) ${product.attributes ?? ''}
fn main(${[ENTRY, product.parameters].filter(Boolean).join(', ')}) {
  let number = i32(${GROUP});
  if (number >= sizes.groups) { return; }
  let local = i32(thread);
  let firstColumn = (number % sizes.columnTiles) * ${product.columns};
  let rest = number / sizes.columnTiles;
  let firstRow = (rest % sizes.rowTiles) * ${product.rows};
  let batch = rest / sizes.rowTiles / sizes.parts;
  let part = rest / sizes.rowTiles - batch * sizes.parts;
  let xStart = batch * sizes.apart.x;
  let dyStart = batch * sizes.apart.y;
  let begin = part * sizes.perPart;
  let end = min(sizes.positions, begin + sizes.perPart);
${sumText(variant, product)}
}`;
}

function dyText(vectorColumns: boolean, operands: Operands): string {
  if (vectorColumns)
    return `
fn dyColumns(start: i32, position: i32, column: i32) -> vec4<${operands}> {
  if (column >= sizes.columns) { return vec4<${operands}>(0); }
  return dy[(start + position * sizes.columns + column) / 4];
}
fn setColumns(at: i32, column: i32, value: vec4<f32>) {
  if (column < sizes.columns) { result[(at + column) / 4] = value; }
}`;
  return `
fn dyColumns(start: i32, position: i32, column: i32) -> vec4<f32> {
  var value = vec4<f32>(0);
  let at = start + position * sizes.columns + column;
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

function sumText(
  { vectorRows, operands, left = operands }: FilterGradientVariant,
  product: TileProduct,
): string {
  const { rows, columns, depth, threads } = product;
  const { lefts, rights } = sharesOf(product);
  const tall = rows / 4;
  const wide = columns / 4;
  const rowsText = vectorRows
    ? `  let row = rowOf(firstRow + 4 * (local % ${tall}));`
    : unrolled(4, (k) => `  let row${k} = rowOf(firstRow + 4 * (local % ${tall}) + ${k});`);
  const loadX = (to: string) =>
    vectorRows
      ? `{ let at = xAt(xStart, place, row); if (at >= 0) { ${to} = x[at / 4]; } }`
      : unrolled(
          4,
          (k) => `{ let at = xAt(xStart, place, row${k}); if (at >= 0) { ${to}.${'xyzw'[k]} = x[at]; } }`,
        );
  const load = `
${unrolled(
  lefts,
  (i) => `
        {
          let place = places[step * ${depth} + (local + ${i * threads}) / ${tall}];
          nextLeft${i} = vec4<${left}>(0);
          ${loadX(`nextLeft${i}`)}
        }`,
)}
${unrolled(
  rights,
  (i) => `
        {
          let position = block + step * ${depth} + (local + ${i * threads}) / ${wide};
          nextRight${i} = vec4<${operands}>(0);
          if (position < end) { nextRight${i} = dyColumns(dyStart, position, firstColumn + 4 * ((local + ${i * threads}) % ${wide})); }
        }`,
)}`;
  return `
${rowsText}
${product.begin}
${nextText(product, operands, left)}
  for (var block = begin; block < end; block += ${PLACES}) {
    workgroupBarrier();
    for (var p = local; p < ${PLACES}; p += ${threads}) {
      places[p] = placeOf(block + p);
      if (block + p >= end) { places[p].x = -0x10000000; }
    }
    workgroupBarrier();
    let steps = min(${PLACES / depth}, (end - block + ${depth - 1}) / ${depth});
${stepsText(product, '0', 'steps', load)}
  }

  let start = sizes.resultStart + (part * sizes.batches + batch) * sizes.rows * sizes.columns;
${product.results(
  (inTile, inRow) => `
  {
    let resultRow = firstRow + ${inTile};
    if (resultRow < sizes.rows) {
      ${inRow}
    }
  }`,
  (column, value) => `setColumns(start + resultRow * sizes.columns, firstColumn + ${column}, ${value});`,
)}`;
}
