import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError } from '../errors';
import { matchTensors, USUAL_PREFIXES, type ExpectedTensor, type LoadReport } from '../weights/load-report';
import { readWeights } from '../weights/read-weights';
import { writeSafetensors } from '../weights/safetensors';
import { toFloat32, type NamedTensor, type TensorFile } from '../weights/tensors';
import { parseRecipe, type Recipe } from '../volume/recipe';
import { Network } from './network';
import { buildProgram } from './program';
import { networkSpec, parseNetworkSpec, type NetworkSpec } from './spec';
import { expectedTensors, type BorderTensor } from './weights-of-network';

/** What a checkpoint says of itself beyond its tensors. */
export interface CheckpointMeta {
  readonly spec: NetworkSpec;
  /** How images were prepared in training; predict and explain repeat it. Absent for imported weights. */
  readonly recipe?: Recipe;
  readonly modality?: 'T1w' | 'FLAIR' | 'T1w+FLAIR';
  /** Ids of the sources (heads) these weights have seen. */
  readonly seen?: readonly string[];
  /** Kinds of brain mask the images were normalised with in training. */
  readonly brainMasks?: readonly string[];
}

/** Our key in the file's metadata. */
const KEY = 'fcd-lens';
const SCHEMA = 1;

/** How names of tensors begin that a checkpoint holds beside the network's: the optimiser's moments. */
const BESIDE = 'optimizer.';

/**
 * Writes a network as safetensors with PyTorch's names and layouts, so that PyTorch loads it too. `beside` are further
 * tensors (optimiser moments), `state` further metadata (where a run stood).
 */
export async function saveNetwork(
  path: string,
  network: Network,
  meta: Omit<CheckpointMeta, 'spec'>,
  beside: ReadonlyMap<string, BorderTensor> = new Map(),
  state?: unknown,
): Promise<void> {
  const tensors: NamedTensor[] = [];
  for (const [name, { shape, data }] of [...network.weights.toBorder(), ...beside])
    tensors.push({ name, shape, dtype: 'F32', data });
  const metadata: Record<string, string> = {
    format: 'pt',
    [KEY]: JSON.stringify({ schema: SCHEMA, spec: network.spec, ...meta }),
  };
  if (state !== undefined) metadata.state = JSON.stringify(state);
  await writeSafetensors(path, tensors, metadata);
}

/** What a file of weights is, read against the network that it is for. */
export interface Checkpoint {
  readonly meta: CheckpointMeta;
  /** The network that the file says it is, before what was asked for; undefined for a file that others wrote. */
  readonly stored?: NetworkSpec;
  readonly report: LoadReport;
  readonly file: TensorFile;
  readonly path: string;
}

export interface LoadedNetwork extends Checkpoint {
  readonly network: Network;
}

/**
 * A network from a file or a run directory (its best checkpoint, else its last). Files of ours say what they are; for
 * others `given` must name the architecture.
 * @throws InputError where nothing fits, the architecture is unknown, or it contradicts what the file says
 */
export async function loadNetwork(path: string, given: Partial<NetworkSpec>): Promise<LoadedNetwork> {
  const checkpoint = await readCheckpoint(path, given);
  const network = new Network(checkpoint.meta.spec, 0);
  try {
    loadInto(network, checkpoint.file);
    return { ...checkpoint, network };
  } catch (error) {
    network.dispose();
    throw error;
  }
}

/** As {@link loadNetwork}, without making the network: nothing is computed, so no engine is needed. */
export async function readCheckpoint(path: string, given: Partial<NetworkSpec>): Promise<Checkpoint> {
  const file = await checkpointPath(path);
  const weights = await readWeights(file);
  const meta = checkpointMeta(weights, file);
  const spec = reconcile(meta?.spec, { ...(!meta && specOfShapes(weights)), ...given }, file);
  try {
    const report = reportOn(expectedTensors(buildProgram(spec, { fused: true })), weights);
    return { meta: { ...meta, spec }, stored: meta?.spec, report, file: weights, path: file };
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`${file}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Copies the tensors of a file into a network; missing or mismatched ones keep their values and are reported. */
export function loadInto(network: Network, file: TensorFile): LoadReport {
  const report = reportOn(network.weights.expected(), file);
  for (const [name, source] of Object.entries(report.sources)) {
    const tensor = file.tensors.get(source);
    if (!tensor) throw new Error(`The load report names ${source}, which the file does not hold.`);
    network.weights.setFromBorder(name, toFloat32(tensor));
  }
  return report;
}

function reportOn(expected: readonly ExpectedTensor[], file: TensorFile): LoadReport {
  const report = matchTensors(expected, file.tensors);
  // The optimiser's moments in a `last` checkpoint are no part of the network.
  const unexpected = report.unexpected.filter((name) => !name.startsWith(BESIDE));
  return { ...report, unexpected };
}

/** Channels in and classes out, as the first and the last layer of a file show them. */
function specOfShapes(file: TensorFile): Partial<NetworkSpec> {
  const shapeOf = (name: string): readonly number[] | undefined =>
    [...file.tensors.values()].find((tensor) => prefixed(name).test(tensor.name))?.shape;
  const stem = shapeOf('conv1.weight');
  const classifier = shapeOf('fc.weight');
  return {
    ...(stem?.length === 5 && { inChannels: stem[1] }),
    ...(classifier?.length === 2 && { classes: classifier[0] }),
  };
}

function prefixed(name: string): RegExp {
  const prefixes = USUAL_PREFIXES.map((prefix) => prefix.replace('.', '\\.')).join('|');
  return new RegExp(`^(${prefixes})*${name.replace('.', '\\.')}$`);
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
export function checkpointMeta(file: TensorFile, where: string): CheckpointMeta | undefined {
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
  if (modality !== undefined && modality !== 'T1w' && modality !== 'FLAIR' && modality !== 'T1w+FLAIR')
    throw new InputError(`${where}: the modality ${JSON.stringify(modality)} is unknown.`);
  return {
    spec: parseNetworkSpec(record.spec, where),
    recipe: record.recipe === undefined ? undefined : parseRecipe(record.recipe, where),
    modality,
    seen: Array.isArray(record.seen) ? record.seen.map(String) : undefined,
    brainMasks: Array.isArray(record.brainMasks) ? record.brainMasks.map(String) : undefined,
  };
}

function reconcile(stored: NetworkSpec | undefined, given: Partial<NetworkSpec>, where: string): NetworkSpec {
  if (!stored) {
    if (!given.arch)
      throw new InputError(
        `${where} does not say which network it is. Add --arch (and --geometry, --shortcut, --width).`,
      );
    return networkSpec({ ...given, arch: given.arch });
  }
  for (const key of ['arch', 'width', 'inChannels', 'classes'] as const)
    if (given[key] !== undefined && given[key] !== stored[key])
      throw new InputError(
        `${where} is a network with ${key} ${stored[key]}, but ${key} ${given[key]} was asked for.`,
      );
  return { ...stored, ...withoutUndefined(given) };
}

function withoutUndefined(given: Partial<NetworkSpec>): Partial<NetworkSpec> {
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined),
  ) as Partial<NetworkSpec>;
}
