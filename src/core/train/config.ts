import * as v from 'valibot';
import { InputError } from '../errors';
import { fineTuningSchema } from './fine-tuning';

const fraction = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const positive = v.pipe(v.number(), v.gtValue(0));
const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const nonNegative = v.pipe(v.number(), v.minValue(0));

const schema = v.strictObject({
  epochs: count,
  batchSize: count,
  /** Volumes computed at once; gradients of the parts of a batch add up. Batch norm then sees one part at a time. */
  microBatch: count,
  /** Keep one activation per residual block and compute the others again on the way back: a third slower, far less memory. */
  checkpointActivations: v.optional(v.boolean(), false),
  /**
   * Where a step does not fit the engine's memory, a whole batch is computed in parts, and activations are checkpointed. What
   * is named here stays as it is, and the run is refused instead. A micro-batch smaller than the batch always stays.
   */
  fixed: v.optional(v.array(v.picklist(['microBatch', 'checkpointActivations']))),
  optimiser: v.variant('kind', [
    v.strictObject({
      kind: v.literal('sgd'),
      learningRate: positive,
      momentum: fraction,
      nesterov: v.boolean(),
      weightDecay: nonNegative,
    }),
    v.strictObject({
      kind: v.picklist(['adam', 'adamw']),
      learningRate: positive,
      beta1: fraction,
      beta2: fraction,
      epsilon: positive,
      weightDecay: nonNegative,
    }),
  ]),
  schedule: v.variant('kind', [
    v.strictObject({ kind: v.literal('constant') }),
    v.strictObject({ kind: v.literal('exponential'), factor: positive }),
    v.strictObject({ kind: v.literal('cosine'), warmup: fraction }),
    v.strictObject({ kind: v.literal('trapezoid'), warmup: fraction, decay: fraction }),
  ]),
  augmentation: v.strictObject({
    /** Largest rotation about each axis, degrees. */
    rotation: nonNegative,
    /** Largest relative change of size. */
    scale: fraction,
    /** Mirror left and right in half of the draws. */
    flip: v.boolean(),
    /** Largest relative change of contrast and shift in standard deviations. */
    intensity: nonNegative,
    /** Standard deviation of added Gaussian noise. */
    noise: nonNegative,
  }),
  /** Weigh the loss by inverse class frequency. */
  classBalanced: v.boolean(),
  /** Put twins (the same head with and without a lesion) into the same batch. */
  twinBatches: v.boolean(),
  /** Epochs without a better validation loss before a run stops; 0: no validation split, the last epoch counts. */
  patience: v.pipe(v.number(), v.integer(), v.minValue(0)),
  /** Share of the training sources held out for early stopping. */
  validationFraction: fraction,
  /** Absent: everything learns at one rate. */
  fineTuning: v.optional(fineTuningSchema),
});
export type TrainingConfig = v.InferOutput<typeof schema>;
export type OptimiserConfig = TrainingConfig['optimiser'];
export type AugmentationConfig = TrainingConfig['augmentation'];

/** What people in this field run by hand: Adam 1e-3, 50 epochs, patience 5, batch 8, rotations of 15 degrees. */
export const DEFAULT_TRAINING: TrainingConfig = {
  epochs: 50,
  batchSize: 8,
  microBatch: 8,
  checkpointActivations: false,
  optimiser: { kind: 'adam', learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
  schedule: { kind: 'constant' },
  augmentation: { rotation: 15, scale: 0, flip: true, intensity: 0.1, noise: 0.05 },
  classBalanced: true,
  twinBatches: false,
  patience: 5,
  validationFraction: 0.2,
};

/** Checks a training configuration from a file or the command line. `where` names its origin. */
export function parseTraining(value: unknown, where: string): TrainingConfig {
  const result = v.safeParse(schema, value);
  if (!result.success) {
    const issue = result.issues[0];
    throw new InputError(
      `${where}: "${v.getDotPath(issue) ?? 'the training configuration'}" is not valid: ${issue.message}.`,
    );
  }
  const config = result.output;
  if (config.microBatch > config.batchSize)
    throw new InputError(
      `${where}: microBatch (${config.microBatch}) is larger than batchSize (${config.batchSize}).`,
    );
  if (config.twinBatches && config.batchSize % 2 !== 0)
    throw new InputError(
      `${where}: twinBatches needs an even batchSize, not ${config.batchSize}: twins come in pairs.`,
    );
  return config;
}
