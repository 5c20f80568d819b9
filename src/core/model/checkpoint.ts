import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../errors';
import type { LoadReport } from '../weights/load-report';
import type { OpenWeights } from '../weights/open-weights';
import { withWeights } from '../weights/read-weights';
import { writeSafetensors } from '../weights/safetensors';
import { toFloat32, type NamedTensor, type TensorFile } from '../weights/tensors';
import { parsePretrainingRecord, type PretrainingRecord } from '../transfer/pretraining-record';
import { parseRecipe, type Recipe } from '../volume/recipe';
import { differencesFromTraining, parseImportRecord, type ImportRecord } from './import-record';
import { loadedTensors, reportOn, reportOnTensors } from './load-weights';
import { Network } from './network';
import { recogniseNetwork } from './recognise';
import { networkSpec, parseNetworkSpec, type NetworkSpec } from './spec';
import type { BorderTensor } from './weights-of-network';

/** What a checkpoint says of itself beyond its tensors. */
export interface CheckpointMeta {
  readonly spec: NetworkSpec;
  /** How images were prepared in training; predict and explain repeat it. Absent for imported weights. */
  readonly recipe?: Recipe;
  readonly modality?: 'T1w' | 'FLAIR' | 'T1w+FLAIR' | 'mixed';
  /** Ids of the sources (heads) these weights have seen. */
  readonly seen?: readonly string[];
  /** Kinds of brain mask the images were normalised with in training. */
  readonly brainMasks?: readonly string[];
  /** Where weights came from that were trained elsewhere. */
  readonly imported?: ImportRecord;
  /** What the encoder learned before, on segmentation. */
  readonly pretraining?: PretrainingRecord;
}

/** Our key in the file's metadata. */
const KEY = 'fcd-lens';
const SCHEMA = 1;

/**
 * Writes a network as safetensors with PyTorch's names and layouts, so that PyTorch loads it too. `beside` are further
 * tensors (optimiser moments), `state` further metadata (where a run stood).
 */
export async function saveNetwork(
  path: string,
  network: Pick<Network, 'spec' | 'weights'>,
  meta: Omit<CheckpointMeta, 'spec'>,
  beside: ReadonlyMap<string, BorderTensor> = new Map(),
  state?: unknown,
): Promise<void> {
  const tensors: NamedTensor[] = [];
  for (const [name, { shape, data }] of [...(await network.weights.readBorder()), ...beside])
    tensors.push({ name, shape, dtype: 'F32', data });
  const metadata = checkpointMetadata({ ...meta, spec: network.spec });
  if (state !== undefined) metadata.state = JSON.stringify(state);
  await writeSafetensors(path, tensors, metadata);
}

/** What a checkpoint says of itself, as strings by name. */
export function checkpointMetadata(meta: CheckpointMeta): Record<string, string> {
  return { format: 'pt', [KEY]: JSON.stringify({ schema: SCHEMA, ...meta }) };
}

/** What a file of weights is, read against the network that it is for. */
export interface Checkpoint {
  readonly meta: CheckpointMeta;
  /** The network that the file says it is, before what was asked for; undefined for a file that others wrote. */
  readonly stored?: NetworkSpec;
  readonly report: LoadReport;
  readonly path: string;
  /** What a person should know about the file beyond the report, a sentence each. */
  readonly remarks: readonly string[];
}

export interface LoadedNetwork extends Checkpoint {
  readonly network: Network;
}

/**
 * A network from a file or a run directory (its best checkpoint, else its last). Files of ours say what they are; of
 * others the architecture is recognised, and `given` says what tensors cannot tell. Tensors are read one at a time;
 * those that the file lacks are 0: the report names them.
 * @throws InputError where nothing fits, or what was given contradicts the file
 */
export async function loadNetwork(path: string, given: Partial<NetworkSpec>): Promise<LoadedNetwork> {
  const file = await checkpointPath(path);
  return withWeights(file, async (weights) => {
    const checkpoint = examineWeights(weights, file, given);
    const network = new Network(checkpoint.meta.spec, 'zeros');
    try {
      await fillNetwork(network, weights, checkpoint.report);
      return { ...checkpoint, network };
    } catch (error) {
      network.dispose();
      throw error;
    }
  });
}

/** As {@link loadNetwork}, without making the network and without reading values: no engine is needed. */
export async function readCheckpoint(path: string, given: Partial<NetworkSpec>): Promise<Checkpoint> {
  const file = await checkpointPath(path);
  return withWeights(file, async (weights) => examineWeights(weights, file, given));
}

/** Copies what a report says is loaded into a network; everything else keeps its values. */
export async function fillNetwork(network: Network, weights: OpenWeights, report: LoadReport): Promise<void> {
  // Filters are brought into another order, which copies them; an engine may keep the other arrays, and these are lent.
  for await (const { name, shape, data } of loadedTensors(weights, report, true))
    network.weights.setFromBorder(name, shape.length === 5 ? data : data.slice());
}

