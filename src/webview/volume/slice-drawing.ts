import type { ViewerSettings } from '../../protocol/viewer';
import type { Point } from './affine';
import type { Colouring } from './drawable';
import type { Plane } from './mask-field';
import type { Voxels } from './voxels';

/** An overlay as it is to be drawn. */
export interface DrawnOverlay {
  readonly key: string;
  readonly voxels: Voxels;
  readonly values: Float32Array;
  readonly colouring: Colouring;
  /** 0 to 1 over the colours' own cover; 0 hides. */
  readonly opacity: number;
  /** Draws the rim of what is above the threshold as a line of this colour on the slices. */
  readonly outline: string | null;
}

export type View = 'axial' | 'coronal' | 'sagittal' | 'render';

/** A part of the drawing, device pixels from its upper left corner. */
export interface Tile {
  readonly view: View;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** Undefined for the render. */
  readonly plane: Plane | undefined;
}

/** Azimuth and elevation of the render, degrees. */
export type Pose = readonly [number, number];

/** How the render stands until it is turned. */
export const FIRST_POSE: Pose = [110, 10];

/** Between tiles, of the page's pixels. */
export const TILE_GAP = 4;

/**
 * Slices of a scan with its overlays: painted by the processor until the graphics are ready ({@link PaintedSlices}), then
 * by NiiVue with a render beside them ({@link SliceCanvas}).
 */
export interface SliceDrawing {
  /** The crosshair, RAS mm. */
  mm: Point;
  volume: number;
  /** Values of the scan that are drawn black and white, in file units. */
  window: readonly [number, number];
  pose: Pose;
  convention: ViewerSettings['convention'];
  /** Shows another scan; overlays must be set again. */
  setScan(voxels: Voxels, volume: number): Promise<void>;
  /** Draws these over the scan, in this order. */
  setOverlays(overlays: readonly DrawnOverlay[]): Promise<void>;
  /** Several changes, one drawing at their end. */
  together(changes: () => Promise<void>): Promise<void>;
  focus(): void;
  dispose(): void;
}
