import { methodName } from '../../protocol/cam-method';
import type { Scene } from '../../protocol/viewer';
import { colourBar } from './colour-bar';
import { button, checkbox, element, facts, slider } from './elements';
import { shortNumber } from './numbers';
import { flatTable } from './drawable';
import { MASK_COLOUR, type ShownOverlay } from './shown-overlay';

/** What the reader does in the panel. */
export interface PanelIntents {
  readonly setVolume: (volume: number) => void;
  readonly setWindow: (low: number, high: number) => void;
  readonly setVisible: (overlay: ShownOverlay, visible: boolean) => void;
  readonly setOpacity: (overlay: ShownOverlay, opacity: number) => void;
  readonly setThreshold: (overlay: ShownOverlay, threshold: number) => void;
  readonly remove: (overlay: ShownOverlay) => void;
  readonly goTo: (overlay: ShownOverlay) => void;
  readonly addOverlay: () => void;
  readonly chooseMap: () => void;
  readonly openSettings: () => void;
}

export interface PanelContents {
  readonly scene: Scene;
  readonly overlays: readonly ShownOverlay[];
  /** Why an overlay of the scene is not among them. */
  readonly remarks: readonly string[];
  readonly volume: number;
  readonly window: readonly [number, number];
}

/** The column beside the slices: what is shown, what its numbers are, and how it is drawn. */
export class SidePanel {
  private windowInputs: readonly HTMLInputElement[] = [];

  constructor(
    private readonly host: HTMLElement,
    private readonly intents: PanelIntents,
  ) {}

