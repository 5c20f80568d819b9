import { unrolled } from './shader-text';
import type { LeftLayout, TileProduct } from './tile-product';

/**
 * A matrix unit of a GPU (tensor cores): a subgroup multiplies `m` x `k` by `k` x `n` of `element` and adds to f32. What
 * WGSL's experimental subgroup matrices offer, in sizes that the adapter tells.
 */
export interface MatrixUnit {
  readonly element: 'f16' | 'f32';
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Threads of a subgroup. */
  readonly subgroup: number;
  /** Subgroups are of this size only where a kernel asks for it. */
  readonly sized?: boolean;
}

/**
 * What a workgroup makes with its subgroups side by side, `grid` down and across: a subgroup of `m256x128` holds 64 x 64 sums,
 * 128 registers a thread, and multiplies 16 units of 16 x 16 for 8 loads; smaller ones leave more workgroups.
 */
export const MATRIX_TILES = {
  m256x128: { rows: 256, columns: 128, grid: [4, 2] },
  m128x128: { rows: 128, columns: 128, grid: [2, 4] },
  m128x64: { rows: 128, columns: 64, grid: [4, 2] },
  m64x64: { rows: 64, columns: 64, grid: [2, 2] },
  m128x32: { rows: 128, columns: 32, grid: [4, 1] },
} as const satisfies Record<string, { rows: number; columns: number; grid: readonly [number, number] }>;

export type MatrixTileName = keyof typeof MATRIX_TILES;

export const MATRIX_TILE_NAMES = Object.keys(MATRIX_TILES) as readonly MatrixTileName[];

/** Depth of a step: 64 bytes a row in half precision, 64 in single. */
export const matrixDepth = ({ element }: Pick<MatrixUnit, 'element'>): number =>
  element === 'f16' ? 32 : 16;

/** An operand in workgroup memory, row after row. All is counted in vectors of four elements. */
export interface StagedMatrix {
  readonly memory: string;
  readonly stride: number;
  /** Columns lie side by side instead of rows. */
  readonly transposed: boolean;
}

/** The texts that multiply on a matrix unit. */
export interface MatrixDialect {
  readonly name: string;
  readonly directives: (unit: MatrixUnit) => readonly string[];
  /** Attributes of the entry point. */
  readonly attributes: (unit: MatrixUnit) => string;
  /** Parameters of the entry point that tell a thread its place. */
  readonly parameters: string;
  /** Sets `subgroup`, its number in the workgroup, and `lane`. */
  readonly places: (unit: MatrixUnit) => string;
  /** Declares a sum of zeros. */
  readonly sum: (unit: MatrixUnit, name: string) => string;
  /** Declares an operand that begins at a vector of staged memory. */
  readonly load: (
    unit: MatrixUnit,
    side: 'left' | 'right',
    from: StagedMatrix,
    name: string,
    at: string,
  ) => string;
  /** Adds the product of two declared operands. */
  readonly multiply: (
    unit: MatrixUnit,
    sum: string,
    left: { readonly name: string; readonly from: StagedMatrix },
    right: { readonly name: string; readonly from: StagedMatrix },
  ) => string;
  /** Stores a sum as vectors of f32, row after row, without gaps. */
  readonly store: (unit: MatrixUnit, memory: string, at: string, sum: string) => string;
}

/**
 * WGSL's experimental subgroup matrices as Dawn has them. Their types name columns first. Places must be the same for all
 * threads of a subgroup, which Dawn proves for `subgroup_id` and for nothing that is worked out of a thread's number.
 */
