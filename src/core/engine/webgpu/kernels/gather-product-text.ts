import { ENTRY, GROUP, directivesText, storage, uniform, unrolled } from './shader-text';
import { nextText, sharesOf, stepsText, type Operands, type TileProduct } from './tile-product';

/** What tells one text of {@link gatherProductText} from another, beside how it multiplies. */
export interface GatherVariant {
  /** Channels of the gathered tensor come in fours, and there are enough of them that each tap is summed by itself. */
  readonly byTap: boolean;
  /** Columns come in fours. */
  readonly vectorColumns: boolean;
  /** Room for so many classes. */
  readonly classes: number;
  /** Halves only with `byTap` and `vectorColumns`. */
  readonly operands: Operands;
}

/** Depth whose taps and channels are worked out at once, where taps are not summed one by one. */
const PLACES = 64;

/**
 * A convolution as a matrix product whose left side is gathered while it is loaded (implicit GEMM).
 *
 * Rows are positions of the result, columns its channels, and the sum runs over taps and channels. Row q of a class lies at
 * `start + q * step` of the result; tap t reads the gathered grid at `q * scale + origin + t * tapStep`, zero outside of it,
 * and takes the filter's tap `firstTap + t * tapIncrement`. A convolution is one class. The gradient of the input has one per
 * remainder of the position by the stride: each reads only the taps that reach it.
 *
 * Places of rows are worked out once, a row by a thread, and kept in workgroup memory: divisions are slow.
 * @param product multiplies; its left operand lies in rows
 */
export function gatherProductText(variant: GatherVariant, product: TileProduct): string {
  const { classes, operands } = variant;
  return `${directivesText(product.directives)}
${storage([
  { name: 'gathered', type: variant.byTap ? `vec4<${operands}>` : 'f32' },
  { name: 'filter_', type: variant.vectorColumns ? `vec4<${operands}>` : 'f32' },
  { name: 'result', type: variant.vectorColumns ? 'vec4<f32>' : 'f32', access: 'read_write' },
])}
struct Class {
  count: vec3<i32>, firstTile: i32,
  start: vec3<i32>, rows: i32,
  origin: vec3<i32>, steps: i32,
  taps: vec3<i32>, stepsPerPart: i32,
  firstTap: vec3<i32>, spare0: i32,
  tapIncrement: vec3<i32>, spare1: i32,
  tapStep: vec3<i32>, spare2: i32,
}
${uniform(
  3,
  `size: vec3<i32>, channels: i32,
  resultSize: vec3<i32>, columns: i32,
  step: vec3<i32>, columnTiles: i32,
  scale: vec3<i32>, rowTiles: i32,
  kernel: vec3<i32>, groups: i32,
  apart: vec3<i32>, parts: i32,
  classCount: i32, spare0: i32, spare1: i32, spare2: i32,
  classes: array<Class, ${classes}>,`,
)}
${product.memory}
/** Position in its class and sample of each row; the sample is -1 beyond the last row. */
var<workgroup> places: array<vec4<i32>, ${product.rows}>;
${
  variant.byTap
    ? ''
    : `/** Offset and channel of each product, and its row of the filter. */
var<workgroup> deepPlaces: array<vec4<i32>, ${PLACES}>;
var<workgroup> deepRows: array<i32, ${PLACES}>;`
}

fn inside(at: vec3<i32>) -> bool {
  return all(at >= vec3<i32>(0)) && all(at < sizes.size);
}

fn voxel(sample: i32, at: vec3<i32>) -> i32 {
  return ((sample * sizes.size.x + at.x) * sizes.size.y + at.y) * sizes.size.z + at.z;
}

/** Sample and position of a row. */
fn placeOf(row: i32, count: vec3<i32>) -> vec4<i32> {
  let line = row / count.z;
  let plane = line / count.y;
  let sample = plane / count.x;
  return vec4<i32>(plane - sample * count.x, line - plane * count.y, row - line * count.z, sample);
}

fn filterRow(class_: i32, tap: vec3<i32>, channel: i32) -> i32 {
  let at = sizes.classes[class_].firstTap + tap * sizes.classes[class_].tapIncrement;
  return ((at.x * sizes.kernel.y + at.y) * sizes.kernel.z + at.z) * sizes.channels + channel;
}

${columnsText(variant)}
@compute @workgroup_size(${product.threads}) ${product.attributes ?? ''}
fn main(${[ENTRY, product.parameters].filter(Boolean).join(', ')}) {
  let number = i32(${GROUP});
  if (number >= sizes.groups) { return; }
  // Workgroups of the same rows run side by side: they share what they gather in L2.
  let firstColumn = (number % sizes.columnTiles) * ${product.columns};
  let rest = number / sizes.columnTiles;
  let rowTile = rest % sizes.rowTiles;
  let part = rest / sizes.rowTiles;
  var class_ = 0;
  for (var c = 1; c < sizes.classCount; c++) {
    if (rowTile >= sizes.classes[c].firstTile) { class_ = c; }
  }
  let count = sizes.classes[class_].count;
  let rows = sizes.classes[class_].rows;
  let firstRow = (rowTile - sizes.classes[class_].firstTile) * ${product.rows};
  let origin = sizes.classes[class_].origin;
  let tapStep = sizes.classes[class_].tapStep;
  let taps = sizes.classes[class_].taps;
  let steps = sizes.classes[class_].steps;
  let filterStart = part * sizes.apart.y;
  let gatheredStart = part * sizes.apart.x;
  let local = i32(thread);
${productText(variant, product)}
}`;
}

