import * as tf from '@tensorflow/tfjs-core';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { currentEngine } from '../engine/choose';
import { addInto } from '../engine/ops/add-into';
import { InputError, StoppedError } from '../errors';
import type { PassOptions } from '../model/pass';
import { Random } from '../random';
import { augmentLabelled } from '../train/augment';
import { epochBatches, stepsPerEpoch } from '../train/batches';
import { Pace, scalerOf } from '../train/fit';
import { FIT_START, fitIsOver, type FitState } from '../train/fit-state';
import type { LossScaler } from '../train/loss-scale';
import { Optimiser } from '../train/optimiser';
import { microBatchSizes, prepareTraining } from '../train/rehearsal';
import { stack } from '../train/sample';
import { scheduleFactor } from '../train/schedule';
import type { PretrainingConfig } from './config';
import type { LabelledSample } from './head-store';
import { segmentationLoss } from './segmentation-loss';
import type { SegmentationNetwork } from './segmentation-network';
import { tasksOfStep } from './task-sampling';

export type SegmentationFitEvent =
  | {
      readonly type: 'step';
      readonly epoch: number;
      readonly step: number;
      readonly loss: number;
      readonly learningRate: number;
      /** As in {@link FitEvent}. */
      readonly lossScale?: number;
      readonly skipped?: boolean;
      readonly secondsLeft: number | null;
    }
  | {
      readonly type: 'epoch';
      readonly epoch: number;
      readonly loss: number;
    };

export interface SegmentationFitHooks {
  readonly onEvent: (event: SegmentationFitEvent) => void;
  /** Store the state and everything that going on exactly needs. */
  readonly onCheckpoint: (state: FitState, optimiser: Optimiser) => Promise<void>;
  readonly signal?: AbortSignal;
  /** Hears how many convolutions are timed before training, where the engine does that. */
  readonly onPreparing?: (done: number, total: number) => void;
}

export interface SegmentationFitData {
  readonly train: readonly LabelledSample[];
  /** Row-major [codes, tasks], see {@link LabelCodes}. */
  readonly members: Uint8Array;
  /** Axis of the tensor along which left and right lie. */
  readonly leftRight: 0 | 2;
}

/** Steps of an epoch. */
export function segmentationSteps(heads: number, { training }: PretrainingConfig): number {
  return stepsPerEpoch(unlabelled(heads), training.batchSize);
}

/**
 * Trains a segmentation network in place. As in classification all that is random (order, augmentation, tasks) follows
 * from the seed, the epoch and the place in it: a fit that stops and goes on ends in the same weights, bit for bit.
 * @throws StoppedError when the signal aborts, after a checkpoint; InputError when the loss is no longer finite
 */
export async function fitSegmentation(
  network: SegmentationNetwork,
  data: SegmentationFitData,
  config: PretrainingConfig,
  seed: number,
  hooks: SegmentationFitHooks,
  from: { readonly state: FitState; readonly restore: (optimiser: Optimiser) => void } = {
    state: FIT_START,
    restore: () => {},
  },
): Promise<FitState> {
  const optimiser = new Optimiser(config.training.optimiser, network.weights);
  try {
    from.restore(optimiser);
    return await epochs(network, optimiser, data, config, seed, hooks, from.state);
  } finally {
    optimiser.dispose();
  }
}

