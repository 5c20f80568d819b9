import { setImmediate as nextTurn } from 'node:timers/promises';
import { join } from 'node:path';
import type { HeatScoreRow, PredictionRow, RunRecord } from '../../protocol/run';
import { innerSplit } from '../cohort/folds';
import type { Case, Modality } from '../cohort/cohort';
import { camToNifti } from '../explain/cam-nifti';
import { writeCam, type CamRecord } from '../explain/cam-file';
import { explainVolume } from '../explain/explain-volume';
import type { CamMethod } from '../explain/gradcam';
import { scoreMap, type LocalisationScores } from '../explain/heat-score';
import type { Alignment } from '../explain/place-map';
import { InputError, StoppedError, messageOf } from '../errors';
import { loadInto, saveNetwork } from '../model/checkpoint';
import { Network } from '../model/network';
import { parseNetworkSpec, type NetworkSpec } from '../model/spec';
import { parseTraining, type TrainingConfig } from '../train/config';
import { fit, FIT_START, type FitState } from '../train/fit';
import { softmax } from '../train/loss';
import type { Optimiser } from '../train/optimiser';
import { predictSamples, type Sample } from '../train/sample';
import { parseRecipe, type Recipe } from '../volume/recipe';
import type { Volume } from '../volume/volume';
import { readWeights } from '../weights/read-weights';
import { toFloat32, type TensorFile } from '../weights/tensors';
import { CaseStore } from './case-store';
import { RunDirectory } from './run-directory';

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
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RunProgress) => void;
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
 * goes on from its last checkpoint.
 * @throws StoppedError when the signal aborts; the directory can then be resumed
 */
