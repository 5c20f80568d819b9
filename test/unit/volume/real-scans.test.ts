import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { axisCodes, invert, multiply } from '../../../src/core/volume/affine';
import { isotropicGrid } from '../../../src/core/volume/grid';
import { headMask } from '../../../src/core/volume/head-mask';
import { meanAndSd } from '../../../src/core/volume/intensity';
import { readNifti } from '../../../src/core/volume/nifti-read';
import { toRas } from '../../../src/core/volume/orientation';
import { applyRecipe, STANDARD, toSubjectGrid } from '../../../src/core/volume/recipe';
import { resample } from '../../../src/core/volume/resample';
import { havePython, python, realData } from '../../peers';
import { scratchFolder } from './scratch-folder';

const data = realData();
const noData = data ? '' : ' (skipped: the folder of real scans is not there)';
const missing =
  noData ||
  (havePython('nibabel') && havePython('scipy')
    ? ''
    : ' (skipped: python3-nibabel or -scipy is not installed)');
const scan = (name: string): string => join(data ?? '', name);
const { folder } = scratchFolder();

const IXI = 'ixi2mm/IXI132-HH-1415_T1.nii.gz';
const OBLIQUE = 'oms_long/patient20_study2_FLAIR.nii.gz';
const MNI = 'oms_mni/patient07_T1_MNI1mm_int16.nii.gz';
const SCANS = [
  IXI,
  'ixi2mm/IXI132-HH-1415_T1_DLMUSE.nii.gz',
  OBLIQUE,
  MNI,
  'oms_mni_2mm/patient19_FLAIR_MNI2mm.nii.gz',
];

function floats(path: string): Float32Array {
  const bytes = readFileSync(path);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

/** The largest difference. */
function worst(actual: Float32Array, expected: Float32Array): number {
  expect(actual.length).toBe(expected.length);
  let most = 0;
  for (let at = 0; at < expected.length; at++) most = Math.max(most, Math.abs(actual[at] - expected[at]));
  return most;
}

describe('real scans', () => {
  it.skipIf(missing)(`are read and brought to RAS as nibabel does it, voxel by voxel${missing}`, async () => {
    const theirs = JSON.parse(
      python(
        `
import sys, json, numpy as np, nibabel as nib
out = []
for n, path in enumerate(sys.argv[2:]):
    i = nib.load(path); c = nib.as_closest_canonical(i)
    i.get_fdata().astype(np.float32).ravel('F').tofile(f'{sys.argv[1]}/{n}.raw')
    c.get_fdata().astype(np.float32).ravel('F').tofile(f'{sys.argv[1]}/{n}.ras')
    out.append(dict(affine=i.affine.ravel().tolist(), codes=''.join(nib.aff2axcodes(i.affine)), ras=c.affine.ravel().tolist()))
print(json.dumps(out))
`,
        [folder, ...SCANS.map(scan)],
      ),
    ) as { affine: number[]; codes: string; ras: number[] }[];
    for (const [n, name] of SCANS.entries()) {
      const { volume, warnings } = await readNifti(scan(name));
      expect(warnings, name).toEqual([]);
      expect(axisCodes(volume.affine), name).toBe(theirs[n].codes);
      volume.affine.forEach((value, at) => expect(value).toBeCloseTo(theirs[n].affine[at], 5));
      const scale = 1e-7 * Math.max(1, meanAndSd(volume.data).sd * 20);
      expect(worst(volume.data, floats(join(folder, `${n}.raw`))), name).toBeLessThanOrEqual(scale);
      const ras = toRas(volume);
      ras.affine.forEach((value, at) => expect(value).toBeCloseTo(theirs[n].ras[at], 4));
      expect(worst(ras.data, floats(join(folder, `${n}.ras`))), name).toBeLessThanOrEqual(scale);
    }
    expect(theirs.map(({ codes }) => codes)).toEqual(['PSR', 'PSR', 'LPS', 'LAS', 'LAS']);
  });

  it.skipIf(missing)(
    `are resampled as scipy does it, from an oblique 3 mm stack to 2 mm${missing}`,
    async () => {
      const volume = toRas((await readNifti(scan(OBLIQUE))).volume);
      const grid = isotropicGrid(volume, 2);
      python(
        `
import sys, json, numpy as np, nibabel as nib, scipy.ndimage as nd
d = json.load(sys.stdin)
source = nib.as_closest_canonical(nib.load(d['path'])).get_fdata()
m = np.array(d['m']).reshape(4, 4)
nd.affine_transform(source, m[:3, :3], m[:3, 3], output_shape=d['shape'], order=1, mode='grid-constant').astype(np.float32).ravel('F').tofile(d['out'])
`,
        [],
        JSON.stringify({
          path: scan(OBLIQUE),
          m: multiply(invert(volume.affine), grid.affine),
          shape: grid.shape,
          out: join(folder, 'oblique'),
        }),
      );
      const ours = resample(volume, grid, 'trilinear').data;
      expect(worst(ours, floats(join(folder, 'oblique')))).toBeLessThan(1e-3);
    },
  );

  it.skipIf(noData)(`become the network's input by the standard recipe${noData}`, async () => {
    for (const name of [IXI, OBLIQUE]) {
      const { volume: subject } = await readNifti(scan(name));
      const { volume, brain, brainSource } = applyRecipe(subject, STANDARD);
      expect(brainSource).toBe('otsu');
      expect(volume.shape).toEqual([160, 256, 256]);
      expect(axisCodes(volume.affine)).toBe('RAS');
      const { mean, sd, n } = meanAndSd(volume.data, brain.data);
      expect(Math.abs(mean)).toBeLessThan(0.01);
      expect(Math.abs(sd - 1)).toBeLessThan(0.01);
      expect(n / 1e6).toBeGreaterThan(0.9); // litres
      expect(n / 1e6).toBeLessThan(4);
    }
  });

  it.skipIf(noData)(`get a map back onto their own grid where it was on the recipe's${noData}`, async () => {
    const { volume: subject } = await readNifti(scan(IXI));
    const head = headMask(subject);
    const { brain } = applyRecipe(subject, STANDARD, { brain: head });
    const back = toSubjectGrid(brain, subject);
    expect(back.shape).toEqual(subject.shape);
    expect(back.affine).toEqual(subject.affine);
    let both = 0;
    let either = 0;
    back.data.forEach((value, at) => {
      both += value > 0.5 && head.data[at] ? 1 : 0;
      either += value > 0.5 || head.data[at] ? 1 : 0;
    });
    expect(both / either).toBeGreaterThan(0.95);
  });

  it.skipIf(noData)(`that carry no skull have their brain for a head${noData}`, async () => {
    const { volume } = await readNifti(scan('oms_mni_2mm/patient07_T1_MNI2mm.nii.gz'));
    const litres = (headMask(volume).data.reduce((sum, value) => sum + value, 0) * 8) / 1e6;
    expect(litres).toBeGreaterThan(0.8);
    expect(litres).toBeLessThan(1.8);
  });
});

it.skipIf(noData)(`the real scans named here exist${noData}`, () => {
  expect(SCANS.filter((name) => !existsSync(scan(name)))).toEqual([]);
});
