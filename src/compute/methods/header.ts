import { stat } from 'node:fs/promises';
import { axisCodes } from '../../core/volume/affine';
import { openBytes } from '../../core/volume/byte-source';
import { frameBytes } from '../../core/volume/nifti-header';
import { readNiftiHeader } from '../../core/volume/nifti-read';
import { voxelCount } from '../../core/volume/volume';
import type { ComputeParams, VolumeHeader } from '../../protocol/compute';

/** What a NIfTI file says of itself; no voxel is read. */
export async function header({ path }: ComputeParams<'header'>): Promise<VolumeHeader> {
  const found = await readNiftiHeader(path);
  return {
    path,
    format: found.version === 1 ? 'nifti1' : 'nifti2',
    shape: [...found.shape],
    volumes: found.frames,
    spacingMm: [...found.spacing],
    affine: [...found.affine],
    affineFrom: found.affineSource,
    orientation: axisCodes(found.affine),
    dataType: found.dtype,
    voxels: voxelCount(found.shape),
    voxelBytes: frameBytes(found) * found.frames,
    fileBytes: (await stat(path)).size,
    gzip: await isGzip(path),
    slope: found.slope,
    intercept: found.intercept,
    description: found.description,
    intent: { code: found.intentCode, name: found.intentName },
    warnings: [...found.warnings],
  };
}

async function isGzip(path: string): Promise<boolean> {
  const source = await openBytes(path);
  await source.close();
  return source.gzip;
}
