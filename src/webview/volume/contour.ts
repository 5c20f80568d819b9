/** A line on the screen: x1, y1, x2, y2. */
export type Segment = readonly [number, number, number, number];

/**
 * The line where a field on a regular grid passes a level (marching squares, linear between the nodes; a saddle is cut by
 * the mean of its corners).
 *
 * @param field row by row, `columns` x `rows` nodes.
 * @param at position of the first node and distance of the nodes, in screen units.
 */
export function contour(
  field: Float32Array,
  columns: number,
  rows: number,
  level: number,
  at: { readonly x: number; readonly y: number; readonly step: number },
): Segment[] {
  const segments: Segment[] = [];
  for (let row = 0; row + 1 < rows; row++)
    for (let column = 0; column + 1 < columns; column++) {
      const n = row * columns + column;
      const corners = [field[n], field[n + 1], field[n + columns + 1], field[n + columns]];
      const inside = corners.map((value) => value >= level);
      const kind = Number(inside[0]) + 2 * Number(inside[1]) + 4 * Number(inside[2]) + 8 * Number(inside[3]);
      if (kind === 0 || kind === 15) continue;
      const [a, b, c, d] = corners;
      const part = (from: number, to: number) => (level - from) / (to - from);
      const point = (edge: number): [number, number] => {
        if (edge === 0) return [column + part(a, b), row];
        if (edge === 1) return [column + 1, row + part(b, c)];
        if (edge === 2) return [column + part(d, c), row + 1];
        return [column, row + part(a, d)];
      };
      for (const [from, to] of edgesOf(kind, (a + b + c + d) / 4 >= level)) {
        const [x1, y1] = point(from);
        const [x2, y2] = point(to);
        segments.push([at.x + x1 * at.step, at.y + y1 * at.step, at.x + x2 * at.step, at.y + y2 * at.step]);
      }
    }
  return segments;
}

/** Edges of a cell (0 top, 1 right, 2 bottom, 3 left) that the line joins, by which corners are inside. */
function edgesOf(kind: number, middleInside: boolean): readonly (readonly [number, number])[] {
  switch (kind) {
    case 1:
    case 14:
      return [[3, 0]];
    case 2:
    case 13:
      return [[0, 1]];
    case 3:
    case 12:
      return [[3, 1]];
    case 4:
    case 11:
      return [[1, 2]];
    case 6:
    case 9:
      return [[0, 2]];
    case 7:
    case 8:
      return [[3, 2]];
    case 5:
      return middleInside
        ? [
            [0, 1],
            [2, 3],
          ]
        : [
            [3, 0],
            [1, 2],
          ];
    default:
      return middleInside
        ? [
            [3, 0],
            [1, 2],
          ]
        : [
            [0, 1],
            [2, 3],
          ];
  }
}
