import { InputError } from '../../errors';
import { sameGrid, transformPoint } from '../../volume/affine';
import { centreOfMass } from '../../volume/grid';
import { headMask } from '../../volume/head-mask';
import { percentiles } from '../../volume/intensity';
import type { Grid, Mask, Triple, Volume, VoxelArray } from '../../volume/volume';
import { drawColourBar, type ColourBar } from './colour-bar';
import { heatColour } from '../../../protocol/heat-colours';
import { coverage, Picture, textWidth, type Rgb } from './picture';
import {
  boxOf,
  PLANES,
  samplePlane,
  slicePlane,
  type Box,
  type Convention,
  type Plane,
  type SlicePlane,
} from './slice-plane';

export interface MontageInput {
  /** The scan in any orientation; values in file units. */
  readonly image: Volume<VoxelArray>;
  /** Lesion mask, drawn as an outline. It may lie on another grid than the image: all is placed in scanner space. */
  readonly roi?: Mask;
  /** Class map, drawn as colour; negative values are not drawn. It may lie on another grid, too. */
  readonly heat?: Volume;
  /** What the pictures are cut to, e.g. the brain mask; default: the head found in the image. */
  readonly frame?: Mask;
  /** One panel each, through the centre or at a place of its own (scanner mm along the axis that the plane cuts). */
  readonly planes?: readonly (Plane | { readonly plane: Plane; readonly atMm: number })[];
  /** Panels in a row; default: all in one row. */
  readonly columns?: number;
  /**
   * Where the planes cross, scanner mm. Default: the lesion's voxel nearest to its centre of mass, else the heat's
   * maximum, else the middle of the frame.
   */
  readonly centre?: Triple;
  /** Default `radiological`: the patient's right on the left of the picture. It is written under the picture. */
  readonly convention?: Convention;
  /** Image values shown black and white; default: 1st and 99.5th percentile inside the frame. */
  readonly window?: readonly [number, number];
  /** Heat that gets no colour and the hottest colour; default: 0 to the map's maximum (to 1 for a zero map). It is written beside the colour bar. */
  readonly heatRange?: readonly [number, number];
  /** Name and unit of the heat for the colour bar; default `heat`. */
  readonly heatLabel?: string;
  /** Written on top, e.g. participant and scores. */
  readonly title?: string;
  /** Pixels per mm, the same along all axes and in all panels; default: the tallest panel gets 440 pixels. */
  readonly pixelsPerMm?: number;
}

export interface Montage {
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** Where the planes cross, scanner mm. */
  readonly centre: Triple;
  readonly window: readonly [number, number];
  /** Undefined where no heat was given. */
  readonly heatRange: readonly [number, number] | undefined;
  /** Each plane and where its top left pixel lies in the picture. */
  readonly panels: readonly { readonly slice: SlicePlane; readonly x: number; readonly y: number }[];
}

const BACKGROUND: Rgb = [0, 0, 0];
const TEXT: Rgb = [225, 228, 232];
const QUIET: Rgb = [150, 156, 164];
const OUTLINE: Rgb = [0, 229, 255];
const OUTLINE_PIXELS = 1.7;

const PANEL_PIXELS = 440;
const MARGIN_MM = 5;
const GAP = 22;
const TITLE_HEIGHT = 40;
const CAPTION_HEIGHT = 26;
const TITLE_CAPITAL = 13;
const FOOTER_CAPITAL = 10;
const FOOTER_LINE = 26;
const FOOTER_GAP = 28;
const LARGEST_SIDE = 20_000;

/**
 * Slices of a scan with the lesion's outline and the class map in colour, as an RGB PNG. Planes are cut in scanner space
 * (RAS+), so every orientation and voxel size comes out upright and true to mm; L and R (A and P) are the patient's.
 * The same input gives the same bytes.
 *
 * @throws InputError for an empty mask, a window or heat range without extent, or a picture of absurd size.
 */
