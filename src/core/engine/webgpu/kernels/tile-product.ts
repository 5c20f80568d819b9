import { threadsOf, type GemmTile } from './gemm-choice';
import type { Precision } from '../../engine';
import { unrolled } from './shader-text';

/**
 * How four neighbours of the left operand lie in workgroup memory: four of depth of a row (`rows`), or four rows of one
 * depth (`depth`). Whichever the tensor has side by side.
 */
export type LeftLayout = 'rows' | 'depth';

/** How a workgroup multiplies what it has put into its memory, as texts of a kernel that loads and stores. */
export interface TileProduct {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  readonly threads: number;
  /** Tiles in memory: with two, one is filled while the other is read, and a step needs one barrier instead of two. */
  readonly buffers: 1 | 2;
  /** Extensions of WGSL. */
  readonly directives: readonly string[];
  /** Attributes of the entry point. */
  readonly attributes?: string;
  /** Parameters of the entry point beyond every kernel's. */
  readonly parameters?: string;
  /** Workgroup variables. */
  readonly memory: string;
  /** Sums and places of a thread, which `local` numbers. */
  readonly begin: string;
  /** Puts four neighbours down; `at` numbers fours as the layout says. In the loop of {@link stepsText}. */
  readonly putLeft: (at: string, value: string) => string;
  /** Puts four columns of one depth down. */
  readonly putRight: (at: string, value: string) => string;
  /** Multiplies what lies in memory. */
  readonly multiply: string;
  /**
   * Hands out results: `row` wraps what is done in one row, `four` does it with four columns.
   */
  readonly results: (
    row: (row: string, inRow: string) => string,
    four: (column: string, value: string) => string,
  ) => string;
}

/** Fours that a thread loads of each operand; of the right one the last may be nobody's. */
export function sharesOf({ rows, columns, depth, threads }: TileProduct): {
  lefts: number;
  rights: number;
  spare: boolean;
} {
  const right = (depth * columns) / 4;
  return {
    lefts: (rows * depth) / 4 / threads,
    rights: Math.ceil(right / threads),
    spare: right % threads !== 0,
  };
}

/** How operands lie in the tensors' memory: halves are copies that were made before. */
export type Operands = 'f32' | 'f16';

/** Registers for what the next step needs. @param left where the left operand lies otherwise */
export function nextText(product: TileProduct, operands: Operands, left = operands): string {
  const { lefts, rights } = sharesOf(product);
  return `
${unrolled(lefts, (i) => `  var nextLeft${i}: vec4<${left}>;`)}
${unrolled(rights, (i) => `  var nextRight${i}: vec4<${operands}>;`)}`;
}

/**
 * Steps of depth from `from` to `to`: what the last one loaded is put down, the next one's is loaded, then multiplied. What
 * the next step needs is so on its way in registers while this one multiplies.
 */
export function stepsText(product: TileProduct, from: string, to: string, load: string): string {
  const { columns, depth, threads, buffers } = product;
  const { lefts, rights, spare } = sharesOf(product);
  const at = (i: number) => `local + ${i * threads}`;
  const right = (i: number) => product.putRight(at(i), `nextRight${i}`);
  return `
  for (var step = ${from}; step <= ${to}; step++) {
    if (step > ${from}) {
${buffers === 1 ? '      workgroupBarrier();' : ''}
${unrolled(lefts, (i) => `      ${product.putLeft(at(i), `nextLeft${i}`)}`)}
${unrolled(rights, (i) => `      ${spare ? `if (${at(i)} < ${(depth * columns) / 4}) ` : ''}{ ${right(i)} }`)}
      workgroupBarrier();
    }
    if (step < ${to}) {
${load}
    }
    if (step > ${from}) {
${product.multiply}
    }
  }`;
}

/**
 * By a thread's own arithmetic: it holds its results in registers. The left tile lies as [row][four of depth] or
 * [depth][four rows], the right one as [depth][four columns]: both are what a thread loads from the tensors as one vec4, and neither
 * is transposed on the way. Rows of a thread are `rows / threadRows` apart, so that the lanes of a warp, which share few rows,
 * read neighbouring banks.
 */
