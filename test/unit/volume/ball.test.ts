import { describe, expect, it } from 'vitest';
import { Random } from '../../../src/core/random';
import { affineFromSpacing } from '../../../src/core/volume/affine';
import { dilated, eroded } from '../../../src/core/volume/mask';
import type { Mask } from '../../../src/core/volume/volume';

const shape = [9, 8, 7] as const;
const sizes = [1, 2, 1.5] as const;

function blobs(seed: number, share: number): Mask {
  const random = Random.seeded(seed);
  const data = Uint8Array.from({ length: 9 * 8 * 7 }, () => (random.chance(share) ? 1 : 0));
  return { shape, affine: affineFromSpacing(sizes), data };
}

/** By the definition: every voxel against every other; what lies beyond the grid is 0. */
function byHand(mask: Mask, radius: number, what: 'dilated' | 'eroded'): Uint8Array {
  const reach = sizes.map((size) => Math.ceil(radius / size));
  return mask.data.map((_, v) => {
    const at = [v % 9, Math.floor(v / 9) % 8, Math.floor(v / 72)];
    let most = 0;
    let least = 1;
    for (let k = -reach[2]; k <= reach[2]; k++)
      for (let j = -reach[1]; j <= reach[1]; j++)
        for (let i = -reach[0]; i <= reach[0]; i++) {
          if (Math.hypot(i * sizes[0], j * sizes[1], k * sizes[2]) > radius) continue;
          const [x, y, z] = [at[0] + i, at[1] + j, at[2] + k];
          const inGrid = x >= 0 && y >= 0 && z >= 0 && x < 9 && y < 8 && z < 7;
          const value = inGrid ? mask.data[x + 9 * y + 72 * z] : 0;
          most = Math.max(most, value);
          least = Math.min(least, value);
        }
    return what === 'dilated' ? most : least;
  });
}

describe('a mask and a ball in mm', () => {
  it.each([0.5, 1, 2, 2.5, 4])('of radius %d: dilated and eroded as the definition has it', (radius) => {
    for (const share of [0.05, 0.5, 0.97]) {
      const mask = blobs(radius * 10, share);
      expect(dilated(mask, radius).data).toEqual(byHand(mask, radius, 'dilated'));
      expect(eroded(mask, radius).data).toEqual(byHand(mask, radius, 'eroded'));
    }
  });
});
