import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { decode } from 'fast-png';
import type { Frame, Locator } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeWorkspace } from '../vscode/make-workspace';
import { TINY_TRAINING, type Workspace } from '../vscode/workspace';
import { keepFigure, printFigures } from './figures';
import { installPackaged, type Installed } from './installed';
import { photographFailure, picture } from './pictures';
import { Workbench } from './workbench';

/** Everything happens in one window, as one sitting of a newcomer: a step begins where the one before ended. */
let installed: Installed;
let workspace: Workspace;
let window_: Workbench;

beforeAll(async () => {
  installed = await installPackaged(1280, 800);
  const folder = join(installed.scratch, 'epilepsy-study');
  workspace = makeWorkspace(folder, {
    subjects: 12,
    size: 64,
    epochs: 12,
    difficulty: 0.5,
    training: TINY_TRAINING,
  });
  window_ = new Workbench(installed.page);
  await installed.open(folder);
});
afterAll(async () => {
  printFigures();
  await installed?.close();
});

beforeEach(({ onTestFailed, task }) => onTestFailed(() => photographFailure(page(), task.name)));

const page = () => installed.page;

describe('a newcomer with the packaged extension', () => {
  it('finds in the palette what there is to do', async () => {
    await window_.findCommand('FCD: Show Log');
    const input = page().locator('.quick-input-widget input.input');
    // The list is longer than its view: each is asked for by name.
    for (const title of [
      'Train FCD Model',
      'Pre-train on Segmentation',
      'Predict Case',
      'Show Grad-CAM',
      'Import Pretrained Weights',
      'Compare Checkpoints',
      'Create Phantom Cohort',
      'Open Report',
      'Select Engine',
      'Show Log',
    ]) {
      await input.fill(`>FCD: ${title}`);
      await window_.choice(`FCD: ${title}`).first().waitFor({ timeout: 20_000 });
    }
    await input.fill('>FCD:');
    await window_.choice('FCD: Predict Case').first().waitFor({ timeout: 20_000 });
    await picture(page(), 'palette');
    await page().keyboard.press('Escape');
    await page().locator('.quick-input-widget').waitFor({ state: 'hidden' });
  });

  it('clicks on a scan in the explorer and sees slices, render and the lesion mask', async () => {
    const row = await window_.inExplorer('scans', 'sub-07', basename(workspace.scan.flair));
    const begin = Date.now();
    await row.click();
    const view = await drawnCanvas();
    const frame = await firstFrame(view.frame);
    keepFigure('click to first frame of a 2 mm head', frame.at - begin);
    // What remains is VS Code's: the click, the custom editor, the webview and its document.
    keepFigure('of that, since the page began', frame.sinceThePageBegan);
    keepFigure('click to its render', Date.now() - begin);
    expect(await view.frame.locator('body').innerText()).toContain(basename(workspace.scan.mask));
    await picture(page(), 'scan-with-mask');
    // Once more, with the window and its first webview warm.
    const second = await window_.inExplorer('scans', 'sub-07', basename(workspace.scan.t1w));
    const again = Date.now();
    await second.click();
    const warm = await firstFrame((await drawnCanvas(basename(workspace.scan.t1w))).frame);
    keepFigure('click to first frame of a 2 mm head, second scan', warm.at - again);
    keepFigure('of that, since the page began, second scan', warm.sinceThePageBegan);
  });

  it('sees right on the side of right', async () => {
    await (await window_.inExplorer('scans', basename(workspace.corner))).click();
    const { canvas } = await drawnCanvas(basename(workspace.corner));
    const white = whiteCentre(await canvas.screenshot());
    const { width, height } = (await canvas.boundingBox()) as { width: number; height: number };
    // The bright block is at the patient's right, anterior, superior. Seen as in the report: right is on the left.
    for (const [name, x, y] of white) {
      expect(x, name).toBeLessThan(name === 'sagittal' ? 0.75 * width : 0.25 * width);
      expect(y, name).toBeLessThan(name === 'axial' ? 0.75 * height : 0.25 * height);
    }
    expect(white.map(([name]) => name)).toEqual(['coronal', 'sagittal', 'axial']);
  });

  it('opens a case of the cohort from the Cohort view, with its mask and the class map of the run', async () => {
    await openView();
    const participant = heldOutPatient();
    await (await window_.scrolledTo('sub-00001', participant)).click();
    const { frame } = await drawnCanvas(participant);
    await expect.poll(() => frame.locator('body').innerText()).toMatch(/layer\d/);
    await picture(page(), 'cohort-case');
  });

  it('trains a model by the guide, watches it in the terminal and in the Runs view', async () => {
    await window_.runCommand('View: Close All Editors');
    await window_.runCommand('FCD: Train FCD Model');
    await window_.choice('cohort').first().waitFor({ timeout: 60_000 });
    await picture(page(), 'train-guide');
    await window_.choose('cohort');
    await window_.choose('FLAIR');
    await window_.choose('ResNet-10');
    await window_.choose('No transfer');
    await window_.choose('One fold');
    await window_.type('1/4');
    await window_.choose('Small');
    await window_.type('8');
    const out = join(workspace.folder, 'fcd-runs', 'cohort-resnet10-FLAIR-fold-1of4');
    await expect.poll(() => existsSync(join(out, 'run.json')), { timeout: 60_000 }).toBe(true);
    await expect.poll(() => eventTypes(out), { timeout: 120_000 }).toContain('epoch');
    await openView();
    await window_
      .treeRow(/epoch \d+\/8/)
      .first()
      .waitFor({ timeout: 30_000 });
    await picture(page(), 'training');
    await expect.poll(() => eventTypes(out).at(-1), { timeout: 150_000 }).toBe('finished');
    // Its row, and that of the run that was there before.
    await expect.poll(() => window_.treeRow(/accuracy \d/).count(), { timeout: 30_000 }).toBe(2);
    await page().locator('.terminal-wrapper.active').first().waitFor();
    await picture(page(), 'trained');
  });

  it('opens the report of the run', async () => {
    await window_.runCommand('FCD: Open Report');
    await window_.choose('cohort-resnet10-FLAIR-fold-1of4');
    const report = await window_.webview('text=For research, not for diagnosis');
    expect(await report.locator('img, svg').count()).toBeGreaterThan(0);
    await picture(page(), 'report');
  });

  it('looks inside the checkpoint of a run: tensors, filters, layers', async () => {
    await window_.runCommand('View: Close All Editors');
    await window_.runCommand('View: Hide Panel').catch(() => undefined);
    const row = await window_.inExplorer('runs', 'checkpoints', 'best', 'model.safetensors');
    const begin = Date.now();
    await row.click();
    const inspector = await window_.webview('.window .row.tensor');
    keepFigure('click to the tree of a checkpoint', Date.now() - begin);
    await inspector.locator('.found', { hasText: 'All values are finite' }).waitFor();
    await inspector.locator('.row.tensor', { hasText: 'conv1.weight' }).first().click();
    await inspector.locator('.slices canvas').first().waitFor();
    // From the keyboard too: down to the next tensor that is shown, and back.
    const chosen = inspector.locator('.row.selected');
    await page().keyboard.press('ArrowDown');
    await page().keyboard.press('ArrowDown');
    await expect.poll(() => chosen.innerText()).not.toContain('conv1.weight');
    await page().keyboard.press('Home');
    await page().keyboard.press('ArrowDown');
    await expect.poll(() => chosen.innerText()).toContain('conv1.weight');
    await inspector.locator('.slices canvas').first().waitFor();
    await picture(page(), 'checkpoint');
    await inspector.locator('[role=tab]', { hasText: 'Network' }).click();
    await inspector.locator('.total', { hasText: 'FLOP' }).waitFor();
    await inspector.locator('tbody tr', { hasText: 'layer4' }).first().waitFor();
    await picture(page(), 'checkpoint-network');
  });

  it('looks at the Grad-CAM of a case beside the code', async () => {
    await window_.runCommand('View: Close All Editors');
    await (await window_.inExplorer('train.py')).dblclick();
    await page().locator('.monaco-editor .view-lines', { hasText: 'torchvision' }).first().waitFor();
    await window_.runCommand('FCD: Show Grad-CAM');
    for (const answer of [`${heldOutPatient()}_FLAIR`, 'first', 'layer4', 'Grad-CAM', 'fcd'])
      await window_.choose(answer);
    const { frame } = await drawnCanvas(heldOutPatient());
    await expect.poll(() => frame.locator('body').innerText(), { timeout: 60_000 }).toMatch(/layer4/);
    await window_.dismissNotifications();
    await picture(page(), 'grad-cam-beside-code');
    expect(
      await page().locator('.monaco-editor .view-lines', { hasText: 'torchvision' }).first().isVisible(),
    ).toBe(true);
  });

  it('reads in the status bar what computes', async () => {
    const status = window_.status(/FCD/).first();
    await status.waitFor();
    expect(await status.innerText()).toMatch(/simd|wasm/);
    await status.click();
    await window_.choice('Show Log').first().waitFor();
    await picture(page(), 'status-bar');
    await window_.choose('Show Log');
    await page().locator('.part.panel', { hasText: 'FCD Lens' }).first().waitFor();
    await page().keyboard.press('Escape'); // the explanation of the entry that was clicked on
    await picture(page(), 'log');
  });

  it('reads how long activation took, as VS Code measured it', async () => {
    await window_.runCommand('View: Close All Editors');
    await window_.runCommand('View: Hide Panel');
    await window_.runCommand('Developer: Show Running Extensions');
    const rows = page().locator('.runtime-extensions-editor .monaco-list-row');
    await rows.first().waitFor({ timeout: 20_000 });
    await rows.first().hover();
    const row = rows.filter({ hasText: 'FCD Lens' }).first();
    for (let turn = 0; turn < 40 && !(await row.isVisible()); turn++) {
      await page().mouse.wheel(0, 100);
      await page().waitForTimeout(100);
    }
    const text = await row.innerText();
    const took = /Activation: (\d+)\s*ms/.exec(text);
    expect(took, text).not.toBeNull();
    keepFigure('activation as VS Code measured it', Number(took?.[1]));
    expect(Number(took?.[1])).toBeLessThan(1000);
  });
});