export function registerProduct(tile: GemmTile, precision: Precision, layout: LeftLayout): TileProduct {
  const half = precision === 'f16';
  const element = half ? 'vec4<f16>' : 'vec4<f32>';
  const into = half ? 'vec4<f16>' : '';
  const halves = tile.threadColumns / 4;
  const across = tile.columns / tile.threadColumns;
  const down = tile.rows / tile.threadRows;
  const rowOf = (i: number) =>
    layout === 'rows' ? `down + ${i * down}` : `4 * (down + ${Math.floor(i / 4) * down}) + ${i % 4}`;
  return {
    rows: tile.rows,
    columns: tile.columns,
    depth: tile.depth,
    threads: threadsOf(tile),
    buffers: 1,
    directives: half ? ['f16'] : [],
    memory: `
var<workgroup> left: array<${element}, ${(tile.rows * tile.depth) / 4}>;
var<workgroup> right: array<${element}, ${(tile.depth * tile.columns) / 4}>;`,
    begin: `
  let across = local % ${across};
  let down = local / ${across};
${unrolled(tile.threadRows, (i) => unrolled(halves, (h) => `  var sum${i}_${h} = vec4<f32>(0);`))}`,
    putLeft: (at, value) => `left[${at}] = ${into}(${value});`,
    putRight: (at, value) => `right[${at}] = ${into}(${value});`,
    multiply: layout === 'rows' ? innerProducts(tile, precision) : outerProducts(tile, precision),
    results: (row, four) =>
      unrolled(tile.threadRows, (i) =>
        row(
          rowOf(i),
          unrolled(halves, (h) => four(`4 * (across + ${h * across})`, `sum${i}_${h}`)),
        ),
      ),
  };
}

/** Four of depth of a row times four rows of the right tile. */
function innerProducts({ rows, columns, depth, threadRows, threadColumns }: GemmTile, precision: Precision) {
  const deep = depth / 4;
  const wide = columns / 4;
  const halves = threadColumns / 4;
  const across = columns / threadColumns;
  const down = rows / threadRows;
  // In half precision four products are added before they join the sum: a conversion for four, and no long sum of halves.
  const sum = (name: string, h: number) =>
    precision === 'f16'
      ? `${name} += vec4<f32>(a.x * b0_${h} + a.y * b1_${h} + a.z * b2_${h} + a.w * b3_${h});`
      : `${name} = fma(vec4<f32>(a.w), b3_${h}, fma(vec4<f32>(a.z), b2_${h}, fma(vec4<f32>(a.y), b1_${h}, fma(vec4<f32>(a.x), b0_${h}, ${name}))));`;
  return `
      for (var deep = 0; deep < ${deep}; deep++) {
${unrolled(4, (k) => unrolled(halves, (h) => `        let b${k}_${h} = right[(4 * deep + ${k}) * ${wide} + across + ${h * across}];`))}
${unrolled(
  threadRows,
  (i) => `        { let a = left[(down + ${i * down}) * ${deep} + deep];
${unrolled(halves, (h) => `          ${sum(`sum${i}_${h}`, h)}`)} }`,
)}
      }`;
}

/** Four rows times four columns of each depth. */
function outerProducts({ rows, columns, depth, threadRows, threadColumns }: GemmTile, precision: Precision) {
  const tall = rows / 4;
  const wide = columns / 4;
  const halves = threadColumns / 4;
  const across = columns / threadColumns;
  const down = rows / threadRows;
  const sum = (i: number, j: number, h: number) => {
    const lane = 'xyzw'[j];
    const name = `sum${i}_${h}`;
    return precision === 'f16'
      ? `${name} += vec4<f32>(a0.${lane} * b0_${h} + a1.${lane} * b1_${h} + a2.${lane} * b2_${h} + a3.${lane} * b3_${h});`
      : `${name} = fma(vec4<f32>(a3.${lane}), b3_${h}, fma(vec4<f32>(a2.${lane}), b2_${h}, fma(vec4<f32>(a1.${lane}), b1_${h}, fma(vec4<f32>(a0.${lane}), b0_${h}, ${name}))));`;
  };
  return `
      for (var deep = 0; deep < ${depth}; deep += 4) {
${unrolled(4, (k) => unrolled(halves, (h) => `        let b${k}_${h} = right[(deep + ${k}) * ${wide} + across + ${h * across}];`))}
${unrolled(
  threadRows / 4,
  (q) => `        {
${unrolled(4, (k) => `          let a${k} = left[(deep + ${k}) * ${tall} + down + ${q * down}];`)}
${unrolled(4, (j) => unrolled(halves, (h) => `          ${sum(4 * q + j, j, h)}`))}
        }`,
)}
      }`;
}
