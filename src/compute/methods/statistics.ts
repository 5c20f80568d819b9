import { maskOnGrid } from '../../core/cohort/prepared-case';
import { describeVoxels } from '../../core/volume/describe-voxels';
import { readNifti } from '../../core/volume/nifti-read';
import type { ComputeParams, Statistics } from '../../protocol/compute';
import type { Job } from '../job';

/** Numbers over the voxels of a volume, or of those inside a mask on any grid (brought over by nearest neighbour). */
export async function statistics(
  { path, volume, mask }: ComputeParams<'statistics'>,
  job: Job,
): Promise<Statistics> {
  job.say('Reading the volume');
  const image = (await readNifti(path, { index: volume, nan: 'keep' })).volume;
  await job.breathe();
  const inside = mask === undefined ? undefined : await maskOnGrid(mask, image);
  job.say('Counting');
  await job.breathe();
  const { labels, ...described } = describeVoxels(image, inside);
  return { ...described, labels: labels && [...labels] };
}
