import { setImmediate as nextTurn } from 'node:timers/promises';
import type { HeatScoreRow, PredictionRow, RunRecord } from '../../protocol/run';
import { innerSplit } from '../cohort/folds';
import type { Case, Modality } from '../cohort/cohort';
import { camToNifti } from '../explain/cam-nifti';
import { writeCam, type CamRecord } from '../explain/cam-file';
import { explainVolume } from '../explain/explain-volume';
import type { CamMethod } from '../explain/gradcam';
import { scoreMap, type LocalisationScores } from '../explain/heat-score';
import type { Alignment } from '../explain/place-map';
import { currentEngine, engineMemory, enginePlan, spareForScratch } from '../engine/choose';
import { InputError, StoppedError, messageOf } from '../errors';
import { loadInto, saveNetwork } from '../model/checkpoint';
import { Network } from '../model/network';
import { Random } from '../random';
import { parseNetworkSpec, type NetworkSpec } from '../model/spec';
import { stepsPerEpoch } from '../train/batches';
import { parseTraining, type TrainingConfig } from '../train/config';
import { describeFineTuning, NO_FINE_TUNING } from '../train/fine-tuning';
import { fit } from '../train/fit';
import { FIT_START, fitIsOver, type FitState } from '../train/fit-state';
import { softmax } from '../train/loss';
import type { Optimiser } from '../train/optimiser';
import { timingProgress } from '../train/rehearsal';
import { predictSamples, type Sample } from '../train/sample';
import { parseRecipe, type Recipe } from '../volume/recipe';
import type { Volume } from '../volume/volume';
import { readWeights } from '../weights/read-weights';
import type { CaseStore, StoredCase } from './case-store';
import { noteEngine } from './engine-of-run';
import { loadInit, seenAfter } from './init-weights';
import { lastCheckpoint, type LastCheckpoint } from './last-checkpoint';
import type { RunDirectory } from './run-directory';
import { RunProcess } from './run-process';
import { fitStepOfRun } from './step-of-run';

/** A class map that a run makes of every test patient. */
export interface MapRequest {
  readonly layer: string;
  readonly method: CamMethod;
  readonly align: Alignment;
}

export const DEFAULT_MAPS: readonly MapRequest[] = [
  { layer: 'layer4', method: 'gradcam', align: 'half-pixel' },
];

/** Short name of a map, used in file names: `layer4-gradcam`. */
export function mapName(map: MapRequest): string {
  return `${map.layer}-${map.method}`;
}

export interface RunOptions {
  readonly maps: readonly MapRequest[];
  /** Also write each map as a NIfTI on the subject's own grid. */
  readonly niftis: boolean;
  /** The experiment that the run is part of: a file `stop` in there counts as well as one in the run's directory. */
  readonly experiment?: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RunProgress) => void;
  /** A sentence that a person should read; the run's own ones are warnings among its events as well. */
  readonly onAdvice?: (sentence: string) => void;
}

export interface RunProgress {
  readonly phase: 'reading' | 'training' | 'predicting' | 'explaining';
  /** Done so far and in all, of this phase. */
  readonly done: number;
  readonly total: number;
  readonly secondsLeft: number | null;
  /** For people: `epoch 3 of 14, loss 0.512`. */
  readonly detail: string;
}

/** A map of one test patient, on the prepared grid, with its scores. */
export interface ExplainedCase {
  readonly participantId: string;
  readonly map: MapRequest;
  readonly heat: Volume;
  readonly scores: LocalisationScores;
  /**
   * Heat-Score roi/brain of the same map of a network that has learned nothing: the same architecture with random
   * weights, one per run. Null where that map is zero everywhere.
   */
  readonly untrained: number | null;
  /** Absolute path of the NIfTI, where one was written. */
  readonly nifti?: string;
}

export interface RunResult {
  readonly predictions: readonly PredictionRow[];
  readonly explained: readonly ExplainedCase[];
  readonly heatScores: readonly HeatScoreRow[];
}

/**
 * One fit with everything that follows from it: training, predictions of the test cases, class maps and Heat-Scores of
 * the test patients. The directory holds a run.json already (see {@link RunDirectory.begin}); a run that was stopped
 * goes on from its last checkpoint, one that is finished is only evaluated again. While it lasts, process.json says who
 * computes, and a file `stop` in the directory asks to stop at the next step.
 * @throws StoppedError when the signal aborts or a file `stop` appears; the directory can then be resumed
 */
