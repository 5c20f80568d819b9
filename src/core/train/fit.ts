import * as tf from '@tensorflow/tfjs-core';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { currentEngine } from '../engine/choose';
import { addInto } from '../engine/ops/add-into';
import { crossEntropyGradient } from '../engine/ops/cross-entropy';
import { InputError, StoppedError } from '../errors';
import type { Network } from '../model/network';
import type { PassOptions } from '../model/pass';
import { lastFrozenValue, stageOf, type Stage } from '../model/stages';
import { Random } from '../random';
import { augment } from './augment';
import { epochBatches, stepsPerEpoch } from './batches';
import type { TrainingConfig } from './config';
import { frozenAt, NO_FINE_TUNING, rateFactor } from './fine-tuning';
import { FIT_START, fitIsOver, type FitState } from './fit-state';
import { LossScaler } from './loss-scale';
import { balancedWeights, crossEntropy, weightOf, weightedLabels } from './loss';
import { Optimiser } from './optimiser';
import { microBatchSizes, prepareTraining } from './rehearsal';
import { predictSamples, stack, type Sample } from './sample';
import { scheduleFactor } from './schedule';

export type FitEvent =
  | {
      readonly type: 'step';
      readonly epoch: number;
      readonly step: number;
      readonly loss: number;
      readonly learningRate: number;
      /** In half precision: with what the loss was multiplied, and whether the step was left out for overflow. */
      readonly lossScale?: number;
      readonly skipped?: boolean;
      /** If all epochs are needed; null before there is anything to go by. */
      readonly secondsLeft: number | null;
    }
  | {
      readonly type: 'epoch';
      readonly epoch: number;
      readonly loss: number;
      readonly validationLoss: number | null;
      readonly validationAccuracy: number | null;
      readonly best: boolean;
    };

/** What a fit tells and asks the one who runs it. */
export interface FitHooks {
  readonly onEvent: (event: FitEvent) => void;
  /** Store the state and everything it needs (`last`), or the weights alone (`best`). */
  readonly onCheckpoint: (kind: 'last' | 'best', state: FitState, optimiser: Optimiser) => Promise<void>;
  readonly signal?: AbortSignal;
  /** Hears how many convolutions are timed before training, where the engine does that. */
  readonly onPreparing?: (done: number, total: number) => void;
}

export interface FitData {
  readonly train: readonly Sample[];
  /** Empty: no early stopping. */
  readonly validation: readonly Sample[];
  /** Axis of the tensor along which left and right lie. */
  readonly leftRight: 0 | 2;
}

/**
 * Trains a network in place. All that is random (order, augmentation) follows from `seed`, the epoch and the place in
 * it, so a fit that stops and goes on from its `last` checkpoint ends in the same weights, bit for bit.
 * @throws StoppedError when the signal aborts, after a checkpoint at a step boundary; InputError when the loss is no
 * longer a finite number
 */
export async function fit(
  network: Network,
  data: FitData,
  config: TrainingConfig,
  seed: number,
  hooks: FitHooks,
  from: { readonly state: FitState; readonly restore: (optimiser: Optimiser) => void } = {
    state: FIT_START,
    restore: () => {},
  },
): Promise<FitState> {
  const optimiser = new Optimiser(config.optimiser, network.weights);
  try {
    from.restore(optimiser);
    return await epochs(network, optimiser, data, config, seed, hooks, from.state);
  } finally {
    optimiser.dispose();
  }
}

