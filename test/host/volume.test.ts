import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { Snapshot } from '../../src/protocol/viewer';
import { millimetres, readNifti, valueAt, type Nifti } from '../vscode/nifti-file';
import { FOUR_D_VALUES, cornerCentre } from '../vscode/workspace';
import { caseOf, firstMap } from './support/run-files';
import { openVolume } from './support/volume';
import { screenshot } from './support/screenshot';
import { closeAll, workspace } from './support/workspace';

const VIEWS = ['axial', 'coronal', 'sagittal'] as const;

afterEach(closeAll);

/** Slices as large as the window gives: where a terminal takes half of it, a pixel covers more than a voxel. */
const closePanel = () => vscode.commands.executeCommand('workbench.action.closePanel');

describe('opening a scan', () => {
  before(closePanel);

  it('shows it in the volume editor, in three planes and in 3D', async () => {
    const { t1w } = workspace().scan;
    const panel = await openVolume(t1w);
    const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
    ok(input instanceof vscode.TabInputCustom);
    equal(input.viewType, 'fcd.volume');
    const { tiles, lit, webgl } = await panel.snapshot();
    deepEqual(tiles.map(({ view }) => view).sort(), ['axial', 'coronal', 'render', 'sagittal']);
    ok(lit > 10_000, `only ${lit} pixels are lit`);
    match(webgl, /WebGL|OpenGL|ANGLE/);
    await screenshot('scan');
  });

  it('paints the slices where NiiVue then draws them, so that nothing moves', async () => {
    for (const file of [workspace().scan.t1w, workspace().corner]) {
      const panel = await openVolume(file);
      const { tiles, painted } = await panel.snapshot();
      equal(painted.length, 3);
      for (const tile of painted) {
        const drawn = tiles.find(({ view }) => view === tile.view);
        ok(drawn?.corners && tile.corners);
        for (const side of ['left', 'top', 'width', 'height'] as const)
          equal(tile[side], drawn[side], `${tile.view}: ${side}`);
        tile.corners.flat().forEach((mm, n) => closeTo(mm, drawn.corners?.flat()[n] ?? NaN, 0.05));
      }
    }
  });

  it('draws the greys that the file holds, voxel by voxel', async () => {
    const { t1w } = workspace().scan;
    const file = readNifti(readFileSync(t1w));
    const panel = await openVolume(t1w);
    const voxels = spreadVoxels(file);
    await panel.view({ voxel: voxels[0], overlaysVisible: false });
    for (const view of VIEWS) {
      const plane = { axial: 2, coronal: 1, sagittal: 0 }[view];
      const shown = voxels.map((voxel) => voxel.map((one, axis) => (axis === plane ? voxels[0][axis] : one)));
      const at = shown.map((voxel) => ({ view, mm: millimetres(file, voxel) }));
      const { colours } = await panel.snapshot(at);
      // What is black or white stands for more than one value; the line of the crosshair is coloured.
      const pairs = colours.flatMap((colour, i) =>
        colour && colour[0] === colour[1] && colour[0] > 8 && colour[0] < 247
          ? [[valueAt(file, shown[i]), colour[0]] as const]
          : [],
      );
      ok(pairs.length > 30, `${view}: ${pairs.length} places to compare`);
      ok(correlation(pairs) > 0.97, `${view}: r = ${correlation(pairs).toFixed(4)}`);
    }
  });

  it('tells the value under the crosshair in the units of the file', async () => {
    const { flair } = workspace().scan;
    const file = readNifti(readFileSync(flair));
    const panel = await openVolume(flair);
    for (const voxel of spreadVoxels(file).slice(0, 5)) {
      await panel.view({ voxel });
      const { values, mm, voxel: at } = await panel.snapshot();
      deepEqual(at.map(Math.round), voxel);
      closeTo(values.image, valueAt(file, voxel), 1e-3);
      millimetres(file, voxel).forEach((one, axis) => closeTo(mm[axis], one, 0.01));
    }
  });

  it('puts right and left where the patient has them, however the file is stored', async () => {
    const panel = await openVolume(workspace().corner);
    const centre = cornerCentre();
    ok(
      centre.every((one) => one > 0),
      'the bright block is at right, anterior, superior',
    );
    await panel.view({ mm: centre.map((one) => one + 6) }); // within the block; its lines beside its centre
    const mirrored = VIEWS.flatMap((view) =>
      [0, 1, 2].map((axis) => ({ view, mm: centre.map((one, i) => (i === axis ? -one : one)) })),
    );
    const { colours, values } = await panel.snapshot([
      ...VIEWS.map((view) => ({ view, mm: centre })),
      ...mirrored,
    ]);
    equal(values.image, 1000);
    for (const [index, view] of VIEWS.entries())
      ok(Number(colours[index]?.[0]) > 240, `${view} is bright in the block`);
    // In each plane, the block's mirror image is dark, except where the mirrored axis is not in the plane.
    const inPlane = { axial: [0, 1], coronal: [0, 2], sagittal: [1, 2] };
    for (const [index, { view }] of mirrored.entries())
      if (inPlane[view].includes(index % 3))
        ok(Number(colours[3 + index]?.[0]) < 100, `${view}, axis ${index % 3}`);
    await screenshot('corner');
  });

  it('goes through the volumes of a 4D file', async () => {
    const panel = await openVolume(workspace().fourD);
    for (const [volume, value] of FOUR_D_VALUES.entries()) {
      await panel.view({ volume, voxel: [8, 8, 8] });
      equal((await panel.snapshot()).values.image, value);
    }
  });
});

