import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { affineFromSpacing, IDENTITY } from '../../../src/core/volume/affine';
import { readNifti } from '../../../src/core/volume/nifti-read';
import { writeNifti } from '../../../src/core/volume/nifti-write';
import type { Affine, Volume } from '../../../src/core/volume/volume';
import { anyVolume } from './arbitraries';
import { scratchFolder } from './scratch-folder';

const { folder } = scratchFolder();
const small: Volume = { shape: [2, 1, 1], affine: IDENTITY, data: Float32Array.from([1.5, -2]) };

describe('a NIfTI file that we write', () => {
  it('comes back as it was: values to the bit, affine to float32', async () => {
    let n = 0;
    await fc.assert(
      fc.asyncProperty(anyVolume, fc.boolean(), async (volume, gz) => {
        const path = join(folder, `${n++}.nii${gz ? '.gz' : ''}`);
        await writeNifti(path, volume);
        const image = await readNifti(path);
        expect(image.volume.shape).toEqual(volume.shape);
        expect(image.volume.data).toEqual(volume.data);
        expect(image.volume.affine).toEqual(volume.affine.map(Math.fround));
        expect(image.warnings).toEqual([]);
        expect(image.header).toMatchObject({ dtype: 'float32', sformCode: 1, unit: 'mm' });
      }),
      { numRuns: 60 },
    );
  });

  it('has a qform that says the same as its sform, in any rotation, or none', async () => {
    let qforms = 0;
    await fc.assert(
      fc.asyncProperty(anyVolume, async (volume) => {
        const path = join(folder, 'qform.nii');
        await writeNifti(path, { ...volume, data: new Uint8Array(volume.data.length) });
        const bytes = readFileSync(path);
        bytes.writeInt16LE(0, 254); // sform_code
        writeFileSync(path, bytes);
        const image = await readNifti(path);
        if (image.affineSource !== 'qform') return;
        qforms++;
        image.volume.affine.forEach((value, at) =>
          expect(Math.abs(value - volume.affine[at])).toBeLessThan(6e-5),
        );
      }),
      { numRuns: 60 },
    );
    expect(qforms).toBeGreaterThan(40);
  });

  it('has a qform for a half turn, and none a hair beside it, which single precision cannot say', async () => {
    const path = join(folder, 'half-turn.nii');
    const turned = (angle: number): Affine => {
      const [c, s] = [Math.cos(angle), Math.sin(angle)];
      return [c, -s, 0, 0, s, c, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    };
    const qformOf = async (angle: number) => {
      await writeNifti(path, { ...small, affine: turned(angle) });
      return (await readNifti(path)).header.qformCode;
    };
    expect(await qformOf(Math.PI)).toBe(1);
    expect(await qformOf(Math.PI - 4e-5)).toBe(0);
    expect(await qformOf(Math.PI - 0.05)).toBe(1);
  });

  it('has no qform where its axes are sheared', async () => {
    const path = join(folder, 'sheared.nii.gz');
    const affine = [1, 0.1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    await writeNifti(path, { ...small, affine }, { spaceCode: 2 });
    expect((await readNifti(path)).header).toMatchObject({
      sformCode: 2,
      qformCode: 0,
      affineSource: 'sform',
    });
  });

  it('takes its type from the array, or the one asked for', async () => {
    const path = join(folder, 'type.nii');
    await writeNifti(path, { ...small, data: Uint16Array.from([65535, 1]) });
    expect(await readNifti(path)).toMatchObject({ dtype: 'uint16' });
    await writeNifti(
      path,
      { ...small, data: Uint8Array.from([1, 0]) },
      { dtype: 'float32', description: 'd'.repeat(200) },
    );
    const { dtype, header, volume } = await readNifti(path);
    expect(dtype).toBe('float32');
    expect(header.description).toBe('d'.repeat(79));
    expect([...volume.data]).toEqual([1, 0]);
  });

  it('is the same to the byte every time, and nothing is left beside it', async () => {
    const path = join(folder, 'same.nii.gz');
    await writeNifti(path, small);
    const first = readFileSync(path);
    await writeNifti(path, small);
    expect(readFileSync(path).equals(first)).toBe(true);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('is refused where it would not say what was meant', async () => {
    const path = join(folder, 'refused.nii');
    const refused = async (promise: Promise<void>, sentence: string) => {
      const error: unknown = await promise.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(InputError);
      expect((error as InputError).message).toContain(sentence);
    };
    await refused(writeNifti(path, small, { dtype: 'int16' }), 'voxel (0, 0, 0) is 1.5');
    const big = { ...small, data: Float32Array.from([1, 256]) };
    await refused(writeNifti(path, big, { dtype: 'uint8' }), 'as uint8: voxel (1, 0, 0) is 256');
    await refused(writeNifti(join(folder, 'a.img'), small), 'must end in .nii or .nii.gz');
    await refused(writeNifti(path, { ...small, affine: affineFromSpacing([1, 0, 1]) }), 'singular');
    await refused(writeNifti(path, { ...small, shape: [3, 1, 1] }), '2 came');
    await refused(
      writeNifti(path, { ...small, shape: [40000, 1, 1], data: new Float32Array(40000) }),
      '1 to 32767',
    );
    expect(readdirSync(folder)).not.toContain('refused.nii');
  });
});