/** Four columns of the filter and of the result, by vector or one by one. */
function columnsText({ vectorColumns, operands }: GatherVariant): string {
  if (vectorColumns)
    return `
fn filterColumns(start: i32, row: i32, column: i32) -> vec4<${operands}> {
  if (column >= sizes.columns) { return vec4<${operands}>(0); }
  return filter_[(start + row * sizes.columns + column) / 4];
}
fn setColumns(at: i32, column: i32, value: vec4<f32>) {
  if (column < sizes.columns) { result[(at + column) / 4] = value; }
}`;
  return `
fn filterColumns(start: i32, row: i32, column: i32) -> vec4<f32> {
  var value = vec4<f32>(0);
  let at = start + row * sizes.columns + column;
  if (column < sizes.columns) { value.x = filter_[at]; }
  if (column + 1 < sizes.columns) { value.y = filter_[at + 1]; }
  if (column + 2 < sizes.columns) { value.z = filter_[at + 2]; }
  if (column + 3 < sizes.columns) { value.w = filter_[at + 3]; }
  return value;
}
fn setColumns(at: i32, column: i32, value: vec4<f32>) {
  if (column < sizes.columns) { result[at + column] = value.x; }
  if (column + 1 < sizes.columns) { result[at + column + 1] = value.y; }
  if (column + 2 < sizes.columns) { result[at + column + 2] = value.z; }
  if (column + 3 < sizes.columns) { result[at + column + 3] = value.w; }
}`;
}

function productText({ byTap, operands }: GatherVariant, product: TileProduct): string {
  const { rows, depth, threads } = product;
  const { lefts } = sharesOf(product);
  const deep = depth / 4;
  return `
  for (var r = local; r < ${rows}; r += ${threads}) {
    places[r] = placeOf(firstRow + r, count);
    if (firstRow + r >= rows) { places[r].w = -1; }
  }
  workgroupBarrier();
  let loadDeep = 4 * (local % ${deep});
${unrolled(
  lefts,
  (i) => `
  let leftPlace${i} = places[local / ${deep} + ${(i * threads) / deep}];
  // A row beyond the last reads far outside of the grid.
  let leftAt${i} = select(vec3<i32>(-0x10000000), leftPlace${i}.xyz * sizes.scale + origin, leftPlace${i}.w >= 0);`,
)}
${product.begin}
${nextText(product, operands)}

  let firstStep = select(0, part * sizes.classes[class_].stepsPerPart, sizes.parts > 1);
  let endStep = select(steps, min(steps, firstStep + sizes.classes[class_].stepsPerPart), sizes.parts > 1);
${
  byTap
    ? stepByTap(depth) + stepsText(product, 'firstStep', 'endStep', loadByTap(product, operands))
    : `
  let all = max(1, taps.y) * max(1, taps.z);
  for (var block = firstStep; block < endStep; block += ${PLACES / depth}) {
    workgroupBarrier();
    for (var k = local; k < ${PLACES}; k += ${threads}) {
      let tapNumber = (block * ${depth} + k) / sizes.channels;
      let channel = block * ${depth} + k - tapNumber * sizes.channels;
      let plane = tapNumber / all;
      let line = (tapNumber - plane * all) / max(1, taps.z);
      let tap = vec3<i32>(plane, line, tapNumber - plane * all - line * max(1, taps.z));
      let within = plane < taps.x;
      deepPlaces[k] = vec4<i32>(select(vec3<i32>(-0x8000000), tap * tapStep, within), channel);
      deepRows[k] = select(-1, filterRow(class_, tap, channel), within);
    }
    workgroupBarrier();
    let blockEnd = min(endStep, block + ${PLACES / depth});
${stepsText(product, 'block', 'blockEnd', loadFlat(product))}
  }`
}

${product.results(
  (row, inRow) => `
  {
    let place = places[${row}];
    if (place.w >= 0) {
      let at = sizes.classes[class_].start + place.xyz * sizes.step;
      let start = (((place.w * sizes.resultSize.x + at.x) * sizes.resultSize.y + at.y) * sizes.resultSize.z + at.z) * sizes.columns + part * sizes.apart.z;
      ${inRow}
    }
  }`,
  (column, value) => `setColumns(start, firstColumn + ${column}, ${value});`,
)}`;
}

