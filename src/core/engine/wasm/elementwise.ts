import type { AdamAttrs, SgdAttrs } from '../ops/optimiser-step';
import type { Machine } from './machine';
import { floatField } from './pool';

const ALONE_FLOATS = 32_768;

/** result = a (op) b, `count` floats each; relu reads a alone. Results may be written over inputs. */
export function elementwise(
  { pool }: Machine,
  kernel: 'add' | 'multiply' | 'relu',
  count: number,
  at: { readonly a: number; readonly b: number; readonly result: number },
): void {
  pool.run(kernel, [at.a, at.b, at.result, count], count < ALONE_FLOATS);
}

export function sgdStep(
  { pool }: Machine,
  count: number,
  at: { readonly value: number; readonly gradient: number; readonly velocity: number },
  attrs: SgdAttrs,
): void {
  const { learningRate, momentum, weightDecay, nesterov } = attrs;
  const rates = [learningRate, momentum, weightDecay].map(floatField);
  pool.run(
    'sgd',
    [at.value, at.gradient, at.velocity, count, ...rates, nesterov ? 1 : 0],
    count < ALONE_FLOATS,
  );
}

/** Kingma & Ba 2015, with AdamW's decay where `decoupled`. */
export function adamStep(
  { pool }: Machine,
  count: number,
  at: { readonly value: number; readonly gradient: number; readonly m: number; readonly v: number },
  attrs: AdamAttrs,
): void {
  const { learningRate, beta1, beta2, epsilon, weightDecay, decoupled, step } = attrs;
  const factors = [
    beta1,
    1 - beta1,
    beta2,
    1 - beta2,
    learningRate / (1 - beta1 ** step),
    1 / Math.sqrt(1 - beta2 ** step),
    epsilon,
    decoupled ? 0 : weightDecay,
    decoupled ? 1 - learningRate * weightDecay : 1,
  ];
  pool.run(
    'adam',
    [at.value, at.gradient, at.m, at.v, count, ...factors.map(floatField)],
    count < ALONE_FLOATS,
  );
}
