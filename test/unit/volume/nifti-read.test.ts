import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { axisCodes } from '../../../src/core/volume/affine';
import type { NiftiOptions } from '../../../src/core/volume/nifti-read';
import { readNifti, readNiftiHeader } from '../../../src/core/volume/nifti-read';
import type { NiftiFields } from './nifti-bytes';
import { DATATYPES, niftiBytes } from './nifti-bytes';
import { scratchFolder } from './scratch-folder';

const { folder, put } = scratchFolder();
let count = 0;

function file(fields: NiftiFields): string {
  return put(`${count++}.nii`, niftiBytes(fields));
}
const read = (fields: NiftiFields, options?: NiftiOptions) => readNifti(file(fields), options);

/** The sentence that refuses the file: an InputError that names it. */
async function refusal(path: string, options?: NiftiOptions): Promise<string> {
  const error = await readNifti(path, options).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(InputError);
  const { message } = error as InputError;
  expect(message).toContain(path);
  expect(message).toMatch(/\.$/);
  return message;
}
const refused = (fields: NiftiFields, options?: NiftiOptions) => refusal(file(fields), options);

function voxelBytes(bytesPerVoxel: number, write: (view: DataView) => void): Uint8Array {
  const bytes = new Uint8Array(24 * bytesPerVoxel);
  write(new DataView(bytes.buffer));
  return bytes;
}

describe('a NIfTI file', () => {
  it('gives its voxels with i running fastest, its affine and its voxel sizes', async () => {
    const image = await read({});
    expect(image.volume.shape).toEqual([2, 3, 4]);
    expect([...image.volume.data]).toEqual(Array.from({ length: 24 }, (_, n) => n));
    expect(image.volume.affine).toEqual([2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 4, 0, 0, 0, 0, 1]);
    expect(image.spacing).toEqual([2, 3, 4]);
    expect(image).toMatchObject({ dtype: 'uint8', frames: 1, affineSource: 'sform', warnings: [] });
    expect(image.header).toMatchObject({ version: 1, byteOrder: 'little', unit: 'mm' });
  });

  it('is inflated where its content is gzip, whatever its name', async () => {
    const plainName = put('gzipped.nii', gzipSync(niftiBytes()));
    const gzName = put('plain.nii.gz', niftiBytes());
    expect((await readNifti(plainName)).volume.data[23]).toBe(23);
    expect((await readNifti(gzName)).volume.data[23]).toBe(23);
  });

  it('may consist of several gzip members', async () => {
    const bytes = niftiBytes();
    const path = put(
      'members.nii.gz',
      Buffer.concat([gzipSync(bytes.subarray(0, 300)), gzipSync(bytes.subarray(300))]),
    );
    expect((await readNifti(path)).volume.data[23]).toBe(23);
  });

  it.each([1, 2] as const)('reads dimensions of NIfTI-%i in both byte orders', async (version) => {
    for (const little of [true, false]) {
      const header = await readNiftiHeader(file({ version, little }));
      expect(header).toMatchObject({ version, byteOrder: little ? 'little' : 'big', shape: [2, 3, 4] });
    }
  });

  it('takes axes that it does not have for one voxel', async () => {
    const image = await read({ dim: [2, 4, 6, -7, 0, 0, 0, 0], srow: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0] });
    expect(image.volume.shape).toEqual([4, 6, 1]);
  });

  it('applies slope and intercept in double precision', async () => {
    const image = await read({ slope: 0.5, intercept: -3 });
    expect(image.volume.data[7]).toBe(0.5);
  });

  it.each([
    ['0', 0],
    ['NaN', NaN],
    ['infinite', Infinity],
  ])('takes stored values as they are where the slope is %s', async (_, slope) => {
    const image = await read({ slope, intercept: 5 });
    expect(image.volume.data[7]).toBe(7);
    expect(image.warnings).toHaveLength(slope === Infinity ? 1 : 0);
  });

  it('passes over an extension between header and voxels', async () => {
    const voxels = new Uint8Array(32 + 24);
    voxels.set(
      Uint8Array.from({ length: 24 }, (_, n) => n),
      32,
    );
    expect((await read({ voxOffset: 352 + 32, voxels })).volume.data[23]).toBe(23);
  });

  it('reads from right after the header, and says so, where vox_offset is 0', async () => {
    const image = await read({ voxOffset: 0 });
    expect(image.volume.data[23]).toBe(23);
    expect(image.warnings.join()).toContain('vox_offset is 0');
  });

  it('gives the volume asked for of a file with several', async () => {
    const four = { dim: [5, 2, 3, 1, 2, 2, 1, 1] };
    expect([...(await read(four, { index: 2 })).volume.data]).toEqual([12, 13, 14, 15, 16, 17]);
    const zipped = put('4d.nii.gz', gzipSync(niftiBytes(four)));
    expect([...(await readNifti(zipped, { index: 3 })).volume.data]).toEqual([18, 19, 20, 21, 22, 23]);
    const image = await read(four);
    expect(image.frames).toBe(4);
    expect([...image.volume.data]).toEqual([0, 1, 2, 3, 4, 5]);
    expect(image.warnings.join()).toContain('4 volumes; the first was read');
    expect(await refused(four, { index: 4 })).toContain('no volume 4');
    expect(await refused(four, { index: 0.5 })).toContain('no volume 0.5');
  });

  it('says when it goes on after its last voxel', async () => {
    const image = await read({ voxels: new Uint8Array(24 + 100_000) });
    expect(image.warnings.join()).toContain('goes on after the last voxel');
  });
});

