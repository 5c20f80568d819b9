import * as v from 'valibot';
import { InputError } from '../errors';
import { parseTraining, type TrainingConfig } from '../train/config';

const schema = v.strictObject({
  /** Tasks whose loss counts in a step; null: all of them. */
  tasksPerStep: v.nullable(v.pipe(v.number(), v.integer(), v.minValue(1))),
  /** Channels of the decoder at full resolution. */
  decoderChannels: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(512)),
});
/** What pre-training needs beyond how any network is trained. */
export type SegmentationConfig = v.InferOutput<typeof schema>;

export interface PretrainingConfig extends SegmentationConfig {
  readonly training: TrainingConfig;
}

/**
 * What two cores can do in minutes on small networks: AdamW 1e-2 with warm-up and linear decay, one volume a step (a
 * volume has voxels enough for its batch statistics, and twice the steps for the same compute served better than two
 * volumes a step), heads turned, scaled, mirrored and given other contrast, for there are few of them.
 */
export const DEFAULT_PRETRAINING: PretrainingConfig = {
  tasksPerStep: null,
  decoderChannels: 16,
  training: {
    epochs: 25,
    batchSize: 1,
    microBatch: 1,
    checkpointActivations: false,
    optimiser: {
      kind: 'adamw',
      learningRate: 1e-2,
      beta1: 0.9,
      beta2: 0.99,
      epsilon: 1e-8,
      weightDecay: 1e-2,
    },
    schedule: { kind: 'trapezoid', warmup: 0.05, decay: 0.5 },
    augmentation: { rotation: 8, scale: 0.07, flip: true, intensity: 0.1, noise: 0.05 },
    classBalanced: false,
    twinBatches: false,
    patience: 0,
    validationFraction: 0,
  },
};

/** Checks a configuration that comes from a run.json or the command line. */
export function parsePretraining(training: unknown, segmentation: unknown, where: string): PretrainingConfig {
  const checked = parseTraining(training, where);
  if (checked.patience > 0)
    throw new InputError(
      `${where}: pre-training has no early stopping (patience ${checked.patience}): the last epoch counts, and the held-out heads stay unseen. Set patience to 0.`,
    );
  const result = v.safeParse(schema, segmentation);
  if (!result.success) {
    const [issue] = result.issues;
    throw new InputError(
      `${where}: "${v.getDotPath(issue) ?? 'the pre-training configuration'}" is not valid: ${issue.message}.`,
    );
  }
  return { training: checked, ...result.output };
}
