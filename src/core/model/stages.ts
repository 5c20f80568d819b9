import type { Program, ValueId } from './program';

/** The parts of a network that can be frozen, from the image to the decision; `head` is the classifier. */
export const ENCODER_STAGES = ['stem', 'layer1', 'layer2', 'layer3', 'layer4'] as const;
export type EncoderStage = (typeof ENCODER_STAGES)[number];
export type Stage = EncoderStage | 'head';

/** Which part a layer, a parameter or a running statistic belongs to, by its dotted name. */
export function stageOf(name: string): Stage {
  const layer = /^layer[1-4](?=\.|$)/.exec(name)?.[0];
  if (layer !== undefined) return layer as EncoderStage;
  return /^(conv1|bn1|relu|maxpool)(\.|$)/.test(name) ? 'stem' : 'head';
}

/**
 * The last value before anything learns: a backward pass ends there, and what lies before need not be kept. 0 (the
 * input) where the stem learns.
 */
export function lastFrozenValue(program: Program, frozen: ReadonlySet<Stage>): ValueId {
  let last: ValueId = 0;
  for (const { name, to } of program.instructions) {
    if (!frozen.has(stageOf(name))) break;
    last = to;
  }
  return last;
}