describe('the affine', () => {
  // b = c = d = 0.5 gives a = 0.5: a third of a turn about (1, 1, 1), i -> y, j -> z, k -> x.
  const turned = { quatern: [0.5, 0.5, 0.5] as [number, number, number], qformCode: 1, sformCode: 0 };

  it('is the quaternion turned by hand, with voxel sizes and offset', async () => {
    const { volume, affineSource } = await read({ ...turned, qoffset: [10, 20, 30] });
    expect(affineSource).toBe('qform');
    const expected = [0, 0, 4, 10, 2, 0, 0, 20, 0, 3, 0, 30, 0, 0, 0, 1];
    volume.affine.forEach((value, at) => expect(value).toBeCloseTo(expected[at], 12));
  });

  it('has its third axis turned round by a negative qfac', async () => {
    const { volume } = await read({ ...turned, pixdim: [-1, 2, 3, 4, 1, 1, 1, 1] });
    expect(volume.affine[2]).toBeCloseTo(-4, 12);
  });

  it('is the sform where both are there, also where the qform code is higher', async () => {
    const { affineSource, volume } = await read({ ...turned, qformCode: 2, sformCode: 1 });
    expect(affineSource).toBe('sform');
    expect(volume.affine.slice(0, 3)).toEqual([2, 0, 0]);
  });

  it('is made of voxel sizes alone where the file states no place, and a warning says what was assumed', async () => {
    const { volume, affineSource, warnings } = await read({ sformCode: 0 });
    expect(affineSource).toBe('pixdim');
    expect(volume.affine).toEqual([-2, 0, 0, 1, 0, 3, 0, -3, 0, 0, 4, -6, 0, 0, 0, 1]);
    expect(axisCodes(volume.affine)).toBe('LAS');
    expect(warnings.join()).toContain('Left and right may be wrong');
  });

  it.each([
    ['metres', 1, 1000],
    ['micrometres', 3, 0.001],
  ])('is brought to mm from %s, which is said', async (name, units, factor) => {
    const { volume, warnings } = await read({ units, srow: [2, 0, 0, 7, 0, 3, 0, 0, 0, 0, 4, 0] });
    expect(volume.affine[0]).toBe(2 * factor);
    expect(volume.affine[3]).toBe(7 * factor);
    expect(warnings.join()).toContain(name);
  });

  it('is followed, with a warning, where pixdim contradicts it', async () => {
    const { spacing, warnings } = await read({ pixdim: [1, 1, 1, 1, 1, 1, 1, 1] });
    expect(spacing).toEqual([2, 3, 4]);
    expect(warnings.join()).toContain('Voxel sizes differ');
  });

  it('is refused where it is singular or no number', async () => {
    const rows = [2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 4, 0];
    expect(await refused({ srow: rows.map((v, n) => (n === 10 ? 0 : v)) })).toContain(
      'srow_x, srow_y, srow_z',
    );
    expect(await refused({ srow: rows.map((v, n) => (n === 3 ? NaN : v)) })).toContain(
      'singular or no number',
    );
    expect(await refused({ srow: [1, 2, 3, 0, 2, 4, 6, 0, 0, 0, 4, 0] })).toContain('singular');
    expect(await refused({ sformCode: 0, pixdim: [1, 2, 0, 4, 1, 1, 1, 1] })).toContain('pixdim[2] is 0');
    expect(await refused({ sformCode: 0, pixdim: [1, 2, 3, NaN, 1, 1, 1, 1] })).toContain('pixdim[3] is NaN');
    expect(await refused({ ...turned, quatern: [0.9, 0.9, 0] })).toContain('quatern_b, quatern_c, quatern_d');
  });
});

