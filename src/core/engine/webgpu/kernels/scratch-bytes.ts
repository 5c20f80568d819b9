import { product } from '../../wasm/conv-geometry';
import { estimatedChoice, isTiled, type ConvChoice, type PlannedConv } from './conv-choice';
import { problemOf } from './conv-problem';
import type { Abilities } from './product-choice';
import { tiledScratchBytes } from './tiled-convolution';

/** What else decides how much a convolution borrows. */
export interface ScratchOf {
  /** Bytes of a buffer of this GPU at most: tiles are then worked on in more goes. */
  readonly largest?: number;
  /** x lies in half precision already: it need not be copied, or has to be written out. */
  readonly halved?: boolean;
}

/**
 * Bytes that a convolution borrows beside its tensors when it is computed as chosen, all of them at once: partial sums where a sum
 * is cut into parts, for the gradient of the input a filter whose channels are swapped, copies of the operands in half precision,
 * transformed tiles.
 */
export function scratchBytes(
  { pass, g }: Pick<PlannedConv, 'pass' | 'g'>,
  choice: ConvChoice,
  { largest = Infinity, halved = false }: ScratchOf = {},
): number {
  const filter = product(g.kernel) * g.inChannels * g.outChannels;
  const x = g.batch * product(g.input) * g.inChannels;
  const readsX = halved && pass !== 'dx';
  // Gradients of filters read it as it lies.
  const written = readsX && pass === 'y' && choice.way !== 'matrix-halves' ? 4 * x : 0;
  const swapped = pass === 'dx' && g.inChannels > 1 && g.outChannels > 1 ? 4 * filter : 0;
  if (isTiled(choice)) return written + swapped + tiledScratchBytes(pass, g, choice, largest);
  const { rows, columns } = problemOf(pass, g);
  const partial = choice.parts === 1 ? 0 : 4 * choice.parts * rows * columns;
  if (choice.way !== 'matrix-halves') return written + swapped + partial;
  const y = g.batch * product(g.output) * g.outChannels;
  const copied = readsX ? 0 : x;
  return swapped + partial + 2 * { y: copied + filter, dx: y + filter, dfilter: copied + y }[pass];
}

/** The same of the choice where nothing was timed: what an estimate of a step's memory counts on. */
export const estimatedScratchBytes = (
  conv: PlannedConv,
  abilities: Abilities = {},
  of: ScratchOf = {},
): number => scratchBytes(conv, estimatedChoice(conv, abilities), of);