export function sliceMontage(input: MontageInput): Montage {
  const { image, roi, heat, planes = PLANES, convention = 'radiological' } = input;
  const columns = input.columns ?? planes.length;
  if (!Number.isInteger(columns) || columns < 1 || planes.length === 0)
    throw new InputError(
      `A montage needs at least one plane and one column; given are ${planes.length} planes and ${columns} columns.`,
    );
  const frame = input.frame ?? headMask(image);
  const box = frameOf(frame);
  const centre = input.centre ?? centreOf(box, roi, heat);
  const window = input.window ?? windowOf(image, frame);
  const heatRange = heat && (input.heatRange ?? [0, highest(heat) || 1]);
  for (const [name, range] of [
    ['The window of the image', window],
    ['The range of the heat', heatRange],
  ] as const)
    if (range && !(range[1] > range[0]))
      throw new InputError(`${name} is ${range[0]} to ${range[1]}: its end must be above its start.`);

  const pixelsPerMm = input.pixelsPerMm ?? PANEL_PIXELS / Math.max(...sizes(box));
  const slices = planes.map((given) => {
    const { plane, atMm } =
      typeof given === 'string' ? { plane: given, atMm: centre[THROUGH[given]] } : given;
    return slicePlane(plane, atMm, box, pixelsPerMm, convention);
  });
  const footer = footerOf(
    convention,
    roi !== undefined,
    heatRange && { range: heatRange, label: input.heatLabel ?? 'heat' },
  );
  const layout = layOut(slices, columns, input.title, footer);
  if (!(layout.width <= LARGEST_SIDE && layout.height <= LARGEST_SIDE))
    throw new InputError(
      `The picture would have ${layout.width} x ${layout.height} pixels; the limit is ${LARGEST_SIDE} a side. Ask for fewer pixels per mm (now ${pixelsPerMm}).`,
    );

  const picture = new Picture(layout.width, layout.height, BACKGROUND);
  if (input.title !== undefined) picture.text(input.title, GAP, 14, { colour: TEXT, height: TITLE_CAPITAL });
  for (const panel of layout.panels) {
    drawImage(picture, panel, image, window);
    if (heat && heatRange) drawHeat(picture, panel, heat, heatRange);
    if (roi) drawOutline(picture, panel, roi);
    drawLetters(picture, panel);
  }
  drawFooter(picture, footer, layout.footerY);
  return {
    png: picture.png(),
    width: layout.width,
    height: layout.height,
    centre,
    window,
    heatRange,
    panels: layout.panels,
  };
}

interface Panel {
  readonly slice: SlicePlane;
  readonly x: number;
  readonly y: number;
  /** Top of the capitals that say which plane it is; the same for a whole row. */
  readonly captionY: number;
}

/** The scanner axis that a plane cuts. */
const THROUGH = { axial: 2, coronal: 1, sagittal: 0 } as const;

function frameOf(frame: Mask): Box {
  const box = boxOf(frame);
  if (!box)
    throw new InputError('The mask that frames the picture is empty. Leave it out or give another one.');
  const grown = (sign: number) => (mm: number) => mm + sign * MARGIN_MM;
  const [x0, y0, z0] = box.low.map(grown(-1));
  const [x1, y1, z1] = box.high.map(grown(1));
  return { low: [x0, y0, z0], high: [x1, y1, z1] };
}

function sizes({ low, high }: Box): number[] {
  return high.map((end, axis) => end - low[axis]);
}

function centreOf(box: Box, roi: Mask | undefined, heat: Volume | undefined): Triple {
  if (roi) return lesionCentre(roi);
  const hottest = heat ? highest(heat) : 0;
  if (heat && hottest > 0) return transformPoint(heat.affine, voxelAt(heat, heat.data.indexOf(hottest)));
  return [0, 1, 2].map((axis) => (box.low[axis] + box.high[axis]) / 2) as unknown as Triple;
}

