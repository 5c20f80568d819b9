import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { camToNifti } from '../../../src/core/explain/cam-nifti';
import type { CamRecord } from '../../../src/core/explain/cam-file';
import { mapName } from '../../../src/extension/case/map-place';
import { overlayOf, planCase } from '../../../src/extension/volume/case-plan';
import { mapsOf, readMapFile } from '../../../src/extension/volume/map-files';
import { niftiBytes } from '../volume/nifti-bytes';
import { scratchFolder } from '../volume/scratch-folder';

const { folder } = scratchFolder();
let count = 0;

/** A workspace with a BIDS subject. */
function workspace() {
  const root = join(folder, `w${count++}`);
  const put = (name: string, content: Uint8Array | string = niftiBytes()) => {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  };
  const flair = put('cohort/sub-01/anat/sub-01_FLAIR.nii');
  const t1w = put('cohort/sub-01/anat/sub-01_T1w.nii');
  const mask = put('cohort/sub-01/anat/sub-01_FLAIR_roi.nii');
  return { root, put, flair, t1w, mask };
}

const identity = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];

/** A map with its record, written by the library. */
async function writeMap(
  path: string,
  image: string | undefined,
  changes: Partial<CamRecord> = {},
): Promise<string> {
  mkdirSync(dirname(path), { recursive: true });
  const grid = { shape: [2, 2, 2] as const, affine: identity };
  const record: CamRecord = {
    schemaVersion: 1,
    participantId: 'sub-01',
    layer: 'layer4',
    class: { index: 1, name: 'fcd' },
    method: 'gradcam',
    align: 'half-pixel',
    logit: 2.5,
    axes: 'ijk',
    receptive: { stride: [2, 2, 2], offset: [0.5, 0.5, 0.5] },
    grid,
    recipe: {},
    flags: [],
    ...(image === undefined ? {} : { image }),
    ...changes,
  };
  const map = {
    data: Float32Array.of(1),
    shape: [1, 1, 1] as const,
    axes: 'ijk' as const,
    receptive: record.receptive,
  };
  await camToNifti(path, { map, record }, grid);
  return path;
}

describe('the record of a class map', () => {
  it('tells run, layer, method, class and logit, and where the scan is', async () => {
    const { root, flair } = workspace();
    const map = await writeMap(join(root, 'runs/cv/runs/fold-2/cams/sub-01.nii.gz'), flair);
    expect(await readMapFile(map, [root])).toMatchObject({
      image: flair,
      provenance: {
        run: 'cv/fold-2',
        participantId: 'sub-01',
        layer: 'layer4',
        method: 'gradcam',
        align: 'half-pixel',
        class: 'fcd',
        logit: 2.5,
      },
    });
  });

  it('may name the scan from the run or the workspace', async () => {
    const { root, flair } = workspace();
    const map = await writeMap(join(root, 'runs/a/cams/sub-01.nii'), 'cohort/sub-01/anat/sub-01_FLAIR.nii');
    expect((await readMapFile(map, [root]))?.image).toBe(flair);
    expect((await readMapFile(map, []))?.image).toBeUndefined();
  });

  it('is not seen in another .json, nor without one', async () => {
    const { root, put, flair } = workspace();
    put('cohort/sub-01/anat/sub-01_FLAIR.json', '{"Modality": "MR"}');
    put('broken/cams/x.json', '{"layer": ');
    expect(await readMapFile(flair, [root])).toBeUndefined();
    expect(await readMapFile(put('broken/cams/x.nii'), [root])).toBeUndefined();
    expect(await readMapFile(put('none/cams/y.nii'), [root])).toBeUndefined();
  });
});

describe('the maps of a scan', () => {
  it('are those made of it, by whatever path, newest first', async () => {
    const { root, flair, t1w } = workspace();
    symlinkSync(dirname(flair), join(root, 'linked'));
    const old = await writeMap(join(root, 'runs/a/cams/sub-01.nii'), flair);
    const other = await writeMap(join(root, 'runs/b/cams/sub-01.nii'), t1w);
    const recent = await writeMap(
      join(root, 'runs/c/cams/sub-01.nii'),
      join(root, 'linked/sub-01_FLAIR.nii'),
    );
    const { utimesSync } = await import('node:fs');
    utimesSync(old, 1000, 1000);
    const found = await mapsOf(flair, [old, other, recent, join(root, 'gone.nii')], [root]);
    expect(found.map(({ path }) => path)).toEqual([recent, old]);
  });
});

describe('opening', () => {
  it('a scan brings its mask', async () => {
    const { root, t1w, mask } = workspace();
    expect(await planCase(t1w, [root])).toMatchObject({
      image: t1w,
      overlays: [{ kind: 'mask', path: mask, provenance: null }],
    });
  });

  it('a map brings the scan that it was made of, and its mask', async () => {
    const { root, flair, mask } = workspace();
    const map = await writeMap(join(root, 'runs/a/cams/sub-01.nii.gz'), flair);
    const plan = await planCase(map, [root]);
    expect(plan.image).toBe(flair);
    expect(plan.overlays.map(({ kind, path }) => [kind, path])).toEqual([
      ['mask', mask],
      ['heat', map],
    ]);
  });

  it('a mask brings the scan that it was drawn on', async () => {
    const { root, put, flair, mask } = workspace();
    expect(await planCase(mask, [root])).toMatchObject({
      image: flair,
      overlays: [{ kind: 'mask', path: mask }],
    });
    const alone = put('masks/sub-09_FLAIR_roi.nii');
    expect(await planCase(alone, [root])).toMatchObject({ image: alone, overlays: [] });
  });

  it('a map whose scan is gone shows the map, and says what is missing', async () => {
    const { root } = workspace();
    const map = await writeMap(join(root, 'runs/a/cams/sub-01.nii.gz'), '/nowhere/sub-01_FLAIR.nii');
    const plan = await planCase(map, [root]);
    expect(plan.image).toBe(map);
    expect(plan.remarks.join()).toMatch(/not found \(\/nowhere\/sub-01_FLAIR\.nii\)/);
  });

  it('takes an added file for heat where it has a record or such a name, else for a mask', async () => {
    const { root, put, flair, mask } = workspace();
    const map = await writeMap(join(root, 'runs/a/cams/sub-01.nii.gz'), flair);
    expect(await overlayOf(map, [root], 'added')).toMatchObject({
      kind: 'heat',
      provenance: { layer: 'layer4' },
    });
    expect((await overlayOf(put('x/dropoutMC_prob_mean.nii'), [root], 'added')).kind).toBe('heat');
    expect((await overlayOf(mask, [root], 'added')).kind).toBe('mask');
  });
});

describe('the name of a map that is made', () => {
  const choices = {
    image: '/a/sub-01_FLAIR.nii.gz',
    model: '/runs/a',
    layer: 'layer4',
    method: 'gradcam',
    class: 'fcd',
  };

  it('says what it is, and is another for another model or folder', () => {
    expect(mapName(choices)).toMatch(/^sub-01_FLAIR_layer4_gradcam_fcd_[0-9a-f]{8}\.nii\.gz$/);
    expect(mapName(choices)).toBe(mapName({ ...choices }));
    const others = [
      { model: '/runs/b' },
      { image: '/b/sub-01_FLAIR.nii.gz' },
      { layer: 'layer3' },
      { class: 'control' },
    ];
    expect(new Set([choices, ...others.map((other) => ({ ...choices, ...other }))].map(mapName)).size).toBe(
      5,
    );
  });
});
