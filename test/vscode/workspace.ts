import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { millimetres, type Nifti } from './nifti-file';

/**
 * What lies in the folder that the editor opens:
 *
 *     cohort/            a BIDS cohort of phantoms
 *     runs/first/        a run on it, finished
 *     scans/             a real scan of a patient with multiple sclerosis (or a phantom), and files made for one purpose
 *     train.py           code to have open beside it all
 */
export interface Workspace {
  readonly folder: string;
  readonly cohort: string;
  readonly run: string;
  /** A 2 mm head, its second contrast and its lesion mask. */
  readonly scan: {
    readonly t1w: string;
    readonly flair: string;
    readonly mask: string;
    readonly real: boolean;
  };
  /** {@link cornerVolume}. */
  readonly corner: string;
  /** Three volumes, each of one value: {@link FOUR_D_VALUES}. */
  readonly fourD: string;
  /** A scan whose second half is missing. */
  readonly cutOff: string;
}

/** A network so small, and a grid so coarse, that an epoch takes a moment. */
export const TINY_TRAINING = [
  ...['--arch', 'resnet10', '--geometry', 'compact', '--width', '1/8', '--patience', '0', '--batch', '4'],
  ...['--spacing', '7', '--shape', '24x32x24', '--threads', '1'],
];

/** Epochs that take some seconds: long enough to be stopped in between. */
export const LONG_EPOCHS = 200;

/** A manifest that contradicts itself on line {@link BROKEN_LINE}, counted from 1. */
export const BROKEN_NAME = 'broken.csv';
export const BROKEN_LINE = 3;

export function brokenManifest(): string {
  const scan = (participant: string) => `cohort/${participant}/anat/${participant}_FLAIR.nii.gz`;
  return [
    'participant_id,group,flair',
    `sub-00001,fcd,${scan('sub-00001')}`,
    `sub-00002,perhaps,${scan('sub-00002')}`,
    `sub-00003,control,${scan('sub-00003')}`,
    '',
  ].join('\n');
}

export const FOUR_D_VALUES = [100, 200, 300];

/** Remembers the paths inside the folder, where the suites find them. */
export function rememberWorkspace(workspace: Workspace): void {
  const path = join(workspace.folder, '.vscode', 'workspace.json');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(workspace, null, 2));
}

/** Paths of a workspace that {@link rememberWorkspace} kept, for those who only know the folder. */
export function workspaceAt(folder: string): Workspace {
  return JSON.parse(readFileSync(join(folder, '.vscode', 'workspace.json'), 'utf8')) as Workspace;
}

/**
 * 40 x 48 x 32 voxels of 2 mm, stored as a scanner might: i to posterior, j to superior, k to right. Everything is 100
 * but a block of 1000 at the patient's right, anterior, superior, that reaches just over the middle: all three middle
 * slices cut it.
 */
export function cornerVolume(): Nifti & {
  readonly block: { readonly low: number[]; readonly high: number[] };
} {
  const shape: [number, number, number] = [48, 32, 40];
  const affine = [0, 0, 2, -39, -2, 0, 0, 47, 0, 2, 0, -31, 0, 0, 0, 1];
  const values = new Float32Array(shape[0] * shape[1] * shape[2]).fill(100);
  const [low, high] = [
    [6, 14, 18],
    [25, 29, 37],
  ];
  for (let k = low[2]; k <= high[2]; k++)
    for (let j = low[1]; j <= high[1]; j++)
      for (let i = low[0]; i <= high[0]; i++) values[i + shape[0] * (j + shape[1] * k)] = 1000;
  return { shape, affine, values, volumes: 1, block: { low, high } };
}

/** Centre of the bright block, RAS mm: all three positive. */
export function cornerCentre(): number[] {
  const volume = cornerVolume();
  const { low, high } = volume.block;
  return millimetres(
    volume,
    low.map((one, axis) => (one + high[axis]) / 2),
  );
}

/** Three volumes of 16 x 16 x 16 voxels of 4 mm. */
export function fourDVolume(): Nifti {
  const shape: [number, number, number] = [16, 16, 16];
  const perVolume = 16 ** 3;
  const values = new Float32Array(perVolume * FOUR_D_VALUES.length);
  FOUR_D_VALUES.forEach((value, t) => values.fill(value, t * perVolume, (t + 1) * perVolume));
  // A box of zero, so that a picture has something to show.
  FOUR_D_VALUES.forEach((_, t) => values.fill(0, t * perVolume, t * perVolume + 4 * 256));
  return { shape, affine: [4, 0, 0, -30, 0, 4, 0, -30, 0, 0, 4, -30, 0, 0, 0, 1], values, volumes: 3 };
}
