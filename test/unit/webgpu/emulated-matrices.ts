import type { MatrixDialect, MatrixUnit } from '../../../src/core/engine/webgpu/kernels/matrix-product';

/**
 * A matrix unit in plain WGSL, on GPUs that have none: the texts of {@link matrixProduct} with loops in the place of its
 * operations. Lane l of a subgroup holds elements l, l + 32, … of a sum, so everything that is staged, loaded, added and stored lies
 * where a matrix unit would look for it.
 */
export const EMULATED_MATRICES: MatrixDialect = {
  name: 'emulated',
  directives: () => [],
  parameters: '',
  attributes: () => '',
  // Nothing that a compiler could know of: it would unroll the loops, and take minutes.
  places: ({ subgroup }) =>
    `let subgroup = thread / ${subgroup}u; let lane = thread % ${subgroup}u; let none = u32(min(0, sizes.groups));`,
  sum: (unit, name) => `var ${name}: array<f32, ${held(unit)}>;`,
  load: (_, __, ___, name, at) => `let ${name} = ${at};`,
  multiply: (unit, sum, left, right) => `
    for (var e = 0u; e < ${held(unit)}u + none; e++) {
      let r = (lane + e * ${unit.subgroup}u) / ${unit.n}u;
      let c = (lane + e * ${unit.subgroup}u) % ${unit.n}u;
      var one = ${sum}[e];
      for (var k = 0u; k < ${unit.k}u + none; k++) {
        one += f32(${element(left, 'r', 'k')}) * f32(${element(right, 'k', 'c')});
      }
      ${sum}[e] = one;
    }`,
  store: (unit, memory, at, sum) => `
    for (var e = 0u; e < ${held(unit)}u + none; e++) {
      let i = lane + e * ${unit.subgroup}u;
      ${memory}[${at} + i / 4u][i % 4u] = ${sum}[e];
    }`,
};

const held = ({ m, n, subgroup }: MatrixUnit) => (m * n) / subgroup;

type Operand = Parameters<MatrixDialect['multiply']>[2];

function element({ name, from }: Operand, row: string, column: string): string {
  const [line, along] = from.transposed ? [column, row] : [row, column];
  return `${from.memory}[${name} + ${line} * ${from.stride}u + ${along} / 4u][${along} % 4u]`;
}
