import { describe, expect, it } from 'vitest';
import { Random } from '../../../src/core/random';
import {
  affineFromSpacing,
  IDENTITY,
  invert,
  multiply,
  transformPoint,
} from '../../../src/core/volume/affine';
import { gridCentre, isotropicGrid } from '../../../src/core/volume/grid';
import { otsuThreshold } from '../../../src/core/volume/head-mask';
import { percentiles } from '../../../src/core/volume/intensity';
import { fillHoles, largestComponent } from '../../../src/core/volume/mask';
import { resample } from '../../../src/core/volume/resample';
import { gaussianSmooth } from '../../../src/core/volume/smoothing';
import type { Affine, Grid, Mask, Shape3, Volume } from '../../../src/core/volume/volume';
import { havePython, python } from '../../peers';

const missing =
  havePython('scipy') && havePython('numpy')
    ? ''
    : ' (skipped: python3-scipy or python3-numpy is not installed)';

function peer<T>(code: string, input: unknown): T {
  const prologue = 'import sys, json, numpy as np, scipy.ndimage as nd\nd = json.load(sys.stdin)\n';
  return JSON.parse(python(prologue + code, [], JSON.stringify(input))) as T;
}

function expectClose(actual: ArrayLike<number>, expected: readonly number[], tolerance: number): void {
  expect(actual.length).toBe(expected.length);
  let worst = 0;
  for (let at = 0; at < expected.length; at++) worst = Math.max(worst, Math.abs(actual[at] - expected[at]));
  expect(worst).toBeLessThanOrEqual(tolerance);
}

function noise(random: Random, { shape, affine }: Grid): Volume {
  const data = Float32Array.from({ length: shape[0] * shape[1] * shape[2] }, () => random.uniform(-1, 1));
  return { shape, affine, data };
}

/** An oblique grid, half of them left-handed, whose middle lies within 3 mm of 0. */
function obliqueGrid(random: Random, shape: Shape3, zoom: number): Grid {
  const angle = (n: number): Affine => {
    const t = random.uniform(-0.6, 0.6);
    const rows = [...IDENTITY];
    const [p, q] = [0, 1, 2].filter((axis) => axis !== n);
    rows[4 * p + p] = rows[4 * q + q] = Math.cos(t);
    rows[4 * p + q] = -Math.sin(t);
    rows[4 * q + p] = Math.sin(t);
    return rows;
  };
  const zooms = [...IDENTITY];
  for (const at of [0, 5, 10]) zooms[at] = zoom * random.uniform(0.6, 1.5) * (random.chance(0.5) ? 1 : -1);
  const turned = [...multiply(multiply(multiply(angle(0), angle(1)), angle(2)), zooms)];
  const middle = transformPoint(turned, gridCentre(shape));
  [3, 7, 11].forEach((at, axis) => (turned[at] = random.uniform(-3, 3) - middle[axis]));
  return { shape, affine: turned };
}

const coordinates = `
m = np.array(d['m']).reshape(4, 4)
shape = d['shape']
grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing='ij')).reshape(3, -1).astype(float)
at = m[:3, :3] @ grid + m[:3, 3:]
source = np.array(d['data']).reshape(d['from'], order='F')
`;

