/** 4 x 4 matrices, row-major, whose last row is 0 0 0 1: voxel to RAS mm and back. */
export type Matrix = readonly number[];
export type Point = readonly [number, number, number];

export function apply(m: Matrix, [x, y, z]: Point): [number, number, number] {
  return [
    m[0] * x + m[1] * y + m[2] * z + m[3],
    m[4] * x + m[5] * y + m[6] * z + m[7],
    m[8] * x + m[9] * y + m[10] * z + m[11],
  ];
}

/** The way back. The header's check has made sure that there is one. */
export function inverse(m: Matrix): number[] {
  const [a, b, c, , d, e, f, , g, h, i] = m;
  const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  const r = [
    (e * i - f * h) / det,
    (c * h - b * i) / det,
    (b * f - c * e) / det,
    (f * g - d * i) / det,
    (a * i - c * g) / det,
    (c * d - a * f) / det,
    (d * h - e * g) / det,
    (b * g - a * h) / det,
    (a * e - b * d) / det,
  ];
  const back = (row: number) => -(r[3 * row] * m[3] + r[3 * row + 1] * m[7] + r[3 * row + 2] * m[11]);
  return [r[0], r[1], r[2], back(0), r[3], r[4], r[5], back(1), r[6], r[7], r[8], back(2), 0, 0, 0, 1];
}

/** The anatomical letter of a direction in RAS mm; of an oblique one, of its largest part. */
export function directionLetter(direction: readonly number[]): string {
  const axis = [0, 1, 2].reduce(
    (most, n) => (Math.abs(direction[n]) > Math.abs(direction[most]) ? n : most),
    0,
  );
  return ['LR', 'PA', 'IS'][axis][direction[axis] < 0 ? 0 : 1];
}
