import { readFile } from 'node:fs/promises';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { InputError, messageOf } from '../core/errors';
import {
  DEFAULT_TRAINING,
  parseTraining,
  type OptimiserConfig,
  type TrainingConfig,
} from '../core/train/config';
import { NO_FINE_TUNING, stagesNamed, type FineTuning } from '../core/train/fine-tuning';
import { numberWithin, underHeading, wholeNumber } from './options';

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
  readonly lrEncoderFactor?: number;
  readonly lrDecayPerStage?: number;
  readonly freeze?: FineTuning['freeze'];
  readonly unfreezeEvery?: number;
}

/** How to train: a JSON file for everything, flags for what is changed most. */
export function addTrainingOptions(command: Command, base = DEFAULT_TRAINING): Command {
  return underHeading(command, 'How it is trained:', () => trainingOptions(command, base));
}

function trainingOptions(command: Command, base: TrainingConfig): void {
  command
    .option('--training <file>', 'training configuration as JSON (what is not in it keeps its default)')
    .option(
      '--epochs <n>',
      `passes over the data${base.patience > 0 ? ', at most' : ''} (default: ${base.epochs})`,
      wholeNumber(1),
    )
    .option('--batch <n>', `volumes in a step (default: ${base.batchSize})`, wholeNumber(1))
    .option(
      '--micro-batch <n>',
      'volumes computed at once (default: the batch, or the largest part of it that fits the memory)',
      wholeNumber(1),
    )
    .option(
      '--checkpoint-activations',
      'keep less for the backward pass and compute it again: a third slower (default: where memory asks for it)',
    )
    .option('--no-checkpoint-activations', 'never checkpoint activations')
    .addOption(
      new Option('--optimiser <name>', `optimiser (default: ${base.optimiser.kind})`).choices([
        'sgd',
        'adam',
        'adamw',
      ]),
    )
    .option('--lr <rate>', `learning rate (default: ${base.optimiser.learningRate})`, numberWithin(1e-9, 10))
    .option(
      '--weight-decay <rate>',
      `weight decay (default: ${base.optimiser.weightDecay}; sgd: ${SGD.weightDecay})`,
      numberWithin(0, 1),
    )
    .option(
      '--patience <epochs>',
      `stop after so many epochs without a lower validation loss; 0: never, and no validation split (default: ${base.patience})`,
      wholeNumber(0),
    )
    .option(
      '--lr-encoder-factor <share>',
      "learning rate of the encoder as a share of the classifier's (MedicalNet: 0.01)",
      numberWithin(1e-6, 1000),
    )
    .option(
      '--lr-decay-per-stage <share>',
      'each stage learns by this factor more slowly than the one behind it',
      numberWithin(1e-6, 1),
    )
    .option(
      '--freeze <stages>',
      'parts that do not learn: stem,layer1,...,layer4, or encoder; their batch norm keeps its statistics',
      frozenStages,
    )
    .option(
      '--unfreeze-every <epochs>',
      'after so many epochs each, one more frozen part begins to learn, the deepest first (0: none does)',
      wholeNumber(0),
    );
}

function frozenStages(text: string): FineTuning['freeze'] {
  try {
    return stagesNamed(text);
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
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
      ...fixedBy({ ...fromFile, ...explicit(flags) }, batchSize),
      optimiser: {
        ...optimiser,
        learningRate: flags.lr ?? optimiser.learningRate,
        weightDecay: flags.weightDecay ?? optimiser.weightDecay,
      },
      patience: flags.patience ?? merged.patience,
      ...fineTuningGiven(flags, merged.fineTuning),
    },
    flags.training ?? 'the training options',
  );
}

/** Nothing where neither file nor flags ask for it: runs of before and after are then described alike. */
function fineTuningGiven(
  { lrEncoderFactor, lrDecayPerStage, freeze, unfreezeEvery }: TrainingFlags,
  fromFile: FineTuning | undefined,
): { fineTuning?: FineTuning } {
  const flags = [lrEncoderFactor, lrDecayPerStage, freeze, unfreezeEvery];
  if (fromFile === undefined && flags.every((flag) => flag === undefined)) return {};
  const base = { ...NO_FINE_TUNING, ...fromFile };
  return {
    fineTuning: {
      encoderFactor: lrEncoderFactor ?? base.encoderFactor,
      decayPerStage: lrDecayPerStage ?? base.decayPerStage,
      freeze: freeze ?? base.freeze,
      unfreezeEvery: unfreezeEvery ?? base.unfreezeEvery,
    },
  };
}

/** What was said of how steps are computed. */
function explicit({ microBatch, checkpointActivations }: TrainingFlags): Partial<TrainingConfig> {
  return {
    ...(microBatch !== undefined && { microBatch }),
    ...(checkpointActivations !== undefined && { checkpointActivations }),
  };
}

/**
 * What of it memory must not change although it looks like the default. Nothing where nothing was said: such runs of
 * before and after are described alike.
 */
function fixedBy(
  { microBatch, checkpointActivations, fixed: named = [] }: Partial<TrainingConfig>,
  batchSize: number,
): Pick<TrainingConfig, 'fixed'> {
  const fixed = new Set(named);
  if (microBatch === batchSize) fixed.add('microBatch');
  if (checkpointActivations === false) fixed.add('checkpointActivations');
  return fixed.size > 0 ? { fixed: [...fixed] } : {};
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
