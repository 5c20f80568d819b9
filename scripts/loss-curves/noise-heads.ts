import { Random } from '../../src/core/random';
import type { Sample } from '../../src/core/train/sample';

/** What heads of noise are like: voxels of a side each, and how large the patients' block is. */
export interface NoiseHeads {
  readonly sides: readonly [number, number, number];
  /** Side of the block that is one standard deviation brighter. */
  readonly block: number;
  /** The block keeps this far from every face. */
  readonly margin: number;
}

/**
 * Heads of noise, the same for every training seed and engine; every second one, a patient's, has a faint bright block at
 * a place of its own, so that there is something to learn for long.
 */
export function noiseHeads(count: number, first: number, { sides, block, margin }: NoiseHeads): Sample[] {
  const [, high, wide] = sides;
  return Array.from({ length: count }, (_, n) => {
    const random = Random.seeded(first + n, 'head');
    const label = (n % 2) as 0 | 1;
    const data = Float32Array.from({ length: sides[0] * high * wide }, () => random.normal());
    const [d0, h0, w0] = sides.map((side) => margin + random.integer(side - block - 2 * margin + 1));
    if (label === 1)
      for (let d = d0; d < d0 + block; d++)
        for (let h = h0; h < h0 + block; h++)
          for (let w = w0; w < w0 + block; w++) data[(d * high + h) * wide + w] += 1;
    const name = `h${first + n}`;
    return { participantId: name, source: name, label, data, shape: [...sides, 1] };
  });
}