/** Where a part of the sum begins; from there the place is moved on, without a division. */
function stepByTap(depth: number): string {
  return `
  let chunks = (sizes.channels + ${depth - 1}) / ${depth};
  var chunk = firstStep % chunks;
  var tapNumber = firstStep / chunks;
  var tap = vec3<i32>(tapNumber / max(1, taps.y * taps.z), (tapNumber / max(1, taps.z)) % max(1, taps.y), tapNumber % max(1, taps.z));`;
}

function loadByTap(product: TileProduct, operands: Operands): string {
  const { columns, depth, threads } = product;
  const { lefts, rights } = sharesOf(product);
  const wide = columns / 4;
  return `
      let channel = chunk * ${depth};
      let within = channel + loadDeep < sizes.channels;
${unrolled(
  lefts,
  (i) => `
      {
        let at = leftAt${i} + tap * tapStep;
        nextLeft${i} = vec4<${operands}>(0);
        if (within && inside(at)) { nextLeft${i} = gathered[(gatheredStart + voxel(leftPlace${i}.w, at) * sizes.channels + channel + loadDeep) / 4]; }
      }`,
)}
      let firstFilterRow = filterRow(class_, tap, channel);
${unrolled(
  rights,
  (i) => `
      {
        let deep = (local + ${i * threads}) / ${wide};
        nextRight${i} = vec4<${operands}>(0);
        if (channel + deep < sizes.channels) { nextRight${i} = filterColumns(filterStart, firstFilterRow + deep, firstColumn + 4 * ((local + ${i * threads}) % ${wide})); }
      }`,
)}
      chunk++;
      if (chunk == chunks) {
        chunk = 0;
        tap.z++;
        if (tap.z == taps.z) { tap.z = 0; tap.y++; }
        if (tap.y == taps.y) { tap.y = 0; tap.x++; }
      }`;
}

/** Taps and channels as one index: for one or two modalities, and for numbers of channels that are no multiple of 4. */
function loadFlat(product: TileProduct): string {
  const { columns, depth, threads } = product;
  const { lefts, rights } = sharesOf(product);
  const wide = columns / 4;
  return `
      let base = (step - block) * ${depth};
${unrolled(4, (k) => `      let deep${k} = deepPlaces[base + loadDeep + ${k}];`)}
${unrolled(
  lefts,
  (i) => `
      nextLeft${i} = vec4<f32>(0);
${unrolled(
  4,
  (k) => `
      {
        let at = leftAt${i} + deep${k}.xyz;
        if (inside(at)) { nextLeft${i}.${'xyzw'[k]} = gathered[gatheredStart + voxel(leftPlace${i}.w, at) * sizes.channels + deep${k}.w]; }
      }`,
)}`,
)}
${unrolled(
  rights,
  (i) => `
      {
        let row = deepRows[min(${PLACES - 1}, base + (local + ${i * threads}) / ${wide})];
        nextRight${i} = vec4<f32>(0);
        if (row >= 0) { nextRight${i} = filterColumns(filterStart, row, firstColumn + 4 * ((local + ${i * threads}) % ${wide})); }
      }`,
)}`;
}
