import * as v from 'valibot';
import { InputError } from '../errors';
import type { TrainingConfig } from './config';

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const schema = v.strictObject({
  /** 0-based epoch under way and steps of it that are done. */
  epoch: count,
  step: count,
  /** Sum of the losses of the steps done in this epoch. */
  lossSum: v.number(),
  /** Steps the optimiser has taken. */
  optimiserSteps: count,
  /** Steps of those parts of the network that were frozen for a while, by part; absent where none was. */
  partSteps: v.optional(v.record(v.string(), count)),
  /** Where scaling of the loss stands, in half precision; absent in single precision. */
  lossScale: v.optional(v.object({ scale: v.pipe(v.number(), v.gtValue(0)), goodSteps: count })),
  /** Least validation loss so far and epochs since then; null without a validation split and before its first epoch. */
  bestLoss: v.nullable(v.number()),
  sinceBest: count,
});

/** Where a fit stands between two steps; with weights and moments it is all that going on exactly needs. */
export type FitState = Readonly<v.InferOutput<typeof schema>>;

export const FIT_START: FitState = {
  epoch: 0,
  step: 0,
  lossSum: 0,
  optimiserSteps: 0,
  bestLoss: null,
  sinceBest: 0,
};

/** Reads a state back from a checkpoint's text. @throws InputError that names the file and the field */
export function parseFitState(text: string, where: string): FitState {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InputError(
      `${where}: where training stood is not JSON; the file is damaged. Start the run anew.`,
    );
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new InputError(
    `${where}: "${v.getDotPath(issue) ?? 'state'}" of where training stood is not valid (${issue.message}). Start the run anew.`,
  );
}

/** Whether nothing is left to train: all epochs done, or no better validation loss for as long as patience lasts. */
export function fitIsOver(state: FitState, config: TrainingConfig): boolean {
  return (
    state.epoch >= config.epochs ||
    (config.patience > 0 && state.bestLoss !== null && state.sinceBest >= config.patience)
  );
}
