import { readFile } from 'node:fs/promises';
import { Option, type Command } from 'commander';
import { InputError, messageOf } from '../core/errors';
import {
  DEFAULT_TRAINING,
  parseTraining,
  type OptimiserConfig,
  type TrainingConfig,
} from '../core/train/config';
import { numberWithin, wholeNumber } from './options';

export interface TrainingFlags {
  readonly training?: string;
  readonly epochs?: number;
  readonly batch?: number;
  readonly microBatch?: number;
  readonly checkpointActivations?: boolean;
  readonly optimiser?: OptimiserConfig['kind'];
  readonly lr?: number;
  readonly weightDecay?: number;
  readonly patience?: number;
}

/** How to train: a JSON file for everything, flags for what is changed most. */
export function addTrainingOptions(command: Command, base = DEFAULT_TRAINING): Command {
  return command
    .option('--training <file>', 'training configuration as JSON (what is not in it keeps its default)')
    .option('--epochs <n>', `epochs (default ${base.epochs})`, wholeNumber(1))
    .option('--batch <n>', `volumes per step (default ${base.batchSize})`, wholeNumber(1))
    .option('--micro-batch <n>', 'volumes computed at once (default: the batch)', wholeNumber(1))
    .option(
      '--checkpoint-activations',
      'keep less for the backward pass and compute it again: a third slower',
    )
    .addOption(
      new Option('--optimiser <name>', `default ${base.optimiser.kind}`).choices(['sgd', 'adam', 'adamw']),
    )
    .option('--lr <rate>', 'learning rate', numberWithin(1e-9, 10))
    .option('--weight-decay <rate>', 'weight decay', numberWithin(0, 1))
    .option('--patience <epochs>', 'early stopping; 0: none, and no validation split', wholeNumber(0));
}

const SGD: OptimiserConfig = {
  kind: 'sgd',
  learningRate: 1e-3,
  momentum: 0.9,
  nesterov: false,
  weightDecay: 1e-3,
};

/** The configuration that file and flags describe. */
export async function trainingGiven(flags: TrainingFlags, base = DEFAULT_TRAINING): Promise<TrainingConfig> {
  const fromFile = flags.training === undefined ? {} : await readObject(flags.training);
  const merged = { ...base, ...fromFile };
  const kind = flags.optimiser ?? merged.optimiser.kind;
  const same = kind === merged.optimiser.kind || (kind !== 'sgd' && merged.optimiser.kind !== 'sgd');
  const adam = merged.optimiser.kind === 'sgd' ? DEFAULT_TRAINING.optimiser : merged.optimiser;
  const optimiser = same ? { ...merged.optimiser, kind } : kind === 'sgd' ? SGD : { ...adam, kind };
  const batchSize = flags.batch ?? merged.batchSize;
  return parseTraining(
    {
      ...merged,
      epochs: flags.epochs ?? merged.epochs,
      batchSize,
      microBatch:
        flags.microBatch ??
        Math.min(merged.microBatch === base.microBatch ? batchSize : merged.microBatch, batchSize),
      checkpointActivations: flags.checkpointActivations ?? merged.checkpointActivations,
      optimiser: {
        ...optimiser,
        learningRate: flags.lr ?? optimiser.learningRate,
        weightDecay: flags.weightDecay ?? optimiser.weightDecay,
      },
      patience: flags.patience ?? merged.patience,
    },
    flags.training ?? 'the training options',
  );
}

async function readObject(path: string): Promise<Partial<TrainingConfig>> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new InputError(`--training ${path} cannot be read as JSON: ${messageOf(error)}.`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InputError(`--training ${path} must hold one JSON object.`);
  // Every field is checked once more when it has been put together.
  return value as Partial<TrainingConfig>;
}
