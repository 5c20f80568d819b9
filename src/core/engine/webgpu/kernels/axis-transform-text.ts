import { ENTRY, GROUP, storage, uniform, unrolled, type Binding } from './shader-text';

/** A matrix that is applied along an axis: rows make results of `columns` inputs. */
export type AxisMatrix = readonly (readonly number[])[];

/** Where blocks come from and go to. */
export type TransformKind =
  /** From a grid [N, D, H, W, C], at places that a table lists (-1: zero), to products [P, tiles, C]. */
  | 'gather'
  /** From products [P, tiles, C] to a grid, at places that a table lists (-1: nowhere). */
  | 'scatter'
  /** From [parts, blocks of the inputs' size, C], parts added up in their order, to blocks of the results' size. */
  | 'sum';

/** What tells one text of {@link axisTransformText} from another. */
export interface AxisTransform {
  readonly kind: TransformKind;
  /** Along depth, height and width. */
  readonly matrices: readonly [AxisMatrix, AxisMatrix, AxisMatrix];
}

/** Bytes of workgroup memory that WebGPU guarantees. */
const ROOM = 16_384;
const THREADS = 256;

const sidesOf = ({ matrices }: AxisTransform) => ({
  inputs: matrices.map((matrix) => matrix[0].length),
  results: matrices.map((matrix) => matrix.length),
  held: matrices.map((matrix) => Math.max(matrix.length, matrix[0].length)),
});

const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);

/** Channels that a workgroup takes, for as many as lie in its memory at once. */
export function lanesOf(transform: AxisTransform): number {
  const cells = product(sidesOf(transform).held);
  const lanes = [64, 32, 16, 8, 4].find((count) => 4 * cells * count <= ROOM);
  if (!lanes) throw new Error(`A tile of ${cells} values does not fit into workgroup memory.`);
  return lanes;
}

/** Fields of the uniform. `size` is the grid's, `tiles` the tiles along each axis, `all` those of the products in memory. */
export const TRANSFORM_FIELDS = `
  size: vec3<i32>, channels: i32,
  tiles: vec3<i32>, blocks: i32,
  first: i32, all: i32, groups: i32, parts: i32,`;

/**
 * A block of a tile and some channels, multiplied along each axis by a matrix: the transforms of short convolutions. A workgroup
 * holds the block in its memory, and its threads take line by line of it, in place; lanes are neighbouring channels.
 */
export function axisTransformText(transform: AxisTransform): string {
  const { kind } = transform;
  const { inputs, results, held } = sidesOf(transform);
  const lanes = lanesOf(transform);
  const workers = THREADS / lanes;
  const strides = [held[1] * held[2], held[2], 1];
  const bindings: Binding[] = [
    { name: 'given', type: 'f32' },
    { name: 'made', type: 'f32', access: 'read_write' },
    ...(kind === 'sum' ? [] : [{ name: 'places', type: 'i32' }]),
  ];
  const table = kind === 'scatter' ? results : inputs;
  return `
${storage(bindings)}
${uniform(bindings.length, TRANSFORM_FIELDS)}
var<workgroup> cells: array<f32, ${product(held) * lanes}>;
${kind === 'sum' ? '' : placeText(table)}
@compute @workgroup_size(${THREADS})
fn main(${ENTRY}) {
  let number = i32(${GROUP});
  if (number >= sizes.groups) { return; }
  let lane = i32(thread) % ${lanes};
  let worker = i32(thread) / ${lanes};
  let c = (number % sizes.blocks) * ${lanes} + lane;
  let local = number / sizes.blocks;
  let within = c < sizes.channels;
${kind === 'sum' ? '' : tileText}
  for (var e = worker; e < ${product(inputs)}; e += ${workers}) {
    let i = vec3<i32>(e / ${inputs[1] * inputs[2]}, e / ${inputs[2]} % ${inputs[1]}, e % ${inputs[2]});
    var value = 0.0;
    if (within) {
      ${loadText(kind, inputs)}
    }
    cells[(i.x * ${strides[0]} + i.y * ${strides[1]} + i.z) * ${lanes} + lane] = value;
  }
${[0, 1, 2].map((axis) => axisText(transform, axis, lanes, workers, strides)).join('\n')}
  workgroupBarrier();
  for (var e = worker; e < ${product(results)}; e += ${workers}) {
    let i = vec3<i32>(e / ${results[1] * results[2]}, e / ${results[2]} % ${results[1]}, e % ${results[2]});
    let value = cells[(i.x * ${strides[0]} + i.y * ${strides[1]} + i.z) * ${lanes} + lane];
    if (within) {
      ${storeText(kind)}
    }
  }
}`;
}

