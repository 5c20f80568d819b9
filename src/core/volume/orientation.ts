import { InputError } from '../errors';
import { axisCodes, axisDirections, shiftedTo } from './affine';
import type { Shape3, Triple, Volume, VoxelArray } from './volume';
import { voxelCount } from './volume';
import { zerosLike } from './voxel-array';

const LETTERS = ['LR', 'PA', 'IS'];

/**
 * The same image with its voxel axes permuted and flipped to run along `codes` ('RAS', 'PSR', ...) as nearly as
 * right angles allow; an oblique image stays oblique. No value changes and every voxel stays where it was in mm.
 * Returns the image itself where nothing has to move. Throws an InputError for codes that are no orientation.
 */
export function reorient<T extends VoxelArray>(volume: Volume<T>, codes: string): Volume<T> {
  const wanted = [...codes].map((letter) => {
    const axis = LETTERS.findIndex((pair) => pair.includes(letter));
    return { axis, sign: axis < 0 || LETTERS[axis][0] === letter ? -1 : 1 };
  });
  if (
    wanted.length !== 3 ||
    new Set(wanted.map(({ axis }) => axis)).size !== 3 ||
    wanted.some((w) => w.axis < 0)
  )
    throw new InputError(
      `"${codes}" is no orientation: give one letter of each pair L/R, P/A and I/S, for instance RAS.`,
    );
  const current = axisDirections(volume.affine);
  if (axisCodes(volume.affine) === codes) return volume;

  const from = wanted.map(({ axis }) => current.findIndex((direction) => direction.axis === axis));
  const flipped = wanted.map(({ sign }, out) => sign !== current[from[out]].sign);
  const shape = from.map((axis) => volume.shape[axis]) as unknown as Shape3;

  const corner: [number, number, number] = [0, 0, 0]; // the source voxel that becomes (0, 0, 0)
  from.forEach((axis, out) => (corner[axis] = flipped[out] ? volume.shape[axis] - 1 : 0));
  const affine = [...shiftedTo(volume.affine, corner)];
  for (let row = 0; row < 3; row++)
    for (let out = 0; out < 3; out++) {
      const step = volume.affine[4 * row + from[out]];
      affine[4 * row + out] = flipped[out] && step !== 0 ? -step : step;
    }
  return { shape, affine, data: permuted(volume, from, flipped, shape) };
}

/** The image in RAS+ order (i to the right, j to the front, k upwards), or the nearest to it for an oblique image. */
export function toRas<T extends VoxelArray>(volume: Volume<T>): Volume<T> {
  return reorient(volume, 'RAS');
}

function permuted<T extends VoxelArray>(
  volume: Volume<T>,
  from: readonly number[],
  flipped: readonly boolean[],
  shape: Shape3,
): T {
  const strides: Triple = [1, volume.shape[0], volume.shape[0] * volume.shape[1]];
  const step = from.map((axis, out) => (flipped[out] ? -strides[axis] : strides[axis]));
  let start = 0;
  from.forEach((axis, out) => {
    if (flipped[out]) start += strides[axis] * (volume.shape[axis] - 1);
  });
  const source = volume.data;
  const data = zerosLike(source, voxelCount(shape));
  const [ni, nj, nk] = shape;
  const [si, sj, sk] = step;
  let out = 0;
  for (let k = 0; k < nk; k++)
    for (let j = 0; j < nj; j++) {
      let at = start + j * sj + k * sk;
      for (let i = 0; i < ni; i++, at += si) data[out++] = source[at];
    }
  return data;
}
