import { setImmediate as nextTurn } from 'node:timers/promises';
import { join } from 'node:path';
import type { RunRecord } from '../../protocol/run';
import type { Modality } from '../cohort/cohort';
import { currentEngine, engineMemory, enginePlan, spareForScratch } from '../engine/choose';
import { InputError, StoppedError, messageOf } from '../errors';
import { noteEngine } from '../experiment/engine-of-run';
import { lastCheckpoint, type LastCheckpoint } from '../experiment/last-checkpoint';
import type { RunDirectory } from '../experiment/run-directory';
import { RunProcess } from '../experiment/run-process';
import { fitStepOfRun } from '../experiment/step-of-run';
import { loadInto } from '../model/checkpoint';
import { parseNetworkSpec, type NetworkSpec } from '../model/spec';
import { FIT_START, fitIsOver, type FitState } from '../train/fit-state';
import type { Optimiser } from '../train/optimiser';
import { awaited } from '../model/steps';
import { timingProgress } from '../train/rehearsal';
import { stack } from '../train/sample';
import type { PretrainingRecord } from '../transfer/pretraining-record';
import { parseRecipe, type Recipe } from '../volume/recipe';
import { readWeights } from '../weights/read-weights';
import { parsePretraining, type PretrainingConfig } from './config';
import { diceOfHead, diceTable, type HeadDice } from './dice';
import { fitSegmentation, segmentationSteps } from './fit-segmentation';
import type { HeadStore, LabelledSample } from './head-store';
import { saveEncoder, saveSegmentation, type SegmentationMeta } from './segmentation-checkpoint';
import { SegmentationNetwork } from './segmentation-network';
import type { Task } from './tasks-file';

export interface PretrainingOptions {
  /** The experiment that the run is part of: a file `stop` in there counts as well as one in the run's directory. */
  readonly experiment?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: PretrainingProgress) => void;
  /** A sentence that a person should read. */
  readonly onAdvice?: (sentence: string) => void;
}

export interface PretrainingProgress {
  readonly phase: 'reading' | 'training' | 'predicting';
  readonly done: number;
  readonly total: number;
  readonly secondsLeft: number | null;
  readonly detail: string;
}

/** The parts of a run.json that decide what is computed, checked. */
export interface PretrainingPlan {
  readonly spec: NetworkSpec;
  readonly recipe: Recipe;
  readonly config: PretrainingConfig;
  readonly tasks: readonly Task[];
  readonly modality: Modality;
}

/** @throws InputError where the run does not pre-train, or names the field that is wrong */
export function pretrainingPlan(record: RunRecord, where: string): PretrainingPlan {
  const { segmentation, modality } = record;
  if (!segmentation)
    throw new InputError(
      `${where} is a run of training, not of pre-training: fcd train --resume goes on with it.`,
    );
  const { tasksPerStep, decoderChannels, tasks } = segmentation;
  return {
    spec: parseNetworkSpec(record.network, where),
    recipe: parseRecipe(record.recipe, where),
    config: parsePretraining(record.training, { tasksPerStep, decoderChannels }, where),
    tasks,
    modality,
  };
}

/** Encoder, decoder and heads of a run, without what only going on needs. */
export function segmentationPath(directory: RunDirectory): string {
  return join(directory.path, 'checkpoints', 'segmentation', 'model.safetensors');
}

/**
 * One pre-training with what follows from it: the fit, Dice of the held-out heads, and the checkpoints. `best` is the
 * encoder after the last epoch (nothing is chosen by the held-out heads), `segmentation` the whole network. The directory
 * holds a run.json already; a run that was stopped goes on from its `last` checkpoint, bit for bit.
 * @returns Dice of the held-out heads
 * @throws StoppedError when the signal aborts or a file `stop` appears; the directory can then be resumed
 */
export async function executePretraining(
  directory: RunDirectory,
  store: HeadStore,
  options: PretrainingOptions,
): Promise<readonly HeadDice[]> {
  const record = await directory.record();
  const plan = pretrainingPlan(record, directory.recordPath);
  const began = performance.now();
  await directory.sweep();
  const events = directory.events();
  const finished = events.some(({ type }) => type === 'finished');
  const { experiment } = options;
  const process = await RunProcess.begin(
    [directory.path, ...(experiment ? [experiment] : [])],
    options.signal,
  );
  const run = new Pretraining(directory, record, plan, store, options, process, finished);
  try {
    await run.train(events.some(({ type }) => type === 'step'));
    const heads = await run.evaluate();
    if (!finished) {
      await run.keep(heads);
      const seconds = (performance.now() - began) / 1000;
      directory.append({ type: 'finished', epochs: run.reached.epoch, seconds });
    }
    return heads;
  } catch (error) {
    if (error instanceof StoppedError)
      directory.append({ type: 'stopped', epoch: run.reached.epoch, step: run.reached.step });
    else directory.append({ type: 'failed', message: messageOf(error) });
    throw error;
  } finally {
    directory.sync();
    run.dispose();
    await process.end();
  }
}

