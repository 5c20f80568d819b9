import type { ViewerSettings } from '../../protocol/viewer';
import type { Point } from './affine';
import { paintSlice, type Field, type PaintedOverlay } from './paint-slice';
import { robustWindow } from './robust-window';
import {
  FIRST_POSE,
  TILE_GAP,
  type DrawnOverlay,
  type Pose,
  type SliceDrawing,
  type Tile,
} from './slice-drawing';
import { sliceTiles } from './slice-layout';
import { SliceLines } from './slice-lines';
import type { Voxels } from './voxels';

/**
 * The slices painted by the processor, at once: without a graphics card it takes a second until its programs are compiled
 * and have drawn. There is no render yet, and only the keys move the slices.
 */
export class PaintedSlices implements SliceDrawing {
  pose: Pose = FIRST_POSE;
  volume = 0;
  window: readonly [number, number] = [0, 1];
  convention: ViewerSettings['convention'];
  private place: Point = [0, 0, 0];
  private gathering = false;
  private readonly canvas = document.createElement('canvas');
  private readonly lines = new SliceLines();
  private scan: (Field & { readonly voxels: Voxels }) | undefined;
  private overlays: readonly DrawnOverlay[] = [];

  constructor(
    private readonly host: HTMLElement,
    settings: ViewerSettings,
  ) {
    this.convention = settings.convention;
    this.canvas.className = 'painted';
    this.canvas.setAttribute('aria-hidden', 'true');
    this.lines.canvas.classList.add('painted');
    host.append(this.canvas, this.lines.canvas);
  }

  get mm(): Point {
    return this.place;
  }

  set mm(mm: Point) {
    this.place = mm;
    this.paint();
  }

  setScan(voxels: Voxels, volume: number): Promise<void> {
    const { shape } = voxels.header;
    const values = voxels.volume(volume);
    this.scan = { voxels, values, shape, mmToVoxel: voxels.mmToVoxel };
    this.volume = volume;
    this.window = robustWindow(values, shape);
    return Promise.resolve();
  }

  setOverlays(overlays: readonly DrawnOverlay[]): Promise<void> {
    this.overlays = overlays;
    this.paint();
    return Promise.resolve();
  }

  async together(changes: () => Promise<void>): Promise<void> {
    this.gathering = true;
    try {
      await changes();
    } finally {
      this.gathering = false;
    }
    this.paint();
  }

  focus(): void {}

  dispose(): void {
    this.canvas.remove();
    this.lines.canvas.remove();
  }

  private paint(): void {
    const { canvas, scan, host } = this;
    if (!scan || this.gathering) return;
    const scale = window.devicePixelRatio;
    canvas.width = Math.floor(host.clientWidth * scale);
    canvas.height = Math.floor(host.clientHeight * scale);
    const context = canvas.getContext('2d');
    if (!context) return;
    const { width, height } = canvas;
    const room = { width, height, gap: TILE_GAP * scale };
    const tiles = sliceTiles(scan.voxels.header, room, this.convention, this.mm);
    const overlays = this.overlays.map(({ voxels, values, colouring, opacity }): PaintedOverlay => ({
      values,
      colouring,
      opacity,
      shape: voxels.header.shape,
      mmToVoxel: voxels.mmToVoxel,
    }));
    for (const tile of tiles) this.paintTile(context, tile, scan, overlays);
    this.lines.draw({ tiles, overlays: this.overlays, mm: this.mm, width, height, scale });
  }

  private paintTile(
    context: CanvasRenderingContext2D,
    tile: Tile,
    scan: Field,
    overlays: readonly PaintedOverlay[],
  ): void {
    if (!tile.plane || tile.width < 1 || tile.height < 1) return;
    const pixels = paintSlice(tile.plane, tile, scan, this.window, overlays);
    context.putImageData(new ImageData(pixels, tile.width), tile.left, tile.top);
  }
}
