import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { InputError } from '../errors';
import { sha256Of } from '../files/sha256';
import {
  checkpointMeta,
  checkpointMetadata,
  checkpointPath,
  requireNoContradiction,
  type CheckpointMeta,
} from '../model/checkpoint';
import { differencesFromTraining, type ImportRecord } from '../model/import-record';
import { foldedBiases, loadedTensors, reportOn } from '../model/load-weights';
import { CLASSIFIER, recogniseNetwork, type Recognised } from '../model/recognise';
import { describeSpec, networkSpec, type NetworkSpec } from '../model/spec';
import type { LoadReport } from '../weights/load-report';
import type { OpenWeights, TensorInfo } from '../weights/open-weights';
import { withWeights } from '../weights/read-weights';
import { streamSafetensors } from '../weights/safetensors';
import type { NamedTensor, TensorFormat } from '../weights/tensors';
import { registeredBytes, registeredName, type RegisteredWeights } from './registry';
import { spreadStem } from './spread-stem';

export interface ImportRequest {
  /** A weights file, or a run directory (its best checkpoint). */
  readonly path: string;
  /** The checkpoint to write. */
  readonly out: string;
  /** What a person says about the network; what tensors tell must agree. */
  readonly given: Partial<Pick<NetworkSpec, 'arch' | 'geometry' | 'shortcut' | 'width' | 'axes'>>;
  /** Input channels wanted; a stem of one channel is spread over them. The file's own where it is left out. */
  readonly inChannels?: number;
  /** Take the defaults where neither the file nor a flag tells geometry or axes. */
  readonly acceptDefaults: boolean;
}

export interface ImportResult {
  readonly out: string;
  readonly spec: NetworkSpec;
  readonly format: TensorFormat;
  readonly record: ImportRecord;
  readonly report: LoadReport;
  /** Sentences: what is odd, what computes otherwise than it was trained. */
  readonly warnings: readonly string[];
}

/** What an import would come to, before anything is written. */
export interface ImportPlan {
  readonly spec: NetworkSpec;
  readonly format: TensorFormat;
  readonly record: ImportRecord;
  readonly report: LoadReport;
  readonly warnings: readonly string[];
}

/**
 * What importing a file would come to: everything that {@link importWeights} finds without reading values or writing.
 * @param hash gives the sha256 of a file, for whoever knows it already or wants to say how far its reading is
 * @throws InputError as {@link importWeights}
 */
export async function examineImport(
  request: Omit<ImportRequest, 'out'>,
  hash: (path: string) => Promise<string> = sha256Of,
): Promise<ImportPlan> {
  const path = await checkpointPath(request.path);
  const sha256 = await hash(path);
  return withPlan(path, sha256, request, async (weights, plan, record) => ({
    spec: plan.spec,
    format: weights.format,
    record,
    report: plan.report,
    warnings: [...plan.warnings, ...oddities([], weights)],
  }));
}

/**
 * Makes a checkpoint of ours from weights that were trained elsewhere. Only tensors that the file holds are written, so
 * a fresh classifier never passes for a trained one. Tensors pass one at a time; the checkpoint is written whole or not
 * at all.
 * @param pause awaited after every tensor with its number and how many there are; what it throws ends the import
 * @param hash as in {@link examineImport}
 * @throws InputError where the file is no 3D ResNet, contradicts what was given, or leaves geometry or axes open
 */
export async function importWeights(
  request: ImportRequest,
  pause?: (done: number, total: number) => Promise<void>,
  hash: (path: string) => Promise<string> = sha256Of,
): Promise<ImportResult> {
  const path = await checkpointPath(request.path);
  if (resolve(path) === resolve(request.out))
    throw new InputError(`--out ${request.out} is the file that is imported. Name another one.`);
  const sha256 = await hash(path);
  return withPlan(path, sha256, request, async (weights, plan, record) => {
    const { spec, report } = plan;
    const { recipe, seen, brainMasks, pretraining } = plan.meta ?? {};
    const metadata = checkpointMetadata({ spec, recipe, seen, brainMasks, imported: record, pretraining });
    const notFinite: string[] = [];
    await streamSafetensors(
      request.out,
      infosOf(weights, report, spec),
      metadata,
      paused(written(weights, report, spec, notFinite), report.loaded.length, pause),
    );
    const warnings = [...plan.warnings, ...oddities(notFinite, weights)];
    return { out: request.out, spec, format: weights.format, record, report, warnings };
  });
}

