import { describe, expect, it } from 'vitest';
import { coarsen, coarsenLabels, maskOfVolume } from '../../../src/core/cohort/plant/coarsen';
import { drawFunnel, funnelRadii, nearestVoxel } from '../../../src/core/cohort/plant/funnel';
import { growLesion, softEdge } from '../../../src/core/cohort/plant/lesion-growth';
import { drawLesionSigns, SIGN_RANGES } from '../../../src/core/cohort/plant/lesion-signs';
import { smoothNoise } from '../../../src/core/cohort/plant/smooth-noise';
import { Random } from '../../../src/core/random';
import type { Shape3 } from '../../../src/core/volume/volume';

const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;

describe('the signs of a lesion', () => {
  const random = Random.seeded(1);
  const drawn = Array.from({ length: 4000 }, () => drawLesionSigns(random, 0.5));

  it('has a volume from 1 to 30 ml, log-uniform: half of them below the geometric mean of 5.5 ml', () => {
    const volumes = drawn.map(({ volumeMl }) => volumeMl);
    expect(Math.min(...volumes)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...volumes)).toBeLessThanOrEqual(30);
    expect(volumes.filter((volume) => volume < Math.sqrt(30)).length / 4000).toBeCloseTo(0.5, 1);
  });

  it('lies frontally in 55 of 85, then parietally; 40 % have a funnel', () => {
    const share = (lobe: string): number => drawn.filter((one) => one.lobe === lobe).length / 4000;
    expect(Math.abs(share('frontal') - 55 / 85)).toBeLessThan(0.03);
    expect(Math.abs(share('parietal') - 15 / 85)).toBeLessThan(0.03);
    expect(share('temporal')).toBeGreaterThan(share('occipital'));
    expect(share('insular')).toBeGreaterThan(0);
    const funnels = drawn.filter(({ transmantle }) => transmantle).length / 4000;
    expect(Math.abs(funnels - 0.4)).toBeLessThan(0.03);
  });

  it('stays in the published ranges at difficulty 0.5', () => {
    for (const { thickeningMm, hyperintensity, contrastLoss } of drawn) {
      if (thickeningMm < 2 || thickeningMm > 4) throw new Error(`thickening ${thickeningMm}`);
      if (hyperintensity < 0.1 || hyperintensity > 0.3) throw new Error(`hyperintensity ${hyperintensity}`);
      expect(contrastLoss).toBe(SIGN_RANGES.contrastLoss);
    }
  });

  it('is the same lesion at every difficulty, but for its brightness: double at 0, none at 1', () => {
    const [easy, usual, hard] = [0, 0.5, 1].map((difficulty) =>
      drawLesionSigns(Random.seeded(7), difficulty),
    );
    expect(easy).toEqual({ ...usual, hyperintensity: 2 * usual.hyperintensity, contrastLoss: 0.2 });
    expect(hard).toEqual({ ...usual, hyperintensity: 0, contrastLoss: 0 });
    expect(() => drawLesionSigns(Random.seeded(7), NaN)).toThrow(/Difficulty is NaN/);
  });
});

describe('growth of a lesion', () => {
  const shape: Shape3 = [21, 21, 21];
  const flat = new Float32Array(21 ** 3);
  const voxel = (i: number, j: number, k: number): number => i + 21 * (j + 21 * k);
  const base = { shape, spacing: 2, seed: voxel(10, 10, 10), rim: 2, roughness: flat };

  it('grows evenly in even tissue, first to the six neighbours, then along edges', () => {
    const all = { ...base, passable: () => true, alterable: () => true };
    const growth = growLesion({ ...all, count: 1 });
    expect(growth.radius).toBe(0);
    expect([...growth.voxels.slice(0, 7)].sort((a, b) => a - b)).toEqual(
      [
        voxel(10, 10, 9),
        voxel(10, 9, 10),
        voxel(9, 10, 10),
        voxel(10, 10, 10),
        voxel(11, 10, 10),
        voxel(10, 11, 10),
        voxel(10, 10, 11),
      ].sort((a, b) => a - b),
    );
    expect([...growth.reach]).toEqual([0, 2, 2, 2, 2, 2, 2]);
    const more = growLesion({ ...all, count: 19 });
    expect(more.radius).toBeCloseTo(2 * Math.SQRT2, 10);
  });

  it('goes round what it may not pass, and never jumps over it', () => {
    const wall = (v: number): boolean => v % 21 !== 12;
    const growth = growLesion({ ...base, count: 9999, passable: wall, alterable: () => true });
    expect(growth.voxels).toHaveLength(12 * 21 * 21);
    expect(growth.voxels.every((v) => v % 21 < 12)).toBe(true);
    // With a gap in the wall the other side is reached through the gap: 2 x 5 + 2 x 5 steps of 2 mm and more.
    const gap = voxel(12, 20, 10);
    const through = growLesion({
      ...base,
      count: 9999,
      passable: (v) => wall(v) || v === gap,
      alterable: () => true,
    });
    const at = through.voxels.indexOf(voxel(14, 10, 10));
    expect(through.reach[at]).toBeCloseTo(2 * (2 * 2 * Math.SQRT2 + 16), 5);
  });

  it('counts only what it would alter, and lists the soft rim beyond', () => {
    const odd = (v: number): boolean => v % 2 === 1;
    const growth = growLesion({ ...base, count: 100, passable: () => true, alterable: odd });
    const inside = [...growth.voxels].filter((v, n) => odd(v) && growth.reach[n] < growth.radius);
    expect(inside.length).toBeLessThan(100);
    const upTo = [...growth.voxels].filter((v, n) => odd(v) && growth.reach[n] <= growth.radius);
    expect(upTo.length).toBeGreaterThanOrEqual(100);
    const last = growth.reach[growth.reach.length - 1];
    expect(last).toBeGreaterThan(growth.radius + 1);
    expect(last).toBeLessThanOrEqual(growth.radius + 2);
  });

  it('fades over the rim: half at the radius', () => {
    expect([0, 8, 9, 10, 11, 12, 20].map((reach) => softEdge(reach, 10, 2))).toEqual([
      1, 1, 0.75, 0.5, 0.25, 0, 0,
    ]);
  });
});

