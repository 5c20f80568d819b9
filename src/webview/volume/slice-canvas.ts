import { Niivue, NVImage, SLICE_TYPE, SHOW_RENDER } from '@niivue/niivue';
import type { Snapshot, ViewerSettings } from '../../protocol/viewer';
import type { Point } from './affine';
import { overlayFile, paint, scanFile } from './drawable';
import { pixelOn, pointOn, type Plane } from './mask-field';
import { robustWindow } from './robust-window';
import {
  FIRST_POSE,
  TILE_GAP,
  type DrawnOverlay,
  type Pose,
  type SliceDrawing,
  type Tile,
  type View,
} from './slice-drawing';
import { sliceTiles, wholePixels } from './slice-layout';
import { SliceLines } from './slice-lines';
import type { Voxels } from './voxels';

const VIEWS: Readonly<Record<number, View>> = {
  [SLICE_TYPE.AXIAL]: 'axial',
  [SLICE_TYPE.CORONAL]: 'coronal',
  [SLICE_TYPE.SAGITTAL]: 'sagittal',
  [SLICE_TYPE.RENDER]: 'render',
};

const NO_WEBGL2 =
  'This view draws with WebGL2, which is not available here. Turn on hardware acceleration (or do not disable the GPU) and open the file again.';

/** How often it is asked whether the graphics have drawn, ms. */
const FENCE_MS = 10;

/** Three slices and a render by NiiVue (WebGL2), and the lines over them. */
export class SliceCanvas implements SliceDrawing {
  private readonly canvas = document.createElement('canvas');
  private readonly lines = new SliceLines();
  private readonly niivue: Niivue;
  private scan: Voxels | undefined;
  private overlays: DrawnOverlay[] = [];
  private readonly images = new Map<string, NVImage>();
  /** How many {@link together} are under way, and whether the graphics card has older volumes than are set. */
  private gathering = 0;
  private stale = false;

  constructor(
    host: HTMLElement,
    settings: ViewerSettings,
    private readonly events: { moved(): void; windowed(): void },
  ) {
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute('role', 'application');
    this.canvas.setAttribute(
      'aria-label',
      'Slices and 3D render. Arrow keys and Page Up, Page Down move the slices; o, m, h switch overlays, mask, heat.',
    );
    // Below whatever is shown until it has drawn.
    host.prepend(this.canvas, this.lines.canvas);
    // NiiVue is given this context: a canvas has only one.
    if (!this.canvas.getContext('webgl2', { alpha: true, antialias: false })) throw new Error(NO_WEBGL2);
    this.niivue = new Niivue({
      backColor: [0, 0, 0, 1],
      crosshairWidth: 0, // drawCrosshair draws it: in mm it is too thin to be seen on a small tile
      isRadiologicalConvention: settings.convention === 'radiological',
      // As in the report's figures: the nose to the left.
      sagittalNoseLeft: true,
      isOrientationTextVisible: false, // drawLabels draws them, where the crosshair does not strike them out
      multiplanarShowRender: SHOW_RENDER.ALWAYS,
      multiplanarPadPixels: TILE_GAP,
      // A map covers the air as well: at full strength the render would be a box of heat with the head inside.
      renderOverlayBlend: 0.15,
      sliceType: SLICE_TYPE.MULTIPLANAR,
      dragAndDropEnabled: false,
      viewModeHotKey: '',
      clipPlaneHotKey: '',
      cycleClipPlaneHotKey: '',
      loadingText: '',
      logLevel: 'error',
    });
    const draw = this.niivue.drawScene.bind(this.niivue);
    this.niivue.drawScene = () => {
      if (this.gathering > 0) return;
      draw();
      this.drawLines();
    };
    const upload = this.niivue.updateGLVolume.bind(this.niivue);
    this.niivue.updateGLVolume = () => {
      this.stale = this.gathering > 0;
      if (!this.stale) upload();
    };
    // Its keys are not ours: they would change what the panel says without telling it.
    this.niivue.keyDownListener = () => {};
    this.niivue.keyUpListener = () => {};
    this.niivue.onLocationChange = () => events.moved();
    this.niivue.onIntensityChange = () => events.windowed();
    this.pose = FIRST_POSE;
  }

