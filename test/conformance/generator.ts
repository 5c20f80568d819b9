import type { Case } from './cases';

/**
 * Float32 values in [low, high) that depend on the name and the element's number alone: torch_peer.py has the same
 * generator, so that weights of any size need not be stored.
 */
export function uniform(name: string, size: number, low: number, high: number): Float32Array {
  let seed = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 0x01000193);
  const values = new Float32Array(size);
  const span = high - low;
  for (let i = 0; i < size; i++) {
    let x = Math.imul(i, 0x9e3779b9) ^ seed;
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    values[i] = low + span * (((x ^ (x >>> 16)) >>> 8) * 2 ** -24);
  }
  return values;
}

/** Values of one tensor of a network, in PyTorch's layout; torch_peer.py says why they are as they are. */
export function parameter(given: Case, name: string, shape: readonly number[]): Float32Array {
  const size = shape.reduce((product, n) => product * n, 1);
  const { low, high, away } = rangeOf(given, name, shape);
  const values = uniform(`${given.seed}/${name}`, size, low, high);
  return away === 0 ? values : values.map((value) => value + Math.fround(value < 0 ? -away : away));
}

function rangeOf(
  given: Case,
  name: string,
  shape: readonly number[],
): { readonly low: number; readonly high: number; readonly away: number } {
  if (name.endsWith('.running_mean')) return { low: -0.3, high: 0.3, away: 0 };
  if (name.endsWith('.running_var')) return { low: 0.5, high: 1.5, away: 0 };
  if (name === 'fc.bias') return { low: -0.5, high: 0.5, away: 0 };
  if (name.endsWith('downsample.1.bias')) return { low: -0.1, high: 0.1, away: 0 };
  if (name.endsWith('downsample.1.weight')) return { low: 0.1, high: 0.3, away: 0 };
  if (name.endsWith('.bias')) return { low: -0.6, high: 1.2, away: given.biasGap };
  if (shape.length === 1) return { low: 0.4, high: 0.8, away: 0 };
  const bound = Math.sqrt(3 / shape.slice(1).reduce((product, n) => product * n, 1));
  return { low: name === 'fc.weight' ? -bound / 2 : -bound, high: bound, away: 0 };
}
