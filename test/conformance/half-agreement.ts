import type { Results } from './engine-results';

// What half precision may differ from single precision on the same GPU.

/**
 * The kernels round what they multiply to half precision, by at most 2^-11, and add four products in it. What flows forward
 * is smooth in that, and normalised again in every layer: errors stay a few times 2^-11.
 */
export const SMOOTH = 4 * 2 ** -11;

/**
 * What flows backward is not: near 0 such an error opens or closes a rectifier, about one in a thousand in every layer, and
 * there the gradient is another one. Independent of each other in so many layers they make a difference of this length.
 */
export const throughRectifiers = (layers: number): number => Math.sqrt(layers * 2 ** -10);

export const LAYERS: Readonly<Record<string, number>> = {
  resnet10: 10,
  resnet18: 18,
  resnet34: 34,
  resnet50: 50,
};

/** Gradients of few positions are large: 2^16 would have them overflow. */
export const LOSS_SCALE = 2 ** 8;

interface Pair {
  readonly values: Float32Array;
  readonly expected: Float32Array;
}

/** All tensors of a group, beside what they should be. */
export function pairs(results: Results, reference: Results, group: string): Pair[] {
  return [...reference].flatMap(([name, expected]) =>
    name.startsWith(`${group}/`) ? [{ values: results.get(name) as Float32Array, expected }] : [],
  );
}

const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0));

/** Root mean square over tensors of the length of each one's difference, as a share of its own length. NaN where a number is none. */
export function lengthApart(of: readonly Pair[]): number {
  const shares = of.map(({ values, expected }) => {
    const difference = norm(values.map((value, i) => value - expected[i]));
    return difference === 0 ? 0 : difference / norm(expected);
  });
  return Math.sqrt(shares.reduce((sum, share) => sum + share ** 2, 0) / shares.length);
}

/** The largest difference, as a share of the largest value of its tensor. */
export function mostApart(of: readonly Pair[]): number {
  const largest = (values: Float32Array) => values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  return Math.max(
    ...of.map(({ values, expected }) => {
      const difference = largest(values.map((value, i) => value - expected[i]));
      return difference === 0 ? 0 : difference / largest(expected);
    }),
  );
}