  /** Compiles the programs of the graphics. */
  async begin(): Promise<void> {
    await this.niivue.attachToCanvas(this.canvas, false);
  }

  /** The graphics that draw, as the browser names them. */
  get webgl(): string {
    const { gl } = this.niivue;
    const info = gl.getExtension('WEBGL_debug_renderer_info');
    return String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  }

  /** Resolves when all that was asked of the graphics is drawn; nothing waits for it in between. */
  async finished(): Promise<void> {
    const { gl } = this.niivue;
    const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    if (!fence) return; // the context is lost
    gl.flush();
    for (;;) {
      const status = gl.clientWaitSync(fence, 0, 0);
      if (status !== gl.TIMEOUT_EXPIRED) break;
      await new Promise((resolve) => setTimeout(resolve, FENCE_MS));
    }
    gl.deleteSync(fence);
  }

  /** Longest axis that can be drawn, voxels. */
  get longestAxis(): number {
    return Number(this.niivue.gl.getParameter(this.niivue.gl.MAX_3D_TEXTURE_SIZE));
  }

  focus(): void {
    this.canvas.focus();
  }

  /** Shows another scan; overlays must be set again. */
  async setScan(voxels: Voxels, volume: number): Promise<void> {
    const image = await imageOf(scanFile(voxels));
    if (volume > 0) image.frame4D = Math.min(volume, voxels.header.volumes - 1);
    [image.cal_min, image.cal_max] = robustWindow(voxels.volume(volume), voxels.header.shape);
    this.scan = voxels;
    this.images.clear();
    this.lines.forget();
    this.overlays = [];
    this.show([image]);
  }

  /** Draws these over the scan, in this order. */
  async setOverlays(overlays: readonly DrawnOverlay[]): Promise<void> {
    const [scan] = this.niivue.volumes;
    const images: NVImage[] = [];
    for (const overlay of overlays) {
      let image = this.images.get(overlay.key);
      const before = this.overlays.find(({ key }) => key === overlay.key);
      if (!image || before?.voxels !== overlay.voxels) {
        image = await imageOf(overlayFile(overlay.values, overlay.voxels.header, overlay.colouring));
        this.images.set(overlay.key, image);
      } else if (before.colouring !== overlay.colouring)
        paint(image.img as unknown as Uint8Array, overlay.values, overlay.colouring);
      image.opacity = overlay.opacity;
      images.push(image);
    }
    this.overlays = [...overlays];
    this.show([scan, ...images]);
  }

  get mm(): [number, number, number] {
    const mm = this.niivue.frac2mm(this.niivue.scene.crosshairPos, 0, true);
    return [mm[0], mm[1], mm[2]];
  }

  set mm(mm: Point) {
    const frac = this.niivue.volumes[0].convertMM2Frac([...mm, 1] as unknown as Float32Array, true);
    for (let axis = 0; axis < 3; axis++)
      this.niivue.scene.crosshairPos[axis] = Math.min(1, Math.max(0, frac[axis]));
    this.niivue.drawScene();
    this.events.moved();
  }

  get volume(): number {
    return this.niivue.volumes[0]?.frame4D ?? 0;
  }

  set volume(volume: number) {
    const [scan] = this.niivue.volumes;
    if (scan) this.niivue.setFrame4D(scan.id, volume);
  }

  /** Values of the scan that are drawn black and white, in file units. */
  get window(): [number, number] {
    const [scan] = this.niivue.volumes;
    return [scan?.cal_min ?? 0, scan?.cal_max ?? 1];
  }

  set window([low, high]: readonly [number, number]) {
    const [scan] = this.niivue.volumes;
    if (!scan) return;
    scan.cal_min = low;
    scan.cal_max = high;
    this.niivue.updateGLVolume();
  }