/** Shows the extension's own side bar. */
async function openView(): Promise<void> {
  const tab = page().locator('.activitybar .action-item a[aria-label^="FCD Lens"]').first();
  const header = page().locator('.pane-header', { hasText: 'Runs' }).first();
  if (!(await header.isVisible())) await tab.click();
  await header.waitFor();
}

/** Milliseconds since a page's document was made. */
/** When the slices were on the screen, ms: by the clock, and by the page's. */
async function firstFrame(frame: Frame): Promise<{ at: number; sinceThePageBegan: number }> {
  return frame.evaluate(() => {
    const { startTime } = performance.getEntriesByName('fcd.slices')[0];
    return {
      at: Math.round(performance.timeOrigin + startTime),
      sinceThePageBegan: Math.round(startTime),
    };
  });
}

/** The volume editor once it has drawn all. `name`: part of the file's name. */
async function drawnCanvas(name = ''): Promise<{ frame: Frame; canvas: Locator }> {
  const end = Date.now() + 90_000;
  while (Date.now() < end) {
    for (const frame of page().frames()) {
      const text = await frame
        .evaluate(() => document.querySelector('#viewer[data-drawn=all]')?.textContent)
        .catch(() => undefined);
      if (text?.includes(name)) return { frame, canvas: frame.locator('canvas').first() };
    }
    await page().waitForTimeout(20);
  }
  throw new Error(`No volume editor has drawn ${name || 'anything'}.`);
}