/** Opens a file and plans its import; errors name the file. */
async function withPlan<T>(
  path: string,
  sha256: string,
  request: Omit<ImportRequest, 'out'>,
  use: (weights: OpenWeights, plan: Plan, record: ImportRecord) => Promise<T>,
): Promise<T> {
  const { size: bytes } = await stat(path);
  return withWeights(path, async (weights) => {
    try {
      const plan = planImport(weights, path, sha256, request);
      const { report } = plan;
      return await use(weights, plan, {
        file: basename(path),
        bytes,
        sha256,
        registry: plan.entry?.id ?? null,
        trained: plan.trained,
        loaded: report.loaded.length,
        fresh: [...report.missing, ...report.mismatched.map(({ name }) => name)].sort(),
        changes: plan.changes,
      });
    } catch (error) {
      if (error instanceof InputError && !error.message.startsWith(path))
        throw new InputError(`${path}: ${error.message}`, { cause: error });
      throw error;
    }
  });
}

async function* paused<T>(
  items: AsyncIterable<T>,
  total: number,
  pause: ((done: number, total: number) => Promise<void>) | undefined,
): AsyncGenerator<T, void> {
  let done = 0;
  for await (const item of items) {
    yield item;
    await pause?.(++done, total);
  }
}

interface Plan {
  readonly spec: NetworkSpec;
  readonly meta: CheckpointMeta | undefined;
  readonly entry: RegisteredWeights | undefined;
  readonly trained: ImportRecord['trained'];
  readonly report: LoadReport;
  readonly changes: string[];
  readonly warnings: string[];
}

function planImport(
  weights: OpenWeights,
  path: string,
  sha256: string,
  { given, inChannels, acceptDefaults }: Omit<ImportRequest, 'out'>,
): Plan {
  const meta = checkpointMeta(weights, path);
  const found = recogniseNetwork(weights.tensors);
  requireNoContradiction(found, given, path);
  if (given.geometry && !found.geometries.includes(given.geometry))
    throw new InputError(
      `its tensors are not those of geometry ${given.geometry}; they can be of ${found.geometries.join(', ')}.`,
    );
  const entry = registeredBytes(sha256);
  const trained = training(meta, entry, found, given, acceptDefaults);
  const stored = networkSpec({
    ...{ arch: found.arch, width: found.width, inChannels: found.inChannels, classes: 2 },
    shortcut: given.shortcut ?? meta?.spec.shortcut ?? found.shortcut,
    geometry: given.geometry ?? meta?.spec.geometry ?? trained.geometry,
    axes: given.axes ?? meta?.spec.axes ?? trained.axes,
  });
  const report = reportOn(stored, weights.tensors);
  const wrong = report.mismatched.find(({ name }) => !CLASSIFIER.test(name));
  if (wrong)
    throw new InputError(
      `${wrong.name} is [${wrong.found.join(', ')}] where [${wrong.expected.join(', ')}] is due. Save the whole state_dict() of the network.`,
    );
  const spec = { ...stored, inChannels: inChannels ?? stored.inChannels };
  const changes = changesOf(weights, report, stored, spec);
  return { spec, meta, entry, trained, report, changes, warnings: warningsOf() };

  function warningsOf(): string[] {
    const said = differencesFromTraining(trained, spec);
    const named = registeredName(basename(path));
    if (!entry && named)
      said.push(
        named.sha256 === null
          ? `It has the name of a file of ${named.from.name}, whose sha256 is not known here, so nothing vouches for it.`
          : `It has the name of a file of ${named.from.name}, but not its bytes (sha256 ${named.sha256}): it is damaged, or another file.`,
      );
    if (trained.by === 'nobody')
      said.push(
        `Nobody says how these weights were trained; geometry ${trained.geometry} and axes ${trained.axes} are assumed.`,
      );
    const missing = report.missing.filter((name) => !CLASSIFIER.test(name));
    if (missing.length > 0)
      said.push(
        `${missing.length} tensors of the encoder are not in it and would start fresh: ${some(missing)}.`,
      );
    for (const { name, found: shape } of report.mismatched)
      said.push(`${name} is left out: it is [${shape.join(', ')}], for other classes than control and fcd.`);
    return said;
  }
}