async function epochs(
  network: SegmentationNetwork,
  optimiser: Optimiser,
  data: SegmentationFitData,
  config: PretrainingConfig,
  seed: number,
  hooks: SegmentationFitHooks,
  start: FitState,
): Promise<FitState> {
  const { training } = config;
  const perEpoch = segmentationSteps(data.train.length, config);
  const total = perEpoch * training.epochs;
  const order = unlabelled(data.train.length);
  const pace = new Pace(perEpoch);
  const scaler = scalerOf(start);
  let state = start;
  let prepared = false;
  while (!fitIsOver(state, training)) {
    const batches = epochBatches(order, training.batchSize, false, seed, state.epoch);
    if (!prepared)
      await prepareTraining(
        network,
        data.train[0].shape,
        microBatchSizes(batches, training.microBatch),
        passOptions(config),
        { signal: hooks.signal, onProgress: hooks.onPreparing },
      );
    prepared = true;
    while (state.step < perEpoch) {
      if (hooks.signal?.aborted) {
        await hooks.onCheckpoint(state, optimiser);
        throw new StoppedError(
          `Stopped in epoch ${state.epoch + 1} after step ${state.step} of ${perEpoch}.`,
        );
      }
      const done = state.epoch * perEpoch + state.step;
      const learningRate =
        training.optimiser.learningRate * scheduleFactor(training.schedule, done, total, perEpoch);
      const batch = batches[state.step].map((index) => data.train[index]);
      const active = tasksOfStep(
        network.decoder.tasks.length,
        config.tasksPerStep,
        seed,
        state.epoch,
        state.step,
      );
      const before = { scale: scaler?.scale, steps: optimiser.steps };
      const loss = await segmentationStep(
        network,
        optimiser,
        batch,
        data,
        config,
        active,
        learningRate,
        (sample) => Random.seeded(seed, 'augment', state.epoch, sample.participantId),
        scaler,
      );
      if (!Number.isFinite(loss))
        throw new InputError(
          `The loss of epoch ${state.epoch + 1}, step ${state.step + 1} is ${loss}: training has diverged. Start anew with a lower learning rate than ${learningRate} (--lr).`,
        );
      pace.step();
      state = {
        ...state,
        step: state.step + 1,
        lossSum: state.lossSum + loss,
        optimiserSteps: optimiser.steps,
        lossScale: scaler?.now,
      };
      const secondsLeft = pace.secondsFor(total - done - 1);
      hooks.onEvent({
        type: 'step',
        epoch: state.epoch,
        step: state.step,
        loss,
        learningRate,
        ...(scaler && { lossScale: before.scale, skipped: optimiser.steps === before.steps }),
        secondsLeft,
      });
      // One turn of the event loop a step: signals and messages are heard at step boundaries.
      await nextTurn();
    }
    hooks.onEvent({ type: 'epoch', epoch: state.epoch, loss: state.lossSum / perEpoch });
    state = {
      ...FIT_START,
      epoch: state.epoch + 1,
      optimiserSteps: optimiser.steps,
      lossScale: scaler?.now,
    };
    await hooks.onCheckpoint(state, optimiser);
  }
  return state;
}

/** One optimiser step over a batch, computed in micro-batches whose gradients add up. Returns the loss. */
export async function segmentationStep(
  network: SegmentationNetwork,
  optimiser: Optimiser,
  batch: readonly LabelledSample[],
  { members, leftRight }: Pick<SegmentationFitData, 'members' | 'leftRight'>,
  config: PretrainingConfig,
  active: readonly number[],
  learningRate: number,
  randomFor: (sample: LabelledSample) => Random,
  scaler?: LossScaler,
): Promise<number> {
  const { training } = config;
  const { microBatch, augmentation } = training;
  const sums = new Map<string, tf.Tensor>();
  let loss = 0;
  for (let at = 0; at < batch.length; at += microBatch) {
    const part = batch
      .slice(at, at + microBatch)
      .map((one) => augmentLabelled(one.data, one.codes, one.shape, augmentation, leftRight, randomFor(one)));
    const { shape } = batch[0];
    const x = stack(
      part.map(({ data }) => data),
      shape,
    );
    const pass = network.run(x, passOptions(config));
    const codes = joined(part.map((one) => one.codes));
    const logits = pass.output as tf.Tensor5D;
    const result = await segmentationLoss(
      logits,
      { codes, members },
      active,
      part.length / batch.length,
      scaler?.scale,
    );
    loss += result.loss;
    network.updateRunning(pass.batchStatistics());
    const { parameters } = pass.backward(result.gradient, { parameters: true });
    tf.dispose([result.gradient, x]);
    for (const [name, gradient] of parameters) {
      const sum = sums.get(name);
      sums.set(name, sum ? addInto(sum, gradient) : gradient);
    }
  }
  if (!scaler || (await scaler.accepts(sums))) optimiser.step(sums, learningRate);
  else tf.dispose([...sums.values()]);
  return loss;
}

function passOptions({ training }: PretrainingConfig): PassOptions {
  return {
    statistics: 'batch',
    keepFrom: 0,
    checkpointActivations: training.checkpointActivations,
    keepHalf: currentEngine()?.precision === 'f16',
  };
}

function joined(parts: readonly Uint16Array[]): Uint16Array {
  const all = new Uint16Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Heads for the order of batches: all of one group. */
function unlabelled(count: number): { participantId: string; label: 0 }[] {
  return Array.from({ length: count }, (_, index) => ({ participantId: String(index), label: 0 as const }));
}
