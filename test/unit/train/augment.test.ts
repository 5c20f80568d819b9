import { describe, expect, it } from 'vitest';
import { augment, augmentLabelled, type SampleShape } from '../../../src/core/train/augment';
import { Random } from '../../../src/core/random';

const shape: SampleShape = [5, 6, 7, 1];
const still = { rotation: 0, scale: 0, flip: false, intensity: 0, noise: 0 };
const ramp = Float32Array.from({ length: 5 * 6 * 7 }, (_, i) => i + 1);

describe('augment', () => {
  it('changes nothing when nothing is asked for', () => {
    expect(augment(ramp, shape, still, 0, Random.seeded(1))).toEqual(ramp);
  });

  it('repeats itself for the same random stream and differs for another', () => {
    const config = { rotation: 15, scale: 0.1, flip: true, intensity: 0.1, noise: 0.1 };
    const draw = (seed: number) => augment(ramp, shape, config, 0, Random.seeded(seed));
    expect(draw(4)).toEqual(draw(4));
    expect(draw(4)).not.toEqual(draw(5));
  });

  it.each([
    [0 as const, 'D', (d: number, h: number, w: number) => [4 - d, h, w]],
    [2 as const, 'W', (d: number, h: number, w: number) => [d, h, 6 - w]],
  ])('mirrors along axis %i (%s), exactly, in about half of the draws', (axis, _, mirrored) => {
    let flips = 0;
    for (let seed = 0; seed < 40; seed++) {
      const out = augment(ramp, shape, { ...still, flip: true }, axis, Random.seeded(seed));
      if (out[0] === ramp[0]) {
        expect(out).toEqual(ramp);
        continue;
      }
      flips++;
      for (let d = 0; d < 5; d++)
        for (let h = 0; h < 6; h++)
          for (let w = 0; w < 7; w++) {
            const [a, b, c] = mirrored(d, h, w);
            expect(out[(d * 6 + h) * 7 + w]).toBe(ramp[(a * 6 + b) * 7 + c]);
          }
    }
    expect(flips).toBeGreaterThan(10);
    expect(flips).toBeLessThan(30);
  });

  it('turns a line about the centre by at most the angle asked for and keeps its mass', () => {
    const size: SampleShape = [21, 21, 21, 1];
    const bar = new Float32Array(21 ** 3);
    for (let d = 4; d < 17; d++) bar[(d * 21 + 10) * 21 + 10] = 1;
    const out = augment(bar, size, { ...still, rotation: 15 }, 0, Random.seeded(11));
    const mass = out.reduce((a, b) => a + b, 0);
    expect(mass).toBeGreaterThan(11.5);
    expect(mass).toBeLessThan(14.5);
    let second = 0;
    for (let i = 0; i < out.length; i++) {
      const h = (Math.floor(i / 21) % 21) - 10;
      const w = (i % 21) - 10;
      second = Math.max(second, out[i] > 0.05 ? Math.hypot(h, w) : 0);
    }
    // 6 voxels from the centre, turned by at most 15 degrees about two axes, plus interpolation.
    expect(second).toBeGreaterThan(0);
    expect(second).toBeLessThanOrEqual(6 * Math.sin((22 * Math.PI) / 180) + 1.5);
  });

  it('keeps channels together', () => {
    const two = new Float32Array(2 * ramp.length);
    ramp.forEach((value, i) => {
      two[2 * i] = value;
      two[2 * i + 1] = -value;
    });
    const out = augment(
      two,
      [5, 6, 7, 2],
      { ...still, rotation: 10, scale: 0.1, flip: true },
      0,
      Random.seeded(3),
    );
    for (let i = 0; i < ramp.length; i++) expect(out[2 * i]).toBeCloseTo(-out[2 * i + 1], 4);
  });

  it('moves what voxels are together with what they show', () => {
    // A block of one structure, as bright as it is: where both are moved alike, bright is where the structure is.
    const size: SampleShape = [16, 18, 14, 1];
    const codes = new Uint16Array(16 * 18 * 14);
    for (let d = 3; d < 9; d++)
      for (let h = 5; h < 13; h++) for (let w = 4; w < 10; w++) codes[(d * 18 + h) * 14 + w] = 1;
    const data = Float32Array.from(codes);
    const config = { ...still, rotation: 20, scale: 0.1, flip: true };
    for (let seed = 0; seed < 10; seed++) {
      const moved = augmentLabelled(data, codes, size, config, 0, Random.seeded(seed));
      expect(moved.data).toEqual(augment(data, size, config, 0, Random.seeded(seed)));
      let agree = 0;
      let both = 0;
      moved.data.forEach((value, at) => {
        const bright = value > 0.5;
        const there = moved.codes[at] === 1;
        if (bright && there) both++;
        if (bright || there) agree++;
      });
      expect(both / agree).toBeGreaterThan(0.9);
    }
    const same = augmentLabelled(data, codes, size, still, 0, Random.seeded(1));
    expect([same.data, same.codes]).toEqual([data, codes]);
  });

  it('leaves the background exactly zero', () => {
    const data = ramp.map((value, i) => (i % 3 === 0 ? 0 : value));
    const out = augment(data, shape, { ...still, intensity: 0.3, noise: 0.5 }, 0, Random.seeded(2));
    data.forEach((value, i) => expect(out[i] === 0).toBe(value === 0));
  });
});