async function epochs(
  network: Network,
  optimiser: Optimiser,
  data: FitData,
  config: TrainingConfig,
  seed: number,
  hooks: FitHooks,
  start: FitState,
): Promise<FitState> {
  const perEpoch = stepsPerEpoch(data.train, config.batchSize);
  const total = perEpoch * config.epochs;
  const labels = data.train.map((sample) => sample.label);
  const classWeights = config.classBalanced ? balancedWeights(labels, 2) : [1, 1];
  const pace = new Pace(perEpoch);
  const fineTuning = config.fineTuning ?? NO_FINE_TUNING;
  const scaler = scalerOf(start);
  let state = start;
  let prepared = '';
  while (!fitIsOver(state, config)) {
    const batches = epochBatches(data.train, config.batchSize, config.twinBatches, seed, state.epoch);
    const learning: Learning = {
      frozen: frozenAt(fineTuning, state.epoch),
      factorOf: (stage) => rateFactor(fineTuning, stage),
      scaler,
    };
    const sizes = microBatchSizes(batches, config.microBatch);
    const needs = [...sizes, ...learning.frozen].join();
    if (needs !== prepared)
      await prepareTraining(
        network,
        data.train[0].shape,
        sizes,
        passOptions(network, config, learning.frozen),
        { signal: hooks.signal, onProgress: hooks.onPreparing },
      );
    prepared = needs;
    while (state.step < perEpoch) {
      if (hooks.signal?.aborted) {
        await hooks.onCheckpoint('last', state, optimiser);
        throw new StoppedError(
          `Stopped in epoch ${state.epoch + 1} after step ${state.step} of ${perEpoch}.`,
        );
      }
      const done = state.epoch * perEpoch + state.step;
      const learningRate =
        config.optimiser.learningRate * scheduleFactor(config.schedule, done, total, perEpoch);
      const batch = batches[state.step].map((index) => data.train[index]);
      const before = { scale: scaler?.scale, steps: optimiser.steps };
      const loss = await trainStep(
        network,
        optimiser,
        batch,
        data.leftRight,
        config,
        classWeights,
        learningRate,
        (sample) => Random.seeded(seed, 'augment', state.epoch, sample.participantId),
        learning,
      );
      requireFinite(
        loss,
        `The loss of epoch ${state.epoch + 1}, step ${state.step + 1}`,
        batch,
        learningRate,
      );
      pace.step();
      state = {
        ...state,
        step: state.step + 1,
        lossSum: state.lossSum + loss,
        ...stepsOf(optimiser, scaler),
      };
      hooks.onEvent({
        type: 'step',
        epoch: state.epoch,
        step: state.step,
        loss,
        learningRate,
        ...(scaler && { lossScale: before.scale, skipped: optimiser.steps === before.steps }),
        secondsLeft: pace.secondsFor(total - done - 1),
      });
      // One turn of the event loop a step: signals and messages are heard at step boundaries.
      await nextTurn();
    }
    state = await endEpoch(network, optimiser, data, config, hooks, state, perEpoch, scaler);
  }
  return state;
}

/** Scales the loss where the engine multiplies in half precision. A fit that goes on in single precision needs none. */
export function scalerOf({ lossScale }: FitState): LossScaler | undefined {
  return currentEngine()?.precision === 'f16' ? new LossScaler(lossScale) : undefined;
}

function stepsOf(
  optimiser: Optimiser,
  scaler: LossScaler | undefined,
): Pick<FitState, 'optimiserSteps' | 'partSteps' | 'lossScale'> {
  const { steps, partSteps } = optimiser;
  return {
    optimiserSteps: steps,
    ...(Object.keys(partSteps).length > 0 && { partSteps }),
    lossScale: scaler?.now,
  };
}

async function endEpoch(
  network: Network,
  optimiser: Optimiser,
  data: FitData,
  config: TrainingConfig,
  hooks: FitHooks,
  state: FitState,
  perEpoch: number,
  scaler: LossScaler | undefined,
): Promise<FitState> {
  const validation =
    data.validation.length > 0 ? await validate(network, data.validation, config.microBatch) : undefined;
  if (validation)
    requireFinite(
      validation.loss,
      `The validation loss of epoch ${state.epoch + 1}`,
      data.validation,
      config.optimiser.learningRate,
    );
  const best = validation !== undefined && (state.bestLoss === null || validation.loss < state.bestLoss);
  const next: FitState = {
    epoch: state.epoch + 1,
    step: 0,
    lossSum: 0,
    ...stepsOf(optimiser, scaler),
    bestLoss: best ? validation.loss : state.bestLoss,
    sinceBest: best ? 0 : state.sinceBest + 1,
  };
  hooks.onEvent({
    type: 'epoch',
    epoch: state.epoch,
    loss: state.lossSum / perEpoch,
    validationLoss: validation?.loss ?? null,
    validationAccuracy: validation?.accuracy ?? null,
    best,
  });
  if (best) await hooks.onCheckpoint('best', next, optimiser);
  await hooks.onCheckpoint('last', next, optimiser);
  return next;
}

/** A network whose loss is NaN or infinite has diverged and cannot come back; its checkpoints are still sound. */
function requireFinite(loss: number, what: string, samples: readonly Sample[], learningRate: number): void {
  if (Number.isFinite(loss)) return;
  const odd = samples.find(({ data }) => !data.every(Number.isFinite));
  throw new InputError(
    odd
      ? `${what} is ${loss}: the prepared image of ${odd.participantId} holds values that are not finite numbers. Correct or leave out that image.`
      : `${what} is ${loss}: training has diverged. Start anew with a lower learning rate than ${learningRate} (--lr).`,
  );
}