describe('overlays', () => {
  before(closePanel);

  it('finds the lesion mask beside the scan, and draws it only while it is on', async () => {
    const { flair, mask } = workspace().scan;
    const lesion = readNifti(readFileSync(mask));
    const voxel = deepestVoxel(lesion);
    const far = lesion.shape.map((length) => Math.floor(length / 2) + 3);
    equal(valueAt(lesion, far), 0, 'the middle of the head is healthy');
    const panel = await openVolume(flair);
    equal(panel.shown.roi, mask);
    await panel.view({ voxel, maskOpacity: 1 });
    const at = [{ view: 'axial' as const, mm: millimetres(lesion, beside(lesion, voxel)) }];
    const on = await panel.snapshot(at);
    equal(on.values.mask, valueAt(lesion, voxel));
    ok(!isGrey(on.colours[0]), `with the mask ${String(on.colours[0])}`);
    await panel.view({ maskVisible: false });
    const off = await panel.snapshot(at);
    ok(isGrey(off.colours[0]), `without the mask ${String(off.colours[0])}`);
    await panel.view({ maskVisible: true });
    deepEqual((await panel.snapshot(at)).colours, on.colours);
  });

  it('shows the last of several scenes that come faster than they are drawn', async () => {
    const { flair, mask, t1w } = workspace().scan;
    const panel = await openVolume(flair);
    // The T1w as a map lies in the same folder: the page need not be loaded again.
    await Promise.all([panel.put({ map: t1w }), panel.put({ roi: mask }), panel.put({ map: t1w })]);
    const { overlays } = await panel.snapshot();
    deepEqual(overlays.map(({ kind }) => kind).sort(), ['heat', 'mask']);
  });

  it('lays a class map over the scan and says its value', async () => {
    const { run, cohort } = workspace();
    const map = firstMap(run);
    const { image, roi } = caseOf(cohort, map);
    const heat = readNifti(readFileSync(map));
    await vscode.commands.executeCommand('fcd.openCase', { image, roi, map });
    const panel = await openVolume(image);
    equal(panel.shown.map, map);
    const hottest = hottestVoxel(heat);
    const at = [{ view: 'axial' as const, mm: millimetres(heat, beside(heat, hottest)) }];
    await panel.view({ voxel: hottest, heatOpacity: 1, heatThreshold: 0 });
    const on = await panel.snapshot(at);
    closeTo(on.values.heat, valueAt(heat, hottest), 1e-3 * Math.max(1, valueAt(heat, hottest)));
    ok(!isGrey(on.colours[0]), `with the map ${String(on.colours[0])}`);
    await screenshot('class-map');
    await panel.view({ heatVisible: false });
    const off = await panel.snapshot(at);
    ok(isGrey(off.colours[0]), `without the map ${String(off.colours[0])}`);
  });
});

