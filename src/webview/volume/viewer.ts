import type {
  HOST,
  Overlay,
  Scene,
  ShownFile,
  Snapshot,
  ViewChange,
  ViewerSettings,
  WEBVIEW,
} from '../../protocol/viewer';
import type { RpcEndpoint } from '../../protocol/rpc';
import { apply, type Point } from './affine';
import { element } from './elements';
import { fetchVolume } from './fetch-volume';
import { valueText } from './numbers';
import { PaintedSlices } from './painted-slices';
import { ShownOverlay } from './shown-overlay';
import { SidePanel } from './side-panel';
import type { SliceCanvas } from './slice-canvas';
import type { SliceDrawing } from './slice-drawing';
import { freshState, restoredState, type ViewState } from './view-state';
import { Voxels } from './voxels';

/** Where VS Code keeps the view's state. */
export interface StateStore {
  getState(): unknown;
  setState(state: unknown): void;
}

/** Files of so many bytes on disk take long enough for a line of progress. */
const SAID_FROM = 8 * 2 ** 20;

/** Writing the state down waits for the pointer to rest. */
const REMEMBER_MS = 250;

/** A file's voxels, kept as long as its version is shown. */
interface Loaded {
  readonly version: string;
  readonly voxels: Voxels;
}

/** The scene on the screen: slices, panel and the line of values. */
export class Viewer {
  private readonly drawing = element('div', { class: 'slices' });
  /** What draws at the moment: {@link painted} at first, then {@link graphics}. */
  private slices: SliceDrawing;
  private graphics: SliceCanvas | undefined;
  private readonly panel: SidePanel;
  private readonly status = element('footer', {
    class: 'status',
    attributes: { 'aria-label': 'At the crosshair' },
  });
  private readonly progress = element('p', { class: 'progress', attributes: { role: 'status' } });
  private readonly noticeLine = element('p', { class: 'notice', attributes: { role: 'status' } });
  private readonly loaded = new Map<string, Loaded>();
  private scene: Scene | undefined;
  private scan: Voxels | undefined;
  private overlays: ShownOverlay[] = [];
  private remarks: readonly string[] = [];
  /** Else every file gets the window that suits its values. */
  private windowChosen = false;
  private state: ViewState = freshState('');
  private loading: AbortController | undefined;
  /** The latest scene on its way to the screen. */
  private showing: Promise<void> | undefined;
  private remembering: ReturnType<typeof setTimeout> | undefined;
  private changing: number | undefined;
  private noticeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly host: HTMLElement,
    settings: ViewerSettings,
    private readonly endpoint: RpcEndpoint<typeof WEBVIEW, typeof HOST>,
    private readonly store: StateStore,
  ) {
    const column = element('aside', { class: 'panel', attributes: { 'aria-label': 'What is shown' } });
    const stage = element('div', { class: 'stage' }, this.drawing, this.progress, this.noticeLine);
    host.replaceChildren(element('div', { class: 'content' }, stage, column), this.status);
    this.slices = new PaintedSlices(this.drawing, settings);
    this.panel = new SidePanel(column, {
      setVolume: (volume) => this.setVolume(volume),
      setWindow: (low, high) => {
        this.slices.window = [low, high];
        this.windowed(); // setting it is a choice as well as dragging is
      },
      setVisible: (overlay, visible) => {
        overlay.visible = visible;
        this.redraw();
      },
      setOpacity: (overlay, opacity) => {
        overlay.opacity = opacity;
        this.redraw();
      },
      setThreshold: (overlay, threshold) => {
        overlay.setThreshold(threshold);
        this.redraw();
        this.panel.showThreshold(overlay);
      },
      remove: (overlay) => this.ask(endpoint.call('removeOverlay', { path: overlay.of.file.path }, null)),
      goTo: (overlay) => this.goTo(overlay),
      addOverlay: () => this.ask(endpoint.call('addOverlay', {}, null)),
      chooseMap: () => this.ask(endpoint.call('chooseMap', {}, null)),
      openSettings: () => this.ask(endpoint.call('openSettings', {})),
    });
  }

  /**
   * Shows a scene; resolves when it is drawn, or the scene that has taken its place meanwhile. Files whose version is
   * loaded are not read again.
   */
  async show(scene: Scene, notice: string | null): Promise<void> {
    let showing = (this.showing = this.showScene(scene, notice));
    for (;;)
      try {
        return await showing;
      } catch (error) {
        if (this.showing === showing) throw error;
        showing = this.showing;
      }
  }

  private async showScene(scene: Scene, notice: string | null): Promise<void> {
    this.loading?.abort();
    const loading = (this.loading = new AbortController());
    const began = performance.now();
    const { scan, overlays, remarks } = await this.load(scene, loading.signal);
    const loadedAt = performance.now();
    loading.signal.throwIfAborted();
    const sameScan = this.scan === scan;
    if (this.scene?.image.path !== scene.image.path)
      this.state = restoredState(this.store.getState(), scene.image.path);
    else this.state = this.current();
    this.scene = scene;
    this.scan = scan;
    await this.slices.together(async () => {
      if (!sameScan) {
        const volume = Math.min(this.state.volume, scene.image.header.volumes - 1);
        await this.slices.setScan(scan, volume);
        this.windowChosen = this.state.window !== null;
        if (this.state.window) this.slices.window = [this.state.window[0], this.state.window[1]];
        if (this.state.pose) this.slices.pose = [this.state.pose[0], this.state.pose[1]];
      }
      this.overlays = overlays.map(
        ({ overlay, voxels }) =>
          new ShownOverlay(overlay, voxels, scene.settings, this.state.overlays[overlay.kind]),
      );
      this.remarks = remarks;
      this.slices.convention = scene.settings.convention;
      await this.draw();
      if (!sameScan) this.place();
    });
    this.showPanel();
    this.moved();
    this.progress.textContent = '';
    this.say(notice);
    await presented();
    const painted = performance.now();
    this.host.dataset.drawn ??= 'slices'; // for whoever looks from outside
    performance.mark('fcd.slices');
    this.firstFrame ??= painted - began;
    loading.signal.throwIfAborted();
    const graphics = this.graphics ?? (await this.takeOver(loading.signal));
    await graphics.finished();
    loading.signal.throwIfAborted();
    this.host.dataset.drawn = 'all';
    await this.endpoint.call('drawn', {
      loaded: loadedAt,
      painted,
      drawn: performance.now(),
      webgl: graphics.webgl,
    });
  }

  private firstFrame: number | null = null;

  /** The graphics draw from here on, what has been painted so far. Their code is large and not loaded before. */
  private async takeOver(signal: AbortSignal): Promise<SliceCanvas> {
    const { SliceCanvas } = await import('./slice-canvas');
    signal.throwIfAborted();
    const { scene, scan, slices: painted } = this;
    if (!scene || !scan) throw new Error('Nothing is shown yet.');
    const graphics = new SliceCanvas(this.drawing, scene.settings, {
      moved: () => this.moved(),
      windowed: () => this.windowed(),
    });
    try {
      await graphics.begin();
      signal.throwIfAborted();
      const longest = Math.max(...scene.image.header.shape);
      if (longest > graphics.longestAxis)
        throw new Error(
          `${scene.image.name} has ${longest} voxels along an axis, and this machine's graphics draws ${graphics.longestAxis}. Show a smaller part of it.`,
        );
      await graphics.together(async () => {
        await graphics.setScan(scan, painted.volume);
        await graphics.setOverlays(this.overlaysInOrder());
        graphics.window = painted.window;
        graphics.pose = painted.pose;
        graphics.convention = painted.convention;
        graphics.mm = painted.mm;
      });
      await graphics.finished();
      signal.throwIfAborted();
    } catch (error) {
      graphics.dispose();
      throw error;
    }
    this.graphics = this.slices = graphics;
    painted.dispose();
    return graphics;
  }

  applySettings(settings: ViewerSettings): void {
    if (!this.scene) return;
    this.scene = { ...this.scene, settings };
    this.slices.convention = settings.convention;
    for (const overlay of this.overlays) overlay.setStyle(settings.maskStyle);
    this.redraw();
    this.showPanel();
  }

  async applyView(change: ViewChange): Promise<void> {
    if (!this.scan) throw new Error('Nothing is shown yet.');
    const of = (kind: string) => this.overlays.find((overlay) => overlay.kind === kind);
    const [mask, heat] = [of('mask'), of('heat')];
    if (change.overlaysVisible !== undefined) this.state.hidden = !change.overlaysVisible;
    if (mask && change.maskVisible !== undefined) mask.visible = change.maskVisible;
    if (mask && change.maskOpacity !== undefined) mask.opacity = change.maskOpacity;
    if (heat && change.heatVisible !== undefined) heat.visible = change.heatVisible;
    if (heat && change.heatOpacity !== undefined) heat.opacity = change.heatOpacity;
    if (heat && change.heatThreshold !== undefined) heat.setThreshold(change.heatThreshold);
    const { affine } = this.scan.header;
    await this.slices.together(async () => {
      if (change.volume !== undefined) this.setVolume(change.volume);
      if (change.voxel) this.slices.mm = apply(affine, change.voxel as unknown as Point);
      if (change.mm) this.slices.mm = change.mm as unknown as Point;
      await this.draw();
    });
    this.showPanel();
    this.moved();
  }

  snapshot(at: readonly { view: 'axial' | 'coronal' | 'sagittal'; mm: number[] }[]): Snapshot {
    const { graphics } = this;
    if (!this.scan || !graphics) throw new Error('Nothing is shown yet.');
    const { mm } = graphics;
    return {
      ...graphics.snapshot(at),
      mm: [...mm],
      voxel: this.scan.voxelAt(mm) ?? [-1, -1, -1],
      values: this.values(),
      overlays: this.overlays.map(({ kind, of, visible }) => ({
        kind,
        name: of.file.name,
        visible: visible && !this.state.hidden,
      })),
      text: this.host.innerText,
      msToFirstFrame: this.firstFrame,
    };
  }

  /** Keys of the whole view, wherever the focus is but in a field. @returns whether the key was one of them. */
  key(key: string, shift: boolean): boolean {
    const { scan, scene } = this;
    if (!scan || !scene) return false;
    const toggle = (kind: string) => {
      const overlay = this.overlays.find((other) => other.kind === kind);
      if (!overlay) return;
      overlay.visible = !overlay.visible;
      this.redraw();
      this.showPanel();
    };
    const step = Math.min(...scan.header.spacingMm) * (shift ? 5 : 1);
    // Left and right are those of the screen.
    const right = scene.settings.convention === 'radiological' ? -step : step;
    const moves: Readonly<Record<string, Point>> = {
      ArrowLeft: [-right, 0, 0],
      ArrowRight: [right, 0, 0],
      ArrowUp: [0, step, 0],
      ArrowDown: [0, -step, 0],
      PageUp: [0, 0, step],
      PageDown: [0, 0, -step],
    };
    const move = Object.hasOwn(moves, key) ? moves[key] : undefined;
    if (move) this.slices.mm = this.slices.mm.map((n, axis) => n + move[axis]) as unknown as Point;
    else if (key === 'o') {
      this.state.hidden = !this.state.hidden;
      this.redraw();
      this.say(this.state.hidden ? 'Overlays are hidden (o)' : null);
    } else if (key === 'm') toggle('mask');
    else if (key === 'h') toggle('heat');
    else return false;
    return true;
  }

  dispose(): void {
    this.loading?.abort();
    clearTimeout(this.remembering);
    clearTimeout(this.noticeTimer);
    this.slices.dispose();
    delete this.host.dataset.drawn;
  }

  /** Reads the files. Without its scan there is no scene; an overlay that cannot be read is left out and said so. */
  private async load(
    scene: Scene,
    signal: AbortSignal,
  ): Promise<{
    scan: Voxels;
    overlays: { overlay: Overlay; voxels: Voxels }[];
    remarks: string[];
  }> {
    const files = [scene.image, ...scene.overlays.map(({ file }) => file)];
    const arrived = new Map<string, number>();
    const total = files.reduce((sum, { fileBytes }) => sum + fileBytes, 0);
    const kept = new Set(files.map(({ path }) => path));
    for (const path of [...this.loaded.keys()]) if (!kept.has(path)) this.loaded.delete(path);
    const read = (file: ShownFile) =>
      this.read(
        file,
        (bytes) => {
          arrived.set(file.path, bytes);
          if (total < SAID_FROM) return; // a small file is there before it can be read about
          const sum = [...arrived.values()].reduce((all, n) => all + n, 0);
          this.progress.textContent = `Loading ${megabytes(sum)} of ${megabytes(total)}`;
        },
        signal,
      );
    const scan = read(scene.image);
    scan.catch(() => {}); // awaited below, after the overlays
    const others = await Promise.allSettled(scene.overlays.map(({ file }) => read(file)));
    const overlays: { overlay: Overlay; voxels: Voxels }[] = [];
    const remarks: string[] = [];
    others.forEach((other, n) => {
      if (other.status === 'fulfilled') overlays.push({ overlay: scene.overlays[n], voxels: other.value });
      else remarks.push(messageOf(other.reason));
    });
    return { scan: await scan, overlays, remarks };
  }

  private async read(
    file: ShownFile,
    arriving: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<Voxels> {
    const known = this.loaded.get(file.path);
    if (known?.version === file.version) return known.voxels;
    const voxels = new Voxels(await fetchVolume(file, arriving, signal), file.header);
    this.loaded.set(file.path, { version: file.version, voxels });
    return voxels;
  }

  /** First place: where the reader was; else the lesion, else the heat's peak, else the grid's middle. */
  private place(): void {
    const { scan } = this;
    if (!scan) return;
    if (this.state.mm) {
      this.slices.mm = this.state.mm as unknown as Point;
      return;
    }
    const first = [...this.overlays].sort((a) => (a.kind === 'mask' ? -1 : 1));
    for (const overlay of first) {
      const voxel = overlay.place();
      if (!voxel) continue;
      this.slices.mm = apply(overlay.voxels.header.affine, voxel);
      return;
    }
    this.slices.mm = apply(
      scan.header.affine,
      scan.header.shape.map((n) => Math.floor(n / 2)) as unknown as Point,
    );
  }

  private goTo(overlay: ShownOverlay): void {
    const voxel = overlay.place();
    if (voxel) this.slices.mm = apply(overlay.voxels.header.affine, voxel);
    this.slices.focus();
  }

  private setVolume(volume: number): void {
    if (!this.scan) return;
    this.slices.volume = Math.min(Math.max(0, Math.round(volume)), this.scan.header.volumes - 1);
    this.moved();
  }

  private windowed(): void {
    this.windowChosen = true;
    this.panel.showWindow(this.slices.window);
    this.remember();
  }

  /** Sliders move faster than large volumes are drawn: one drawing a frame. */
  private redraw(): void {
    this.changing ??= requestAnimationFrame(() => {
      this.changing = undefined;
      this.remember();
      this.draw().catch((error: unknown) => this.say(messageOf(error)));
    });
  }

  private draw(): Promise<void> {
    return this.slices.setOverlays(this.overlaysInOrder());
  }

  /** The mask lies over the heat. */
  private overlaysInOrder() {
    const order = [...this.overlays].sort((a) => (a.kind === 'heat' ? -1 : 1));
    return order.map((overlay) => overlay.drawn(this.state.hidden));
  }

  private showPanel(): void {
    if (!this.scene) return;
    this.panel.show({
      scene: this.scene,
      overlays: this.overlays,
      remarks: this.remarks,
      volume: this.slices.volume,
      window: this.slices.window,
    });
  }

  private values(): Snapshot['values'] {
    const { scan } = this;
    const mm = scan ? this.slices.mm : undefined;
    const at = (voxels: Voxels | undefined, volume = 0) => {
      const voxel = mm && voxels?.voxelAt(mm);
      return voxel && voxels ? voxels.value(voxel, volume) : null;
    };
    const overlay = (kind: string) => this.overlays.find((other) => other.kind === kind)?.voxels;
    return {
      image: at(scan, this.slices.volume),
      mask: at(overlay('mask')),
      heat: at(overlay('heat')),
    };
  }

  private moved(): void {
    const { scan } = this;
    if (!scan) return;
    const mm = this.slices.mm;
    const voxel = scan.voxelAt(mm);
    const values = this.values();
    const has = (kind: string) => this.overlays.some((overlay) => overlay.kind === kind);
    const part = (name: string, value: string, title?: string) =>
      element('span', { title }, element('b', { text: name }), document.createTextNode(` ${value}`));
    this.status.replaceChildren(
      part('voxel', voxel ? `${voxel.join(', ')}` : 'outside', 'Voxel i, j, k of the file, counted from 0'),
      part('mm', mm.map((n) => n.toFixed(1)).join(', '), 'Right, anterior, superior, in the scanner’s space'),
      part('image', valueText(values.image), 'Value of the scan, slope and intercept applied'),
      ...(has('mask') ? [part('mask', valueText(values.mask))] : []),
      ...(has('heat') ? [part('heat', valueText(values.heat))] : []),
    );
    this.remember();
  }

  private current(): ViewState {
    if (!this.scan || !this.scene) return this.state;
    return {
      image: this.scene.image.path,
      mm: [...this.slices.mm],
      volume: this.slices.volume,
      window: this.windowChosen ? [...this.slices.window] : null,
      pose: [...this.slices.pose],
      hidden: this.state.hidden,
      overlays: {
        ...this.state.overlays,
        ...Object.fromEntries(this.overlays.map((overlay) => [overlay.kind, overlay.state()])),
      },
    };
  }

  private remember(): void {
    clearTimeout(this.remembering);
    this.remembering = setTimeout(() => this.store.setState(this.current()), REMEMBER_MS);
  }

  private say(notice: string | null): void {
    clearTimeout(this.noticeTimer);
    this.noticeLine.textContent = notice ?? '';
    if (notice !== null) this.noticeTimer = setTimeout(() => (this.noticeLine.textContent = ''), 6000);
  }

  private ask(request: Promise<unknown>): void {
    request.catch((error: unknown) => this.say(messageOf(error)));
  }
}

/** A frame that the browser has taken is on the screen before the next one begins. */
function presented(): Promise<unknown> {
  return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MB`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
