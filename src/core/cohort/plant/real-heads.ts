import { parse } from 'csv-parse/sync';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, messageOf } from '../../errors';
import { voxelSizes } from '../../volume/affine';
import { readNifti } from '../../volume/nifti-read';
import { toRas } from '../../volume/orientation';
import type { Shape3 } from '../../volume/volume';
import { Tissue, TISSUE_OF_LABEL } from './muse-labels';

/** Files of one head. */
export interface HeadFiles {
  readonly id: string;
  readonly image: string;
  readonly labels: string;
  readonly sex?: string;
  readonly age?: number;
}

/** A head in memory, axes turned to RAS; i runs fastest. */
export interface RealHead {
  readonly shape: Shape3;
  readonly voxelSize: readonly [number, number, number];
  /** T1w signal, lobar white matter at 1. */
  readonly t1w: Float32Array;
  /** MUSE numbers. */
  readonly labels: Uint8Array;
  /** Voxels of the brain, ventricles included. */
  readonly brain: Int32Array;
}

const IMAGE = /^(.+?)_(?:T1w?)\.nii(?:\.gz)?$/;
const LABELS = /^(.+?)(?:_T1w?)?_(?:DLMUSE|MUSE|dseg)\.nii(?:\.gz)?$/i;

/**
 * Pairs `<head>_T1.nii.gz` (or `_T1w`) with `<head>_T1_DLMUSE.nii.gz` (or `<head>_DLMUSE`, `_MUSE`, `_dseg`), by name. Sex
 * and age come from a participants.csv with the columns MRID, Age, Sex beside the images, where there is one. Throws an
 * InputError for an image without labels and for folders without images.
 */
export async function findRealHeads(images: string, labels: string): Promise<HeadFiles[]> {
  const imageNames = await namesIn(images);
  const labelOf = new Map<string, string>();
  for (const name of await namesIn(labels)) {
    const id = LABELS.exec(name)?.[1];
    if (id !== undefined) labelOf.set(id, join(labels, name));
  }
  const people = imageNames.includes('participants.csv')
    ? await readPeople(join(images, 'participants.csv'))
    : new Map<string, Pick<HeadFiles, 'sex' | 'age'>>();
  const heads = imageNames.flatMap((name) => {
    const id = IMAGE.exec(name)?.[1];
    if (id === undefined) return [];
    const labelPath = labelOf.get(id);
    if (labelPath === undefined)
      throw new InputError(
        `${join(images, name)} has no label map: ${labels} holds no ${id}_T1_DLMUSE.nii.gz or ${id}_DLMUSE.nii.gz.`,
      );
    return [{ id, image: join(images, name), labels: labelPath, ...people.get(id) }];
  });
  if (heads.length === 0)
    throw new InputError(`${images} holds no image whose name ends in _T1.nii.gz or _T1w.nii.gz.`);
  return heads;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    throw new InputError(`${folder} cannot be read as a folder: ${messageOf(error)}.`);
  }
}

async function readPeople(path: string): Promise<Map<string, Pick<HeadFiles, 'sex' | 'age'>>> {
  const rows = parse(await readFile(path), { columns: true, bom: true, trim: true }) as Record<
    string,
    string
  >[];
  return new Map(
    rows.map(({ MRID, Age, Sex }) => {
      const age = Number(Age);
      return [
        MRID,
        { sex: Sex || undefined, age: Age && Number.isFinite(age) ? Math.floor(age) : undefined },
      ];
    }),
  );
}

/** Reads a head. Throws an InputError where image and labels do not share a grid or the labels are not MUSE's. */
export async function readRealHead({ image, labels }: HeadFiles): Promise<RealHead> {
  const t1w = toRas((await readNifti(image)).volume);
  const map = toRas((await readNifti(labels)).volume);
  const apart = Math.max(...t1w.affine.map((value, n) => Math.abs(value - map.affine[n])));
  if (t1w.shape.join() !== map.shape.join() || apart > 0.01)
    throw new InputError(
      `${labels} does not lie on the grid of ${image}; resample the labels (nearest neighbour) onto the image first.`,
    );
  const numbers = Uint8Array.from(map.data);
  const brain: number[] = [];
  let sum = 0;
  let count = 0;
  numbers.forEach((number, v) => {
    const tissue = TISSUE_OF_LABEL[number];
    if (tissue === Tissue.Outside || tissue === Tissue.Csf) return;
    brain.push(v);
    if (tissue !== Tissue.LobarWhite) return;
    sum += t1w.data[v];
    count++;
  });
  if (count === 0 || sum <= 0)
    throw new InputError(
      `${labels} holds no lobar white matter under MUSE's numbers (81 to 88); planting needs MUSE or DLMUSE labels.`,
    );
  const voxelSize = voxelSizes(t1w.affine);
  const white = sum / count;
  return {
    shape: t1w.shape,
    voxelSize: [voxelSize[0], voxelSize[1], voxelSize[2]],
    t1w: t1w.data.map((value) => value / white),
    labels: numbers,
    brain: Int32Array.from(brain),
  };
}
