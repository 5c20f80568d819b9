import { InputError } from '../errors';
import { networkInput } from '../model/input';
import type { Network } from '../model/network';
import type { Steps } from '../model/steps';
import { softmax } from '../train/loss';
import type { Volume } from '../volume/volume';

/** Names of the classes of the study's networks, by index. */
export const CLASS_NAMES = ['control', 'fcd'] as const;

/** The class whose evidence a Heat-Score asks for, whatever was predicted. */
export const FCD = CLASS_NAMES.indexOf('fcd');

export function className(index: number): string {
  return CLASS_NAMES[index] ?? `class ${index}`;
}

export interface Prediction {
  readonly logits: readonly number[];
  /** Probability of fcd. */
  readonly probability: number;
  /** Name of the class with the largest logit. */
  readonly predicted: string;
}

/** What logits say. @throws InputError where they are no numbers */
export function predictionOf(logits: readonly number[]): Prediction {
  if (!logits.every(Number.isFinite))
    throw new InputError(
      `The network's logits are ${logits.join(' and ')}: it has diverged in training, or its weights are damaged. Choose another checkpoint.`,
    );
  const best = logits.indexOf(Math.max(...logits));
  return { logits, probability: softmax(logits)[FCD], predicted: className(best) };
}

/** What a network says about one prepared scan, step by step. @param channels one volume per input channel */
export function* predictScan(network: Network, channels: readonly Volume[]): Steps<Prediction> {
  const x = networkInput(channels, network.spec);
  try {
    return predictionOf([...(yield* network.predictSteps(x))]);
  } finally {
    x.dispose();
  }
}
