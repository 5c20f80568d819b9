import * as v from 'valibot';
import { InputError } from '../errors';
import { GEOMETRIES, type GeometryName } from './geometry';
import { AXES, type NetworkSpec } from './spec';

const schema = v.object({
  /** Name of the file, without its folder. */
  file: v.string(),
  bytes: v.number(),
  sha256: v.string(),
  /** Entry of models/registry.json with these bytes. */
  registry: v.nullable(v.string()),
  /** How the weights were trained, and who says so. */
  trained: v.object({
    geometry: v.picklist(Object.keys(GEOMETRIES) as GeometryName[]),
    axes: v.picklist(AXES),
    /** The registry, the file itself (one of ours), a person's flags, or nobody: the defaults were accepted. */
    by: v.picklist(['registry', 'file', 'flags', 'nobody']),
  }),
  /** Number of tensors that came from the file. */
  loaded: v.number(),
  /** The network's tensors that did not, by name. */
  fresh: v.array(v.string()),
  /** What was done to values, a sentence each. */
  changes: v.array(v.string()),
});

/** Where imported weights came from; part of a checkpoint's metadata. */
export type ImportRecord = v.InferOutput<typeof schema>;

/** @throws InputError that names the field */
export function parseImportRecord(value: unknown, where: string): ImportRecord {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new InputError(
    `${where}: its record of import is not valid at ${v.getDotPath(issue) ?? 'the top'}: ${issue.message}.`,
  );
}

/** Sentences where a network computes with weights otherwise than they were trained. */
export function differencesFromTraining(
  trained: Pick<NetworkSpec, 'geometry' | 'axes'>,
  spec: NetworkSpec,
): string[] {
  return (['geometry', 'axes'] as const)
    .filter((key) => trained[key] !== spec[key])
    .map(
      (key) =>
        `The weights were trained with ${key} ${trained[key]}, this network has ${key} ${spec[key]}: the same numbers compute another function.`,
    );
}
