import { apply, directionLetter, type Point } from './affine';
import { contour } from './contour';
import { maskField, pixelOn, pointOn, sampleMask, type MaskField, type Plane } from './mask-field';
import type { DrawnOverlay, Tile } from './slice-drawing';

/** Pixels between the nodes at which a mask's rim is sought. */
const CONTOUR_STEP = 2;
const CONTOUR_WIDTH = 1.75;

const CROSSHAIR = 'rgba(92, 171, 237, 0.9)';
const CROSSHAIR_GAP = 7;

/** What lies over the slices, whoever draws them. */
export interface Lined {
  readonly tiles: readonly Tile[];
  readonly overlays: readonly DrawnOverlay[];
  /** The crosshair, RAS mm. */
  readonly mm: Point;
  /** Device pixels, and how many of them are one of the page's. */
  readonly width: number;
  readonly height: number;
  readonly scale: number;
}

/**
 * The rims of masks, the crosshair and the letters of the sides, on a canvas of their own over the slices: lines of one
 * width at any zoom, which a voxel-wise outline is not.
 */
export class SliceLines {
  readonly canvas = document.createElement('canvas');
  private readonly rims = new Map<string, { overlay: DrawnOverlay; threshold: number; field: MaskField }>();

  constructor() {
    this.canvas.className = 'lines';
    this.canvas.setAttribute('aria-hidden', 'true');
  }

  /** Masks are looked at anew. */
  forget(): void {
    this.rims.clear();
  }

  draw({ tiles, overlays, mm, width, height, scale }: Lined): void {
    const { canvas } = this;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext('2d');
    if (!context) return;
    context.clearRect(0, 0, width, height);
    this.drawRims(context, tiles, overlays, scale);
    for (const tile of tiles) if (tile.plane) drawCrosshair(context, tile, pixelOn(tile.plane, mm), scale);
    for (const tile of tiles) if (tile.plane) drawLabels(context, tile, tile.plane, scale);
  }

  private drawRims(
    context: CanvasRenderingContext2D,
    tiles: readonly Tile[],
    overlays: readonly DrawnOverlay[],
    scale: number,
  ): void {
    const outlined = overlays.filter(({ outline, opacity }) => outline !== null && opacity > 0);
    for (const overlay of outlined) {
      const field = this.rimOf(overlay);
      for (const tile of tiles) {
        if (!tile.plane || !field.box) continue;
        context.save();
        context.beginPath();
        context.rect(tile.left, tile.top, tile.width, tile.height);
        context.clip();
        context.beginPath();
        for (const [x1, y1, x2, y2] of rimOn(field, overlay, tile, tile.plane)) {
          context.moveTo(x1, y1);
          context.lineTo(x2, y2);
        }
        context.lineCap = 'round';
        context.globalAlpha = overlay.opacity;
        // A dark edge keeps the line readable on bright heat.
        context.lineWidth = (CONTOUR_WIDTH + 1) * scale;
        context.strokeStyle = 'rgba(0, 0, 0, 0.45)';
        context.stroke();
        context.lineWidth = CONTOUR_WIDTH * scale;
        context.strokeStyle = overlay.outline ?? '';
        context.stroke();
        context.restore();
      }
    }
  }

  private rimOf(overlay: DrawnOverlay): MaskField {
    const { threshold } = overlay.colouring;
    const known = this.rims.get(overlay.key);
    if (known && known.overlay.voxels === overlay.voxels && known.threshold === threshold) return known.field;
    const { header, mmToVoxel } = overlay.voxels;
    const field = maskField(overlay.values, header.shape, mmToVoxel, threshold);
    this.rims.set(overlay.key, { overlay, threshold, field });
    return field;
  }
}

/** Two lines of one width at any zoom, open in the middle so that the voxel stays to be seen. */
function drawCrosshair(
  context: CanvasRenderingContext2D,
  { left, top, width, height }: Tile,
  at: readonly [number, number],
  scale: number,
): void {
  const [x, y] = at.map((n) => Math.floor(n) + 0.5); // sharp on the pixels' grid
  const gap = CROSSHAIR_GAP * scale;
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.beginPath();
  for (const [x1, y1, x2, y2] of [
    [left, y, x - gap, y],
    [x + gap, y, left + width, y],
    [x, top, x, y - gap],
    [x, y + gap, x, top + height],
  ]) {
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
  }
  context.lineWidth = Math.max(1, Math.round(scale));
  context.strokeStyle = CROSSHAIR;
  context.stroke();
  context.restore();
}

/** Where a slice's edges lie in the patient, from the geometry that it is drawn by. */
function drawLabels(context: CanvasRenderingContext2D, tile: Tile, plane: Plane, scale: number): void {
  const { left, top, width, height } = tile;
  const inset = 10 * scale;
  const places = [
    [left + inset, top + height / 2, directionLetter(plane.right.map((n) => -n))],
    [left + width - inset, top + height / 2, directionLetter(plane.right)],
    [left + width / 2, top + inset, directionLetter(plane.down.map((n) => -n))],
    [left + width / 2, top + height - inset, directionLetter(plane.down)],
  ] as const;
  context.save();
  context.font = `600 ${Math.round(13 * scale)}px sans-serif`;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.lineJoin = 'round';
  context.lineWidth = 5 * scale;
  context.strokeStyle = '#000';
  context.fillStyle = '#eee';
  for (const [x, y, letter] of places) {
    context.strokeText(letter, x, y); // black around it: readable over bone and lines
    context.fillText(letter, x, y);
  }
  context.restore();
}

function rimOn(field: MaskField, { voxels }: DrawnOverlay, tile: Tile, plane: Plane) {
  const { box } = field;
  if (!box) return [];
  // Only the part of the slice that the mask's box covers is searched.
  const corners: [number, number][] = [];
  for (const i of [box.low[0] - 1, box.high[0] + 1])
    for (const j of [box.low[1] - 1, box.high[1] + 1])
      for (const k of [box.low[2] - 1, box.high[2] + 1])
        corners.push(pixelOn(plane, apply(voxels.header.affine, [i, j, k])));
  const between = (low: number, value: number, high: number) => Math.min(high, Math.max(low, value));
  const range = (axis: 0 | 1, low: number, size: number): [number, number] => {
    const all = corners.map((corner) => corner[axis]);
    return [
      Math.floor(between(low, Math.min(...all), low + size)),
      Math.ceil(between(low, Math.max(...all), low + size)),
    ];
  };
  const [x1, x2] = range(0, tile.left, tile.width);
  const [y1, y2] = range(1, tile.top, tile.height);
  const columns = Math.floor((x2 - x1) / CONTOUR_STEP) + 1;
  const rows = Math.floor((y2 - y1) / CONTOUR_STEP) + 1;
  if (columns < 2 || rows < 2) return [];
  const samples = new Float32Array(columns * rows);
  let inside = false;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const mm = pointOn(plane, x1 + column * CONTOUR_STEP, y1 + row * CONTOUR_STEP);
      const value = sampleMask(field, mm);
      samples[row * columns + column] = value;
      inside ||= value >= 0.5;
    }
  return inside ? contour(samples, columns, rows, 0.5, { x: x1, y: y1, step: CONTOUR_STEP }) : [];
}