export async function executeRun(
  directory: RunDirectory,
  store: CaseStore,
  options: RunOptions,
): Promise<RunResult> {
  const record = await directory.record();
  const plan = planOf(record, directory.recordPath);
  const began = performance.now();
  await directory.sweep();
  const events = directory.events();
  const finished = events.some(({ type }) => type === 'finished');
  const { experiment } = options;
  const process = await RunProcess.begin(
    [directory.path, ...(experiment ? [experiment] : [])],
    options.signal,
  );
  const run = new Run(directory, record, plan, store, options, process, finished);
  try {
    // What counts after training is there: the last checkpoint may have been removed to save space.
    if (finished && directory.has(directory.checkpoint('best'))) await run.loadBest();
    else await run.train(events.some(({ type }) => type === 'step'));
    const result = await run.evaluate();
    if (!finished) {
      const seconds = (performance.now() - began) / 1000;
      directory.append({ type: 'finished', epochs: run.reached.epoch, seconds });
    }
    return result;
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

/** The parts of a run.json that decide what is computed, checked. */
export interface CheckedPlan {
  readonly spec: NetworkSpec;
  readonly recipe: Recipe;
  readonly training: TrainingConfig;
  readonly modality: Modality;
}

export function planOf(record: RunRecord, where: string): CheckedPlan {
  return {
    spec: parseNetworkSpec(record.network, where),
    recipe: parseRecipe(record.recipe, where),
    training: parseTraining(record.training, where),
    modality: record.modality,
  };
}

/** The training part of a fold, split for early stopping where the configuration asks for it. */
export function splitForValidation(
  cases: readonly Case[],
  trainIds: readonly string[],
  training: TrainingConfig,
  seed: number,
): { train: readonly string[]; validation: readonly string[] } {
  if (training.patience === 0) return { train: trainIds, validation: [] };
  const chosen = new Set(trainIds);
  return innerSplit(
    cases.filter((one) => chosen.has(one.participantId)),
    training.validationFraction,
    seed,
  );
}

const MILLISECONDS_BETWEEN_PHASES = 1000;

class Run {
  /** Where the last checkpoint stands. */
  reached: FitState = FIT_START;
  private readonly network: Network;
  private lastPhase = -Infinity;

  constructor(
    private readonly directory: RunDirectory,
    private readonly record: RunRecord,
    private readonly plan: CheckedPlan,
    private readonly store: CaseStore,
    private readonly options: RunOptions,
    private readonly process: RunProcess,
    /** The run ended well before: what is done now is evaluation only, and no news. */
    private readonly over: boolean,
  ) {
    this.network = new Network(plan.spec, record.seed);
  }

  dispose(): void {
    this.network.dispose();
  }

  /**
   * Leaves the weights that count in the network: the best ones with early stopping, else the last.
   * @param begunBefore whether steps were taken already
   */
  async train(begunBefore: boolean): Promise<void> {
    const { directory, network } = this;
    const { training } = this.plan;
    const last = await lastCheckpoint(directory);
    if (last) this.reached = last.state;
    else if (begunBefore)
      this.warn(
        `There is no last checkpoint (${directory.checkpoint('last')}) to go on from: the run was cut off before its first one, or it was lost. It begins anew.`,
      );
    if (last && fitIsOver(last.state, training)) loadInto(network, last.file);
    else await this.fit(last);
    if (training.patience > 0) await this.loadBest();
    else if (!directory.has(directory.checkpoint('best'))) await this.save('best', this.reached);
  }

  async loadBest(): Promise<void> {
    loadInto(this.network, await readWeights(this.directory.checkpoint('best')));
  }

  private async fit(last: LastCheckpoint | undefined): Promise<void> {
    const { directory, network, options, record } = this;
    const { training, spec } = this.plan;
    // The held-out heads as well: a file that cannot be read is found now, not after hours of training.
    await this.readAll([...record.fold.train, ...record.fold.validation, ...record.fold.test]);
    const pick = (ids: readonly string[]): Promise<Sample[]> =>
      Promise.all(ids.map((id) => this.store.sample(id)));
    const data = {
      train: await pick(record.fold.train),
      validation: await pick(record.fold.validation),
      leftRight: spec.axes === 'ijk' ? (0 as const) : (2 as const),
    };
    requireOneShape([...data.train, ...data.validation]);
    for (const sentence of describeFineTuning(training.fineTuning ?? NO_FINE_TUNING, training.epochs))
      options.onAdvice?.(sentence);
    if (record.init.kind === 'none' && (training.fineTuning?.freeze.length ?? 0) > 0)
      this.warn(
        'Parts are frozen (--freeze) although the run starts from random weights (--init none): those parts stay random.',
      );
    const { shape } = data.train[0];
    const asked = { program: network.program, training, shape, memory: engineMemory() };
    const fitted = await fitStepOfRun(directory, asked);
    for (const sentence of fitted.said) options.onAdvice?.(sentence);
    if (fitted.changed) this.warn(fitted.changed);
    spareForScratch(fitted.spare);
    const perEpoch = stepsPerEpoch(data.train, training.batchSize);
    if (last) {
      loadInto(network, last.file);
      const other = await noteEngine(directory, currentEngine());
      if (other) this.warn(other);
      directory.append({ type: 'resumed', epoch: last.state.epoch, step: last.state.step });
    } else {
      await loadInit(network, record.init);
      directory.append({ type: 'started', epochs: training.epochs, stepsPerEpoch: perEpoch });
    }
    await fit(
      network,
      data,
      fitted.training,
      record.seed,
      {
        signal: this.process.signal,
        onCheckpoint: (kind, at, optimiser) => this.save(kind, at, optimiser),
        onPreparing: (done, total) =>
          options.onProgress?.(timingProgress(training.epochs * perEpoch, done, total)),
        onEvent: (event) => {
          directory.append(event);
          if (event.type !== 'step') return;
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
        restore: (optimiser) => optimiser.restore(last.read, last.state.optimiserSteps, last.state.partSteps),
      },
    );
  }

  private async readAll(ids: readonly string[]): Promise<void> {
    const test = new Set(this.record.fold.test);
    for (const [index, id] of ids.entries()) {
      const known = this.store.has(id);
      const one = await this.store.get(id);
      if (test.has(id)) requireScorable(one);
      if (!known) this.report('reading', index + 1, ids.length, `${index + 1} of ${ids.length} heads`);
      await this.stopPoint();
    }
  }

  private async save(kind: 'last' | 'best', at: FitState, optimiser?: Optimiser): Promise<void> {
    const { directory, network, plan, record, store } = this;
    // Before the checkpoint: whoever goes on from it needs the plan.
    await directory.keepPlan(enginePlan());
    const learned = [...record.fold.train, ...record.fold.validation].map((id) => store.case(id).source);
    const meta = {
      recipe: plan.recipe,
      modality: plan.modality,
      seen: seenAfter(record.init, learned),
      brainMasks: await store.brainSources(record.fold.train),
    };
    if (kind === 'last') {
      await saveNetwork(directory.checkpoint(kind), network, meta, await optimiser?.readBorder(), at);
      this.reached = at;
    } else await saveNetwork(directory.checkpoint(kind), network, meta);
    directory.append({ type: 'checkpoint', kind, epoch: at.epoch });
  }

  async evaluate(): Promise<RunResult> {
    const { directory, record, store, options } = this;
    const { test } = record.fold;
    const predictions: PredictionRow[] = [];
    for (const id of test) {
      predictions.push(await this.predict(id));
      this.report(
        'predicting',
        predictions.length,
        test.length,
        `${id} (${predictions.length} of ${test.length})`,
      );
      await this.stopPoint();
    }
    await directory.writePredictions(predictions);

    const withoutMask = test.filter((id) => store.case(id).group === 'fcd' && !store.case(id).roi);
    if (withoutMask.length > 0)
      this.warn(
        `${withoutMask.length} test patients have no lesion mask, hence no class map and no Heat-Score: ${withoutMask.join(', ')}.`,
      );
    const patients = test.filter((id) => store.case(id).roi !== undefined);
    const explained: ExplainedCase[] = [];
    const heatScores: HeatScoreRow[] = [];
    const untrained = new Network(this.plan.spec, untrainedSeed(record));
    try {
      for (const [index, id] of patients.entries()) {
        for (const map of options.maps) {
          const one = await this.explain(id, map, untrained);
          explained.push(one);
          heatScores.push(...heatScoreRows(one, record.fold.index));
        }
        this.report('explaining', index + 1, patients.length, `${id} (${index + 1} of ${patients.length})`);
        await this.stopPoint();
      }
    } finally {
      untrained.dispose();
    }
    await directory.writeHeatScores(heatScores);
    await directory.keepPlan(enginePlan());
    return { predictions, explained, heatScores };
  }

  private async predict(id: string): Promise<PredictionRow> {
    const { fold, seed } = this.record;
    const sample = await this.store.sample(id);
    const [logits] = await predictSamples(this.network, [sample], 1);
    return {
      participantId: id,
      source: sample.source,
      fold: fold.index,
      seed,
      yTrue: sample.label,
      logits,
      pFcd: softmax(logits)[1],
      yPred: logits[1] > logits[0] ? 1 : 0,
    };
  }

  private async explain(id: string, map: MapRequest, untrained: Network): Promise<ExplainedCase> {
    const { directory, plan, network, store, options } = this;
    const { roi, brain, grid, case: one } = await store.get(id);
    if (!roi) throw new Error(`${id} has no lesion mask.`);
    const image = shownImage(one, plan.modality);
    // Heat-Scores ask where the evidence for fcd lies, whatever was predicted.
    const channels = await store.channels(id);
    const { raw, layerMap, heat } = await explainVolume(network, channels, grid, { ...map, classIndex: 1 });
    const names = { heat: `the class map of ${id}`, roi: one.roi?.path, brain: one.brain };
    const scores = scoreMap({ heat, roi, brain, names });
    const random = await explainVolume(untrained, channels, grid, { ...map, classIndex: 1 });
    const [chance] = scoreMap({ heat: random.heat, roi, brain, names }).heatScores;
    const camRecord: CamRecord = {
      schemaVersion: 1,
      participantId: id,
      layer: map.layer,
      class: { index: 1, name: 'fcd' },
      method: map.method,
      align: map.align,
      logit: raw.logits[1],
      axes: plan.spec.axes,
      receptive: layerMap.receptive,
      grid: { shape: grid.shape, affine: [...grid.affine] },
      recipe: { ...plan.recipe },
      image,
      model: directory.checkpoint('best'),
      flags: [...scores.flags],
    };
    // The first map of a run bears the participant's name alone.
    const name = map === options.maps[0] ? undefined : mapName(map);
    await writeCam(directory.cam(id, name), layerMap, camRecord);
    const nifti = options.niftis ? directory.camNifti(id, name) : undefined;
    if (nifti) await camToNifti(nifti, { map: layerMap, record: camRecord }, image);
    return { participantId: id, map, heat, scores, untrained: chance.score, nifti };
  }

  private report(
    phase: Exclude<RunProgress['phase'], 'training'>,
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

/** The image on whose grid a case is shown: the FLAIR where there are both, for the lesion is drawn on it. */
export function shownImage({ participantId, images }: Case, modality: Modality): string {
  const image =
    modality === 'mixed'
      ? (images.FLAIR ?? images.T1w)
      : images[modality === 'T1w+FLAIR' ? 'FLAIR' : modality];
  if (image === undefined) throw new Error(`${participantId} has no image of ${modality}.`);
  return image;
}

/** A mask that vanished on the prepared grid cannot be scored. @throws InputError that names the file */
function requireScorable({ roi, brain, grid, case: one }: StoredCase): void {
  if (!roi) return;
  const size = grid.shape.join(' x ');
  if (!roi.data.includes(1))
    throw new InputError(
      `${one.roi?.path}: the lesion mask has no voxel on the prepared grid of ${size}: it is empty, lies off the grid, or is too small for these voxels. Correct it, leave the case out, or choose a finer --spacing or a larger --shape.`,
    );
  if (!roi.data.some((inside, at) => inside === 1 && brain.data[at] === 1))
    throw new InputError(
      `${one.roi?.path}: the lesion mask lies entirely outside the brain mask ${one.brain ?? '(made from the image)'}. Check that both belong to ${one.participantId}.`,
    );
}

/** Another one for every fold, and none that training draws from. */
function untrainedSeed({ seed, fold }: RunRecord): number {
  return Random.seeded(seed, `untrained network of fold ${fold.index}`).integer(2 ** 31);
}

export function heatScoreRows(one: ExplainedCase, fold: number): HeatScoreRow[] {
  const { layer, method, align } = one.map;
  return one.scores.heatScores.map((score) => ({
    participantId: one.participantId,
    fold,
    layer,
    method,
    align,
    variant: score.variant,
    score: score.score,
    inRoiMean: score.roiMean,
    referenceMean: score.referenceMean,
    roiVoxels: one.scores.roi.voxels,
    flags: one.scores.flags,
  }));
}

function requireOneShape(samples: readonly Sample[]): void {
  const [first] = samples;
  const other = samples.find((sample) => sample.shape.join() !== first.shape.join());
  if (other)
    throw new InputError(
      `${other.participantId} has a grid of ${other.shape.slice(0, 3).join(' x ')}, ${first.participantId} of ${first.shape.slice(0, 3).join(' x ')}. Give --shape (and --spacing) so that all share one.`,
    );
}
