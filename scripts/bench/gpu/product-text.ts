import type { MatrixShape } from './gpu-in-use';

// WGSL of the kernels that say what a device can do. They are apart from the engine's own, which are measured against them.

/** How a matrix product is cut up; a thread makes `threadRows` x `threadColumns` results in registers. */
export interface ProductTile {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly threadRows: number;
  readonly threadColumns: number;
}

export interface ProductKernel {
  readonly tile: ProductTile;
  /** Of the factors, in memory and in products. */
  readonly element: 'f32' | 'f16';
  /** Of the sums in registers; `mixed`: sums in single precision of four products in half precision. */
  readonly sums: 'same' | 'mixed';
}

const threadsOf = ({ rows, columns, threadRows, threadColumns }: ProductTile): number =>
  (rows / threadRows) * (columns / threadColumns);

const lines = (count: number, text: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => text(i)).join('\n');

const SIZES = '@group(0) @binding(3) var<uniform> size: vec4<u32>;';

/**
 * C = A B of square row-major matrices whose side `size.x` is a multiple of the tile. A workgroup holds a tile of A as
 * [row][four of depth] and of B as [depth][four columns]; the next step's values are on their way in registers while
 * this one multiplies.
 */
export function productText({ tile, element, sums }: ProductKernel): string {
  const half = element === 'f16';
  const vec = `vec4<${element}>`;
  const sum = half && sums === 'same' ? 'vec4<f16>' : 'vec4<f32>';
  const threads = threadsOf(tile);
  const deep = tile.depth / 4;
  const wide = tile.columns / 4;
  const lefts = (tile.rows * deep) / threads;
  const rights = (tile.depth * wide) / threads;
  const halves = tile.threadColumns / 4;
  const across = wide / halves;
  const down = tile.rows / tile.threadRows;
  const eachSum = (text: (i: number, h: number) => string) =>
    lines(tile.threadRows, (i) => lines(halves, (h) => text(i, h)));
  const next = (k: string) => `
${lines(lefts, (i) => `    nextLeft${i} = a[((first.y + (thread + ${i * threads}u) / ${deep}u) * size.x + ${k}) / 4u + (thread + ${i * threads}u) % ${deep}u];`)}
${lines(rights, (i) => `    nextRight${i} = b[((${k} + (thread + ${i * threads}u) / ${wide}u) * size.x + first.x) / 4u + (thread + ${i * threads}u) % ${wide}u];`)}`;
  return `${half ? 'enable f16;' : ''}
@group(0) @binding(0) var<storage, read> a: array<${vec}>;
@group(0) @binding(1) var<storage, read> b: array<${vec}>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4<f32>>;
${SIZES}
var<workgroup> left: array<${vec}, ${tile.rows * deep}>;
var<workgroup> right: array<${vec}, ${tile.depth * wide}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let first = vec2<u32>(group.x * ${tile.columns}u, group.y * ${tile.rows}u);
  let across = thread % ${across}u;
  let down = thread / ${across}u;
${eachSum((i, h) => `  var sum${i}_${h} = ${sum}(0);`)}
${lines(lefts, (i) => `  var nextLeft${i}: ${vec};`)}
${lines(rights, (i) => `  var nextRight${i}: ${vec};`)}
  {${next('0u')}
  }
  for (var k = 0u; k < size.x; k += ${tile.depth}u) {
    workgroupBarrier();
${lines(lefts, (i) => `    left[thread + ${i * threads}u] = nextLeft${i};`)}
${lines(rights, (i) => `    right[thread + ${i * threads}u] = nextRight${i};`)}
    workgroupBarrier();
    if (k + ${tile.depth}u < size.x) {${next(`(k + ${tile.depth}u)`)}
    }
    for (var deep = 0u; deep < ${deep}u; deep++) {
${lines(4, (k) => lines(halves, (h) => `      let b${k}_${h} = right[(4u * deep + ${k}u) * ${wide}u + across + ${h * across}u];`))}
${lines(
  tile.threadRows,
  (i) => `      { let q = left[(down + ${i * down}u) * ${deep}u + deep];
${lines(halves, (h) => `        sum${i}_${h} ${grown(`sum${i}_${h}`, vec, sum, h)};`)} }`,
)}
    }
  }
${eachSum((i, h) => `  c[((first.y + down + ${i * down}u) * size.x + first.x) / 4u + across + ${h * across}u] = vec4<f32>(sum${i}_${h});`)}
}`;
}