/** Middle of the white pixels of each slice's tile: top left, top right, bottom left. */
function whiteCentre(png: Uint8Array): (readonly [name: string, x: number, y: number])[] {
  const { width, height, data, channels } = decode(png);
  const quarters = [
    ['coronal', 0, 0],
    ['sagittal', 1, 0],
    ['axial', 0, 1],
  ] as const;
  return quarters.flatMap(([name, column, row]) => {
    let [count, sumX, sumY] = [0, 0, 0];
    for (let y = (row * height) >> 1; y < ((row + 1) * height) >> 1; y++)
      for (let x = (column * width) >> 1; x < ((column + 1) * width) >> 1; x++) {
        const at = channels * (y * width + x);
        if (data[at] < 245 || data[at + 1] < 245 || data[at + 2] < 245) continue;
        count++;
        sumX += x;
        sumY += y;
      }
    return count > 400 ? [[name, sumX / count, sumY / count] as const] : [];
  });
}

/** The first patient whom the finished run was not trained on. */
function heldOutPatient(): string {
  const [first] = readdirSync(join(workspace.run, 'cams'))
    .filter((name) => name.endsWith('.nii.gz'))
    .sort();
  return basename(first, '.nii.gz');
}

function eventTypes(run: string): string[] {
  const path = join(run, 'events.jsonl');
  if (!existsSync(path)) return [];
  return [...readFileSync(path, 'utf8').matchAll(/"type":"(\w+)"/g)].map(([, type]) => type);
}