describe('a file that cannot be shown', () => {
  it('says that it is cut off, in the panel', async () => {
    await rejects(
      openVolume(workspace().cutOff),
      /cut-off\.nii\.gz.*(cut|end|short|incomplete|truncated|damaged)/is,
    );
    await screenshot('cut-off');
  });

  it('says that it is no NIfTI file', async () => {
    const path = join(workspace().folder, 'scans', 'notes.nii');
    writeFileSync(path, 'These are notes about a scan, and no scan.\n'.repeat(20));
    await rejects(openVolume(path), /notes\.nii.*NIfTI/is);
  });
});

/** Voxels all over the middle half of the head, from a fixed sequence. */
function spreadVoxels({ shape }: Nifti): number[][] {
  let state = 12345;
  const next = () => (state = (state * 1103515245 + 12345) % 2 ** 31) / 2 ** 31;
  return Array.from({ length: 120 }, () => shape.map((length) => Math.floor(length * (0.25 + next() / 2))));
}

function correlation(pairs: readonly (readonly [number, number])[]): number {
  const mean = (pick: 0 | 1) => pairs.reduce((sum, pair) => sum + pair[pick], 0) / pairs.length;
  const [x, y] = [mean(0), mean(1)];
  let [xy, xx, yy] = [0, 0, 0];
  for (const [a, b] of pairs) {
    xy += (a - x) * (b - y);
    xx += (a - x) ** 2;
    yy += (b - y) ** 2;
  }
  return xy / Math.sqrt(xx * yy);
}

/** A voxel of the mask with the most of the mask around it. */
function deepestVoxel(mask: Nifti): number[] {
  let best: number[] = [];
  let most = 0;
  forEachVoxel(mask, (voxel, value) => {
    if (value === 0) return;
    let around = 0;
    for (let dk = -2; dk <= 2; dk++)
      for (let dj = -2; dj <= 2; dj++)
        for (let di = -2; di <= 2; di++)
          if (valueAt(mask, [voxel[0] + di, voxel[1] + dj, voxel[2] + dk]) > 0) around++;
    if (around > most) [most, best] = [around, voxel];
  });
  return best;
}

function hottestVoxel(map: Nifti): number[] {
  let best: number[] = [];
  let most = -Infinity;
  forEachVoxel(map, (voxel, value) => {
    if (value > most) [most, best] = [value, voxel];
  });
  return best;
}

/** A voxel inside the overlay in the same axial slice, off both lines of the crosshair. */
function beside(mask: Nifti, [i, j, k]: number[]): number[] {
  const diagonal = [
    [1, 1],
    [1, -1],
    [-1, 1],
    [-1, -1],
  ].map(([di, dj]) => [i + di, j + dj, k]);
  return diagonal.find((voxel) => valueAt(mask, voxel) > 0) ?? [i, j, k];
}

function forEachVoxel(file: Nifti, visit: (voxel: number[], value: number) => void): void {
  const [ni, nj, nk] = file.shape;
  for (let k = 0; k < nk; k++)
    for (let j = 0; j < nj; j++) for (let i = 0; i < ni; i++) visit([i, j, k], valueAt(file, [i, j, k]));
}

function isGrey(colour: Snapshot['colours'][number]): boolean {
  return colour !== null && Math.max(...colour.slice(0, 3)) - Math.min(...colour.slice(0, 3)) <= 2;
}

function closeTo(actual: number | null, expected: number, tolerance: number): void {
  ok(actual !== null && Math.abs(actual - expected) <= tolerance, `${actual} instead of ${expected}`);
}
