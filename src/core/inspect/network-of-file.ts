import { basename } from 'node:path';
import { InputError } from '../errors';
import { checkpointMeta, type CheckpointMeta } from '../model/checkpoint';
import type { GeometryName } from '../model/geometry';
import { buildSegmentationProgram, DECODER_TENSOR, type DecoderSpec } from '../model/segmentation-program';
import { recogniseNetwork, type Recognised } from '../model/recognise';
import { describeSpec, networkSpec, type NetworkSpec } from '../model/spec';
import { registeredName } from '../transfer/registry';
import type { OpenWeights } from '../weights/open-weights';
import { elementCount } from '../weights/tensors';

/** How it is known with which strides and dilations a file's network was trained. */
export type GeometryFrom =
  /** A person says so. */
  | 'given'
  /** The file is one of ours and says so. */
  | 'file'
  /** Only one geometry has these tensors. */
  | 'tensors'
  /** The file has the name of a published one; its bytes are not checked. */
  | 'name'
  /** Nothing tells: the usual one is taken. */
  | 'assumed';

/** The network that a file's tensors belong to. */
export interface NetworkOfFile {
  readonly spec: NetworkSpec;
  readonly found: Recognised;
  readonly geometryFrom: GeometryFrom;
  /** What the file says of itself, where it is one of ours. */
  readonly meta: CheckpointMeta | undefined;
  /** What stands behind the encoder in the file. */
  readonly end: NetworkEnd;
}

/** What a file has behind the encoder: a classifier, our decoder with its heads, or nothing that is known here. */
export type NetworkEnd =
  | { readonly kind: 'classifier' }
  | { readonly kind: 'decoder'; readonly decoder: DecoderSpec }
  | { readonly kind: 'none' };

/**
 * Which network an open file belongs to; from names, shapes and metadata alone.
 * @param given the geometry to look at it with, whatever else tells
 * @throws InputError that says why it is none of ours, or not of the geometry given
 */
export function networkOfFile(weights: OpenWeights, path: string, given?: GeometryName): NetworkOfFile {
  const found = recogniseNetwork(weights.tensors);
  const meta = checkpointMeta(weights, path);
  if (given !== undefined && !found.geometries.includes(given))
    throw new InputError(
      `Its tensors are not those of geometry ${given}; they can be of ${found.geometries.join(', ')}.`,
    );
  const whole = (spec: NetworkSpec, geometryFrom: GeometryFrom): NetworkOfFile => ({
    ...{ spec, found, geometryFrom, meta },
    end: endOf(weights, spec, found, meta),
  });
  if (meta && given !== undefined) return whole({ ...meta.spec, geometry: given }, 'given');
  if (meta) return whole(meta.spec, 'file');
  const { arch, shortcut, width, inChannels, classes, geometries } = found;
  const named = registeredName(basename(path))?.from.geometry;
  const [geometry, geometryFrom] =
    given === undefined ? geometryOf(geometries, named) : ([given, 'given'] as const);
  return whole(networkSpec({ arch, shortcut, width, inChannels, classes, geometry }), geometryFrom);
}

function endOf(
  { tensors }: Pick<OpenWeights, 'tensors'>,
  spec: NetworkSpec,
  { classes }: Recognised,
  meta: CheckpointMeta | undefined,
): NetworkEnd {
  if (classes !== undefined) return { kind: 'classifier' };
  const head = tensors.get('head.weight')?.shape;
  if (head?.length !== 5) return { kind: 'none' };
  const named = meta?.pretraining?.tasks;
  const tasks =
    named?.length === head[0] ? named : Array.from({ length: head[0] }, (_, n) => `task ${n + 1}`);
  const decoder = { tasks, channels: head[1] };
  const fits = buildSegmentationProgram(spec, decoder).parameters.every(
    ({ name, shape }) => !DECODER_TENSOR.test(name) || tensors.get(name)?.shape.join() === shape.join(),
  );
  return fits ? { kind: 'decoder', decoder } : { kind: 'none' };
}

function geometryOf(
  fits: readonly GeometryName[],
  named: GeometryName | undefined,
): readonly [GeometryName | undefined, GeometryFrom] {
  if (fits.length === 1) return [fits[0], 'tensors'];
  if (named !== undefined && fits.includes(named)) return [named, 'name'];
  return [undefined, 'assumed'];
}

/** Tensors that are no learnable values: statistics and counters of batch normalisation, moments of an optimiser. */
const NOT_LEARNABLE = /(^|\.)(running_mean|running_var|num_batches_tracked)$|^optimizer\./;

/** Learnable values of a file, as far as names tell. */
export function learnableValues(weights: Pick<OpenWeights, 'tensors'>): number {
  let sum = 0;
  for (const [name, { shape }] of weights.tensors) if (!NOT_LEARNABLE.test(name)) sum += elementCount(shape);
  return sum;
}

/** `ResNet-18 (...)`, and what of it the file does not have, or has beyond it. */
export function describeParts({ spec, end }: Pick<NetworkOfFile, 'spec' | 'end'>): string {
  const title = describeSpec(spec);
  switch (end.kind) {
    case 'classifier':
      return title;
    case 'decoder': {
      const { tasks } = end.decoder;
      const heads = tasks.length === 1 ? 'the head of one task' : `the heads of ${tasks.length} tasks`;
      return `${title} with a decoder and ${heads}`;
    }
    case 'none':
      return `${title} without a classifier`;
  }
}

/** `ResNet-18 (medicalnet, shortcut A, full width, axes kji)`, and how far that is certain. */
export function describeNetworkOfFile({ spec, found, geometryFrom, end }: NetworkOfFile): string {
  const others = found.geometries.filter((geometry) => geometry !== spec.geometry);
  const title = describeParts({ spec, end });
  if (geometryFrom !== 'name' && geometryFrom !== 'assumed') return title;
  const why = geometryFrom === 'name' ? `goes by the file's name` : 'is assumed';
  return `${title}; geometry ${spec.geometry} ${why}: strides and dilations leave no trace in tensors, ${others.join(' and ')} would fit too`;
}

/** {@link networkOfFile}, or the sentence that says why there is none. */
export function networkOrReason(
  weights: OpenWeights,
  path: string,
  given?: GeometryName,
): NetworkOfFile | { readonly reason: string } {
  try {
    return networkOfFile(weights, path, given);
  } catch (error) {
    if (error instanceof InputError) return { reason: error.message };
    throw error;
  }
}
