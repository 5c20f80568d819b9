import { InputError } from '../../errors';
import { Random } from '../../random';
import { voxelCount, type Affine, type Shape3, type Volume } from '../../volume/volume';
import type { Group } from '../cohort';
import { Acquisition } from './acquisition';
import { BidsWriter, type Progress, type WrittenCase } from './bids-writer';
import { coarsen, coarsenLabels, maskOfVolume } from './coarsen';
import { brightnessFactor, drawLesionSigns, SIGN_RANGES, type LesionSigns } from './lesion-signs';
import { MUSE_STRUCTURES } from './muse-structures';
import { Tissue, TISSUE_OF_LABEL } from './muse-labels';
import { plantLesion } from './plant-lesion';
import { findRealHeads, readRealHead, type RealHead } from './real-heads';
import { warpCopy } from './warped-copy';

/** Field of view around the brain in mm: 48 x 60 x 48 voxels of 3 mm. */
const VIEW_MM = [144, 180, 144] as const;
/** Lesions are planted at this voxel size in mm, or at the written one where that is finer. */
const PLANTING_MM = 2.25;
/** From this voxel size on, in mm, lesions below 3 ml would be a handful of voxels: none are drawn. */
const COARSE_MM = 2.5;
const LEAST_COARSE_ML = 3;

export interface PlantRequest {
  /** Folder with T1w images `<head>_T1.nii.gz`. */
  readonly images: string;
  /** Folder with their MUSE label maps; may be the same. */
  readonly labels: string;
  /** A new or empty folder. */
  readonly out: string;
  readonly seed?: number;
  /** Warped copies of every head; each gives one patient and one control. Default 6. */
  readonly copies?: number;
  /** The image is healthy + strength x lesion. Default 1: brightness as published. */
  readonly strength?: number;
  /** Voxel size in mm of what is written, 1 to 6. Default 3: 48 x 60 x 48. */
  readonly spacing?: number;
  /** 0 (bright lesions) to 1 (no change of brightness). Default 0.5. */
  readonly difficulty?: number;
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
}

/** A copy of a head, with and without its lesion; T1w, FLAIR-like, labels and masks on one grid. */
export interface Twins {
  readonly control: TwinImages;
  readonly fcd: TwinImages;
  readonly labels: Volume<Uint8Array>;
  readonly brain: Volume<Uint8Array>;
  readonly roi: Volume<Uint8Array>;
  readonly signs: LesionSigns;
}

export interface TwinImages {
  readonly t1w: Volume;
  readonly flair: Volume;
}

export interface TwinSettings {
  readonly seed: number;
  readonly strength: number;
  readonly spacing: number;
  readonly difficulty: number;
}

/**
 * Makes copy number `copy` of a head, once with and once without a lesion. Both go through the same steps with the same
 * random numbers (the control at strength 0), so that outside of the lesion's reach they are equal voxel by voxel.
 */
export function makeTwins(head: RealHead, id: string, copy: number, settings: TwinSettings): Twins {
  const { seed, strength, spacing, difficulty } = settings;
  const stream = (name: string): Random => Random.seeded(seed, 'plant', id, copy, name);
  const shape = gridOf(spacing);
  const fineSpacing = Math.min(PLANTING_MM, spacing);
  // The written field of view, which a voxel size that does not divide 144 and 180 mm rounds.
  const fineShape = shape.map((size) => Math.round((size * spacing) / fineSpacing)) as unknown as Shape3;
  const warped = warpCopy(head, fineShape, fineSpacing, stream('warp'));
  const least = spacing >= COARSE_MM ? LEAST_COARSE_ML : SIGN_RANGES.volumeMl[0];
  const signs = drawLesionSigns(stream('signs'), difficulty, least);
  const lesion = plantLesion(warped, signs, stream('place'));

  const affine: Affine = [0, 1, 2].flatMap((axis) => {
    const row = [0, 0, 0, (-(shape[axis] - 1) / 2) * spacing];
    row[axis] = spacing;
    return row;
  });
  const grid = { shape, affine: [...affine, 0, 0, 0, 1] };
  const twins = { control: {}, fcd: {} } as Record<Group, { t1w: Volume; flair: Volume }>;
  for (const contrast of ['t1w', 'flair'] as const) {
    const healthy = coarsen(warped[contrast], fineShape, shape);
    const delta = coarsen(lesion[contrast], fineShape, shape);
    const noise = contrast === 't1w' ? 0.015 : 0.03;
    const scanner = new Acquisition(shape, spacing, 0, noise, stream(contrast));
    twins.control[contrast] = { ...grid, data: scanner.scan(healthy) };
    const sick = healthy.map((value, v) => value + strength * delta[v]);
    twins.fcd[contrast] = { ...grid, data: scanner.scan(sick) };
  }
  const labels = coarsenLabels(warped.labels, fineShape, shape);
  const isBrain = (number: number): boolean =>
    TISSUE_OF_LABEL[number] !== Tissue.Outside && TISSUE_OF_LABEL[number] !== Tissue.Csf;
  const planted = lesion.mask.reduce((sum, value) => sum + value, 0);
  const count = Math.round((planted * voxelCount(shape)) / voxelCount(fineShape));
  return {
    ...twins,
    labels: { ...grid, data: labels },
    brain: { ...grid, data: labels.map((number) => (isBrain(number) ? 1 : 0)) },
    roi: { ...grid, data: maskOfVolume(coarsen(lesion.mask, fineShape, shape), count) },
    signs,
  };
}

