import { currentEngine } from '../engine/choose';
import type { EngineMemory, EngineName } from '../engine/engine';
import { memoryRules } from '../engine/memory-rules';
import { InputError } from '../errors';
import { largestTensorBytes, trainingBytes } from '../model/memory';
import type { Program } from '../model/program';
import type { SampleShape } from './augment';
import type { TrainingConfig } from './config';

/** How a step is computed, as far as its memory goes. */
export type StepParts = Pick<TrainingConfig, 'microBatch' | 'checkpointActivations'>;

/** What is to be trained, and where. */
export interface StepNeed {
  readonly program: Program;
  readonly training: TrainingConfig;
  readonly shape: SampleShape;
  /** Of the engine; undefined where it has no limit of its own. */
  readonly memory: EngineMemory | undefined;
  /** Default: the one that is open. */
  readonly engine?: EngineName;
}

/** A training whose steps fit, and what a person should know about that, a sentence each. */
export interface FittedStep {
  readonly training: TrainingConfig;
  readonly said: readonly string[];
  /** Bytes of the engine's memory that the step leaves, as estimated. */
  readonly spare: number;
}

/**
 * Fits a step to the engine's memory: as many volumes at once as possible, for batch normalisation goes by those; and
 * activations are only checkpointed (a third slower, the same bits) where that lets more volumes be computed at once. What
 * was asked for by name (a smaller micro-batch, checkpointing, or either as it is: `fixed`) is not changed.
 * @throws InputError where nothing that may be changed helps, with what would
 */
export function fitStep(need: StepNeed): FittedStep {
  const { training, memory } = need;
  if (!memory) return { training, said: [], spare: Infinity };
  const fitting = choices(training).find((parts) => fits(need, parts));
  if (!fitting) throw new InputError(refusal(need));
  const fitted = { ...training, ...fitting };
  return {
    training: fitted,
    said: [needed(need, fitting), ...remarksOnParts(fitted)],
    spare: memory.atMost - neededBytes(need, fitting),
  };
}

/** What computing a batch in parts means: said where it happens, and with the results. */
export function remarksOnParts({
  batchSize,
  microBatch,
}: Pick<TrainingConfig, 'batchSize' | 'microBatch'>): string[] {
  if (microBatch >= batchSize) return [];
  const parts = Math.ceil(batchSize / microBatch);
  return [
    `Batches of ${batchSize} are computed in micro-batches of ${microBatch}, whose gradients add up. Batch normalisation goes by ${microBatch === 1 ? 'one volume' : `${microBatch} volumes`} at a time, not by the whole batch: another gradient, and running statistics that move ${parts} times a step.`,
  ];
}

/** Whether a step fits, as it is. */
export function stepFits(need: StepNeed): boolean {
  return fits(need, need.training);
}

/** Bytes of the engine's memory that a step holds at most. */
export function bytesOfStep(
  program: Program,
  training: TrainingConfig,
  shape: SampleShape,
  engine?: EngineName,
): number {
  const { microBatch, batchSize, optimiser, checkpointActivations } = training;
  const options = {
    moments: optimiser.kind === 'sgd' ? 1 : 2,
    accumulates: microBatch < batchSize,
    checkpointActivations,
    // As the passes of training do, on the engine that is open.
    keepHalf: currentEngine()?.precision === 'f16' && (engine ?? 'webgpu') === 'webgpu',
  };
  return trainingBytes(program, [microBatch, ...shape], options, memoryRules(engine));
}

/** How a step may be computed, the best first. */
function choices(training: TrainingConfig): StepParts[] {
  const { microBatch, checkpointActivations } = training;
  const freeParts = microBatch === training.batchSize && !isFixed(training, 'microBatch');
  const freeCheckpoints = !checkpointActivations && !isFixed(training, 'checkpointActivations');
  return (freeParts ? [microBatch, ...smallerParts(microBatch)] : [microBatch]).flatMap((part) =>
    (freeCheckpoints ? [false, true] : [checkpointActivations]).map((checkpoint) => ({
      microBatch: part,
      checkpointActivations: checkpoint,
    })),
  );
}