/** Scanner mm of the mask's voxel that is nearest to its centre of mass: inside the lesion even where that is bent. */
export function lesionCentre(roi: Mask): Triple {
  const mass = centreOfMass(roi);
  if (!mass)
    throw new InputError('The lesion mask to be drawn is empty. Controls have none: leave it out for them.');
  const middle = transformPoint(roi.affine, mass);
  let centre = middle;
  let nearest = Infinity;
  for (let v = 0; v < roi.data.length; v++) {
    if (roi.data[v] === 0) continue;
    const mm = transformPoint(roi.affine, voxelAt(roi, v));
    const distance = Math.hypot(mm[0] - middle[0], mm[1] - middle[1], mm[2] - middle[2]);
    if (distance < nearest) [centre, nearest] = [mm, distance];
  }
  return centre;
}

/** A frame on another grid cannot pick the image's voxels; then all that are not 0 count. */
function windowOf(image: Volume<VoxelArray>, frame: Mask): [number, number] {
  const inside: ArrayLike<number> = sameGrid(frame, image, 0.05) ? frame.data : image.data;
  const [low, high] = percentiles(image.data, [1, 99.5], inside);
  return high > low ? [low, high] : [low, low + 1];
}

function highest(heat: Volume): number {
  let top = 0;
  for (const value of heat.data) if (value > top) top = value;
  return top;
}

function voxelAt({ shape }: Grid, index: number): Triple {
  const [ni, nj] = shape;
  return [index % ni, Math.floor(index / ni) % nj, Math.floor(index / (ni * nj))];
}

interface Layout {
  readonly width: number;
  readonly height: number;
  readonly panels: readonly Panel[];
  readonly footerY: number;
}

/** Rows of panels, each row in the middle of the picture, which is as wide as its widest line. */
function layOut(
  slices: readonly SlicePlane[],
  columns: number,
  title: string | undefined,
  footer: readonly FooterItem[],
): Layout {
  const rows: SlicePlane[][] = [];
  for (let first = 0; first < slices.length; first += columns)
    rows.push(slices.slice(first, first + columns));
  const rowWidth = (row: readonly SlicePlane[]): number =>
    row.reduce((sum, slice) => sum + slice.width + GAP, -GAP);
  const width =
    2 * GAP +
    Math.ceil(
      Math.max(
        ...rows.map(rowWidth),
        ...footer.map((item) => item.width),
        title === undefined ? 0 : textWidth(title, TITLE_CAPITAL),
      ),
    );
  const panels: Panel[] = [];
  let y = title === undefined ? GAP : TITLE_HEIGHT;
  for (const row of rows) {
    const tallest = Math.max(...row.map((slice) => slice.height));
    let x = Math.floor((width - rowWidth(row)) / 2);
    for (const slice of row) {
      const top = y + CAPTION_HEIGHT + Math.floor((tallest - slice.height) / 2);
      panels.push({ slice, x, y: top, captionY: y + 6 });
      x += slice.width + GAP;
    }
    y += tallest + CAPTION_HEIGHT + GAP;
  }
  return { width, height: y + footerLines(footer, width).length * FOOTER_LINE + 4, panels, footerY: y };
}

function drawImage(
  picture: Picture,
  { slice, x, y }: Panel,
  image: Volume<VoxelArray>,
  [black, white]: readonly [number, number],
): void {
  const values = samplePlane(image, slice, 'cubic');
  for (let at = 0; at < values.length; at++) {
    const grey = Math.min(1, Math.max(0, (values[at] - black) / (white - black))) * 255;
    picture.blend(x + (at % slice.width), y + Math.floor(at / slice.width), [grey, grey, grey], 1);
  }
}

function drawHeat(
  picture: Picture,
  { slice, x, y }: Panel,
  heat: Volume,
  [low, high]: readonly [number, number],
): void {
  const values = samplePlane(heat, slice, 'linear');
  for (let at = 0; at < values.length; at++) {
    const part = (values[at] - low) / (high - low);
    if (!(part > 0)) continue;
    const { colour, share } = heatColour(part);
    picture.blend(x + (at % slice.width), y + Math.floor(at / slice.width), colour, share);
  }
}

/**
 * The line on which the mask, interpolated between voxels, is one half. Its distance from a pixel is that of the
 * linearised mask: (m - 1/2) / |gradient of m|.
 */
