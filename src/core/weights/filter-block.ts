import { InputError } from '../errors';
import { numbersOf } from './numbers';
import type { NamedTensor } from './tensors';

/** A stretch of channels: the first and how many. */
export interface Stretch {
  readonly from: number;
  readonly count: number;
}

/** Filters of some output channels over some input channels. */
export interface FilterBlock {
  readonly outputs: Stretch;
  readonly inputs: Stretch;
  /** D, H, W of one filter; 1 where the tensor has no such axis (linear layers, 1D and 2D convolutions). */
  readonly kernel: readonly [number, number, number];
  /** Output by output, in each input by input, in each D, H, W with W fastest. */
  readonly values: readonly number[];
}

/** Values that a block holds at most. */
export const LARGEST_BLOCK = 1 << 16;

/**
 * A part of a filter tensor (out, in, and up to three axes of space). Stretches that reach past the end are cut.
 * @throws InputError where the tensor has no filters, or the block would be too large
 */
export function filterBlock(tensor: NamedTensor, outputs: Stretch, inputs: Stretch): FilterBlock {
  const { name, shape } = tensor;
  if (shape.length < 2 || shape.length > 5)
    throw new InputError(
      `${name} has shape [${shape.join(', ')}]: filters have two to five axes (out, in, depth, height, width).`,
    );
  const [out, into, ...space] = shape;
  const kernel = [1, 1, 1, ...space].slice(-3) as [number, number, number];
  const cells = kernel[0] * kernel[1] * kernel[2];
  const o = cut(outputs, out);
  const i = cut(inputs, into);
  if (o.count * i.count * cells > LARGEST_BLOCK)
    throw new InputError(
      `${o.count} x ${i.count} filters of ${name} are more than ${LARGEST_BLOCK} values. Ask for fewer.`,
    );
  const values: number[] = [];
  for (let output = o.from; output < o.from + o.count; output++) {
    const begin = (output * into + i.from) * cells;
    for (const value of numbersOf(tensor, begin, begin + i.count * cells)) values.push(value);
  }
  return { outputs: o, inputs: i, kernel, values };
}

function cut({ from, count }: Stretch, length: number): Stretch {
  const first = Math.max(0, Math.min(length, Math.trunc(from)));
  return { from: first, count: Math.max(0, Math.min(length - first, Math.trunc(count))) };
}
