import type { EngineMemory } from '../engine/engine';
import { InputError } from '../errors';
import { trainingBytes } from '../model/memory';
import type { Program } from '../model/program';
import type { SampleShape } from './augment';
import type { TrainingConfig } from './config';

/** What fragments of memory and rounding in the estimate may cost: so much is not counted on. */
const SLACK = 1.05;

/**
 * Says before a run what a step will need: "A training step needs about 3.1 of 4.0 GB.", or "... 3.1 GB of the GPU."
 * @param memory of the engine; undefined where it has no limit of its own
 * @throws InputError where it does not fit, with the changes after which it does
 */
export function requireStepFits(
  program: Program,
  training: TrainingConfig,
  shape: SampleShape,
  memory: EngineMemory | undefined,
): string | undefined {
  if (!memory) return undefined;
  const needs = (config: TrainingConfig) => bytesOfStep(program, config, shape);
  const fits = (config: TrainingConfig) => needs(config) * SLACK <= memory.atMost;
  // How much memory a GPU has, WebGPU does not say.
  const limit = Number.isFinite(memory.atMost) ? `of ${gigabytes(memory.atMost)} GB` : 'GB of the GPU';
  const needed = `A training step needs about ${gigabytes(needs(training))} ${limit}`;
  if (fits(training)) return `${needed}.`;
  const remedies = changes(training).filter(({ config }) => fits(config));
  const offered = remedies.map(({ flags, config }) => `${flags} (${gigabytes(needs(config))} GB)`);
  const [first, ...others] = offered;
  const grid = shape.slice(0, 3).join(' x ');
  throw new InputError(
    first === undefined
      ? `${needed}: too much for this engine even for one volume at a time. Use a smaller grid than ${grid} (--shape, a coarser --spacing), a narrower network (--width) or a shallower one (--arch).`
      : `${needed}. It fits with ${[first, ...others].join(', or with ')}; or with a smaller grid than ${grid} (--shape, --spacing) or a narrower network (--width).`,
  );
}

/** Bytes of the engine's memory that a step holds at most. */
export function bytesOfStep(program: Program, training: TrainingConfig, shape: SampleShape): number {
  const { microBatch, batchSize, optimiser, checkpointActivations } = training;
  return trainingBytes(program, [microBatch, ...shape], {
    moments: optimiser.kind === 'sgd' ? 1 : 2,
    accumulates: microBatch < batchSize,
    checkpointActivations,
  });
}

/** The least that may help first: the largest smaller part of a batch, checkpointing, both. */
function changes(training: TrainingConfig): { flags: string; config: TrainingConfig }[] {
  const { microBatch, checkpointActivations } = training;
  const parts: number[] = [];
  for (let part = microBatch - 1; part >= 1; part--) if (microBatch % part === 0) parts.push(part);
  const smaller = (config: TrainingConfig) =>
    parts.map((part) => ({ flags: `--micro-batch ${part}`, config: { ...config, microBatch: part } }));
  if (checkpointActivations) return smaller(training);
  const less = { ...training, checkpointActivations: true };
  return [
    ...smaller(training).slice(0, 2),
    { flags: '--checkpoint-activations', config: less },
    ...smaller(less)
      .slice(-1)
      .map(({ flags, config }) => ({ flags: `${flags} --checkpoint-activations`, config })),
  ];
}

function gigabytes(bytes: number): string {
  const whole = bytes / 2 ** 30;
  return whole.toFixed(whole < 1 ? 2 : 1);
}
