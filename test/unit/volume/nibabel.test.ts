import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { axisCodes } from '../../../src/core/volume/affine';
import { readNifti } from '../../../src/core/volume/nifti-read';
import type { WritableType } from '../../../src/core/volume/nifti-write';
import { writeNifti } from '../../../src/core/volume/nifti-write';
import { toRas } from '../../../src/core/volume/orientation';
import { Random } from '../../../src/core/random';
import type { Affine, Shape3 } from '../../../src/core/volume/volume';
import { havePython, python } from '../../peers';
import { scratchFolder } from './scratch-folder';

const missing = havePython('nibabel') ? '' : ' (skipped: python3-nibabel is not installed)';
const { folder } = scratchFolder();

/** Files in every voxel type, byte order and version and with every way to state a place; prints what nibabel reads. */
const GENERATE = `
import sys, json, gzip, numpy as np, nibabel as nib
rng = np.random.default_rng(7)
folder = sys.argv[1]
def rotation(most):
    axis = rng.normal(size=3); axis /= np.linalg.norm(axis); angle = rng.uniform(-most, most)
    k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k
def random_affine():
    signed = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)
    a = np.eye(4)
    a[:3, :3] = rotation(0.5) @ signed @ np.diag(rng.uniform(0.5, 4, 3))
    a[:3, 3] = rng.uniform(-100, 100, 3)
    return a
out = []
def report(name, image, scaling=None):
    path = folder + '/' + name
    nib.save(image, path)
    if scaling: # into the bytes: nibabel itself would fold the scaling into the stored values
        raw = bytearray(gzip.open(path).read() if path.endswith('.gz') else open(path, 'rb').read())
        at, kind = (112, 'f4') if image.header['sizeof_hdr'] == 348 else (176, 'f8')
        fields = np.array(scaling, image.header.endianness + kind).tobytes()
        raw[at:at + len(fields)] = fields
        with (gzip.open if path.endswith('.gz') else open)(path, 'wb') as file: file.write(raw)
    loaded = nib.load(path)
    if scaling: assert abs(loaded.dataobj.slope - scaling[0]) < 1e-6
    canonical = nib.as_closest_canonical(loaded)
    out.append(dict(name=name, shape=list(loaded.shape), affine=loaded.affine.ravel().tolist(),
        codes=''.join(nib.aff2axcodes(loaded.affine)), dtype=str(loaded.get_data_dtype().newbyteorder('=')),
        zooms=[float(z) for z in nib.affines.voxel_sizes(loaded.affine)],
        values=loaded.get_fdata().astype(np.float32).ravel('F').tolist(),
        canonical=dict(shape=list(canonical.shape), affine=canonical.affine.ravel().tolist(),
            values=canonical.get_fdata().astype(np.float32).ravel('F').tolist())))
kinds = ['u1', 'i1', 'i2', 'u2', 'i4', 'u4', 'i8', 'u8', 'f4', 'f8']
for version, cls in ((1, nib.Nifti1Image), (2, nib.Nifti2Image)):
    for order in '<>':
        for kind in kinds:
            d = np.dtype(kind)
            if d.kind == 'f': data = (rng.normal(size=(3, 4, 5)) * 1000).astype(d)
            else:
                info = np.iinfo(d)
                data = rng.integers(info.min, info.max, size=(3, 4, 5), dtype=d, endpoint=True)
                data[0, 0, :2] = info.min, info.max
            header = cls.header_class(endianness=order)
            header.set_data_dtype(d)
            image = cls(data, random_affine(), header)
            name = f'{version}{order == "<"}{kind}.nii' + ('.gz' if rng.random() < 0.5 else '')
            report(name, image, (0.37, -12.5) if rng.random() < 0.5 else None)
for n in range(24):
    data = rng.integers(0, 255, size=tuple(rng.integers(1, 6, 3)), dtype=np.uint8)
    cls = nib.Nifti2Image if n % 4 == 3 else nib.Nifti1Image
    image = cls(data, None)
    where = n % 6
    if where == 0: image.set_sform(random_affine(), 2); image.set_qform(None, 0)
    if where == 1: image.set_qform(random_affine(), 1); image.set_sform(None, 0)
    if where == 2: image.set_qform(random_affine(), 3); image.set_sform(random_affine(), 1)
    if where == 3: image.set_qform(None, 0); image.set_sform(None, 0); image.header.set_zooms(rng.uniform(0.5, 4, 3))
    if where == 4:
        a = random_affine(); a[:3, :3] = a[:3, :3] @ (np.eye(3) + np.triu(rng.uniform(-0.1, 0.1, (3, 3)), 1))
        image.set_sform(a, 4)
    if where == 5:
        half = np.diag(rng.choice([-1.0, 1.0], 3) * rng.uniform(0.5, 4, 3)) # half turns: a = 0 in the quaternion
        image.set_qform(nib.affines.from_matvec(half, rng.uniform(-50, 50, 3)), 1); image.set_sform(None, 0)
    # A header that states no place: take it as it is, nibabel would fill it in from the affine.
    if where == 3:
        image = cls(data, None, image.header)
    report(f'place{n}.nii', image)
print(json.dumps(out))
`;

