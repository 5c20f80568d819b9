import { product } from '../../wasm/conv-geometry';
import { estimatedChoice, isTiled, type ConvChoice, type PlannedConv } from './conv-choice';
import { problemOf } from './conv-problem';
import type { Abilities } from './product-choice';
import { tiledScratchBytes } from './tiled-convolution';

/**
 * Bytes that a convolution borrows beside its tensors when it is computed as chosen, all of them at once: partial sums where a sum
 * is cut into parts, for the gradient of the input a filter whose channels are swapped, copies of the operands in half precision,
 * transformed tiles.
 * @param largest bytes of a buffer of this GPU at most: tiles are then worked on in more goes
 */
export function scratchBytes(
  { pass, g }: Pick<PlannedConv, 'pass' | 'g'>,
  choice: ConvChoice,
  largest = Infinity,
): number {
  const filter = product(g.kernel) * g.inChannels * g.outChannels;
  const swapped = pass === 'dx' && g.inChannels > 1 && g.outChannels > 1 ? 4 * filter : 0;
  if (isTiled(choice)) return swapped + tiledScratchBytes(pass, g, choice, largest);
  const { rows, columns } = problemOf(pass, g);
  const partial = choice.parts === 1 ? 0 : 4 * choice.parts * rows * columns;
  if (choice.way !== 'matrix-halves') return swapped + partial;
  const x = g.batch * product(g.input) * g.inChannels;
  const y = g.batch * product(g.output) * g.outChannels;
  return swapped + partial + 2 * { y: x + filter, dx: y + filter, dfilter: x + y }[pass];
}

/** The same of the choice where nothing was timed: what an estimate of a step's memory counts on. */
export const estimatedScratchBytes = (conv: PlannedConv, abilities: Abilities = {}): number =>
  scratchBytes(conv, estimatedChoice(conv, abilities));