describe('the funnel', () => {
  it('has the volume of a cone frustum and lies between its ends', () => {
    const shape: Shape3 = [40, 40, 60];
    const from = 20 + 40 * (20 + 40 * 5);
    const to = 20 + 40 * (20 + 40 * 45);
    const { voxels, cover } = drawFunnel(shape, 1, from, to, [5, 1.5], () => true);
    const volume = cover.reduce((sum, share) => sum + share, 0);
    // pi h (R^2 + R r + r^2) / 3 with h = 40 mm and half a voxel more at both ends
    expect(volume / ((Math.PI * 41 * (25 + 7.5 + 2.25)) / 3)).toBeCloseTo(1, 1);
    for (const v of voxels) {
      const k = Math.floor(v / 1600);
      if (k < 5 || k > 45) throw new Error(`voxel in slice ${k}`);
    }
    expect(drawFunnel(shape, 1, from, to, [5, 1.5], (v) => v === from).voxels).toEqual(Int32Array.of(from));
  });

  it('is 5 mm wide at the cortex for lesions that can hold it, thinner for small ones', () => {
    expect(funnelRadii(10)).toEqual([5, 1.5]);
    expect(funnelRadii(1)[0]).toBeCloseTo(0.6 * 6.2035, 3);
  });

  it('leads to the nearest candidate', () => {
    expect(nearestVoxel([10, 10, 10], 555, Int32Array.of(0, 557, 999))).toBe(557);
    expect(nearestVoxel([10, 10, 10], 555, Int32Array.of())).toBeUndefined();
  });
});

describe('smooth noise', () => {
  const shape: Shape3 = [40, 36, 44];

  it('has mean 0 and standard deviation 1, and the same values for the same seed', () => {
    const field = smoothNoise(shape, 2.5, Random.seeded(3));
    const average = mean(field);
    expect(Math.abs(average)).toBeLessThan(0.05);
    expect(Math.abs(Math.sqrt(mean(field.map((value) => (value - average) ** 2))) - 1)).toBeLessThan(0.05);
    expect(smoothNoise(shape, 2.5, Random.seeded(3))).toEqual(field);
    expect(smoothNoise(shape, 2.5, Random.seeded(4))).not.toEqual(field);
  });

  it('is smooth on the scale of its lattice: neighbours differ little, voxels three cells apart are unrelated', () => {
    const field = smoothNoise(shape, 10, Random.seeded(5));
    const fine = smoothNoise(shape, 2, Random.seeded(5));
    const step = (data: Float32Array, by: number): number =>
      mean(data.slice(0, -by).map((value, v) => (data[v + by] - value) ** 2));
    const along = 40 * 36; // k, so that rows do not wrap
    expect(step(field, along)).toBeLessThan(0.05);
    expect(step(fine, along)).toBeGreaterThan(5 * step(field, along));
    expect(step(fine, 8 * along)).toBeGreaterThan(1.6);
  });
});

describe('a coarser grid', () => {
  it('averages what each new voxel covers (by hand: 4 voxels to 3)', () => {
    expect([...coarsen(Float32Array.of(0, 4, 0, 0), [4, 1, 1], [3, 1, 1])].map((x) => +x.toFixed(5))).toEqual(
      [1, 2, 0],
    );
    expect([...coarsen(Float32Array.of(1, 3, 5, 7), [1, 2, 2], [1, 1, 2])]).toEqual([2, 6]);
  });

  it('keeps the mean in 3D, whatever the ratio, and the image where nothing changes', () => {
    const random = Random.seeded(2);
    const data = Float32Array.from({ length: 16 * 20 * 12 }, () => random.uniform());
    const coarse = coarsen(data, [16, 20, 12], [12, 15, 9]);
    expect(coarse).toHaveLength(12 * 15 * 9);
    expect(mean(coarse)).toBeCloseTo(mean(data), 6);
    expect(coarsen(data, [16, 20, 12], [16, 20, 12])).toBe(data);
  });

  it('takes the label at the centre', () => {
    expect([...coarsenLabels(Uint8Array.of(1, 2, 3, 4), [4, 1, 1], [3, 1, 1])]).toEqual([1, 3, 4]);
  });

  it('makes masks of the wanted volume from the voxels covered most', () => {
    const share = Float32Array.of(0.2, 0.9, 0, 0.4, 0.4);
    expect([...maskOfVolume(share, 2)]).toEqual([0, 1, 0, 1, 0]);
    expect([...maskOfVolume(share, 9)]).toEqual([1, 1, 0, 1, 1]);
  });
});