  get pose(): Pose {
    return [this.niivue.scene.renderAzimuth, this.niivue.scene.renderElevation];
  }

  set pose([azimuth, elevation]: Pose) {
    this.niivue.setRenderAzimuthElevation(azimuth, elevation);
  }

  set convention(convention: ViewerSettings['convention']) {
    this.niivue.setRadiologicalConvention(convention === 'radiological');
  }

  /** Draws now and reads the pixels back. */
  pixels(): { width: number; height: number; data: Uint8Array } {
    this.niivue.drawScene();
    const { gl } = this.niivue;
    const { width, height } = this.canvas;
    const data = new Uint8Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
    return { width, height, data };
  }

  /** What {@link Snapshot} says about the pixels. */
  snapshot(
    at: readonly { view: View; mm: readonly number[] }[],
  ): Pick<Snapshot, 'hash' | 'width' | 'height' | 'lit' | 'tiles' | 'painted' | 'colours' | 'webgl'> {
    const { width, height, data } = this.pixels();
    const over = this.lines.canvas.getContext('2d')?.getImageData(0, 0, width, height).data;
    let hash = 0x811c9dc5;
    let lit = 0;
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++) {
        const from = 4 * ((height - 1 - row) * width + column); // WebGL's rows run upwards
        const line = 4 * (row * width + column);
        const cover = over ? over[line + 3] / 255 : 0;
        let sum = 0;
        for (let channel = 0; channel < 3; channel++) {
          const value = Math.round(
            data[from + channel] * (1 - cover) + (over ? over[line + channel] : 0) * cover,
          );
          data[from + channel] = value;
          sum += value;
          hash = Math.imul(hash ^ value, 0x01000193);
        }
        if (sum > 30) lit++;
      }
    const tiles = this.tiles();
    const colours = at.map(({ view, mm }) => {
      const plane = tiles.find((tile) => tile.view === view)?.plane;
      if (!plane) return null;
      return colourAt({ width, height, data }, ...pixelOn(plane, mm as unknown as Point));
    });
    return {
      hash: (hash >>> 0).toString(16).padStart(8, '0'),
      width,
      height,
      lit,
      tiles: tiles.map(described),
      painted: this.painted().map(described),
      colours,
      webgl: this.webgl,
    };
  }

  /** Frees the graphics memory. */
  dispose(): void {
    this.niivue.cleanup();
    this.niivue.gl.getExtension('WEBGL_lose_context')?.loseContext();
    this.canvas.remove();
    this.lines.canvas.remove();
  }

  /**
   * Several changes, one upload and one drawing at their end: each drawing computes the render's rays, which without a
   * graphics card takes longer than everything else.
   */
  async together(changes: () => Promise<void>): Promise<void> {
    this.gathering++;
    try {
      await changes();
    } finally {
      this.gathering--;
    }
    if (this.gathering > 0) return;
    if (this.stale) this.niivue.updateGLVolume();
    else this.niivue.drawScene();
  }

  private show(images: NVImage[]): void {
    const { niivue } = this;
    niivue.volumes = images;
    niivue.back = images[0];
    niivue.overlays = images.slice(1);
    niivue.updateGLVolume(); // which draws as well
  }

  private painted(): Tile[] {
    if (!this.scan) return [];
    const { width, height, clientWidth } = this.canvas;
    const room = { width, height, gap: (TILE_GAP * width) / Math.max(1, clientWidth) };
    const convention = this.niivue.opts.isRadiologicalConvention ? 'radiological' : 'neurological';
    return sliceTiles(this.scan.header, room, convention, this.mm);
  }

  private tiles(): Tile[] {
    return this.niivue.screenSlices.flatMap((slice, n) => {
      const view = VIEWS[slice.axCorSag];
      if (!view) return [];
      const [left, top, w, height] = slice.leftTopWidthHeight;
      const width = Math.abs(w);
      const from = w < 0 ? left + w : left;
      const whole = wholePixels(from, top, width, height, this.canvas.height);
      const plane = view === 'render' ? undefined : this.planeOf(n, from, top, width, height);
      return [{ view, ...whole, plane: plane && onPixels(plane, [from, top, width, height], whole) }];
    });
  }

  /** A slice is flat and drawn without perspective: three of its pixels tell where all are. */
  private planeOf(tile: number, left: number, top: number, width: number, height: number): Plane | undefined {
    const place = (x: number, y: number): Point | undefined => {
      const frac = this.niivue.screenXY2TextureFrac(x, y, tile, false);
      if (frac[0] === -1 && frac[1] === -1 && frac[2] === -1) return undefined;
      const mm = this.niivue.frac2mm(frac, 0, true);
      return [mm[0], mm[1], mm[2]];
    };
    const [x1, x2, y1, y2] = [
      left + width / 4,
      left + (3 * width) / 4,
      top + height / 4,
      top + (3 * height) / 4,
    ];
    const [first, across, below] = [place(x1, y1), place(x2, y1), place(x1, y2)];
    if (!first || !across || !below) return undefined;
    const step = (to: Point, pixels: number): Point =>
      [0, 1, 2].map((n) => (to[n] - first[n]) / pixels) as unknown as Point;
    const right = step(across, x2 - x1);
    const down = step(below, y2 - y1);
    const origin = first.map((n, axis) => n - x1 * right[axis] - y1 * down[axis]) as unknown as Point;
    return { origin, right, down };
  }

  private drawLines(): void {
    if (!this.scan) return;
    const { width, height, clientWidth } = this.canvas;
    this.lines.draw({
      tiles: this.tiles(),
      overlays: this.overlays,
      mm: this.mm,
      width,
      height,
      scale: width / Math.max(1, clientWidth),
    });
  }
}