/** How a training step goes through a network. */
export function passOptions(
  { program }: Network,
  { checkpointActivations }: TrainingConfig,
  frozen: ReadonlySet<Stage>,
): PassOptions {
  return {
    statistics: 'batch',
    keepFrom: lastFrozenValue(program, frozen),
    checkpointActivations,
    keepHalf: currentEngine()?.precision === 'f16',
    frozen,
  };
}

/** Which parts of a network learn in a step, and how fast. */
export interface Learning {
  readonly frozen: ReadonlySet<Stage>;
  /** Factor of the learning rate. */
  readonly factorOf: (stage: Stage) => number;
  /** In half precision: scales the loss, and says when a step must be left out. */
  readonly scaler?: LossScaler;
}

const ALL_ALIKE: Learning = { frozen: new Set(), factorOf: () => 1 };

/**
 * One optimiser step over a batch, computed in micro-batches whose gradients add up. Everything is under way before the
 * loss is waited for.
 * @returns the loss
 */
export async function trainStep(
  network: Network,
  optimiser: Optimiser,
  batch: readonly Sample[],
  leftRight: 0 | 2,
  config: TrainingConfig,
  classWeights: readonly number[],
  learningRate: number,
  randomFor: (sample: Sample) => Random,
  { frozen, factorOf, scaler }: Learning = ALL_ALIKE,
): Promise<number> {
  const totalWeight = weightOf(
    batch.map((sample) => sample.label),
    classWeights,
  );
  const sums = new Map<string, tf.Tensor>();
  const parts: { readonly logits: tf.Tensor; readonly labels: readonly number[] }[] = [];
  for (let at = 0; at < batch.length; at += config.microBatch) {
    const part = batch.slice(at, at + config.microBatch);
    const x = stack(
      part.map((sample) =>
        augment(sample.data, sample.shape, config.augmentation, leftRight, randomFor(sample)),
      ),
      part[0].shape,
    );
    const pass = network.run(x, passOptions(network, config, frozen));
    const labels = part.map((sample) => sample.label);
    parts.push({ logits: tf.clone(pass.logits), labels });
    const scaledDown = totalWeight / (scaler?.scale ?? 1);
    const dlogits = crossEntropyGradient(pass.logits, weightedLabels(labels, classWeights, scaledDown));
    network.updateRunning(pass.batchStatistics());
    const { parameters } = pass.backward(dlogits, { parameters: true });
    tf.dispose([dlogits, x]);
    for (const [name, gradient] of parameters) {
      const sum = sums.get(name);
      sums.set(name, sum ? addInto(sum, gradient) : gradient);
    }
  }
  if (!scaler || (await scaler.accepts(sums)))
    optimiser.step(sums, learningRate, (name) => factorOf(stageOf(name)));
  else tf.dispose([...sums.values()]);
  let loss = 0;
  for (const { logits, labels } of parts) {
    loss += crossEntropy(await logits.data<'float32'>(), labels, classWeights, totalWeight).loss;
    logits.dispose();
  }
  return loss;
}

async function validate(
  network: Network,
  samples: readonly Sample[],
  batchSize: number,
): Promise<{ loss: number; accuracy: number }> {
  const logits = await predictSamples(network, samples, batchSize);
  const labels = samples.map((sample) => sample.label);
  const { loss } = crossEntropy(logits.flat(), labels, balancedWeights(labels, 2));
  const right = logits.filter(([control, fcd], n) => Number(fcd > control) === labels[n]).length;
  return { loss, accuracy: right / samples.length };
}

/** Mean time from step to step, for the time left: with all that lies between, such as validation and checkpoints. */
export class Pace {
  private readonly recent: number[] = [];
  private last?: number;

  /** A window of an epoch's length holds what happens at its end once. */
  constructor(private readonly perEpoch: number) {}

  /** A step is done. What came before the first one (memory, warming up) says little and is not counted. */
  step(): void {
    const now = performance.now();
    if (this.last !== undefined) this.recent.push(now - this.last);
    this.last = now;
    if (this.recent.length > Math.max(20, this.perEpoch)) this.recent.shift();
  }

  /** Null until two steps were seen. */
  secondsFor(steps: number): number | null {
    if (this.recent.length === 0) return null;
    return (this.recent.reduce((a, b) => a + b, 0) / this.recent.length / 1000) * steps;
  }
}
