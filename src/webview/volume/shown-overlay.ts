import type { Overlay, ViewerSettings } from '../../protocol/viewer';
import { flatTable, heatTable, type Colouring } from './drawable';
import type { DrawnOverlay } from './slice-drawing';
import type { OverlayState } from './view-state';
import { extentOf, middleOf, peakOf, type Extent, type Voxels } from './voxels';

/** Red as in the report's figures; the line's colour and the fill's. */
export const MASK_COLOUR = [255, 64, 64] as const;

/**
 * Cover of a filled mask, and of an outlined one: what lies inside the line keeps its grey and its heat on a slice,
 * while the render, which adds up along its rays and has no lines, still shows where the lesion is.
 */
const FILLED = 0.5;
const OUTLINED = 0.03;

/** An overlay with its values and how it is drawn. */
export class ShownOverlay {
  readonly values: Float32Array;
  readonly extent: Extent;
  visible: boolean;
  opacity: number;
  private threshold: number;
  private drawnColouring: Colouring | undefined;
  private style: ViewerSettings['maskStyle'];

  constructor(
    readonly of: Overlay,
    readonly voxels: Voxels,
    settings: ViewerSettings,
    state: OverlayState | undefined,
  ) {
    this.values = voxels.volume();
    this.extent = extentOf(this.values);
    this.style = settings.maskStyle;
    this.visible = state?.visible ?? true;
    this.opacity = state?.opacity ?? 1;
    const kept = state?.path === of.file.path ? state.threshold : null;
    this.threshold = kept ?? this.firstThreshold();
  }

  get kind(): Overlay['kind'] {
    return this.of.kind;
  }

  /** Voxels that are drawn. */
  get above(): number {
    let count = 0;
    for (const value of this.values) if (value > this.threshold) count++;
    return count;
  }

  get colouring(): Colouring {
    this.drawnColouring ??= {
      threshold: this.threshold,
      max: this.extent.max > 0 ? this.extent.max : 0,
      table:
        this.kind === 'heat'
          ? heatTable()
          : flatTable(MASK_COLOUR, this.style === 'fill' ? FILLED : OUTLINED),
    };
    return this.drawnColouring;
  }

  setThreshold(threshold: number): void {
    this.threshold = threshold;
    this.drawnColouring = undefined;
  }

  setStyle(style: ViewerSettings['maskStyle']): void {
    this.style = style;
    this.drawnColouring = undefined;
  }

  /** Where a reader wants to look first, in voxels: the mask's middle, the heat's peak. */
  place(): [number, number, number] | undefined {
    const { shape } = this.voxels.header;
    if (!(this.extent.max > 0)) return undefined;
    return this.kind === 'mask' ? middleOf(this.values, shape, this.threshold) : peakOf(this.values, shape);
  }

  drawn(allHidden: boolean): DrawnOverlay {
    return {
      key: this.kind,
      voxels: this.voxels,
      values: this.values,
      colouring: this.colouring,
      opacity: this.visible && !allHidden ? this.opacity : 0,
      outline: this.kind === 'mask' && this.style === 'outline' ? `rgb(${MASK_COLOUR.join(', ')})` : null,
    };
  }

  state(): OverlayState {
    return {
      visible: this.visible,
      opacity: this.opacity,
      threshold: this.threshold,
      path: this.of.file.path,
    };
  }

  /** Half the value of a mask of zeros and ones; nothing above 0 of heat is left out. */
  private firstThreshold(): number {
    if (this.kind === 'heat') return 0;
    return this.extent.max >= 1 ? 0.5 : Math.max(0, this.extent.max / 2);
  }
}