  show(contents: PanelContents): void {
    const { scene, overlays } = contents;
    const { activeElement } = document;
    const focused = this.host.contains(activeElement) ? activeElement?.getAttribute('aria-label') : undefined;
    this.host.replaceChildren(
      ...[
        this.prediction(scene),
        this.scan(contents),
        ...overlays.map((overlay) => this.overlay(overlay, scene)),
        this.actions(scene),
        ...[...scene.remarks, ...contents.remarks].map((remark) =>
          element('p', { class: 'remark', text: remark }),
        ),
      ].filter((part) => part !== undefined),
    );
    // Whoever works with the keyboard stays where they were.
    if (focused) this.host.querySelector<HTMLElement>(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  }

  /** The threshold was moved: bar and extent follow it, while the slider stays under the pointer. */
  showThreshold(overlay: ShownOverlay): void {
    const section = this.host.querySelector(`section[data-kind="${overlay.kind}"]`);
    section?.querySelector('.bar')?.replaceWith(barOf(overlay));
    if (overlay.kind === 'mask') section?.querySelector('.extent')?.replaceWith(extentOf(overlay));
  }

  /** The window was changed by dragging in the slices. */
  showWindow(window: readonly [number, number]): void {
    this.windowInputs.forEach((input, n) => (input.value = shortNumber(window[n], 4)));
  }

  private prediction({ prediction }: Scene): HTMLElement | undefined {
    if (!prediction) return undefined;
    return element(
      'section',
      { class: 'prediction', attributes: { 'aria-label': 'Prediction' } },
      element('h2', { text: 'Prediction' }),
      element('p', {
        class: 'verdict',
        text: `${prediction.predicted}, probability of fcd ${prediction.probability.toFixed(3)}`,
      }),
      facts([
        ['Logits', prediction.logits.map((logit) => shortNumber(logit, 4)).join(', ') + ' (control, fcd)'],
        ['Model', prediction.model],
      ]),
      ...prediction.remarks.map((remark) => element('p', { class: 'remark', text: remark })),
      element('p', { class: 'note', text: 'Research use, not for diagnosis.' }),
    );
  }

  private scan({ scene, volume, window }: PanelContents): HTMLElement {
    const { image } = scene;
    const { header } = image;
    const inputs = (['Black', 'White'] as const).map((name, n) => {
      const input = element('input', {
        attributes: { type: 'number', step: 'any', 'aria-label': `${name} at, in file units` },
      });
      input.value = shortNumber(window[n], 4);
      return input;
    });
    const set = () => {
      const [low, high] = inputs.map((input) => input.valueAsNumber);
      if (Number.isFinite(low) && Number.isFinite(high) && low < high) this.intents.setWindow(low, high);
    };
    for (const input of inputs) input.addEventListener('change', set);
    this.windowInputs = inputs;
    return element(
      'section',
      { attributes: { 'aria-label': 'Scan' } },
      element('h2', { text: 'Scan' }),
      element('p', { class: 'file', text: image.name, title: image.path }),
      facts([
        ['Voxels', `${header.shape.join(' × ')}${header.volumes > 1 ? ` × ${header.volumes} volumes` : ''}`],
        ['Size', `${header.spacingMm.map((mm) => shortNumber(mm)).join(' × ')} mm`],
        ['Axes', `${header.orientation} (from ${header.affineFrom})`],
        [
          'Values',
          [
            header.dataType,
            header.slope === 1 ? '' : ` × ${shortNumber(header.slope)}`,
            header.intercept === 0 ? '' : ` + ${shortNumber(header.intercept)}`,
          ].join(''),
        ],
      ]),
      element(
        'div',
        {
          class: 'row',
          title:
            'What is drawn black and white, in file units; drag with the right mouse button over a slice',
        },
        element('span', { class: 'name', text: 'Window' }),
        inputs[0],
        inputs[1],
      ),
      header.volumes > 1
        ? slider(
            'Volume',
            'Volume of the 4D scan',
            { min: 0, max: header.volumes - 1, step: 1, value: volume },
            (value) => `${value} of 0–${header.volumes - 1}`,
            this.intents.setVolume,
          )
        : undefined,
    );
  }

  private overlay(overlay: ShownOverlay, scene: Scene): HTMLElement {
    const { file, provenance, origin, kind } = overlay.of;
    const { extent, colouring } = overlay;
    const mask = kind === 'mask';
    const title = mask ? 'Lesion mask' : 'Heat map';
    const close = button('×', `Take ${file.name} off`, () => this.intents.remove(overlay));
    close.className = 'close';
    close.setAttribute('aria-label', `Take ${file.name} off`);
    return element(
      'section',
      { attributes: { 'aria-label': title, 'data-kind': kind } },
      element(
        'h2',
        {},
        checkbox(title, mask ? 'Show the mask (m)' : 'Show the heat (h)', overlay.visible, (visible) =>
          this.intents.setVisible(overlay, visible),
        ),
        button('Go to', mask ? 'Go to the middle of the mask' : 'Go to the hottest voxel', () =>
          this.intents.goTo(overlay),
        ),
        close,
      ),
      element('p', { class: 'file', text: file.name, title: `${file.path} (${origin})` }),
      mask ? extentOf(overlay) : undefined,
      provenance
        ? facts([
            provenance.run === null ? undefined : ['Run', provenance.run],
            ['Layer', provenance.layer],
            ['Method', methodName(provenance.method)],
            ['Alignment', provenance.align],
            ['Class', provenance.class],
            ['Logit', shortNumber(provenance.logit, 4)],
          ])
        : facts([['Source', origin]]),
      !mask && scene.heatScore
        ? facts([
            [
              `Heat-Score ${scene.heatScore.variant}`,
              scene.heatScore.score === null ? 'does not exist' : shortNumber(scene.heatScore.score),
            ],
          ])
        : undefined,
      ...(mask ? [] : (scene.heatScore?.meanings ?? [])).map((meaning) =>
        element('p', { class: 'remark', text: meaning }),
      ),
      ...this.emptiness(overlay),
      extent.max > 0 ? barOf(overlay) : undefined,
      !mask && extent.min < 0
        ? element('p', {
            class: 'remark',
            text: `Values down to ${shortNumber(extent.min)} are not drawn; colours begin at 0.`,
          })
        : undefined,
      slider(
        'Opacity',
        `Opacity of the ${title.toLowerCase()}`,
        { min: 0, max: 1, step: 0.05, value: overlay.opacity },
        (value) => `${Math.round(100 * value)} %`,
        (value) => this.intents.setOpacity(overlay, value),
      ),
      extent.max > 0
        ? slider(
            'Threshold',
            `Threshold of the ${title.toLowerCase()}`,
            { min: 0, max: extent.max, step: 'any', value: colouring.threshold },
            (value) => `> ${shortNumber(value)}`,
            (value) => this.intents.setThreshold(overlay, value),
          )
        : undefined,
    );
  }

  private emptiness({ extent, of }: ShownOverlay): HTMLElement[] {
    if (extent.max > 0) return [];
    const nothing =
      of.kind === 'mask'
        ? 'The mask has no voxel above 0: there is nothing to draw.'
        : 'The map is 0 everywhere: this layer has no positive evidence for the class.';
    return [element('p', { class: 'remark', text: nothing })];
  }

  private actions({ mapsInWorkspace, settings }: Scene): HTMLElement {
    return element(
      'section',
      { class: 'actions', attributes: { 'aria-label': 'Actions' } },
      button('Add overlay…', 'A lesion mask or a heat map from a file', this.intents.addOverlay),
      mapsInWorkspace > 0
        ? button(
            `Maps (${mapsInWorkspace})…`,
            'Class maps of this scan in the workspace',
            this.intents.chooseMap,
          )
        : undefined,
      button('Settings', 'Settings of the volume editor', this.intents.openSettings),
      element('p', {
        class: 'note',
        text:
          settings.convention === 'radiological'
            ? 'Radiological: the patient’s right is on the left.'
            : 'Neurological: the patient’s right is on the right.',
      }),
      element('p', {
        class: 'note',
        text: 'Arrows, Page Up, Page Down: move · o overlays · m mask · h heat',
      }),
    );
  }
}

function barOf({ colouring, kind, of }: ShownOverlay): HTMLElement {
  return colourBar({
    ...colouring,
    table: kind === 'mask' ? flatTable(MASK_COLOUR, 1) : colouring.table,
    label:
      kind === 'mask'
        ? 'mask value'
        : of.provenance
          ? `${methodName(of.provenance.method)} value`
          : 'map value',
  });
}

/** How large what is drawn of a mask is. */
function extentOf({ voxels, above }: ShownOverlay): HTMLElement {
  const [x, y, z] = voxels.header.spacingMm;
  const list = facts([['Extent', `${above} voxels, ${shortNumber((above * x * y * z) / 1000)} ml`]]);
  list.className = 'extent';
  return list;
}
