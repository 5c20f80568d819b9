import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CAM_SCHEMA_VERSION,
  parseCamRecord,
  readCam,
  writeCam,
  type CamRecord,
} from '../../../src/core/explain/cam-file';
import type { LayerMap } from '../../../src/core/explain/place-map';
import { writeSafetensors } from '../../../src/core/weights/safetensors';
import { affineFromSpacing } from '../../../src/core/volume/affine';

const receptive = { stride: [8, 16, 16], offset: [0, 0.5, -1] } as const;

const record: CamRecord = {
  schemaVersion: CAM_SCHEMA_VERSION,
  participantId: 'sub-00055',
  layer: 'layer4.1.conv2',
  class: { index: 1, name: 'fcd' },
  method: 'gradcam',
  align: 'receptive',
  logit: 2.25,
  axes: 'ijk',
  receptive,
  grid: { shape: [16, 32, 48], affine: affineFromSpacing([1, 1, 1], [-8, -16, -24]) },
  recipe: { orientation: 'RAS', spacing: [1, 1, 1], mask: { kind: 'given', file: 'brain.nii.gz' } },
  flags: [],
};

const map: LayerMap = {
  data: Float32Array.from({ length: 12 }, (_, v) => Math.fround(v * 0.1)),
  shape: [2, 2, 3],
  axes: 'ijk',
  receptive,
};

describe('a class map in a file', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fcd-cam-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('comes back bit for bit with its record', async () => {
    const path = join(folder, 'sub-00055.safetensors');
    await writeCam(path, map, record);
    const back = await readCam(path);
    expect(back.map).toEqual(map);
    expect(back.record).toEqual(record);
  });

  it('is told from other safetensors files', async () => {
    const tensor = { name: 'cam', shape: [1, 1, 1], dtype: 'F32', data: new Float32Array(1) } as const;
    const weights = join(folder, 'weights.safetensors');
    await writeSafetensors(weights, [{ ...tensor, name: 'conv1.weight' }]);
    await expect(readCam(weights)).rejects.toThrow(
      /weights\.safetensors is not a class map: it has no tensor "cam"/,
    );
    const bare = join(folder, 'bare.safetensors');
    await writeSafetensors(bare, [tensor]);
    await expect(readCam(bare)).rejects.toThrow('it has no metadata entry "fcd_cam"');
    const broken = join(folder, 'broken.safetensors');
    await writeSafetensors(broken, [tensor], { fcd_cam: '{' });
    await expect(readCam(broken)).rejects.toThrow('its record is not JSON');
    const flat = join(folder, 'flat.safetensors');
    await writeSafetensors(flat, [{ ...tensor, shape: [1] }], { fcd_cam: JSON.stringify(record) });
    await expect(readCam(flat)).rejects.toThrow('the class map has 1 axes, but a map has three');
  });

  it('names the field of a record that is wrong', () => {
    const wrong =
      (change: object): (() => CamRecord) =>
      () =>
        parseCamRecord({ ...record, ...change }, 'x.safetensors');
    expect(wrong({ schemaVersion: 2 })).toThrow(
      'x.safetensors: the class map has schema version 2, and this program reads version 1.',
    );
    expect(wrong({ method: 'magic' })).toThrow('x.safetensors: field method of the class map is "magic"');
    expect(wrong({ class: { index: -1, name: 'fcd' } })).toThrow('field class.index of the class map is -1');
    expect(wrong({ receptive: { ...receptive, stride: [8, 0, 8] } })).toThrow('field receptive.stride.1');
    expect(wrong({ grid: { ...record.grid, affine: [1, 2] } })).toThrow('field grid.affine');
    expect(wrong({ logit: NaN })).toThrow('field logit');
    expect(() => parseCamRecord(null, 'x.safetensors')).toThrow('field the record');
  });
});