/** How the weights were trained: by the registry, by the file itself, by the flags. */
function training(
  meta: CheckpointMeta | undefined,
  entry: RegisteredWeights | undefined,
  found: Recognised,
  given: ImportRequest['given'],
  acceptDefaults: boolean,
): ImportRecord['trained'] {
  if (meta?.imported) return meta.imported.trained;
  if (meta) return { geometry: meta.spec.geometry, axes: meta.spec.axes, by: 'file' };
  if (entry) return { geometry: entry.from.geometry, axes: entry.from.axes, by: 'registry' };
  const geometry = given.geometry ?? (found.geometries.length === 1 ? found.geometries[0] : undefined);
  if (geometry !== undefined && given.axes !== undefined) return { geometry, axes: given.axes, by: 'flags' };
  const assumed = networkSpec({ arch: found.arch, geometry });
  if (acceptDefaults) return { geometry: assumed.geometry, axes: given.axes ?? assumed.axes, by: 'nobody' };
  const open: string[] = [];
  if (geometry === undefined)
    open.push(
      `which strides and dilations it was trained with (--geometry ${found.geometries.join(', ')}: all of them fit, for they leave no trace in tensors)`,
    );
  if (given.axes === undefined)
    open.push('which voxel axis it took as depth (--axes ijk: nibabel, TorchIO, MONAI; kji: MedicalNet)');
  throw new InputError(
    `it is a ${describeFound(found)}, but neither the file nor the registry of known files says ${open.join(', nor ')}. ` +
      `Say so, or take the defaults with --yes (${geometry === undefined ? `geometry ${assumed.geometry}, ` : ''}axes ${given.axes ?? assumed.axes}).`,
  );
}

/** `ResNet-18 (shortcut A, full width)`, for people. */
export function describeFound({ arch, shortcut, width }: Recognised): string {
  const share = width === 1 ? 'full width' : `width 1/${1 / width}`;
  return `${arch.replace('resnet', 'ResNet-')} (shortcut ${shortcut}, ${share})`;
}

function changesOf(
  weights: OpenWeights,
  report: LoadReport,
  stored: NetworkSpec,
  spec: NetworkSpec,
): string[] {
  const changes: string[] = [];
  const biases = foldedBiases(report.sources, weights.tensors.keys()).size;
  if (biases > 0)
    changes.push(
      `The biases of ${biases} shortcut convolutions (MONAI's) were taken into the running means behind them; the network computes the same.`,
    );
  const [from, to] = [stored.inChannels, spec.inChannels];
  if (from !== to) {
    if (from !== 1)
      throw new InputError(
        `its first convolution takes ${from} channels, and ${to} were asked for. Only one channel can be spread over several.`,
      );
    changes.push(
      `The first convolution was spread over ${to} channels: its filters were copied and divided by ${to}, so that ${to} equal images give what one gave.`,
    );
  }
  const dtypes = new Set(
    Object.values(report.sources).map((source) => weights.tensors.get(source)?.dtype ?? 'F32'),
  );
  dtypes.delete('F32');
  if (dtypes.size > 0) changes.push(`Values of ${[...dtypes].join(', ')} were converted to F32.`);
  return changes;
}

function infosOf(weights: OpenWeights, report: LoadReport, spec: NetworkSpec): TensorInfo[] {
  return report.loaded.map((name) => {
    const shape = weights.tensors.get(report.sources[name])?.shape ?? [];
    return { name, shape: name === STEM ? spreadStem.shape(shape, spec.inChannels) : shape, dtype: 'F32' };
  });
}

const STEM = 'conv1.weight';

async function* written(
  weights: OpenWeights,
  report: LoadReport,
  spec: NetworkSpec,
  notFinite: string[],
): AsyncGenerator<NamedTensor, void> {
  for await (const { name, shape, data } of loadedTensors(weights, report, true)) {
    if (!allFinite(data)) notFinite.push(name);
    yield name === STEM && shape[1] !== spec.inChannels
      ? {
          name,
          dtype: 'F32',
          shape: spreadStem.shape(shape, spec.inChannels),
          data: spreadStem.values(data, shape, spec.inChannels),
        }
      : { name, dtype: 'F32', shape, data };
  }
}

function allFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (values[i] - values[i] !== 0) return false;
  return true;
}

function oddities(notFinite: readonly string[], weights: OpenWeights): string[] {
  const said = weights.warnings.filter((warning) => !warning.startsWith('The tensors are those under'));
  if (notFinite.length > 0)
    said.push(
      `${notFinite.length} tensors hold NaN or infinite values (${some(notFinite)}): the network will not compute anything useful.`,
    );
  return said;
}

function some(names: readonly string[]): string {
  return names.length <= 4
    ? names.join(', ')
    : `${names.slice(0, 4).join(', ')} and ${names.length - 4} more`;
}

/** `ResNet-18 (medicalnet, ...) from FILE: 102 tensors`, for people. */
export function describeImport({ spec, record, report, out }: ImportResult): string {
  const prefix =
    report.prefixStripped.length > 0 ? `, prefix ${report.prefixStripped.join(', ')} taken off` : '';
  const known = record.registry ? ` (${record.registry}, by its sha256)` : '';
  return `${describeSpec(spec)} from ${record.file}${known}: ${record.loaded} tensors loaded${prefix}, ${record.fresh.length} left fresh, in ${out}`;
}