export const SUBGROUP_MATRICES: MatrixDialect = {
  name: 'subgroup matrices',
  directives: ({ sized }) => [
    'subgroups',
    'chromium_experimental_subgroup_matrix',
    ...(sized ? ['subgroup_size_control'] : []),
  ],
  attributes: ({ sized, subgroup }) => (sized ? `@subgroup_size(${subgroup})` : ''),
  parameters: '@builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32',
  places: () => '',
  sum: ({ m, n }, name) => `var ${name} = subgroup_matrix_result<f32, ${n}, ${m}>();`,
  load: ({ element, m, n, k }, side, { memory, stride, transposed }, name, at) => {
    const [columns, rows] = side === 'left' ? [k, m] : [n, k];
    const type = `subgroup_matrix_${side}<${element}, ${columns}, ${rows}>`;
    const order = transposed ? 'col_major' : 'row_major';
    return `let ${name} = subgroupMatrixLoad<${type}, ${order}>(&${memory}, ${at}, ${stride}u);`;
  },
  multiply: (_, sum, left, right) =>
    `${sum} = subgroupMatrixMultiplyAccumulate(${left.name}, ${right.name}, ${sum});`,
  store: ({ n }, memory, at, sum) => `subgroupMatrixStore<row_major>(&${memory}, ${at}, ${sum}, ${n / 4}u);`,
};

/** Bytes between rows beyond what they hold: rows of a power of two would all begin in the same bank. */
const SKEW_BYTES = 16;

interface Shape {
  readonly strides: { readonly left: number; readonly right: number };
  readonly vectors: { readonly left: number; readonly right: number };
  readonly threads: number;
}

/** In vectors of four. */
function shapeOf(unit: MatrixUnit, name: MatrixTileName, layout: LeftLayout): Shape {
  const { rows, columns, grid } = MATRIX_TILES[name];
  const depth = matrixDepth(unit);
  const skew = SKEW_BYTES / bytesOf(unit) / 4;
  const left = (layout === 'rows' ? depth : rows) / 4 + skew;
  const right = columns / 4 + skew;
  return {
    strides: { left, right },
    vectors: { left: left * (layout === 'rows' ? rows : depth), right: right * depth },
    threads: grid[0] * grid[1] * unit.subgroup,
  };
}

const bytesOf = ({ element }: MatrixUnit) => (element === 'f16' ? 2 : 4);

/** Bytes of workgroup memory that a kernel has beside the tiles: places of rows, or of positions. */
const PLACES_BYTES = 16 * 256 + 20 * 64;

export interface WorkgroupLimits {
  readonly maxComputeWorkgroupStorageSize: number;
  readonly maxComputeInvocationsPerWorkgroup: number;
}

/** Buffers for which there is room; 0 where a tile does not fit the unit or the device. */
export function matrixBuffers(unit: MatrixUnit, name: MatrixTileName, limits: WorkgroupLimits): 0 | 1 | 2 {
  const { rows, columns, grid } = MATRIX_TILES[name];
  const { m, n, k, subgroup } = unit;
  const depth = matrixDepth(unit);
  const whole = rows % (grid[0] * m) === 0 && columns % (grid[1] * n) === 0 && depth % k === 0;
  const threads = grid[0] * grid[1] * subgroup;
  if (
    !whole ||
    threads > limits.maxComputeInvocationsPerWorkgroup ||
    [m, n, k].some((side) => side % 4 !== 0)
  )
    return 0;
  if ((rows * depth) / 4 < threads || ((rows * depth) / 4) % threads !== 0) return 0;
  const tiles = Math.max(
    ...(['rows', 'depth'] as const).map((layout) => {
      const { vectors } = shapeOf(unit, name, layout);
      return (vectors.left + vectors.right) * 4 * bytesOf(unit);
    }),
  );
  const others = PLACES_BYTES + grid[0] * grid[1] * m * n * 4;
  const room = Math.floor((limits.maxComputeWorkgroupStorageSize - others) / tiles);
  return room >= 2 ? 2 : room >= 1 ? 1 : 0;
}

/**
 * By matrix units: each subgroup holds a part of the results in units, loads its operands from workgroup memory, where all
 * threads have put them in rows with a skew, and multiplies. Edges are zeros there. Results go through workgroup memory, a unit
 * at a time, for only so can a thread know where one lies.
 */
