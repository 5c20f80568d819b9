import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { ROOT } from './locate.mjs';
import { writeNifti } from './nifti-file';
import {
  BROKEN_NAME,
  LONG_EPOCHS,
  TINY_TRAINING,
  brokenManifest,
  cornerVolume,
  fourDVolume,
  rememberWorkspace,
  type Workspace,
} from './workspace';

export interface WorkspaceOptions {
  readonly subjects: number;
  /** Voxels along the longest side of a phantom. */
  readonly size: number;
  readonly epochs: number;
  /** 0 to 1: how hard the phantoms' lesions are to find. */
  readonly difficulty: number;
  /** Network and grid, as options of `fcd train`. */
  readonly training: readonly string[];
}

/** The folder of the suites inside the editor. */
export const TINY_WORKSPACE: WorkspaceOptions = {
  subjects: 8,
  size: 32,
  epochs: 2,
  difficulty: 0.5,
  training: TINY_TRAINING,
};

/**
 * Fills a folder. Takes seconds: the cohort and the run are made by the command line, as a person would.
 * @throws Error with what `fcd` said where it fails
 */
export function makeWorkspace(folder: string, options: WorkspaceOptions): Workspace {
  const cohort = join(folder, 'cohort');
  const run = join(folder, 'runs', 'first');
  mkdirSync(join(folder, 'scans'), { recursive: true });
  const { subjects, size, epochs, difficulty, training } = options;
  const given = (flags: Record<string, string | number>) =>
    Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
  fcd('phantom', ...given({ out: cohort, subjects, size, difficulty }));
  fcd('train', ...given({ cohort, fold: '1/4', epochs, out: run }), ...training);
  const scan = putScan(folder, cohort);
  const named = (name: string) => join(folder, 'scans', name);
  mkdirSync(join(folder, '.vscode'));
  writeFileSync(join(folder, '.vscode', 'tasks.json'), JSON.stringify(tasksJson(), null, 2));
  writeFileSync(join(folder, BROKEN_NAME), brokenManifest());
  writeFileSync(named('corner.nii.gz'), writeNifti(cornerVolume()));
  writeFileSync(named('four-volumes.nii.gz'), writeNifti(fourDVolume()));
  const whole = readFileSync(scan.t1w);
  writeFileSync(named('cut-off.nii.gz'), whole.subarray(0, whole.length >> 1));
  writeFileSync(
    join(folder, 'train.py'),
    'from torchvision.models.video import r3d_18\n\nmodel = r3d_18(num_classes=2)\n',
  );
  const workspace: Workspace = {
    folder,
    cohort,
    run,
    scan,
    corner: named('corner.nii.gz'),
    fourD: named('four-volumes.nii.gz'),
    cutOff: named('cut-off.nii.gz'),
  };
  rememberWorkspace(workspace);
  return workspace;
}

/** Tasks as a person writes them down. `long` runs for some seconds: long enough to be stopped. */
function tasksJson(): object {
  const common = {
    type: 'fcd',
    task: 'train',
    cohort: 'cohort',
    arch: 'resnet10',
    fold: '1/4',
    args: TINY_TRAINING,
  };
  return {
    version: '2.0.0',
    tasks: [
      { ...common, label: 'tiny', epochs: 2, out: 'runs/tiny' },
      { ...common, label: 'long', epochs: LONG_EPOCHS, out: 'runs/long' },
      { ...common, label: 'broken', cohort: BROKEN_NAME, out: 'runs/broken' },
    ],
  };
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