const isFixed = ({ fixed = [] }: TrainingConfig, what: keyof StepParts): boolean => fixed.includes(what);

/** Parts of equal size, the largest first. */
function smallerParts(whole: number): number[] {
  return Array.from({ length: whole - 1 }, (_, i) => whole - 1 - i).filter((part) => whole % part === 0);
}

const bytesOf = ({ program, training, shape, engine }: StepNeed, parts: StepParts): number =>
  bytesOfStep(program, { ...training, ...parts }, shape, engine);

function fits(need: StepNeed, parts: StepParts): boolean {
  const { program, shape, memory } = need;
  if (!memory) return true;
  const { microBatch } = parts;
  return (
    largestTensorBytes(program, [microBatch, ...shape]) <= (memory.largestTensor ?? Infinity) &&
    neededBytes(need, parts) <= memory.atMost
  );
}

/** What a step must be given, {@link MemoryRules.slack} included. */
const neededBytes = (need: StepNeed, parts: StepParts): number =>
  bytesOf(need, parts) * memoryRules(need.engine).slack;

/** `A training step needs about 3.1 of 4.0 GB, in micro-batches of 2, with activations computed twice.` */
function needed(need: StepNeed, parts: StepParts): string {
  return `${amount(need, parts)}${partsText(need, parts)}.`;
}

function amount(need: StepNeed, parts: StepParts): string {
  const { atMost } = need.memory as EngineMemory;
  // How much memory a GPU has, WebGPU does not say.
  const limit = Number.isFinite(atMost) ? `of ${gigabytes(atMost)} GB` : 'GB of the GPU';
  return `A training step needs about ${gigabytes(bytesOf(need, parts))} ${limit}`;
}

function partsText({ training }: StepNeed, { microBatch, checkpointActivations }: StepParts): string {
  const inParts = microBatch < training.batchSize ? `, in micro-batches of ${microBatch}` : '';
  return `${inParts}${checkpointActivations ? ', with checkpointed activations' : ''}`;
}

function refusal(need: StepNeed): string {
  const { training, shape, program, memory } = need;
  const limit = memory?.largestTensor ?? Infinity;
  const largest = largestTensorBytes(program, [training.microBatch, ...shape]);
  const tooLarge =
    largest > limit
      ? `, and its largest tensor ${gigabytes(largest)} GB where ${gigabytes(limit)} GB is the most`
      : '';
  const said = `${amount(need, training)}${tooLarge}`;
  const offered = remedies(training)
    .filter(({ parts }) => fits(need, parts))
    .map(({ flags, parts }) => `${flags} (${gigabytes(bytesOf(need, parts))} GB)`);
  const [first, ...others] = offered;
  const grid = shape.slice(0, 3).join(' x ');
  return first === undefined
    ? `${said}: too much for this engine even for one volume at a time. Use a smaller grid than ${grid} (--shape, a coarser --spacing), a narrower network (--width) or a shallower one (--arch).`
    : `${said}. It fits with ${[first, ...others].join(', or with ')}; or with a smaller grid than ${grid} (--shape, --spacing) or a narrower network (--width).`;
}

/** The least that may help first: the largest smaller parts of a batch, checkpointing, both. */
function remedies(training: TrainingConfig): { readonly flags: string; readonly parts: StepParts }[] {
  const { microBatch, checkpointActivations } = training;
  const smaller = (checkpoint: boolean) =>
    smallerParts(microBatch).map((part) => ({
      flags: `--micro-batch ${part}`,
      parts: { microBatch: part, checkpointActivations: checkpoint },
    }));
  if (checkpointActivations) return smaller(true);
  return [
    ...smaller(false).slice(0, 2),
    { flags: '--checkpoint-activations', parts: { microBatch, checkpointActivations: true } },
    ...smaller(true)
      .slice(-1)
      .map(({ flags, parts }) => ({ flags: `${flags} --checkpoint-activations`, parts })),
  ];
}

/** Never 0.00: a little is not nothing. */
function gigabytes(bytes: number): string {
  const whole = Math.max(0.01, bytes / 2 ** 30);
  return whole.toFixed(whole < 1 ? 2 : 1);
}
