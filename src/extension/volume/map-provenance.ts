import * as v from 'valibot';
import type { MapProvenance } from '../../protocol/viewer';

/**
 * The .json beside a class map (written by the library, src/core/explain/cam-nifti.ts): which image, layer, method,
 * class and logit the map belongs to. Only what is shown is asked for, so that a later version with more fields reads.
 */

const provenanceSchema = v.object({
  layer: v.string(),
  method: v.string(),
  align: v.string(),
  class: v.object({ name: v.string() }),
  logit: v.number(),
  participantId: v.optional(v.string()),
  image: v.optional(v.string()),
  model: v.optional(v.string()),
  flags: v.optional(v.array(v.string()), []),
  nifti: v.optional(v.object({ subject: v.optional(v.string()) })),
});

/** `cams/sub-01.nii.gz` -> `cams/sub-01.json`. */
export function provenancePath(map: string): string {
  return map.replace(/\.nii(\.gz)?$/i, '.json');
}

/** @returns undefined where the text is not the record of a class map. */
export function parseProvenance(text: string, run: string | null): MapProvenance | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = v.safeParse(provenanceSchema, json);
  if (!parsed.success) return undefined;
  const { layer, method, align, logit, participantId, image, model, flags, nifti } = parsed.output;
  return {
    run,
    participantId: participantId ?? null,
    layer,
    method,
    align,
    class: parsed.output.class.name,
    logit,
    model: model ?? null,
    image: image ?? nifti?.subject ?? null,
    flags,
  };
}

/**
 * The places where the image of a map may lie, the likeliest first: as written, where that is absolute; else from the
 * map's folder, its run directory and the workspace's folders.
 *
 * @param isAbsolute, join of the platform.
 */
export function imageCandidates(
  image: string,
  bases: readonly string[],
  path: { isAbsolute(path: string): boolean; join(...parts: string[]): string },
): string[] {
  return path.isAbsolute(image) ? [image] : bases.map((base) => path.join(base, image));
}