describe('numbers that float32 cannot hold', () => {
  it('are rounded and counted for int32', async () => {
    const voxels = voxelBytes(4, (view) => {
      view.setInt32(0, 2 ** 24 + 1, true);
      view.setInt32(4, 2 ** 24 + 2, true);
    });
    const { volume, warnings } = await read({ datatype: 8, bitpix: 32, voxels });
    expect([...volume.data.subarray(0, 2)]).toEqual([2 ** 24, 2 ** 24 + 2]);
    expect(warnings).toEqual([expect.stringContaining('1 of 24 int32 voxels')]);
  });

  it('are counted for 64-bit integers down to the last bit', async () => {
    const voxels = voxelBytes(8, (view) => {
      view.setBigInt64(0, 2n ** 60n + 1n, true);
      view.setBigInt64(8, -(2n ** 60n), true);
      view.setBigInt64(16, -5n, true);
    });
    const { volume, warnings } = await read({ datatype: 1024, bitpix: 64, voxels });
    expect([...volume.data.subarray(0, 3)]).toEqual([2 ** 60, -(2 ** 60), -5]);
    expect(warnings).toEqual([expect.stringContaining('1 of 24 int64 voxels')]);
  });

  it('are not warned of where float64 voxels fit', async () => {
    const voxels = voxelBytes(8, (view) => view.setFloat64(0, 0.25, true));
    expect((await read({ datatype: 64, bitpix: 64, voxels })).warnings).toEqual([]);
    const third = voxelBytes(8, (view) => view.setFloat64(0, 1 / 3, true));
    expect((await read({ datatype: 64, bitpix: 64, voxels: third })).warnings).toHaveLength(1);
  });
});

describe('NaN and infinite voxels', () => {
  const voxels = voxelBytes(4, (view) => {
    view.setFloat32(4 * 7, NaN, true);
    view.setFloat32(4 * 9, -Infinity, true);
    view.setFloat32(4 * 10, 1.5, true);
  });
  const fields = { datatype: 16, bitpix: 32, voxels };

  it('refuse the file unless asked for, with their number and the first place', async () => {
    expect(await refused(fields)).toContain(
      '2 of 24 voxels are NaN or infinite (in float32), the first at (1, 0, 1)',
    );
  });

  it('are kept or set to 0 on request, with a warning', async () => {
    const kept = await read(fields, { nan: 'keep' });
    expect(kept.volume.data[7]).toBeNaN();
    expect(kept.warnings.join()).toContain('they were kept');
    const zeroed = await read(fields, { nan: 'zero' });
    expect([...zeroed.volume.data.subarray(7, 11)]).toEqual([0, 0, 0, 1.5]);
    expect(zeroed.warnings.join()).toContain('they were set to 0');
  });

  it('include float64 voxels beyond the range of float32', async () => {
    const huge = voxelBytes(8, (view) => view.setFloat64(0, 1e300, true));
    expect(await refused({ datatype: 64, bitpix: 64, voxels: huge })).toContain('1 of 24 voxels');
  });
});

