import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { ROOT } from './locate.mjs';
import { millimetres, writeNifti, type Nifti } from './nifti-file';

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

export const FOUR_D_VALUES = [100, 200, 300];

export interface WorkspaceOptions {
  readonly subjects: number;
  /** Voxels along the longest side of a phantom. */
  readonly size: number;
  readonly epochs: number;
}

/**
 * Fills a folder. Takes seconds: the cohort and the run are made by the command line, as a person would.
 * @throws Error with what `fcd` said where it fails
 */
export function makeWorkspace(folder: string, { subjects, size, epochs }: WorkspaceOptions): Workspace {
  const cohort = join(folder, 'cohort');
  const run = join(folder, 'runs', 'first');
  mkdirSync(join(folder, 'scans'), { recursive: true });
  fcd('phantom', '--out', cohort, '--subjects', String(subjects), '--size', String(size));
  fcd(
    ...['train', '--cohort', cohort, '--fold', '1/4', '--epochs', String(epochs), '--out', run],
    ...TINY_TRAINING,
  );
  const scan = putScan(folder, cohort);
  const named = (name: string) => join(folder, 'scans', name);
  writeFileSync(named('corner.nii.gz'), writeNifti(cornerVolume()));
  writeFileSync(named('four-volumes.nii.gz'), writeNifti(fourDVolume()));
  const whole = readFileSync(scan.t1w);
  writeFileSync(named('cut-off.nii.gz'), whole.subarray(0, whole.length >> 1));
  writeFileSync(
    join(folder, 'train.py'),
    'from torchvision.models.video import r3d_18\n\nmodel = r3d_18(num_classes=2)\n',
  );
  return {
    folder,
    cohort,
    run,
    scan,
    corner: named('corner.nii.gz'),
    fourD: named('four-volumes.nii.gz'),
    cutOff: named('cut-off.nii.gz'),
  };
}

/** Paths of a workspace that {@link rememberWorkspace} kept, for those who only know the folder. */
export function workspaceAt(folder: string): Workspace {
  return JSON.parse(readFileSync(join(folder, '.vscode', 'workspace.json'), 'utf8')) as Workspace;
}

/**
 * 40 x 48 x 32 voxels of 2 mm, stored as a scanner might: i to posterior, j to superior, k to right. Everything is 100
 * but a block of 1000 at the patient's right, anterior, superior.
 */
export function cornerVolume(): Nifti & {
  readonly block: { readonly low: number[]; readonly high: number[] };
} {
  const shape: [number, number, number] = [48, 32, 40];
  const affine = [0, 0, 2, -39, -2, 0, 0, 47, 0, 2, 0, -31, 0, 0, 0, 1];
  const values = new Float32Array(shape[0] * shape[1] * shape[2]).fill(100);
  const [low, high] = [
    [6, 20, 28],
    [15, 27, 35],
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

function fourDVolume(): Nifti {
  const shape: [number, number, number] = [16, 16, 16];
  const perVolume = 16 ** 3;
  const values = new Float32Array(perVolume * FOUR_D_VALUES.length);
  FOUR_D_VALUES.forEach((value, t) => values.fill(value, t * perVolume, (t + 1) * perVolume));
  // A box of zero, so that a picture has something to show.
  FOUR_D_VALUES.forEach((_, t) => values.fill(0, t * perVolume, t * perVolume + 4 * 256));
  return { shape, affine: [4, 0, 0, -30, 0, 4, 0, -30, 0, 0, 4, -30, 0, 0, 0, 1], values, volumes: 3 };
}

function putScan(folder: string, cohort: string): Workspace['scan'] {
  const anat = join(folder, 'scans', 'sub-07', 'anat');
  mkdirSync(anat, { recursive: true });
  const put = (source: string, name: string) => {
    copyFileSync(source, join(anat, name));
    return join(anat, name);
  };
  const real = join(process.env.FCD_TEST_DATA ?? resolve(ROOT, '..', 'shared', 'data'), 'oms_mni_2mm');
  if (existsSync(real)) {
    const of = (kind: string) => join(real, `patient07_${kind}_MNI2mm.nii.gz`);
    return {
      t1w: put(of('T1'), 'sub-07_T1w.nii.gz'),
      flair: put(of('FLAIR'), 'sub-07_FLAIR.nii.gz'),
      mask: put(of('lesion'), 'sub-07_FLAIR_roi.nii.gz'),
      real: true,
    };
  }
  const of = (suffix: string) => join(cohort, 'sub-00001', 'anat', `sub-00001_${suffix}.nii.gz`);
  return {
    t1w: put(of('T1w'), 'sub-07_T1w.nii.gz'),
    flair: put(of('FLAIR'), 'sub-07_FLAIR.nii.gz'),
    mask: put(of('FLAIR_roi'), 'sub-07_FLAIR_roi.nii.gz'),
    real: false,
  };
}

function fcd(...args: readonly string[]): void {
  const run = spawnSync(process.execPath, [join(ROOT, 'bin', 'fcd'), ...args], { encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`fcd ${args.join(' ')} failed: ${run.stderr}`);
}

/** Remembers the paths inside the folder, where the suites find them. */
export function rememberWorkspace(workspace: Workspace): void {
  const path = join(workspace.folder, '.vscode', 'workspace.json');
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(workspace, null, 2));
}