const MILLISECONDS_BETWEEN_PHASES = 1000;

class Pretraining {
  /** Where the last checkpoint stands. */
  reached: FitState = FIT_START;
  private readonly network: SegmentationNetwork;
  private readonly taskNames: readonly string[];
  private lastPhase = -Infinity;

  constructor(
    private readonly directory: RunDirectory,
    private readonly record: RunRecord,
    private readonly plan: PretrainingPlan,
    private readonly store: HeadStore,
    private readonly options: PretrainingOptions,
    private readonly process: RunProcess,
    /** The run ended well before: what is done now is evaluation only, and no news. */
    private readonly over: boolean,
  ) {
    this.taskNames = plan.tasks.map(({ name }) => name);
    const decoder = { tasks: this.taskNames, channels: plan.config.decoderChannels };
    this.network = new SegmentationNetwork(plan.spec, decoder, record.seed);
  }

  dispose(): void {
    this.network.dispose();
  }

  /** @param begunBefore whether steps were taken already */
  async train(begunBefore: boolean): Promise<void> {
    const { directory, network, plan } = this;
    const whole = segmentationPath(directory);
    if (this.over && directory.has(whole)) {
      loadInto(network, await readWeights(whole));
      return;
    }
    const last = await lastCheckpoint(directory);
    if (last) this.reached = last.state;
    else if (begunBefore)
      this.warn(
        `There is no last checkpoint (${directory.checkpoint('last')}) to go on from: the run was cut off before its first one, or it was lost. It begins anew.`,
      );
    if (last && fitIsOver(last.state, plan.config.training)) loadInto(network, last.file);
    else await this.fit(last);
  }

  private async fit(last: LastCheckpoint | undefined): Promise<void> {
    const { directory, network, options, record, plan, store } = this;
    const { training } = plan.config;
    await this.readAll([...record.fold.train, ...record.fold.test]);
    const train = await Promise.all(record.fold.train.map((id) => store.get(id)));
    const { shape } = train[0];
    const asked = { program: network.program, training, shape, memory: engineMemory() };
    const fitted = await fitStepOfRun(directory, asked);
    for (const sentence of fitted.said) options.onAdvice?.(sentence);
    if (fitted.changed) this.warn(fitted.changed);
    spareForScratch(fitted.spare);
    const perEpoch = segmentationSteps(train.length, plan.config);
    if (last) {
      loadInto(network, last.file);
      const other = await noteEngine(directory, currentEngine());
      if (other) this.warn(other);
      directory.append({ type: 'resumed', epoch: last.state.epoch, step: last.state.step });
    } else {
      network.setPriors(this.priors(train));
      directory.append({ type: 'started', epochs: training.epochs, stepsPerEpoch: perEpoch });
    }
    await fitSegmentation(
      network,
      {
        train,
        members: store.codes.members,
        leftRight: plan.spec.axes === 'ijk' ? 0 : 2,
      },
      { ...plan.config, training: fitted.training },
      record.seed,
      {
        signal: this.process.signal,
        onCheckpoint: (state, optimiser) => this.saveLast(state, optimiser),
        onPreparing: (done, total) =>
          options.onProgress?.(timingProgress(training.epochs * perEpoch, done, total)),
        onEvent: (event) => {
          if (event.type === 'epoch') {
            directory.append({ ...event, validationLoss: null, validationAccuracy: null, best: false });
            return;
          }
          directory.append(event);
          this.process.look();
          options.onProgress?.({
            phase: 'training',
            done: event.epoch * perEpoch + event.step,
            total: training.epochs * perEpoch,
            secondsLeft: event.secondsLeft,
            detail: `epoch ${event.epoch + 1} of ${training.epochs}, loss ${event.loss.toFixed(3)}`,
          });
        },
      },
      last && {
        state: last.state,
        restore: (optimiser) => optimiser.restore(last.read, last.state.optimiserSteps),
      },
    );
  }

  /** Share of the voxels that belong to each task, over the heads to learn from; says which tasks nobody has. */
  private priors(train: readonly LabelledSample[]): number[] {
    const counts = train.map(({ codes }) => this.store.codes.count(codes));
    const voxels = train.reduce((sum, { codes }) => sum + codes.length, 0);
    const shares = this.taskNames.map((_, t) => counts.reduce((sum, count) => sum + count[t], 0) / voxels);
    const nobody = this.taskNames.filter((_, t) => shares[t] === 0);
    if (nobody.length > 0)
      this.warn(
        `No head to learn from has a voxel of ${nobody.join(', ')}: check the label numbers in ${this.record.segmentation?.tasksFile ?? 'the tasks file'}.`,
      );
    return shares;
  }

  private async readAll(ids: readonly string[]): Promise<void> {
    let first: LabelledSample | undefined;
    for (const [index, id] of ids.entries()) {
      const known = this.store.has(id);
      const one = await this.store.get(id);
      first ??= one;
      if (one.shape.join() !== first.shape.join())
        throw new InputError(
          `${id} has a grid of ${one.grid.shape.join(' x ')}, ${first.participantId} of ${first.grid.shape.join(' x ')}. Give --shape (and --spacing) so that all share one.`,
        );
      if (!known) this.report('reading', index + 1, ids.length, `${index + 1} of ${ids.length} heads`);
      await this.stopPoint();
    }
  }