export function matrixProduct(
  unit: MatrixUnit,
  name: MatrixTileName,
  buffers: 1 | 2,
  dialect: MatrixDialect,
  layout: LeftLayout,
): TileProduct {
  const { rows, columns, grid } = MATRIX_TILES[name];
  const { element, m, n, k, subgroup } = unit;
  const depth = matrixDepth(unit);
  const { strides, vectors, threads } = shapeOf(unit, name, layout);
  const [subRows, subColumns] = [rows / grid[0], columns / grid[1]];
  const [downs, acrosses] = [subRows / m, subColumns / n];
  const left: StagedMatrix = { memory: 'left', stride: strides.left, transposed: layout === 'depth' };
  const right: StagedMatrix = { memory: 'right', stride: strides.right, transposed: false };
  const buffer = (size: number) => (buffers === 2 ? `(u32(step) & 1u) * ${size}u + ` : '');
  const put = (memory: 'left' | 'right', fours: number) => (at: string, value: string) =>
    `{ let four = u32(${at}); ${memory}[${buffer(vectors[memory])}four / ${fours}u * ${strides[memory]}u + four % ${fours}u] = vec4<${element}>(${value}); }`;
  const leftAt = (i: number, s: number) =>
    layout === 'rows'
      ? `(subRow + ${i * m}u) * ${strides.left}u + ${(s * k) / 4}u`
      : `${s * k * strides.left}u + subRow / 4u + ${(i * m) / 4}u`;
  const rightAt = (j: number, s: number) => `${s * k * strides.right}u + subColumn / 4u + ${(j * n) / 4}u`;
  return {
    rows,
    columns,
    depth,
    threads,
    buffers,
    directives: [...(element === 'f16' ? ['f16'] : []), ...dialect.directives(unit)],
    memory: `
var<workgroup> left: array<vec4<${element}>, ${buffers * vectors.left}>;
var<workgroup> right: array<vec4<${element}>, ${buffers * vectors.right}>;
var<workgroup> units: array<vec4<f32>, ${(grid[0] * grid[1] * m * n) / 4}>;`,
    parameters: dialect.parameters,
    attributes: dialect.attributes(unit),
    begin: `
  ${dialect.places(unit)}
  let subRow = subgroup / ${grid[1]}u * ${subRows}u;
  let subColumn = subgroup % ${grid[1]}u * ${subColumns}u;
${unrolled(downs, (i) => unrolled(acrosses, (j) => `  ${dialect.sum(unit, `sum${i}_${j}`)}`))}`,
    putLeft: put('left', (layout === 'rows' ? depth : rows) / 4),
    putRight: put('right', columns / 4),
    multiply: unrolled(
      depth / k,
      (s) => `      {
${unrolled(acrosses, (j) => `        ${dialect.load(unit, 'right', right, `b${j}`, buffer(vectors.right) + rightAt(j, s))}`)}
${unrolled(
  downs,
  (i) => `        {
          ${dialect.load(unit, 'left', left, 'a', buffer(vectors.left) + leftAt(i, s))}
${unrolled(acrosses, (j) => `          ${dialect.multiply(unit, `sum${i}_${j}`, { name: 'a', from: left }, { name: `b${j}`, from: right })}`)}
        }`,
)}
      }`,
    ),
    results: (row, four) =>
      unrolled(downs, (i) =>
        unrolled(
          acrosses,
          (j) => `
  workgroupBarrier();
  ${dialect.store(unit, 'units', `subgroup * ${(m * n) / 4}u`, `sum${i}_${j}`)}
  workgroupBarrier();
  for (var q = lane; q < ${(m * n) / 4}u; q += ${subgroup}u) {
    let unitRow = i32(subRow + ${i * m}u + q / ${n / 4}u);
    let unitColumn = i32(subColumn + ${j * n}u + 4u * (q % ${n / 4}u));
    ${row('unitRow', four('unitColumn', `units[subgroup * ${(m * n) / 4}u + q]`))}
  }`,
        ),
      ),
  };
}