describe('a file that is no readable image is refused with a sentence', () => {
  it('missing, a directory, empty', async () => {
    expect(await refusal(join(folder, 'nothing.nii'))).toContain('There is no file');
    mkdirSync(join(folder, 'folder.nii'));
    expect(await refusal(join(folder, 'folder.nii'))).toContain('is a directory');
    expect(await refusal(put('empty.nii.gz', new Uint8Array(0)))).toContain('is empty (0 bytes)');
  });

  it('another kind of file', async () => {
    expect(await refusal(put('a.nii', 'PK\u0003\u0004 and so on'))).toContain('sizeof_hdr');
    expect(await refused({ magic: 'abc\0' })).toContain('magic field is "abc"');
    expect(await refused({ magic: '\0\0\0\0' })).toContain('Analyze 7.5');
    expect(await refused({ version: 2, magic: 'n+2\0\n\x1a\n\n' })).toContain('text mode');
  });

  it('half of a detached pair', async () => {
    expect(await refused({ magic: 'ni1\0' })).toContain('.hdr/.img pair');
    expect(await refused({ version: 2, magic: 'ni2\0\r\n\x1a\n' })).toContain('.hdr/.img pair');
  });

  it('cut off: in the first bytes, in the header, before and in the voxels', async () => {
    const bytes = niftiBytes();
    for (const length of [1, 3, 100, 347]) {
      const message = await refusal(put(`cut${length}.nii`, bytes.subarray(0, length)));
      expect(message).toContain(`ends inside its header: ${length} bytes came`);
    }
    expect(await refusal(put('cut348.nii', bytes.subarray(0, 348)))).toContain('the file holds 0 bytes');
    expect(await refusal(put('cut375.nii', bytes.subarray(0, 375)))).toContain('2 x 3 x 4 voxels of uint8');
    expect(await refusal(put('cut375.nii', bytes.subarray(0, 375)))).toContain('the file holds 23 bytes');
    const gz = put('cut375.nii.gz', gzipSync(bytes.subarray(0, 375)));
    expect(await refusal(gz)).toContain('the file holds 23 bytes');
  });

  it('cut-off or damaged gzip, also where all voxels had come before the damage', async () => {
    const zipped = gzipSync(niftiBytes());
    for (const length of [2, 10, 40, zipped.length - 8, zipped.length - 1])
      expect(await refusal(put('cut.nii.gz', zipped.subarray(0, length)))).toContain(
        'gzip stream ends before',
      );
    const wrongSum = Uint8Array.from(zipped);
    wrongSum[zipped.length - 7] ^= 1;
    expect(await refusal(put('sum.nii.gz', wrongSum))).toContain('cannot be inflated');
  });

  it.each([
    ['dim[0], the number of dimensions, is 0', { dim: [0, 2, 3, 4, 1, 1, 1, 1] }],
    ['dim[0], the number of dimensions, is 8', { dim: [8, 2, 3, 4, 1, 1, 1, 1] }],
    ['dim[0], the number of dimensions, is -3', { dim: [-3, 2, 3, 4, 1, 1, 1, 1] }],
    ['dim[2] is -3', { dim: [3, 2, -3, 4, 1, 1, 1, 1] }],
    ['dim[3] is 0', { dim: [3, 2, 3, 0, 1, 1, 1, 1] }],
    ['dim[4] is 0', { dim: [4, 2, 3, 4, 0, 1, 1, 1] }],
    ['dim[1] is -2', { version: 2 as const, little: false, dim: [3, -2, 3, 4, 1, 1, 1, 1] }],
    ['is complex64', { datatype: DATATYPES.complex64[0], bitpix: 64 }],
    ['is RGB colour', { datatype: DATATYPES.rgb24[0], bitpix: 24 }],
    ['datatype 77 is unknown', { datatype: 77 }],
    ['vox_offset is 100', { voxOffset: 100 }],
    ['vox_offset is NaN', { voxOffset: NaN }],
    ['vox_offset is 352.5', { voxOffset: 352.5 }],
    ['scl_inter is NaN', { slope: 2, intercept: NaN }],
  ])('%s', async (sentence, fields: NiftiFields) => {
    expect(await refused(fields)).toContain(sentence);
  });

  it('claims that no memory or file could hold, before anything is allocated', async () => {
    const before = process.memoryUsage().arrayBuffers;
    const absurd = { dim: [3, 32767, 32767, 32767, 1, 1, 1, 1] };
    expect(await refused(absurd)).toContain('dim[1..3] claim 32767 x 32767 x 32767');
    expect(await refused(absurd, { maxBytes: Infinity })).toContain('is cut off');
    const zipped = put('claim.nii.gz', gzipSync(niftiBytes({ dim: [3, 1024, 1024, 1000, 1, 1, 1, 1] })));
    expect(await refusal(zipped)).toContain('is cut off');
    expect(await refused({ version: 2, dim: [3, 2 ** 40, 2 ** 40, 1, 1, 1, 1, 1] })).toContain('GiB');
    expect(await refused({}, { maxBytes: 95 })).toContain('the limit is');
    expect((await read({}, { maxBytes: 96 })).volume.data).toHaveLength(24);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 2 ** 20);
  });

  it('says when bitpix contradicts datatype', async () => {
    expect((await read({ bitpix: 16 })).warnings.join()).toContain('bitpix is 16');
  });
});