describe('scipy.ndimage and we agree', () => {
  it.skipIf(missing)(`on trilinear and nearest resampling between any two affines${missing}`, () => {
    const random = Random.seeded(11);
    for (let n = 0; n < 8; n++) {
      const source = noise(random, obliqueGrid(random, [7 + n, 9, 6], 1.3));
      const grid = obliqueGrid(random, [11, 8, 9 + n], 0.9);
      const expected = peer<{ linear: number[]; nearest: number[]; inside: number[]; constant: number[] }>(
        `${coordinates}
f = lambda o, mode: nd.map_coordinates(source, at, order=o, mode=mode, cval=0).reshape(shape).ravel('F').tolist()
inside = np.all((at >= 0) & (at <= np.array(d['from'])[:, None] - 1), axis=0).reshape(shape).ravel('F')
print(json.dumps(dict(linear=f(1, 'grid-constant'), nearest=f(0, 'grid-constant'), constant=f(1, 'constant'), inside=inside.astype(int).tolist())))`,
        {
          m: multiply(invert(source.affine), grid.affine),
          shape: grid.shape,
          from: source.shape,
          data: [...source.data],
        },
      );
      const linear = resample(source, grid, 'trilinear').data;
      expectClose(linear, expected.linear, 1e-6);
      expectClose(resample(source, grid, 'nearest').data, expected.nearest, 1e-7);
      // Between the outermost voxels' centres the border rule does not matter.
      const between = expected.inside.flatMap((yes, voxel) => (yes ? [voxel] : []));
      expect(between.length).toBeGreaterThan(20);
      expectClose(
        between.map((voxel) => linear[voxel]),
        between.map((voxel) => expected.constant[voxel]),
        1e-6,
      );
    }
  });

  it.skipIf(missing)(`on Gaussian smoothing, also where the kernel is wider than the image${missing}`, () => {
    const random = Random.seeded(12);
    const volume = noise(random, { shape: [9, 7, 5], affine: IDENTITY });
    for (const sigma of [
      [0.8, 1.7, 0],
      [0, 0.4, 2.5],
      [3.2, 0, 1],
    ] as const) {
      const expected = peer<number[]>(
        `v = np.array(d['data']).reshape(d['shape'], order='F')
print(json.dumps(nd.gaussian_filter(v, d['sigma'], mode='nearest', truncate=4).ravel('F').tolist()))`,
        { data: [...volume.data], shape: volume.shape, sigma },
      );
      expectClose(gaussianSmooth(volume, sigma).data, expected, 1e-6);
    }
  });

  it.skipIf(missing)(`on smoothing before an image is made coarser${missing}`, () => {
    const volume = noise(Random.seeded(13), { shape: [24, 20, 12], affine: affineFromSpacing([1, 1, 2]) });
    const grid = isotropicGrid(volume, 3);
    const expected = peer<number[]>(
      `${coordinates}
# ratios 3, 3 and 1.5: the third axis is not smoothed, 1.5 being the limit
s = np.sqrt(3 ** 2 - 1) / (2 * np.sqrt(2 * np.log(2)))
v = nd.gaussian_filter(source, (s, s, 0), mode='nearest', truncate=4)
print(json.dumps(nd.map_coordinates(v, at, order=1, mode='grid-constant').reshape(shape).ravel('F').tolist()))`,
      {
        m: multiply(invert(volume.affine), grid.affine),
        shape: grid.shape,
        from: volume.shape,
        data: [...volume.data],
      },
    );
    expectClose(resample(volume, grid, 'trilinear', { antialias: true }).data, expected, 1e-6);
  });

  it.skipIf(missing)(`on percentiles${missing}`, () => {
    const random = Random.seeded(14);
    const data = Float32Array.from({ length: 1001 }, () => random.normal(3, 10));
    const at = [0, 0.1, 1, 25, 33.3, 50, 99, 99.95, 100];
    const expected = peer<number[]>(
      `print(json.dumps(np.percentile(np.array(d['data']), d['at']).tolist()))`,
      {
        data: [...data],
        at,
      },
    );
    expectClose(percentiles(data, at), expected, 1e-9);
  });

  it.skipIf(missing)(`on the largest component and on filled holes${missing}`, () => {
    const random = Random.seeded(15);
    for (const density of [0.25, 0.35, 0.6, 0.8]) {
      const shape = [9, 8, 10] as const;
      const data = Uint8Array.from({ length: 720 }, () => (random.chance(density) ? 1 : 0));
      const mask: Mask = { shape, affine: IDENTITY, data };
      const expected = peer<{ sizes: number[]; labels: number[]; filled: number[] }>(
        `v = np.array(d['data']).reshape(d['shape'], order='F')
l, n = nd.label(v)
print(json.dumps(dict(labels=l.ravel('F').tolist(), sizes=np.bincount(l.ravel())[1:].tolist(),
    filled=nd.binary_fill_holes(v).astype(int).ravel('F').tolist())))`,
        { data: [...data], shape },
      );
      const largest = largestComponent(mask).data;
      const labels = new Set(expected.labels.filter((_, voxel) => largest[voxel] === 1));
      expect(labels.size).toBe(1);
      const size = largest.reduce((sum, value) => sum + value, 0);
      expect(size).toBe(Math.max(...expected.sizes));
      expect([...fillHoles(mask).data]).toEqual(expected.filled);
    }
  });

  it.skipIf(missing)(`on Otsu's threshold, by the definition over all 255 cuts${missing}`, () => {
    const random = Random.seeded(16);
    const data = Float32Array.from({ length: 4000 }, () =>
      random.chance(0.6) ? Math.abs(random.normal(0, 20)) : random.normal(250, 60),
    );
    const expected = peer<number>(
      `x = np.array(d)
h, edges = np.histogram(x, 256)
c = np.arange(256)
def between(t):
    a, b = h[:t].sum(), h[t:].sum()
    return -1 if a == 0 or b == 0 else a * b * ((h[:t] * c[:t]).sum() / a - (h[t:] * c[t:]).sum() / b) ** 2
print(json.dumps(edges[max(range(1, 256), key=between)]))`,
      [...data],
    );
    expect(otsuThreshold(data)).toBeCloseTo(expected, 3);
  });
});
