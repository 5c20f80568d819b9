// Short convolutions along one axis with fewer products than taps times results (Winograd; S. Winograd, Arithmetic
// Complexity of Computations, 1980; A. Lavin and S. Gray, arXiv:1509.09308). Each is three matrices,
//
//     results = R ((F filter) * (D data))      with * element by element,
//
// and so are the gradients, transposed: of the filter F'((R' dresults) * (D data)), of the data D'((F filter) * (R' dresults)).
// In three dimensions the matrices are applied axis by axis, and every product becomes a matrix product over the channels.

/**
 * @typedef {object} ShortConvolution
 * @property {string} name
 * @property {number} inputs values that a tile reads
 * @property {number} outputs values that a tile makes
 * @property {number} products
 * @property {number[][]} data D: products x inputs
 * @property {number[][]} filter F: products x 3
 * @property {number[][]} result R: outputs x products
 */

/**
 * Toom and Cook's algorithm for `outputs` results of a filter of `taps` taps: evaluate at points and at infinity, multiply,
 * interpolate; transposed, so that it filters. With the points p_j and f_j = product of (p_j - p_l) over l other than j:
 * R has the powers of p_j as columns, F the powers divided by f_j as rows, D the coefficients of the product of (x - p_l).
 */
export function toomCook(outputs, taps, points) {
  const others = (j) => points.filter((_, l) => l !== j);
  const powers = (p, count) => Array.from({ length: count }, (_, i) => p ** i);
  const inputs = outputs + taps - 1;
  const result = Array.from({ length: outputs }, (_, i) => [...points.map((p) => p ** i), i === outputs - 1 ? 1 : 0]);
  const filter = points.map((p, j) => {
    const f = others(j).reduce((product, q) => product * (p - q), 1);
    return powers(p, taps).map((power) => power / f);
  });
  filter.push(Array.from({ length: taps }, (_, k) => (k === taps - 1 ? 1 : 0)));
  const data = points.map((_, j) => [...polynomial(others(j)), 0]);
  data.push(polynomial(points));
  return { inputs, outputs, products: inputs, data, filter, result };
}

/** Coefficients, constant first, of the product of (x - root). */
function polynomial(roots) {
  return roots.reduce((c, root) => [...c, 0].map((_, i) => (c[i - 1] ?? 0) - root * (c[i] ?? 0)), [1]);
}

/** The points decide the rounding: these were the best of the small fractions. */
const tile2 = toomCook(2, 3, [0, 1, -1]);
const tile3 = toomCook(3, 3, [1 / 2, -1 / 2, 5 / 4, -5 / 4]);
const tile4 = toomCook(4, 3, [0, 5 / 8, -5 / 8, 3 / 2, -3 / 2]);

/** Toom and Cook with two taps. */
const pairs2 = toomCook(2, 2, [0, 1]);
const pairs3 = toomCook(3, 2, [0, 1, -1]);

/** A whole axis of `size` with one voxel of padding on either side: what would multiply padding is left out. */
function wholeAxis(size, general) {
  return { ...general, inputs: size, data: general.data.map((row) => row.slice(1, 1 + size)) };
}

/** Two voxels between padding: y0 = g1 d0 + g2 d1, y1 = g0 d0 + g1 d1 by three products (Karatsuba's). */
const whole2 = {
  inputs: 2,
  outputs: 2,
  products: 3,
  data: [[1, 1], [0, 1], [1, 0]], // prettier-ignore
  filter: [[0, 1, 0], [0, -1, 1], [1, -1, 0]], // prettier-ignore
  result: [[1, 1, 0], [1, 0, 1]], // prettier-ignore
};

/** One voxel between padding: the middle tap. */
const whole1 = { inputs: 1, outputs: 1, products: 1, data: [[1]], filter: [[0, 1, 0]], result: [[1]] };

const zeros = (count) => Array.from({ length: count }, () => 0);
const unit = (length, at) => zeros(length).map((_, i) => (i === at ? 1 : 0));
const range = (count) => Array.from({ length: count }, (_, i) => i);

/**
 * Three taps with stride 2: the outer taps filter the even inputs, two taps by Toom and Cook; the middle tap multiplies
 * the odd ones.
 */
function stride2({ outputs, products, data, filter, result }) {
  const inputs = 2 * outputs + 1;
  const even = (row) => range(inputs).map((i) => (i % 2 === 0 ? row[i / 2] : 0));
  return {
    inputs,
    outputs,
    products: products + outputs,
    data: [...data.map(even), ...range(outputs).map((i) => unit(inputs, 2 * i + 1))],
    filter: [...filter.map(([first, last]) => [first, 0, last]), ...range(outputs).map(() => [0, 1, 0])],
    result: result.map((row, i) => [...row, ...unit(outputs, i)]),
  };
}

/**
 * The gradient of the data of three taps with stride 2: dx[2q] = g2 dy[q - 1] + g0 dy[q], dx[2q + 1] = g1 dy[q]
 * (padding apart). Inputs are dy[q0 - 1 ...], outputs dx[2 q0 ...].
 */
function stride2Gradient({ outputs, products, data, filter, result }) {
  const inputs = outputs + 1;
  return {
    inputs,
    outputs: 2 * outputs,
    products: products + outputs,
    data: [...data, ...range(outputs).map((i) => unit(inputs, i + 1))],
    filter: [...filter.map(([first, last]) => [last, 0, first]), ...range(outputs).map(() => [0, 1, 0])],
    result: range(outputs).flatMap((i) => [
      [...result[i], ...zeros(outputs)],
      [...zeros(products), ...unit(outputs, i)],
    ]),
  };
}

/** All of them; their order is how the kernels number them. @type {readonly ShortConvolution[]} */
export const SHORT_CONVOLUTIONS = Object.entries({
  tile2,
  tile3,
  tile4,
  whole1,
  whole2,
  whole3: wholeAxis(3, tile3),
  strided2: stride2(pairs2),
  strided3: stride2(pairs3),
  stridedGradient2: stride2Gradient(pairs2),
  stridedGradient3: stride2Gradient(pairs3),
}).map(([name, algorithm]) => ({ name, ...algorithm }));
