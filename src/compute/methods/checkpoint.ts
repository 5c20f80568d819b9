import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { InputError } from '../../core/errors';
import { factsOfFile, gridOfFile } from '../../core/inspect/facts-of-file';
import { layerTable, parseGrid } from '../../core/inspect/layer-table';
import {
  describeParts,
  learnableValues,
  networkOfFile,
  networkOrReason,
} from '../../core/inspect/network-of-file';
import { statisticsOfTensors } from '../../core/inspect/statistics-of-tensors';
import { describeSpec } from '../../core/model/spec';
import { registeredBytes, registeredName } from '../../core/transfer/registry';
import { changesBetween, matchWeights } from '../../core/weights/compare';
import { filterBlock } from '../../core/weights/filter-block';
import type { OpenWeights } from '../../core/weights/open-weights';
import { withWeights } from '../../core/weights/read-weights';
import { DTYPE_BYTES, elementCount, type TensorFormat } from '../../core/weights/tensors';
import type { ComputeParams, ComputeResult } from '../../protocol/compute';
import { MOST_DEAD_NAMED } from '../../protocol/inspection';
import { HashedFiles } from '../hashed-files';
import type { Job } from '../job';

const FORMATS: Readonly<Record<TensorFormat, string>> = {
  safetensors: 'safetensors',
  'torch-zip': 'PyTorch',
  'torch-legacy': 'PyTorch (legacy format)',
};

/** What a checkpoint is: from its header alone, so that the largest is there at once. */
export async function checkpoint({
  path,
}: ComputeParams<'checkpoint'>): Promise<ComputeResult<'checkpoint'>> {
  const { size } = await stat(path).catch(() => ({ size: 0 })); // what is wrong is said by the one who opens it
  return withWeights(path, async (weights) => {
    const network = networkOrReason(weights, path);
    return {
      path,
      format: FORMATS[weights.format],
      fileBytes: size,
      tensors: Array.from(weights.tensors.values(), ({ name, dtype, shape }) => ({
        ...{ name, dtype, shape: [...shape] },
        bytes: elementCount(shape) * DTYPE_BYTES[dtype],
      })),
      learnable: learnableValues(weights),
      facts: factsOfFile(weights),
      grid: gridOfFile(weights)?.join('x') ?? null,
      network: 'spec' in network ? foundNetwork(network) : null,
      reason: 'spec' in network ? null : network.reason,
      warnings: [...weights.warnings],
    };
  });
}

function foundNetwork({
  spec,
  found,
  geometryFrom,
}: ReturnType<typeof networkOfFile>): NonNullable<ComputeResult<'checkpoint'>['network']> {
  const { arch, shortcut, width, axes, inChannels, geometry } = spec;
  return {
    title: describeSpec(spec),
    depth: arch.replace('resnet', 'ResNet-'),
    ...{ shortcut, width, axes, inChannels, geometry, geometryFrom },
    classes: found.classes ?? null,
    geometries: [...found.geometries],
    segmentationHead: found.segmentationHead,
  };
}

/** Statistics of the named tensors. */
export async function tensors(
  { path, names }: ComputeParams<'tensors'>,
  job: Job,
): Promise<ComputeResult<'tensors'>> {
  return withWeights(path, async (weights) => {
    const meter = meterOf('Reading', 2 * valuesOf(weights, names), job);
    const statistics: ComputeResult<'tensors'>['statistics'] = [];
    for await (const row of statisticsOfTensors(weights, new Set(names), meter)) {
      const { name, min, mean, sd, max, nan, inf, zeros, histogram, filters } = row;
      statistics.push({
        ...{ name, min, mean, sd, max, nan, inf, zeros },
        histogram: histogram && { ...histogram, counts: [...histogram.counts] },
        filters: filters && {
          filters: filters.filters,
          deadCount: filters.dead.length,
          dead: filters.dead.slice(0, MOST_DEAD_NAMED),
        },
      });
    }
    return { statistics };
  });
}

/** Which tensors of two files stand for each other. */
export async function match({ path, other }: ComputeParams<'match'>): Promise<ComputeResult<'match'>> {
  return withWeights(path, async (here) =>
    withWeights(other, async (there) => {
      const { pairs, missing, unexpected, mismatched } = matchWeights(here.tensors, there.tensors);
      return {
        pairs: pairs.map((pair) => ({
          ...pair,
          shape: [...pair.shape],
          bytes: elementCount(pair.shape) * DTYPE_BYTES[here.tensors.get(pair.name)?.dtype ?? 'F32'],
        })),
        missing: [...missing],
        unexpected: [...unexpected],
        mismatched: mismatched.map(({ name, here: a, there: b }) => ({ name, here: [...a], there: [...b] })),
      };
    }),
  );
}