  private async saveLast(state: FitState, optimiser: Optimiser): Promise<void> {
    const { directory, network } = this;
    // Before the checkpoint: whoever goes on from it needs the plan.
    await directory.keepPlan(enginePlan());
    await saveSegmentation(directory.checkpoint('last'), network, await this.meta([]), { optimiser, state });
    this.reached = state;
    directory.append({ type: 'checkpoint', kind: 'last', epoch: state.epoch });
  }

  /** Dice of the held-out heads, in evaluation mode. */
  async evaluate(): Promise<HeadDice[]> {
    const { store, network } = this;
    const { test } = this.record.fold;
    const heads: HeadDice[] = [];
    for (const id of test) {
      const { data, shape, codes, source } = await store.get(id);
      const x = stack([data], shape);
      let logits: Float32Array;
      try {
        logits = await awaited(network.predictSteps(x));
      } finally {
        x.dispose();
      }
      const dice = diceOfHead(logits, codes, store.codes.members, this.taskNames.length);
      heads.push({ participantId: id, source, dice });
      this.report('predicting', heads.length, test.length, `${id} (${heads.length} of ${test.length})`);
      await this.stopPoint();
    }
    return heads;
  }

  /** Writes what the pre-training was for: the encoder, and the whole network. */
  async keep(heads: readonly HeadDice[]): Promise<void> {
    const { directory, network } = this;
    const meta = await this.meta(heads);
    await directory.keepPlan(enginePlan());
    await saveSegmentation(segmentationPath(directory), network, meta);
    await saveEncoder(directory.checkpoint('best'), network, meta);
    directory.append({ type: 'checkpoint', kind: 'best', epoch: this.reached.epoch });
  }

  private async meta(heads: readonly HeadDice[]): Promise<SegmentationMeta> {
    const { record, plan, store, directory } = this;
    const { train, test } = record.fold;
    const [first, ...others] = await Promise.all(train.map((id) => store.get(id)));
    const steps = this.reached.optimiserSteps;
    const pretraining: PretrainingRecord = {
      kind: 'segmentation',
      tasks: [...this.taskNames],
      participants: { trained: [...train], heldOut: [...test] },
      data: record.cohort.fingerprint,
      modality: record.modality,
      grid: {
        shape: [...first.grid.shape],
        spacing: [...first.grid.spacing],
      },
      seed: record.seed,
      command: record.command,
      dice: diceTable(heads, this.taskNames, { seed: record.seed }),
      steps,
      secondsOfCompute: secondsOfSteps(directory),
      samplesSeen: this.samplesSeen(),
    };
    return {
      recipe: plan.recipe,
      modality: record.modality,
      seen: [...new Set([first, ...others].map(({ source }) => source))].sort(),
      brainMasks: [...new Set([first, ...others].map(({ brainSource }) => brainSource))].sort(),
      pretraining,
    };
  }

  private samplesSeen(): number {
    const heads = this.record.fold.train.length;
    const { batchSize } = this.plan.config.training;
    const perEpoch = Math.min(heads, segmentationSteps(heads, this.plan.config) * batchSize);
    return this.reached.epoch * perEpoch + this.reached.step * batchSize;
  }

  private report(
    phase: Exclude<PretrainingProgress['phase'], 'training'>,
    done: number,
    total: number,
    detail: string,
  ): void {
    const now = performance.now();
    if (!this.over && (done === total || now - this.lastPhase >= MILLISECONDS_BETWEEN_PHASES)) {
      this.lastPhase = now;
      this.directory.append({ type: 'phase', phase, done, total });
    }
    this.options.onProgress?.({ phase, done, total, secondsLeft: null, detail });
  }

  private warn(message: string): void {
    this.directory.append({ type: 'warning', message });
    this.options.onAdvice?.(message);
  }

  /** One turn of the event loop, in which a wish to stop is heard. */
  private async stopPoint(): Promise<void> {
    await nextTurn();
    this.process.look();
    if (this.process.signal.aborted) throw new StoppedError('Stopped. What was computed so far is kept.');
  }
}

/**
 * Seconds that training took, by the times of its events: from each beginning to the last step or checkpoint before the
 * next one.
 */
function secondsOfSteps(directory: RunDirectory): number {
  let seconds = 0;
  let began: number | undefined;
  let last: number | undefined;
  const close = (): void => {
    if (began !== undefined && last !== undefined) seconds += (last - began) / 1000;
    began = last = undefined;
  };
  for (const event of directory.events()) {
    const time = Date.parse(event.time);
    if (event.type === 'started' || event.type === 'resumed') {
      close();
      began = time;
    } else if (event.type === 'step' || event.type === 'checkpoint') last = time;
  }
  close();
  return Math.round(seconds * 10) / 10;
}