/** Copies the tensors of one of our files into a network; missing or mismatched ones keep their values and are reported. */
export function loadInto(network: Pick<Network, 'weights'>, file: TensorFile): LoadReport {
  const report = reportOnTensors(network.weights.expected(), file.tensors);
  for (const [name, source] of Object.entries(report.sources)) {
    const tensor = file.tensors.get(source);
    if (!tensor) throw new Error(`The load report names ${source}, which the file does not hold.`);
    network.weights.setFromBorder(name, toFloat32(tensor));
  }
  return report;
}

/** As {@link readCheckpoint}, of an open file. `file` is what messages call it. */
export function examineWeights(weights: OpenWeights, file: string, given: Partial<NetworkSpec>): Checkpoint {
  const meta = checkpointMeta(weights, file);
  try {
    const remarks: string[] = [];
    const spec = meta ? reconcile(meta.spec, given, file) : specOfTensors(weights, given, file, remarks);
    const report = reportOn(spec, weights.tensors);
    if (meta?.imported && meta.spec.geometry === spec.geometry && meta.spec.axes === spec.axes)
      remarks.push(...differencesFromTraining(meta.imported.trained, spec));
    return { meta: { ...meta, spec }, stored: meta?.spec, report, path: file, remarks };
  } catch (error) {
    if (error instanceof InputError && !error.message.startsWith(file))
      throw new InputError(`${file}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** The network that tensors of others belong to, as far as they tell; what had to be assumed is remarked. */
function specOfTensors(
  weights: OpenWeights,
  given: Partial<NetworkSpec>,
  where: string,
  remarks: string[],
): NetworkSpec {
  const found = recogniseNetwork(weights.tensors);
  const { arch, width, inChannels, geometries } = found;
  const classes = found.classes ?? given.classes;
  requireNoContradiction({ arch, width, inChannels, classes }, given, where);
  const [only, ...others] = geometries;
  if (given.geometry === undefined && others.length > 0)
    remarks.push(
      `${where}: strides and dilations leave no trace in tensors, so it could be of geometry ${geometries.join(', ')}; ` +
        `${networkSpec({ arch }).geometry} is assumed. --geometry says otherwise.`,
    );
  return networkSpec({
    ...withoutUndefined(given),
    ...{ arch, width, inChannels, classes },
    geometry: given.geometry ?? (others.length === 0 ? only : undefined),
    shortcut: given.shortcut ?? found.shortcut,
  });
}

/** The file meant by a path: itself, or within a run directory the best checkpoint, else the last. */
export async function checkpointPath(path: string): Promise<string> {
  const info = await stat(path).catch(() => undefined);
  if (!info) throw new InputError(`There is no model at ${path}. Give a checkpoint file or a run directory.`);
  if (info.isFile()) return path;
  for (const kind of ['best', 'last']) {
    const candidate = join(path, 'checkpoints', kind, 'model.safetensors');
    if ((await stat(candidate).catch(() => undefined))?.isFile()) return candidate;
  }
  throw new InputError(
    `${path} holds no checkpoint (looked for checkpoints/best and checkpoints/last/model.safetensors).`,
  );
}

/** What one of our files says of itself; undefined for a file that others wrote. */
export function checkpointMeta(
  file: Pick<TensorFile, 'metadata'>,
  where: string,
): CheckpointMeta | undefined {
  const text = file.metadata[KEY];
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InputError(`${where}: the metadata "${KEY}" is not JSON; the file is damaged.`);
  }
  const record = value as Partial<Record<string, unknown>>;
  if (record.schema !== SCHEMA)
    throw new InputError(
      `${where} has checkpoint schema ${String(record.schema)}; this version reads ${SCHEMA}.`,
    );
  const modality = record.modality;
  if (
    modality !== undefined &&
    modality !== 'T1w' &&
    modality !== 'FLAIR' &&
    modality !== 'T1w+FLAIR' &&
    modality !== 'mixed'
  )
    throw new InputError(`${where}: the modality ${JSON.stringify(modality)} is unknown.`);
  return {
    spec: parseNetworkSpec(record.spec, where),
    recipe: record.recipe === undefined ? undefined : parseRecipe(record.recipe, where),
    modality,
    seen: Array.isArray(record.seen) ? record.seen.map(String) : undefined,
    brainMasks: Array.isArray(record.brainMasks) ? record.brainMasks.map(String) : undefined,
    imported: record.imported === undefined ? undefined : parseImportRecord(record.imported, where),
    pretraining:
      record.pretraining === undefined ? undefined : parsePretrainingRecord(record.pretraining, where),
  };
}

function reconcile(stored: NetworkSpec, given: Partial<NetworkSpec>, where: string): NetworkSpec {
  requireNoContradiction(stored, given, where);
  return { ...stored, ...withoutUndefined(given) };
}

/** @throws InputError where something was asked for that the tensors' shapes rule out */
export function requireNoContradiction(
  stored: Partial<NetworkSpec>,
  given: Partial<NetworkSpec>,
  where: string,
): void {
  for (const key of ['arch', 'width', 'inChannels', 'classes'] as const)
    if (given[key] !== undefined && given[key] !== stored[key])
      throw new InputError(
        `${where} is a network with ${key} ${stored[key]}, but ${key} ${given[key]} was asked for.`,
      );
}

function withoutUndefined(given: Partial<NetworkSpec>): Partial<NetworkSpec> {
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  ) as Partial<NetworkSpec>;
}
