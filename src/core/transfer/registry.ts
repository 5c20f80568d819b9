import * as v from 'valibot';
import registryFile from '../../../models/registry.json';
import { GEOMETRIES, type GeometryName } from '../model/geometry';
import { ARCHITECTURES, AXES } from '../model/spec';

const projectSchema = v.strictObject({
  id: v.string(),
  name: v.string(),
  /** Where to find it, by name: addresses of downloads change. */
  source: v.string(),
  licence: v.string(),
  geometry: v.picklist(Object.keys(GEOMETRIES) as GeometryName[]),
  axes: v.picklist(AXES),
  /** What its files put before the names of tensors. */
  prefix: v.string(),
});

const weightsSchema = v.strictObject({
  id: v.string(),
  project: v.string(),
  file: v.string(),
  arch: v.picklist(ARCHITECTURES),
  shortcut: v.picklist(['A', 'B']),
  trainedOn: v.string(),
  /** Tensors in the file, counters of batch normalisation included. */
  tensors: v.pipe(v.number(), v.integer()),
  /** Learnable values among them. */
  trainable: v.pipe(v.number(), v.integer()),
  /** Null where nobody has told us. */
  bytes: v.nullable(v.pipe(v.number(), v.integer())),
  sha256: v.nullable(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))),
  hashFrom: v.nullable(v.string()),
});

export const registrySchema = v.strictObject({
  schema: v.literal(1),
  projects: v.array(projectSchema),
  weights: v.array(weightsSchema),
});

export type Registry = v.InferOutput<typeof registrySchema>;
export type RegisteredProject = Registry['projects'][number];
export type RegisteredWeights = Registry['weights'][number] & { readonly from: RegisteredProject };

/** models/registry.json, checked. */
export function registry(): readonly RegisteredWeights[] {
  const { projects, weights } = v.parse(registrySchema, registryFile);
  return weights.map((entry) => {
    const from = projects.find(({ id }) => id === entry.project);
    if (!from)
      throw new Error(`models/registry.json: ${entry.id} is of ${entry.project}, which is not listed.`);
    return { ...entry, from };
  });
}

/** The weights with these bytes. */
export function registeredBytes(sha256: string): RegisteredWeights | undefined {
  return registry().find((entry) => entry.sha256 === sha256);
}

/** The weights that are published under this name, whatever the bytes. */
export function registeredName(file: string): RegisteredWeights | undefined {
  return registry().find((entry) => entry.file === file);
}