/** The table holds the places of depth, height and width, tile by tile. */
const placeText = ([d, h, w]: readonly number[]) => `
fn placeOf(tile: vec3<i32>, i: vec3<i32>) -> vec3<i32> {
  let height = sizes.tiles.x * ${d};
  let width = height + sizes.tiles.y * ${h};
  return vec3<i32>(places[tile.x * ${d} + i.x], places[height + tile.y * ${h} + i.y], places[width + tile.z * ${w} + i.z]);
}
fn voxel(sample: i32, at: vec3<i32>) -> i32 {
  return ((sample * sizes.size.x + at.x) * sizes.size.y + at.y) * sizes.size.z + at.z;
}`;

const tileText = `
  let number_ = sizes.first + local;
  let line = number_ / sizes.tiles.z;
  let plane = line / sizes.tiles.y;
  let sample = plane / sizes.tiles.x;
  let tile = vec3<i32>(plane - sample * sizes.tiles.x, line - plane * sizes.tiles.y, number_ - line * sizes.tiles.z);`;

function loadText(kind: TransformKind, inputs: readonly number[]): string {
  switch (kind) {
    case 'gather':
      return `let at = placeOf(tile, i);
      if (all(at >= vec3<i32>(0))) { value = given[voxel(sample, at) * sizes.channels + c]; }`;
    case 'scatter':
      return 'value = given[(e * sizes.all + local) * sizes.channels + c];';
    case 'sum':
      return `for (var part = 0; part < sizes.parts; part++) { value += given[(part * ${product(inputs)} + e) * sizes.channels + c]; }`;
  }
}

function storeText(kind: TransformKind): string {
  switch (kind) {
    case 'gather':
      return 'made[(e * sizes.all + local) * sizes.channels + c] = value;';
    case 'scatter':
      return `let at = placeOf(tile, i);
      if (all(at >= vec3<i32>(0))) { made[voxel(sample, at) * sizes.channels + c] = value; }`;
    case 'sum':
      return 'made[e * sizes.channels + c] = value;';
  }
}

/** Lines along one axis: those before are results already, those behind still inputs. */
function axisText(
  transform: AxisTransform,
  axis: number,
  lanes: number,
  workers: number,
  strides: readonly number[],
): string {
  const matrix = transform.matrices[axis];
  const { inputs, results } = sidesOf(transform);
  const [u, v] = [0, 1, 2].filter((a) => a !== axis);
  const side = (a: number) => (a < axis ? results[a] : inputs[a]);
  const at = (i: number) => `start + ${i * strides[axis] * lanes}`;
  return `
  workgroupBarrier();
  for (var l = worker; l < ${side(u) * side(v)}; l += ${workers}) {
    let start = (l / ${side(v)} * ${strides[u]} + l % ${side(v)} * ${strides[v]}) * ${lanes} + lane;
${unrolled(matrix[0].length, (i) => `    let i${i} = cells[${at(i)}];`)}
${unrolled(matrix.length, (i) => `    cells[${at(i)}] = ${combination(matrix[i])};`)}
  }`;
}

/** A row of a matrix times the inputs of a line; what is multiplied with zero is left out. */
function combination(row: readonly number[]): string {
  const terms = row.flatMap((factor, i) => (factor === 0 ? [] : [{ factor, i }]));
  if (terms.length === 0) return '0.0';
  return terms
    .map(({ factor, i }) => (factor === 1 ? `i${i}` : factor === -1 ? `-i${i}` : `${number(factor)} * i${i}`))
    .join(' + ');
}

/** As WGSL writes a float. */
function number(value: number): string {
  const text = String(value);
  return `${text}${/[.e]/.test(text) ? '' : '.0'}`;
}