function grown(name: string, vec: string, sum: string, h: number): string {
  if (vec !== sum) return `+= ${sum}(q.x * b0_${h} + q.y * b1_${h} + q.z * b2_${h} + q.w * b3_${h})`;
  const inner = `fma(${vec}(q.y), b1_${h}, fma(${vec}(q.x), b0_${h}, ${name}))`;
  return `= fma(${vec}(q.w), b3_${h}, fma(${vec}(q.z), b2_${h}, ${inner}))`;
}

/** Matrices along one side of what a subgroup makes. */
const MATRICES = 4;

/** Subgroups along one side of what a workgroup makes. */
const SUBGROUPS = 2;

/** Results of a workgroup of {@link matrixUnitText}: rows and columns. */
export const matrixUnitTile = ({ M, N }: MatrixShape): readonly [number, number] => [
  SUBGROUPS * MATRICES * M,
  SUBGROUPS * MATRICES * N,
];

/**
 * C = A B in half precision on the units that multiply small matrices, read straight from memory: a workgroup's
 * subgroups read the same rows and columns at about the same time, from the caches.
 * @param lanes threads of a subgroup
 */
export function matrixUnitText({ M, N, K, resultComponentType }: MatrixShape, lanes: number): string {
  const result = `subgroup_matrix_result<${resultComponentType}, ${N}, ${M}>`;
  const each = (text: (i: number, j: number) => string) =>
    lines(MATRICES, (i) => lines(MATRICES, (j) => text(i, j)));
  return `enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
@group(0) @binding(0) var<storage, read> a: array<f16>;
@group(0) @binding(1) var<storage, read> b: array<f16>;
@group(0) @binding(2) var<storage, read_write> c: array<${resultComponentType}>;
${SIZES}
@compute @workgroup_size(${lanes * SUBGROUPS * SUBGROUPS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_id) subgroup: u32) {
  let row = (group.y * ${SUBGROUPS}u + subgroup / ${SUBGROUPS}u) * ${MATRICES * M}u;
  let column = (group.x * ${SUBGROUPS}u + subgroup % ${SUBGROUPS}u) * ${MATRICES * N}u;
${each((i, j) => `  var sum${i}_${j} = ${result}();`)}
  for (var k = 0u; k < size.x; k += ${K}u) {
${lines(MATRICES, (i) => `    let left${i} = subgroupMatrixLoad<subgroup_matrix_left<f16, ${K}, ${M}>, row_major>(&a, (row + ${i * M}u) * size.x + k, size.x);`)}
${lines(MATRICES, (j) => `    let right${j} = subgroupMatrixLoad<subgroup_matrix_right<f16, ${N}, ${K}>, row_major>(&b, k * size.x + column + ${j * N}u, size.x);`)}
${each((i, j) => `    sum${i}_${j} = subgroupMatrixMultiplyAccumulate(left${i}, right${j}, sum${i}_${j});`)}
  }
${each((i, j) => `  subgroupMatrixStore<row_major>(&c, (row + ${i * M}u) * size.x + column + ${j * N}u, sum${i}_${j}, size.x);`)}
}`;
}

/** Copies `size.x` vec4. */
export const COPY_TEXT = `
@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> copy: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> size: vec4<u32>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) at: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = at.y * groups.x * 256u + at.x;
  if (i < size.x) { copy[i] = source[i]; }
}`;