interface Expected {
  name: string;
  shape: number[];
  affine: number[];
  codes: string;
  dtype: string;
  zooms: number[];
  values: number[];
  canonical: { shape: number[]; affine: number[]; values: number[] };
}

function expectClose(actual: ArrayLike<number>, expected: readonly number[], tolerance: number): void {
  expect(actual.length).toBe(expected.length);
  for (let at = 0; at < expected.length; at++)
    expect(Math.abs(actual[at] - expected[at])).toBeLessThanOrEqual(
      tolerance * Math.max(1, Math.abs(expected[at])),
    );
}

describe('nibabel and we agree', () => {
  it.skipIf(missing)(
    `on values, places, axis codes and the closest RAS order of generated files${missing}`,
    async () => {
      const expected = JSON.parse(python(GENERATE, [folder])) as Expected[];
      expect(expected).toHaveLength(64);
      const sources = new Set<string>();
      for (const file of expected) {
        const { volume, dtype, spacing, affineSource } = await readNifti(join(folder, file.name));
        sources.add(affineSource);
        expect(volume.shape, file.name).toEqual(file.shape);
        expect(dtype, file.name).toBe(file.dtype);
        expectClose(volume.affine, file.affine, 2e-6);
        expectClose(spacing, file.zooms, 2e-6);
        expect(axisCodes(volume.affine), file.name).toBe(file.codes);
        expectClose(volume.data, file.values, 1.2e-7);
        const ras = toRas(volume);
        expect(ras.shape, file.name).toEqual(file.canonical.shape);
        expectClose(ras.affine, file.canonical.affine, 2e-6);
        expectClose(ras.data, file.canonical.values, 1.2e-7);
      }
      expect([...sources].sort()).toEqual(['pixdim', 'qform', 'sform']);
    },
  );

  it.skipIf(missing)(`on the files that we write, sform and qform alike${missing}`, async () => {
    const random = Random.seeded(3);
    const types: WritableType[] = [
      'uint8',
      'int8',
      'int16',
      'uint16',
      'int32',
      'uint32',
      'float32',
      'float64',
    ];
    const shape: Shape3 = [3, 4, 5];
    const written: { path: string; affine: Affine; values: number[]; dtype: string; sheared: boolean }[] = [];
    for (let n = 0; n < 32; n++) {
      const dtype = types[n % types.length];
      const values = Array.from({ length: 60 }, () => random.integer(100));
      const sheared = n % 5 === 4;
      const affine = randomAffine(random, sheared);
      const path = join(folder, `written${n}.nii${n % 2 ? '.gz' : ''}`);
      const volume = { shape, affine, data: Float32Array.from(values) };
      await writeNifti(path, volume, {
        dtype,
        description: `no ${n}`,
        intent: { code: 1002, name: 'label' },
      });
      written.push({ path, affine, values, dtype, sheared });
    }
    const read = JSON.parse(
      python(
        `
import sys, json, nibabel as nib, numpy as np
out = []
for path in json.load(sys.stdin):
    i = nib.load(path); h = i.header
    h.check_fix(error_level=11)
    out.append(dict(affine=i.affine.ravel().tolist(), qform=h.get_qform().ravel().tolist(), codes=[int(h['sform_code']), int(h['qform_code'])],
        dtype=str(h.get_data_dtype()), values=i.get_fdata().ravel('F').tolist(), units=h.get_xyzt_units()[0], description=h['descrip'].item().decode(),
        intent=[int(h['intent_code']), h['intent_name'].item().decode()], zooms=[float(z) for z in h.get_zooms()]))
print(json.dumps(out))
`,
        [],
        JSON.stringify(written.map(({ path }) => path)),
      ),
    ) as {
      affine: number[];
      qform: number[];
      codes: number[];
      dtype: string;
      values: number[];
      units: string;
      description: string;
      intent: [number, string];
      zooms: number[];
    }[];
    written.forEach(({ affine, values, dtype, sheared }, n) => {
      const theirs = read[n];
      expectClose(theirs.affine, [...affine], 1e-6);
      expect(theirs.values).toEqual(values);
      expect(theirs).toMatchObject({ dtype, units: 'mm', description: `no ${n}`, intent: [1002, 'label'] });
      expect(theirs.codes).toEqual([1, sheared ? 0 : 1]);
      if (!sheared) expectClose(theirs.qform, [...affine], 3e-5);
    });
  });
});

/** A rotation (uniform over all) with voxel sizes, half of them left-handed, and a shear on request. */
function randomAffine(random: Random, sheared: boolean): Affine {
  const q = [random.normal(), random.normal(), random.normal(), random.normal()];
  const length = Math.hypot(...q);
  const [a, b, c, d] = q.map((x) => x / length);
  const rotation = [
    [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
    [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
    [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
  ];
  const zooms = [random.uniform(0.5, 4), random.uniform(0.5, 4), random.uniform(0.5, 4)];
  if (random.chance(0.5)) zooms[random.integer(3)] *= -1;
  const rows = rotation.map((row) => [
    row[0] * zooms[0],
    (row[1] + (sheared ? 0.2 * row[0] : 0)) * zooms[1],
    row[2] * zooms[2],
    random.uniform(-100, 100),
  ]);
  return [...rows.flat(), 0, 0, 0, 1];
}
