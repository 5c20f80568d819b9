import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../../../src/core/errors';
import { Random } from '../../../src/core/random';
import { readNifti } from '../../../src/core/volume/nifti-read';
import { voxelCount } from '../../../src/core/volume/volume';
import { damagedFile } from './nifti-mutations';

export interface FuzzOutcome {
  readonly read: number;
  readonly refused: number;
  /** What must not be: each with the round, from which seed and file follow. */
  readonly failures: readonly string[];
  /** Most bytes of array buffers above the start, as seen between files. */
  readonly mostBytes: number;
  /** Each kind of refusal with its count, numbers and path taken out. */
  readonly sentences: ReadonlyMap<string, number>;
}

/**
 * Reads `rounds` damaged files one after the other. Each must either be read, as a volume that fits its own shape with
 * finite values only, or be refused by an InputError that names the file.
 */
export async function fuzzNifti(folder: string, rounds: number, seed: number): Promise<FuzzOutcome> {
  const path = join(folder, 'damaged.nii');
  const failures: string[] = [];
  const sentences = new Map<string, number>();
  let read = 0;
  let mostBytes = 0;
  const before = process.memoryUsage().arrayBuffers;
  for (let round = 0; round < rounds; round++) {
    writeFileSync(path, damagedFile(Random.seeded(seed, 'damaged', round)));
    try {
      const { volume, spacing } = await readNifti(path);
      const sound =
        volume.data.length === voxelCount(volume.shape) &&
        volume.data.every(Number.isFinite) &&
        volume.affine.every(Number.isFinite) &&
        spacing.every((size) => size > 0);
      if (!sound) failures.push(`seed ${seed}, round ${round}: read, but not sound`);
      read++;
    } catch (error) {
      if (error instanceof InputError && error.message.includes(path) && error.message.endsWith('.')) {
        const kind = error.message
          .replace(path, '')
          .replace(/-?\d[\d.e+-]*|NaN|-?Infinity/g, '#')
          .slice(0, 60);
        sentences.set(kind, (sentences.get(kind) ?? 0) + 1);
      } else failures.push(`seed ${seed}, round ${round}: ${String(error)}`);
    }
    if (round % 64 === 0) mostBytes = Math.max(mostBytes, process.memoryUsage().arrayBuffers - before);
  }
  const refused = [...sentences.values()].reduce((sum, count) => sum + count, 0);
  return { read, refused, failures, mostBytes, sentences };
}
