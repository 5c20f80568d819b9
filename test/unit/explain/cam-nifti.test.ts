import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CamRecord } from '../../../src/core/explain/cam-file';
import { camToNifti } from '../../../src/core/explain/cam-nifti';
import type { LayerMap } from '../../../src/core/explain/place-map';
import { affineFromSpacing, transformPoint } from '../../../src/core/volume/affine';
import { readNifti } from '../../../src/core/volume/nifti-read';
import { writeNifti } from '../../../src/core/volume/nifti-write';
import type { Affine, Shape3, Triple } from '../../../src/core/volume/volume';
import { havePython, python } from '../../peers';

// One hot cell of a stride-4 layer, at voxel (8, 12, 4) of a 1 mm RAS input grid.
const receptive = { stride: [4, 4, 4], offset: [0, 0, 0] } as const;
const map: LayerMap = { data: new Float32Array(6 * 6 * 6), shape: [6, 6, 6], axes: 'ijk', receptive };
map.data[(2 * 6 + 3) * 6 + 1] = 5;
const record: CamRecord = {
  schemaVersion: 1,
  participantId: 'sub-1',
  layer: 'layer4',
  class: { index: 1, name: 'fcd' },
  method: 'hirescam',
  align: 'receptive',
  logit: 1.5,
  axes: 'ijk',
  receptive,
  grid: { shape: [24, 24, 24], affine: affineFromSpacing([1, 1, 1], [-10, -20, -30]) },
  recipe: {},
  flags: [],
};
const hotMm: Triple = [-2, -8, -26];

// The subject was scanned otherwise: PSR, 2 mm.
const subject: { shape: Shape3; affine: Affine } = {
  shape: [12, 12, 12],
  affine: [0, 0, 2, -12, -2, 0, 0, 4, 0, 2, 0, -34, 0, 0, 0, 1],
};

describe('a class map as a NIfTI', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fcd-cam-nifti-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("lies on the subject's own grid and affine, its hottest voxel where the layer's cell looks", async () => {
    const path = join(folder, 'sub-1_cam.nii.gz');
    await camToNifti(path, { map, record }, subject);
    const { volume, dtype, header } = await readNifti(path);
    expect(dtype).toBe('float32');
    expect(volume.shape).toEqual(subject.shape);
    expect(volume.affine).toEqual(subject.affine);
    const at = volume.data.indexOf(5);
    const voxel: Triple = [at % 12, Math.floor(at / 12) % 12, Math.floor(at / 144)];
    expect(transformPoint(subject.affine, voxel)).toEqual(hotMm);
    expect(header.description).toBe('hirescam of layer4, class fcd');
  });

  it('has its whole record beside it, with the range of its values', async () => {
    const { provenance } = await camToNifti(join(folder, 'sub-1_cam.nii'), { map, record }, subject);
    expect(provenance).toBe(join(folder, 'sub-1_cam.json'));
    const written = JSON.parse(await readFile(provenance, 'utf8')) as Record<string, unknown>;
    expect(written).toMatchObject({ ...record, raw: { shape: [6, 6, 6], min: 0, max: 5 } });
    expect(written.nifti).toMatchObject({ grid: subject, min: 0, max: 5 });
  });

  it('takes the grid from the header of an image', async () => {
    const scan = join(folder, 'scan.nii.gz');
    await writeNifti(scan, { ...subject, data: new Int16Array(1728) });
    const { heat } = await camToNifti(join(folder, 'b.nii.gz'), { map, record }, scan);
    expect(heat.affine).toEqual(subject.affine);
  });

  it.skipIf(!havePython('nibabel'))('means the same place to nibabel (needs python3-nibabel)', async () => {
    const path = join(folder, 'peer.nii.gz');
    await camToNifti(path, { map, record }, subject);
    const code = `
import sys, numpy as np, nibabel as nib
image = nib.load(sys.argv[1])
data = np.asanyarray(image.dataobj)
at = np.unravel_index(data.argmax(), data.shape)
print(*nib.affines.apply_affine(image.affine, at), data.max(), data.dtype.name)`;
    expect(python(code, [path]).trim()).toBe('-2.0 -8.0 -26.0 5.0 float32');
  });
});