function drawOutline(picture: Picture, { slice, x, y }: Panel, roi: Mask): void {
  const { width, height } = slice;
  const binary = { ...roi, data: roi.data.map((value) => (value === 0 ? 0 : 1)) };
  const inside = samplePlane(binary, slice, 'linear');
  const value = (px: number, py: number): number =>
    inside[Math.min(height - 1, Math.max(0, py)) * width + Math.min(width - 1, Math.max(0, px))];
  for (const [thickness, colour, strength] of [
    [OUTLINE_PIXELS + 2, BACKGROUND, 0.45],
    [OUTLINE_PIXELS, OUTLINE, 1],
  ] as const)
    for (let py = 0; py < height; py++)
      for (let px = 0; px < width; px++) {
        const slope =
          Math.hypot(value(px + 1, py) - value(px - 1, py), value(px, py + 1) - value(px, py - 1)) / 2;
        if (slope === 0) continue;
        const distance = Math.abs(value(px, py) - 0.5) / slope;
        picture.blend(x + px, y + py, colour, strength * coverage(distance, thickness));
      }
}

function drawLetters(picture: Picture, { slice, x, y, captionY }: Panel): void {
  const [left, right] = slice.edges;
  const middle = Math.round(y + slice.height / 2 - 8);
  const style = { colour: TEXT, height: 15, rim: true };
  picture.text(left, x + 2, middle, style);
  picture.text(right, x + slice.width - 2, middle, { ...style, align: 'right' });
  const axis = 'xyz'[THROUGH[slice.plane]];
  const at = Number(slice.atMm.toFixed(1));
  picture.text(`${slice.plane}  ${axis} = ${at} mm`, x + slice.width / 2, captionY, {
    colour: QUIET,
    height: 10,
    align: 'centre',
  });
}

/** Something under the panels; items flow into lines from left to right. */
interface FooterItem {
  readonly width: number;
  readonly draw: (picture: Picture, x: number, y: number) => void;
}

function footerOf(convention: Convention, outlined: boolean, bar: ColourBar | undefined): FooterItem[] {
  const style = { colour: QUIET, height: FOOTER_CAPITAL };
  const side = convention === 'radiological' ? 'right' : 'left';
  const sentence = `${convention}: patient's ${side} on the left`;
  const items: FooterItem[] = [
    {
      width: textWidth(sentence, FOOTER_CAPITAL),
      draw: (picture, x, y) => picture.text(sentence, x, y, style),
    },
  ];
  if (outlined)
    items.push({
      width: 32 + textWidth('lesion mask', FOOTER_CAPITAL),
      draw: (picture, x, y) => {
        const middle = y + FOOTER_CAPITAL / 2;
        picture.line(
          [
            [x + 1, middle],
            [x + 22, middle],
          ],
          2.4,
          OUTLINE,
        );
        picture.text('lesion mask', x + 32, y, style);
      },
    });
  if (bar) {
    const width = Math.ceil(230 + textWidth(bar.label, FOOTER_CAPITAL));
    items.push({
      width,
      draw: (picture, x, y) => drawColourBar(picture, bar, Math.round(x), y - 2, width, FOOTER_CAPITAL + 4),
    });
  }
  return items;
}

function footerLines(items: readonly FooterItem[], width: number): FooterItem[][] {
  const lines: FooterItem[][] = [];
  let used = Infinity;
  for (const item of items) {
    used += FOOTER_GAP + item.width;
    if (used > width - 2 * GAP) {
      lines.push([]);
      used = item.width;
    }
    lines[lines.length - 1].push(item);
  }
  return lines;
}

/** The last item of a line with more than one stands at the right edge. */
function drawFooter(picture: Picture, items: readonly FooterItem[], top: number): void {
  footerLines(items, picture.width).forEach((line, row) => {
    let x = GAP;
    line.forEach((item, position) => {
      if (position > 0 && position === line.length - 1 && items.length > 2)
        x = picture.width - GAP - item.width;
      item.draw(picture, x, top + row * FOOTER_LINE);
      x += item.width + FOOTER_GAP;
    });
  });
}