function gridOf(spacing: number): Shape3 {
  if (!(spacing >= 1 && spacing <= 6))
    throw new InputError(`A spacing of ${spacing} mm cannot be written; give 1 to 6 mm.`);
  const [i, j, k] = VIEW_MM.map((mm) => Math.round(mm / spacing));
  return [i, j, k];
}

/**
 * Writes a BIDS cohort of lesions planted in real T1w heads with MUSE label maps: for every head `copies` warped copies,
 * each as a patient and as its healthy twin. In participants.tsv `source` is the head and `twin` the copy.
 */
export async function plantCohort(request: PlantRequest): Promise<void> {
  const { seed = 1, copies = 6, strength = 1, spacing = 3, difficulty = 0.5, onProgress, signal } = request;
  brightnessFactor(difficulty);
  gridOf(spacing);
  if (!Number.isInteger(copies) || copies < 1 || copies > 1000)
    throw new InputError(`${copies} copies of a head cannot be made; give a whole number from 1 to 1000.`);
  if (!(strength > 0 && strength <= 5))
    throw new InputError(`The strength of the lesions is ${strength}; give a number above 0 and up to 5.`);
  if (!Number.isInteger(seed)) throw new InputError(`The seed is ${seed}; give a whole number.`);
  const heads = await findRealHeads(request.images, request.labels);
  const writer = await BidsWriter.open(
    request.out,
    {
      name: 'FCD planted: lesions like FCD type II planted in real T1w heads, with a FLAIR-like contrast',
      readme: README,
      settings: {
        kind: 'planted',
        heads: heads.map(({ id }) => id).join(' '),
        seed,
        copies,
        strength,
        spacing,
        difficulty,
      },
      labels: MUSE_STRUCTURES,
      columns: COLUMNS,
    },
    heads.length * copies * 2,
    onProgress,
    signal,
  );
  const order = Random.seeded(seed, 'plant', 'order');
  let number = 0;
  let pending: Promise<unknown> = Promise.resolve();
  for (const files of heads) {
    const head = await readRealHead(files);
    for (let copy = 1; copy <= copies; copy++) {
      writer.checkStopped();
      const twins = makeTwins(head, files.id, copy, { seed, strength, spacing, difficulty });
      const row = {
        source: files.id,
        twin: `${files.id}-${copy}`,
        sex: files.sex,
        age: files.age,
      };
      const groups = order.shuffled<Group>(['control', 'fcd']);
      const cases = groups.map((group): WrittenCase => {
        const { labels, brain, roi } = twins;
        return { row, group, ...twins[group], labels, brain, roi: group === 'fcd' ? roi : undefined };
      });
      // Files are compressed on other threads while the next copy is made.
      await pending;
      pending = Promise.all(cases.map((one, n) => writer.add(number + n + 1, one)));
      pending.catch(() => undefined); // it is awaited, and its error met, one round later
      number += 2;
    }
  }
  await pending;
  await writer.close();
}

const COLUMNS = {
  source: 'the real head; folds, resampling and tests must go by it',
  twin: 'the warped copy; its two rows differ in the lesion only',
  sex: 'of the person whose head it is',
  age: 'of the person whose head it is, whole years',
};

const README = `Lesions like focal cortical dysplasia type II, planted by FCD Lens in real T1w heads. None of these people had such a
lesion; nothing here is for diagnosis. The licence of the source images goes on applying (IXI: CC BY-SA 3.0).

sub-*_T1w is the real image, warped, with the lesion's signs planted. sub-*_FLAIR is NOT a FLAIR scan: it is FLAIR-like,
drawn from the label map (CSF 0.15, cortex 1, white matter 0.72, deep grey 0.92, and texture; the T1w signal outside of
the brain).

Every source head comes in warped copies (rotation to 8 degrees, scale 0.93 to 1.07, elastic, mirrored in half), and
every copy twice: with a lesion and, through the same steps with the same noise, without. Signs: cortex thickened by 2
to 4 mm, smeared grey-white junction, T1w contrast 10 % lower, FLAIR 10 to 30 % over cortex, in 40 % a funnel to the
ventricle; these are for difficulty 0.5 (brightness doubles at 0 and does not change at 1) and strength 1 (image =
healthy + strength x lesion). Planted at 2.25 mm or finer; lesions of 1 to 30 ml, from 3 ml on where voxels are 2.5 mm or
more. Mostly frontal, then parietal.

sub-*_FLAIR_roi: voxels where the lesion stands at half strength or more and alters the tissue, of the planted volume.
derivatives/labels: MUSE numbers, the anatomy before the lesion. derivatives/masks: brain with ventricles, without
cortical CSF.`;
