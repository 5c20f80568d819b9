import { Niivue, NVImage, SLICE_TYPE, SHOW_RENDER } from '@niivue/niivue';
import type { Snapshot, ViewerSettings } from '../../protocol/viewer';
import { apply, directionLetter, type Point } from './affine';
import { contour } from './contour';
import { overlayFile, paint, scanFile, type Colouring } from './drawable';
import { maskField, pixelOn, pointOn, sampleMask, type MaskField, type Plane } from './mask-field';
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

type View = 'axial' | 'coronal' | 'sagittal' | 'render';

interface Tile {
  readonly view: View;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  /** Undefined for the render. */
  readonly plane: Plane | undefined;
}

const VIEWS: Readonly<Record<number, View>> = {
  [SLICE_TYPE.AXIAL]: 'axial',
  [SLICE_TYPE.CORONAL]: 'coronal',
  [SLICE_TYPE.SAGITTAL]: 'sagittal',
  [SLICE_TYPE.RENDER]: 'render',
};

const NO_WEBGL2 =
  'This view draws with WebGL2, which is not available here. Turn on hardware acceleration (or do not disable the GPU) and open the file again.';

/** Pixels between the nodes at which a mask's rim is sought. */
const CONTOUR_STEP = 2;
const CONTOUR_WIDTH = 1.75;

const CROSSHAIR = 'rgba(92, 171, 237, 0.9)';
const CROSSHAIR_GAP = 7;

/** Azimuth and elevation of the render, degrees. */
export type Pose = readonly [number, number];

/**
 * The drawing: three slices and a render by NiiVue (WebGL2), and over them, on a canvas of its own, the rims of masks:
 * lines of one width at any zoom, which a voxel-wise outline is not.
 */
export class SliceCanvas {
  private readonly canvas = document.createElement('canvas');
  private readonly lines = document.createElement('canvas');
  private readonly niivue: Niivue;
  private scan: Voxels | undefined;
  private overlays: DrawnOverlay[] = [];
  private readonly images = new Map<string, NVImage>();
  private readonly rims = new Map<string, { overlay: DrawnOverlay; threshold: number; field: MaskField }>();
  /** How many {@link together} are under way, and whether the graphics card has older volumes than are set. */
  private gathering = 0;
  private stale = false;

  constructor(
    private readonly host: HTMLElement,
    settings: ViewerSettings,
    private readonly events: { moved(): void; windowed(): void },
  ) {
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute('role', 'application');
    this.canvas.setAttribute(
      'aria-label',
      'Slices and 3D render. Arrow keys and Page Up, Page Down move the slices; o, m, h switch overlays, mask, heat.',
    );
    this.lines.className = 'lines';
    this.lines.setAttribute('aria-hidden', 'true');
    host.append(this.canvas, this.lines);
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
      multiplanarPadPixels: 4,
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
  }

  /** Compiles the shaders; needs WebGL2. */
  async begin(): Promise<void> {
    await this.niivue.attachToCanvas(this.canvas, false);
  }

  /** The graphics that draw, as the browser names them. */
  get webgl(): string {
    const { gl } = this.niivue;
    const info = gl.getExtension('WEBGL_debug_renderer_info');
    return String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
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
    this.scan = voxels;
    this.images.clear();
    this.rims.clear();
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
  ): Pick<Snapshot, 'hash' | 'width' | 'height' | 'lit' | 'tiles' | 'colours' | 'webgl'> {
    const { width, height, data } = this.pixels();
    const over = this.lines.getContext('2d')?.getImageData(0, 0, width, height).data;
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
      tiles: tiles.map(({ view, left, top, width: w, height: h }) => ({
        view,
        left,
        top,
        width: w,
        height: h,
      })),
      colours,
      webgl: this.webgl,
    };
  }

  /** Frees the graphics memory. */
  dispose(): void {
    this.niivue.cleanup();
    this.niivue.gl.getExtension('WEBGL_lose_context')?.loseContext();
    this.host.replaceChildren();
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

  private tiles(): Tile[] {
    return this.niivue.screenSlices.flatMap((slice, n) => {
      const view = VIEWS[slice.axCorSag];
      if (!view) return [];
      const [left, top, w, height] = slice.leftTopWidthHeight;
      const width = Math.abs(w);
      const from = w < 0 ? left + w : left;
      return [
        {
          view,
          left: from,
          top,
          width,
          height,
          plane: view === 'render' ? undefined : this.planeOf(n, from, top, width, height),
        },
      ];
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
    const { lines, canvas } = this;
    if (lines.width !== canvas.width || lines.height !== canvas.height) {
      lines.width = canvas.width;
      lines.height = canvas.height;
    }
    const context = lines.getContext('2d');
    if (!context) return;
    context.clearRect(0, 0, lines.width, lines.height);
    if (!this.scan) return;
    const tiles = this.tiles();
    const scale = canvas.width / Math.max(1, canvas.clientWidth);
    this.drawRims(context, tiles, scale);
    for (const tile of tiles)
      if (tile.plane) drawCrosshair(context, tile, pixelOn(tile.plane, this.mm), scale);
    for (const tile of tiles) if (tile.plane) drawLabels(context, tile, tile.plane, scale);
  }

  private drawRims(context: CanvasRenderingContext2D, tiles: readonly Tile[], scale: number): void {
    const outlined = this.overlays.filter(({ outline, opacity }) => outline !== null && opacity > 0);
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

/** @param file a NIfTI file in memory (drawable.ts); the name tells NiiVue what it is, nothing is fetched. */
async function imageOf(file: ArrayBuffer): Promise<NVImage> {
  return NVImage.loadFromUrl({ url: file, name: 'volume.nii', colormap: 'gray', trustCalMinMax: false });
}