export async function executeRun(
  directory: RunDirectory,
  store: CaseStore,
  options: RunOptions,
): Promise<RunResult> {
  const record = await directory.record();
  const plan = planOf(record, directory.recordPath);
  const began = performance.now();
  const network = new Network(plan.spec, record.seed);
  try {
    const state = await train(directory, record, plan, network, store, options);
    const result = await evaluate(directory, record, plan, network, store, options);
    directory.append({ type: 'finished', epochs: state.epoch, seconds: (performance.now() - began) / 1000 });
    directory.sync();
    return result;
  } catch (error) {
    if (error instanceof StoppedError) throw error;
    directory.append({ type: 'failed', message: messageOf(error) });
    throw error;
  } finally {
    network.dispose();
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

async function train(
  directory: RunDirectory,
  record: RunRecord,
  plan: CheckedPlan,
  network: Network,
  store: CaseStore,
  options: RunOptions,
): Promise<FitState> {
  const { training, spec } = plan;
  const last = await lastCheckpoint(directory);
  const state = last?.state ?? FIT_START;
  const total = record.fold.train.length + record.fold.validation.length;
  const samples = new Map<string, Sample>();
  for (const id of [...record.fold.train, ...record.fold.validation]) {
    samples.set(id, await store.sample(id, spec));
    options.onProgress?.({
      phase: 'reading',
      done: samples.size,
      total,
      secondsLeft: null,
      detail: `${samples.size} of ${total} heads`,
    });
    await stopPoint(options.signal);
  }
  const pick = (ids: readonly string[]): Sample[] => ids.map((id) => samples.get(id) as Sample);
  const data = {
    train: pick(record.fold.train),
    validation: pick(record.fold.validation),
    leftRight: spec.axes === 'ijk' ? (0 as const) : (2 as const),
  };
  requireOneShape([...data.train, ...data.validation]);
  const perEpoch = Math.max(1, Math.round(data.train.length / training.batchSize));
  if (last) {
    loadInto(network, last.file);
    directory.append({ type: 'resumed', epoch: state.epoch, step: state.step });
  } else directory.append({ type: 'started', epochs: training.epochs, stepsPerEpoch: perEpoch });
  const meta = { recipe: plan.recipe, modality: plan.modality, seen: sourcesOf(data.train, data.validation) };
  const save = async (kind: 'last' | 'best', at: FitState, optimiser?: Optimiser): Promise<void> => {
    const beside = kind === 'last' ? optimiser?.toBorder() : undefined;
    await saveNetwork(directory.checkpoint(kind), network, meta, beside, kind === 'last' ? at : undefined);
    directory.append({ type: 'checkpoint', kind, epoch: at.epoch });
  };
  try {
    const end = await fit(
      network,
      data,
      training,
      record.seed,
      {
        signal: options.signal,
        onCheckpoint: save,
        onEvent: (event) => {
          directory.append(event);
          if (event.type !== 'step') return;
          options.onProgress?.({
            phase: 'training',
            done: event.epoch * perEpoch + event.step,
            total: training.epochs * perEpoch,
            secondsLeft: event.secondsLeft,
            detail: `epoch ${event.epoch + 1} of ${training.epochs}, loss ${event.loss.toFixed(3)}`,
          });
        },
      },
      { state, restore: (optimiser) => last && optimiser.restore(last.read, state.optimiserSteps) },
    );
    if (training.patience > 0) loadInto(network, await readWeights(directory.checkpoint('best')));
    else await save('best', end);
    return end;
  } catch (error) {
    if (error instanceof StoppedError) {
      const stopped = (await lastCheckpoint(directory))?.state ?? FIT_START;
      directory.append({ type: 'stopped', epoch: stopped.epoch, step: stopped.step });
      directory.sync();
    }
    throw error;
  }
}

async function evaluate(
  directory: RunDirectory,
  record: RunRecord,
  plan: CheckedPlan,
  network: Network,
  store: CaseStore,
  options: RunOptions,
): Promise<RunResult> {
  const { test } = record.fold;
  const predictions: PredictionRow[] = [];
  for (const id of test) {
    const sample = await store.sample(id, plan.spec);
    const [logits] = predictSamples(network, [sample], 1);
    predictions.push({
      participantId: id,
      source: sample.source,
      fold: record.fold.index,
      seed: record.seed,
      yTrue: sample.label,
      logits,
      pFcd: softmax(logits)[1],
      yPred: logits[1] > logits[0] ? 1 : 0,
    });
    report(options, 'predicting', predictions.length, test.length, id);
    await stopPoint(options.signal);
  }
  await directory.writePredictions(predictions);

  const patients = test.filter((id) => store.case(id).roi !== undefined);
  const explained: ExplainedCase[] = [];
  const heatScores: HeatScoreRow[] = [];
  for (const id of patients) {
    for (const map of options.maps) {
      const one = await explainCase(directory, plan, network, store, id, map, options.niftis);
      explained.push(one);
      heatScores.push(...heatScoreRows(one, record.fold.index));
    }
    report(options, 'explaining', explained.length / options.maps.length, patients.length, id);
    await stopPoint(options.signal);
  }
  await directory.writeHeatScores(heatScores);
  return { predictions, explained, heatScores };
}

async function explainCase(
  directory: RunDirectory,
  plan: CheckedPlan,
  network: Network,
  store: CaseStore,
  id: string,
  map: MapRequest,
  nifti: boolean,
): Promise<ExplainedCase> {
  const prepared = await store.get(id);
  const { roi, brain, grid, channels } = prepared;
  if (!roi) throw new InputError(`${id} has no lesion mask: a Heat-Score needs one.`);
  // Heat-Scores ask where the evidence for fcd lies, whatever was predicted.
  const { raw, layerMap, heat } = explainVolume(network, channels, grid, { ...map, classIndex: 1 });
  const names = { heat: `the class map of ${id}`, roi: prepared.case.roi?.path, brain: prepared.case.brain };
  const scores = scoreMap({ heat, roi, brain, names });
  const contrast = plan.modality === 'T1w+FLAIR' ? 'FLAIR' : plan.modality;
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
    image: prepared.case.images[contrast],
    model: directory.checkpoint('best'),
    flags: [...scores.flags],
  };
  await writeCam(directory.cam(id, mapName(map)), layerMap, camRecord);
  const path = join(directory.path, 'cams', `${id}_${mapName(map)}.nii.gz`);
  if (nifti)
    await camToNifti(path, { map: layerMap, record: camRecord }, prepared.case.images[contrast] as string);
  return { participantId: id, map, heat, scores, nifti: nifti ? path : undefined };
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

interface LastCheckpoint {
  readonly file: TensorFile;
  readonly state: FitState;
  readonly read: (name: string) => Float32Array;
}

async function lastCheckpoint(directory: RunDirectory): Promise<LastCheckpoint | undefined> {
  const path = directory.checkpoint('last');
  if (!directory.has(path)) return undefined;
  const file = await readWeights(path);
  const text = file.metadata.state;
  if (text === undefined)
    throw new InputError(`${path} does not say where training stood; the run cannot go on from it.`);
  const read = (name: string): Float32Array => {
    const tensor = file.tensors.get(name);
    if (!tensor) throw new InputError(`${path} lacks ${name}; the run cannot go on exactly. Start it anew.`);
    return toFloat32(tensor);
  };
  return { file, state: JSON.parse(text) as FitState, read };
}

function requireOneShape(samples: readonly Sample[]): void {
  const [first] = samples;
  const other = samples.find((sample) => sample.shape.join() !== first.shape.join());
  if (other)
    throw new InputError(
      `${other.participantId} has a grid of ${other.shape.slice(0, 3).join(' x ')}, ${first.participantId} of ${first.shape.slice(0, 3).join(' x ')}. Give --shape (and --spacing) so that all share one.`,
    );
}

function sourcesOf(...parts: readonly (readonly Sample[])[]): string[] {
  return [...new Set(parts.flat().map((sample) => sample.source))].sort();
}

function report(
  options: RunOptions,
  phase: RunProgress['phase'],
  done: number,
  total: number,
  id: string,
): void {
  options.onProgress?.({ phase, done, total, secondsLeft: null, detail: `${id} (${done} of ${total})` });
}

async function stopPoint(signal?: AbortSignal): Promise<void> {
  await nextTurn();
  if (signal?.aborted) throw new StoppedError('Stopped. What was computed so far is kept.');
}
