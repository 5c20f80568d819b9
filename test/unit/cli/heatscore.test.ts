import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeNifti } from '../../../src/core/volume/nifti-write';
import type { Affine, Shape3 } from '../../../src/core/volume/volume';
import { fcd, fcdJson, scratchFolder } from './run-fcd';

const folder = scratchFolder();
/** Voxels of 2 mm around the scanner's origin: the grid is its own mirror image. */
const shape: Shape3 = [8, 6, 4];
const affine: Affine = [2, 0, 0, -7, 0, 2, 0, -5, 0, 0, 2, -3, 0, 0, 0, 1];

/** A file whose voxel (i, j, k) holds what the function gives. */
async function file(name: string, of: (i: number, j: number, k: number) => number): Promise<string> {
  const data = new Float32Array(shape[0] * shape[1] * shape[2]);
  for (let k = 0, at = 0; k < shape[2]; k++)
    for (let j = 0; j < shape[1]; j++) for (let i = 0; i < shape[0]; i++) data[at++] = of(i, j, k);
  const path = join(folder, `${name}.nii.gz`);
  await writeNifti(path, { data, shape, affine });
  return path;
}

let cam: string;
let zero: string;
let roi: string;
let brain: string;
let head: string;
let other: string;

beforeAll(async () => {
  // 4 in the 4 voxels of the lesion, 1 in the rest of the brain's left half, 0 in its right half.
  cam = await file('cam', (i, j, k) => (i < 2 && j === 2 && k < 2 ? 4 : i < 4 && j < 4 ? 1 : 0));
  zero = await file('zero', () => 0);
  roi = await file('roi', (i, j, k) => (i < 2 && j === 2 && k < 2 ? 1 : 0));
  brain = await file('brain', (_i, j) => (j < 4 ? 1 : 0));
  head = await file('head', (_i, j) => (j < 5 ? 1 : 0));
  other = await file('other', (i, j, k) => (i === 3 && j === 0 && k === 0 ? 1 : 0));
});

interface Said {
  readonly scores: readonly { readonly variant: string; readonly score: number | null }[];
  readonly null: {
    readonly scores: readonly {
      readonly kind: string;
      readonly from: string;
      readonly score: number | null;
    }[];
    readonly summary: { readonly n: number; readonly p95: number } | null;
    readonly exceeds: boolean;
  };
  readonly companions: Readonly<Record<string, unknown>>;
  readonly flags: readonly string[];
}
const heatscore = async (...args: string[]): Promise<Said> => (await fcdJson(['heatscore', ...args])) as Said;
const scoresOf = (said: Said): Record<string, number | null> =>
  Object.fromEntries(said.scores.map(({ variant, score }) => [variant, score]));

describe('fcd heatscore', () => {
  // By hand: the brain has 8 x 4 x 4 = 128 voxels and a heat of 4 x 4 + 60 x 1 = 76; the head has 160, the grid 192.
  it('gives every variant of the score by its definition, roi/head with a head mask', async () => {
    const said = await heatscore('--cam', cam, '--roi', roi, '--brain', brain, '--head', head);
    const scores = scoresOf(said);
    expect(Object.keys(scores)).toEqual(['roi/brain', 'roi/outside', 'roi/head', 'roi/grid', 'z']);
    expect(scores['roi/brain']).toBeCloseTo(4 / (76 / 128), 6);
    expect(scores['roi/outside']).toBeCloseTo(4 / (60 / 124), 6);
    expect(scores['roi/head']).toBeCloseTo(4 / (76 / 160), 6);
    expect(scores['roi/grid']).toBeCloseTo(4 / (76 / 192), 6);
    const mean = 76 / 128;
    const sd = Math.sqrt((4 * 16 + 60) / 128 - mean * mean);
    expect(scores.z).toBeCloseTo((4 - mean) / sd, 6);
    expect(said.companions).toMatchObject({ pointing: true, pointing5mm: true });
    expect(said.companions.massFraction).toBeCloseTo(16 / 76, 6);
    expect(said.companions.volumeFraction).toBeCloseTo(4 / 128, 6);
    expect(said.companions.auroc).toBeCloseTo(1, 6);
  });

  it('gives one variant where one is asked for, and says what it would need', async () => {
    const said = await heatscore('--cam', cam, '--roi', roi, '--brain', brain, '--variant', 'z');
    expect(said.scores.map(({ variant }) => variant)).toEqual(['z']);
    const { code, stderr } = await fcd(['heatscore', '--cam', cam, '--roi', roi, '--variant', 'roi/head']);
    expect(code).toBe(1);
    expect(stderr).toContain('The Heat-Score roi/head needs a head mask, and none was given.');
    expect((await fcd(['heatscore', '--cam', cam, '--roi', roi, '--variant', 'roi'])).code).toBe(2);
  });

  it('takes the whole grid without a mask, and says that this makes the score too good', async () => {
    const { stdout } = await fcd(['heatscore', '--cam', cam, '--roi', roi]);
    expect(stdout).toMatch(/the whole grid .*air makes the score too good/);
    const scores = scoresOf(await heatscore('--cam', cam, '--roi', roi));
    expect(scores['roi/brain']).toBe(scores['roi/grid']);
  });

  it('sets the null beside the score: the lesion mirrored, and the masks of other patients', async () => {
    const alone = await heatscore('--cam', cam, '--roi', roi, '--brain', brain);
    // Mirrored, the lesion lies where there is no heat.
    expect(alone.null.scores).toEqual([{ kind: 'mirrored', from: 'own mask', score: 0 }]);
    expect(alone.null.exceeds).toBe(true);
    const said = await heatscore('--cam', cam, '--roi', roi, '--brain', brain, '--null', other, roi);
    expect(said.null.scores.map(({ kind, from }) => [kind, from])).toEqual([
      ['mirrored', 'own mask'],
      ['other-mask', other],
      ['other-mask', roi],
    ]);
    expect(said.null.scores[1].score).toBeCloseTo(1 / (76 / 128), 6);
    expect(said.null.scores[2].score).toBeCloseTo(4 / (76 / 128), 6);
    expect(said.null.summary?.n).toBe(3);
    const { code, stderr } = await fcd(['heatscore', '--cam', cam, '--roi', roi, '--null', zero]);
    expect(code).toBe(1);
    expect(stderr).toContain(`--null ${zero} has no voxel on the grid of the map`);
  });

  it('has no score of a map that is zero everywhere: null, and a flag', async () => {
    const said = await heatscore('--cam', zero, '--roi', roi, '--brain', brain, '--head', head);
    expect(Object.values(scoresOf(said))).toEqual([null, null, null, null, null]);
    expect(said.flags).toContain('all-zero-map');
    expect(said.null.exceeds).toBe(false);
  });

  it.each([
    ['an empty lesion mask', () => ['--cam', cam, '--roi', zero], () => zero, /is empty/],
    [
      'a lesion outside of the brain',
      () => ['--cam', cam, '--roi', other, '--brain', roi],
      () => other,
      /outside/,
    ],
  ])('refuses %s', async (_, args, name, saying) => {
    const { code, stdout, stderr } = await fcd(['heatscore', ...args(), '--json']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(name());
    expect(stderr).toMatch(saying);
  });
});