function described({ view, left, top, width, height, plane }: Tile): Snapshot['tiles'][number] {
  const corners = plane && [pointOn(plane, left, top), pointOn(plane, left + width, top + height)];
  return { view, left, top, width, height, corners: corners ?? null };
}

/** NiiVue reckons with a tile that ends between pixels, and draws it stretched onto whole ones. */
function onPixels(
  { origin, right, down }: Plane,
  [left, top, width, height]: readonly [number, number, number, number],
  whole: { left: number; top: number; width: number; height: number },
): Plane {
  const [sx, sy] = [width / whole.width, height / whole.height];
  const [ox, oy] = [left - whole.left * sx, top - whole.top * sy];
  const each = (of: (axis: number) => number): Point => [of(0), of(1), of(2)];
  return {
    origin: each((axis) => origin[axis] + ox * right[axis] + oy * down[axis]),
    right: each((axis) => sx * right[axis]),
    down: each((axis) => sy * down[axis]),
  };
}

/**
 * The colour at a point between pixels' middles, linear between them: a voxel is only a pixel or two wide, so that the
 * nearest pixel would be off by a good part of it. Rows of the data run upwards.
 */
function colourAt(
  { width, height, data }: { width: number; height: number; data: Uint8Array },
  x: number,
  y: number,
): number[] | null {
  const [left, top] = [Math.floor(x - 0.5), Math.floor(y - 0.5)];
  if (left < 0 || top < 0 || left + 1 >= width || top + 1 >= height) return null;
  const [across, below] = [x - 0.5 - left, y - 0.5 - top];
  return [0, 1, 2, 3].map((channel) => {
    const pixel = (column: number, row: number) =>
      data[4 * ((height - 1 - top - row) * width + left + column) + channel];
    const upper = pixel(0, 0) * (1 - across) + pixel(1, 0) * across;
    const lower = pixel(0, 1) * (1 - across) + pixel(1, 1) * across;
    return Math.round(upper * (1 - below) + lower * below);
  });
}

/** @param file a NIfTI file in memory (drawable.ts); the name tells NiiVue what it is, nothing is fetched. */
async function imageOf(file: ArrayBuffer): Promise<NVImage> {
  return NVImage.loadFromUrl({ url: file, name: 'volume.nii', colormap: 'gray', trustCalMinMax: false });
}
