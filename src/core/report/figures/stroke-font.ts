/**
 * Capitals, digits and a few signs as strokes on a grid 4 wide and 6 high (y down, baseline at 6): each glyph is a list
 * of strokes, each stroke a list of points, two digits `xy` a point. Drawn as lines with round ends they stay clear at
 * every size, and no font file is needed.
 */
const GLYPHS: Readonly<Record<string, string>> = {
  A: '06 20 46|14 34',
  B: '03 33 42 41 30 00 06 36 45 44 33',
  C: '41 30 10 01 05 16 36 45',
  D: '00 06 26 44 42 20 00',
  E: '40 00 06 46|03 33',
  F: '40 00 06|03 33',
  G: '41 30 10 01 05 16 36 45 43 23',
  H: '00 06|40 46|03 43',
  I: '20 26|10 30|16 36',
  J: '40 45 36 16 05',
  K: '00 06|40 03 46',
  L: '00 06 46',
  M: '06 00 23 40 46',
  N: '06 00 46 40',
  O: '10 30 41 45 36 16 05 01 10',
  P: '06 00 30 41 42 33 03',
  Q: '10 30 41 45 36 16 05 01 10|34 46',
  R: '06 00 30 41 42 33 03|23 46',
  S: '41 30 10 01 02 13 33 44 45 36 16 05',
  T: '00 40|20 26',
  U: '00 05 16 36 45 40',
  V: '00 26 40',
  W: '00 16 22 36 40',
  X: '00 46|40 06',
  Y: '00 23 40|23 26',
  Z: '00 40 06 46',
  0: '10 30 41 45 36 16 05 01 10',
  1: '11 20 26|16 36',
  2: '01 10 30 41 42 06 46',
  3: '01 10 30 41 42 33 13|33 44 45 36 16 05',
  4: '36 30 04 44',
  5: '40 00 02 32 43 45 36 16 05',
  6: '40 20 02 05 16 36 45 44 33 13 04',
  7: '00 40 16',
  8: '10 30 41 42 33 13 02 01 10|13 04 05 16 36 45 44 33',
  9: '06 26 44 41 30 10 01 02 13 33 42',
  '-': '03 43',
  '+': '03 43|21 25',
  '=': '02 42|04 44',
  '.': '26 26',
  ',': '25 16',
  ':': '22 22|25 25',
  '/': '40 06',
  '%': '40 06|00 01 11 10 00|35 36 46 45 35',
  '(': '30 12 14 36',
  ')': '10 32 34 16',
  _: '06 46',
  "'": '20 22',
  ' ': '',
};

/** Width of a glyph with the gap to the next one, and height of a capital, in units of the grid. */
export const ADVANCE = 5.6;
export const CAP_HEIGHT = 6;

export type Point = readonly [number, number];

/** Width of a line of text in units of the grid, without the last gap. */
export function textUnits(text: string): number {
  return text.length === 0 ? 0 : text.length * ADVANCE - (ADVANCE - 4);
}

/** The strokes of a line of text in units of the grid. Small letters are drawn as capitals, unknown signs as a box. */
export function textStrokes(text: string): Point[][] {
  return [...text.toUpperCase()].flatMap((sign, position) =>
    (GLYPHS[sign] ?? '00 40 46 06 00')
      .split('|')
      .filter((stroke) => stroke !== '')
      .map((stroke) => stroke.split(' ').map(([x, y]): Point => [position * ADVANCE + Number(x), Number(y)])),
  );
}
