import { writeJson } from '../files/whole';
import { readNiftiHeader } from '../volume/nifti-read';
import { writeNifti } from '../volume/nifti-write';
import { resample } from '../volume/resample';
import type { Grid, Volume } from '../volume/volume';
import type { Cam } from './cam-file';
import { placeMap } from './place-map';

/** NIfTI's intent code for an estimate of some quantity. */
const INTENT_ESTIMATE = 1001;

/** What was written. */
export interface CamNifti {
  /** Paths of the image and of the .json beside it. */
  readonly nifti: string;
  readonly provenance: string;
  /** The map on the subject's grid. */
  readonly heat: Volume;
}

/**
 * Writes a class map as a float32 NIfTI on the subject's own grid and affine, with its provenance in a .json beside it.
 * Values are the map's own (after ReLU, in units of the logit's gradient times activation), never rescaled; what lies
 * outside of the network's input grid is 0.
 *
 * @param path ends in .nii or .nii.gz; the provenance gets the same name with .json.
 * @param subject the subject's grid, or the path of the NIfTI whose grid it is (only its header is read).
 */
export async function camToNifti(path: string, cam: Cam, subject: Grid | string): Promise<CamNifti> {
  const { shape, affine } = typeof subject === 'string' ? await readNiftiHeader(subject) : subject;
  const { map, record } = cam;
  const heat = resample(placeMap(map, record.grid, record.align), { shape, affine }, 'trilinear');
  await writeNifti(path, heat, {
    description: `${record.method} of ${record.layer}, class ${record.class.name}`.slice(0, 79),
    intent: { code: INTENT_ESTIMATE, name: record.method },
  });
  const provenance = path.replace(/\.nii(\.gz)?$/, '.json');
  await writeJson(provenance, {
    ...record,
    raw: { shape: map.shape, ...extremes(map.data) },
    nifti: {
      grid: { shape, affine },
      subject: typeof subject === 'string' ? subject : undefined,
      ...extremes(heat.data),
      interpolation: 'trilinear',
      outsideOfInput: 0,
    },
    note: 'Research use, not for diagnosis.',
  });
  return { nifti: path, provenance, heat };
}

function extremes(data: Float32Array): { min: number; max: number } {
  let min = Infinity;
  let max = -Infinity;
  for (const value of data) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return { min, max };
}