/** How far the named pairs moved. */
export async function changes(
  { path, other, pairs }: ComputeParams<'changes'>,
  job: Job,
): Promise<ComputeResult<'changes'>> {
  return withWeights(path, async (here) =>
    withWeights(other, async (there) => {
      const known = matchWeights(here.tensors, there.tensors).pairs;
      const asked = new Set(pairs.map(({ name }) => name));
      const wanted = known.filter(({ name }) => asked.has(name));
      const meter = meterOf('Comparing', valuesOf(here, [...asked]), job);
      const found: ComputeResult<'changes'>['changes'] = [];
      for await (const { length, l2, max, ...change } of changesBetween(here, there, wanted, meter))
        found.push({
          ...change,
          shape: [...change.shape],
          ...{ length: sendable(length), l2: sendable(l2), max: sendable(max) },
        });
      return { changes: found };
    }),
  );
}

/** A block of a tensor's filters. */
export async function filters(
  { path, name, outputs, inputs }: ComputeParams<'filters'>,
  job: Job,
): Promise<ComputeResult<'filters'>> {
  return withWeights(path, async (weights) => {
    for await (const tensor of weights.values({ only: new Set([name]), lent: true })) {
      await job.breathe();
      const { kernel, values, ...block } = filterBlock(tensor, outputs, inputs);
      return {
        ...{ outputs: { ...block.outputs }, inputs: { ...block.inputs }, kernel: [...kernel] },
        values: values.map((value) => (Number.isFinite(value) ? value : null)),
      };
    }
    throw new InputError(`${path} has no tensor ${name}. It may have changed; open it again.`);
  });
}

/** The layers of the file's network on a grid. */
export async function layers({
  path,
  grid,
  geometry,
}: ComputeParams<'layers'>): Promise<ComputeResult<'layers'>> {
  const sides = parseGrid(grid);
  return withWeights(path, async (weights) => {
    const network = networkOfFile(weights, path, geometry);
    const table = layerTable(network, sides);
    return {
      ...table,
      title: describeParts(network),
      input: { ...table.input, grid: [...sides] },
      layers: table.layers.map((layer) => ({ ...layer, grid: layer.grid && [...layer.grid] })),
    };
  });
}

/** Whose file this is, by the sha256 of all of its bytes. */
export async function identify(
  { path }: ComputeParams<'identify'>,
  job: Job,
): Promise<ComputeResult<'identify'>> {
  const sha256 = await hashOf(path, job);
  const entry = registeredBytes(sha256);
  if (entry) {
    const { id, trainedOn, from } = entry;
    return {
      sha256,
      match: { id, trainedOn, from: from.name, licence: from.licence },
      sentence: `These are the bytes of ${entry.file} of ${from.name}, trained on ${trainedOn}; licence: ${from.licence}.`,
    };
  }
  const named = registeredName(basename(path));
  const sentence = !named
    ? 'Not among the files that the registry knows by their bytes.'
    : named.sha256 === null
      ? `It has the name of a file of ${named.from.name}, whose sha256 is not known here, so nothing vouches for it.`
      : `It has the name of a file of ${named.from.name}, but not its bytes: it is damaged, or another file.`;
  return { sha256, match: null, sentence };
}

const hashed = new HashedFiles();

/** SHA-256 of a file; one that was asked for before is not read again. */
export async function hashOf(path: string, job: Job): Promise<string> {
  const { size } = await stat(path);
  return hashed.sha256(path, async (done) => {
    job.say('Hashing the file', done / Math.max(1, size));
    await job.breathe();
  });
}

/** A function to await after every piece of work, with the number of values it looked at. */
function meterOf(what: string, total: number, job: Job): (values: number) => Promise<void> {
  let done = 0;
  return async (values) => {
    done += values;
    job.say(what, Math.min(1, done / Math.max(1, total)));
    await job.breathe();
  };
}

function valuesOf(weights: OpenWeights, names: readonly string[]): number {
  return names.reduce((sum, name) => sum + elementCount(weights.tensors.get(name)?.shape ?? [0]), 0);
}

/** JSON has no infinity. */
function sendable(value: number): number {
  return Math.min(value, Number.MAX_VALUE);
}
