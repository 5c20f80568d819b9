import { gzipSync } from 'node:zlib';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { axisCodes } from '../../../src/core/volume/affine';
import { parseNiftiHeader, type NiftiHeader } from '../../../src/core/volume/nifti-header';
import { readNiftiHeader } from '../../../src/core/volume/nifti-read';
import { Random } from '../../../src/core/random';
import { readHeader } from '../../../src/extension/volume/header-file';
import { parseHeader, Unshowable } from '../../../src/extension/volume/nifti-header';
import type { FileHeader } from '../../../src/protocol/viewer';
import { realData } from '../../peers';
import { DATATYPES, niftiBytes } from '../volume/nifti-bytes';
import { damagedFile, soundFile } from '../volume/nifti-mutations';
import { scratchFolder } from '../volume/scratch-folder';

const { put } = scratchFolder();

/** The library's reading and the editor's, told in the same words. */
function told(header: NiftiHeader) {
  return {
    version: header.version,
    littleEndian: header.byteOrder === 'little',
    shape: [...header.shape],
    volumes: header.frames,
    affineFrom: header.affineSource,
    dataType: header.dtype,
    bytesPerVoxel: header.bytesPerVoxel,
    slope: header.slope,
    intercept: header.intercept,
    voxelOffset: header.voxelOffset,
    orientation: axisCodes(header.affine),
  };
}

/** Of an affine that damage has sheared no direction is the right one, so its letters are not compared. */
function expectSame(editor: FileHeader, library: NiftiHeader, letters = true): void {
  const { orientation, ...rest } = told(library);
  expect(editor).toMatchObject(letters ? { ...rest, orientation } : rest);
  const size = Math.max(...library.affine.map(Math.abs));
  editor.affine.forEach((n, at) => expect(Math.abs(n - library.affine[at])).toBeLessThanOrEqual(1e-6 * size));
}

describe('a header', () => {
  it('is read as the library reads it: every version, byte order, type and way to state the place', () => {
    const random = Random.seeded(31);
    let read = 0;
    for (let n = 0; n < 600; n++) {
      const bytes = soundFile(random);
      let library: NiftiHeader;
      try {
        library = parseNiftiHeader(bytes, 'scan.nii');
      } catch (error) {
        expect(error).toBeInstanceOf(InputError);
        expect(() => parseHeader(bytes, 'scan.nii')).toThrow(Unshowable);
        continue;
      }
      expectSame(parseHeader(bytes, 'scan.nii'), library);
      read++;
    }
    expect(read).toBeGreaterThan(300);
  });

  it('that is damaged is refused with a sentence, or read as the library reads it', () => {
    const random = Random.seeded(32);
    const outcomes = { same: 0, refused: 0 };
    for (let n = 0; n < 4000; n++) {
      const bytes = damagedFile(random);
      let editor: FileHeader | undefined;
      try {
        editor = parseHeader(bytes, 'scan.nii');
      } catch (error) {
        expect(error).toBeInstanceOf(Unshowable);
        expect((error as Error).message).toMatch(/^scan\.nii\b.*\.$/s);
        outcomes.refused++;
      }
      let library: NiftiHeader | undefined;
      try {
        library = parseNiftiHeader(bytes, 'scan.nii');
      } catch {
        continue;
      }
      expect(editor).toBeDefined();
      if (editor) expectSame(editor, library, false);
      outcomes.same++;
    }
    expect(outcomes.same).toBeGreaterThan(400);
    expect(outcomes.refused).toBeGreaterThan(400);
  });

  it('says what kind of voxels is not shown', () => {
    for (const [datatype, bitpix] of [DATATYPES.complex64, DATATYPES.rgb24])
      expect(() => parseHeader(niftiBytes({ datatype, bitpix }), 'scan.nii')).toThrow(
        /^scan\.nii has (complex numbers|RGB colours)/,
      );
  });

  it('without a stated place takes i to run to the left, and says so', () => {
    const header = parseHeader(niftiBytes({ sformCode: 0, qformCode: 0 }), 'scan.nii');
    expect(header.orientation).toBe('LAS');
    expect(header.remarks.join()).toMatch(/does not say where left and right are/);
  });
});

describe('a file’s header', () => {
  it('is read from the first bytes, plain or gzipped, whatever the file is called', async () => {
    const bytes = niftiBytes();
    for (const [name, content] of [
      ['plain.nii', bytes],
      ['packed.nii.gz', gzipSync(bytes)],
      ['misnamed.nii', gzipSync(bytes)],
    ] as const) {
      const { header, fileBytes } = await readHeader(put(name, content), name);
      expect(header).toMatchObject({ shape: [2, 3, 4], totalBytes: 352 + 24 });
      expect(fileBytes).toBe(content.length);
    }
  });

  it('of a scan that is cut off behind the header can be read where it is gzipped: the page finds the end', async () => {
    const noise = Uint8Array.from({ length: 60_000 }, (_, n) => (n * n * 31) % 251);
    const packed = gzipSync(niftiBytes({ dim: [3, 60, 100, 10, 1, 1, 1, 1], voxels: noise }));
    const { header } = await readHeader(
      put('cut.nii.gz', packed.subarray(0, packed.length / 2)),
      'cut.nii.gz',
    );
    expect(header.shape).toEqual([60, 100, 10]);
  });

  it('refuses with a sentence: cut off, empty, absent, text, damaged gzip', async () => {
    const bytes = niftiBytes();
    const cases = [
      [put('short.nii', bytes.subarray(0, 360)), /short\.nii is cut off: it has 360 of the 376 bytes/],
      [put('empty.nii', ''), /empty\.nii is empty/],
      [join('/nowhere', 'gone.nii'), /gone\.nii does not exist/],
      [put('text.nii', 'These are notes. '.repeat(40)), /text\.nii is no NIfTI image/],
      [
        put('bad.nii.gz', Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 255, 255, 255)),
        /bad\.nii\.gz is damaged/,
      ],
    ] as const;
    for (const [path, sentence] of cases)
      await expect(readHeader(path, path.split('/').at(-1) ?? '')).rejects.toThrow(sentence);
  });

  it('changes its version when the file changes', async () => {
    const path = put('changing.nii', niftiBytes());
    const before = (await readHeader(path, 'changing.nii')).version;
    put('changing.nii', niftiBytes({ dim: [3, 2, 3, 3, 1, 1, 1, 1], voxels: new Uint8Array(18) }));
    expect((await readHeader(path, 'changing.nii')).version).not.toBe(before);
  });
});

const data = realData();

describe.skipIf(!data)('real scans', () => {
  it.each([
    'ixi2mm/IXI132-HH-1415_T1.nii.gz',
    'oms_long/patient20_study2_FLAIR.nii.gz',
    'oms_mni_2mm/patient07_FLAIR_MNI2mm.nii.gz',
    'oms_mni_2mm/patient07_lesion_MNI2mm.nii.gz',
  ])('%s is read as the library reads it', async (name) => {
    const path = join(data ?? '', name);
    expectSame((await readHeader(path, name)).header, await readNiftiHeader(path));
  });
});
