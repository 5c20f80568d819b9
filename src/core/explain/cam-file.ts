import * as v from 'valibot';
import { InputError, messageOf } from '../errors';
import { withFile } from '../weights/byte-source';
import { readSafetensors, writeSafetensors } from '../weights/safetensors';
import { toFloat32 } from '../weights/tensors';
import type { CamMethod } from './gradcam';
import { ALIGNMENTS, type LayerMap } from './place-map';

// Typed by the methods that exist, without loading the tensor library that computes them.
const METHODS = ['gradcam', 'hirescam'] as const satisfies readonly CamMethod[];

export const CAM_SCHEMA_VERSION = 1;

/** Name of the tensor and of the metadata entry in the file. */
const TENSOR = 'cam';
const ENTRY = 'fcd_cam';

const finite = v.pipe(v.number(), v.finite());
const size = v.pipe(v.number(), v.integer(), v.minValue(1));
const triple = v.pipe(v.tuple([finite, finite, finite]), v.readonly());

const recordSchema = v.object({
  schemaVersion: v.literal(CAM_SCHEMA_VERSION),
  participantId: v.pipe(v.string(), v.nonEmpty()),
  /** Dotted name of the layer whose output the map weighs. */
  layer: v.pipe(v.string(), v.nonEmpty()),
  class: v.object({ index: v.pipe(v.number(), v.integer(), v.minValue(0)), name: v.string() }),
  method: v.picklist(METHODS),
  /** How the map is to be placed on the grid. */
  align: v.picklist(ALIGNMENTS),
  /** The class's logit, which was differentiated. */
  logit: finite,
  /** Which voxel axes the map's D, H, W are. */
  axes: v.picklist(['ijk', 'kji']),
  /** Receptive fields of the map's cells in voxels of `grid`; order D, H, W. */
  receptive: v.object({
    stride: v.pipe(
      v.tuple([v.pipe(finite, v.gtValue(0)), v.pipe(finite, v.gtValue(0)), v.pipe(finite, v.gtValue(0))]),
      v.readonly(),
    ),
    offset: triple,
  }),
  /** The grid of the network's input: i x j x k voxels, voxel to scanner mm (RAS+), row-major. */
  grid: v.object({
    shape: v.pipe(v.tuple([size, size, size]), v.readonly()),
    affine: v.pipe(v.array(finite), v.length(16), v.readonly()),
  }),
  /** How the image became the input: the preprocessing recipe as JSON. */
  recipe: v.record(v.string(), v.unknown()),
  /** What was explained, as the user named it. */
  image: v.optional(v.string()),
  model: v.optional(v.string()),
  flags: v.array(v.string()),
});

/** Everything that is needed to put a raw map back on a scan and to say where it comes from. */
export type CamRecord = v.InferOutput<typeof recordSchema>;

/** A raw class map with its record. */
export interface Cam {
  readonly map: LayerMap;
  readonly record: CamRecord;
}

/** Writes `<participant>.safetensors`: tensor `cam`, float32 [D, H, W], and the record as JSON in the metadata. */
export async function writeCam(
  path: string,
  { data, shape }: Pick<LayerMap, 'data' | 'shape'>,
  record: CamRecord,
): Promise<void> {
  const checked = parseCamRecord(record, path);
  await writeSafetensors(path, [{ name: TENSOR, shape, dtype: 'F32', data }], {
    [ENTRY]: JSON.stringify(checked),
  });
}

/** @throws InputError when the file is no class map, names another schema version or misses a field. */
export async function readCam(path: string): Promise<Cam> {
  const file = await withFile(path, readSafetensors);
  const tensor = file.tensors.get(TENSOR);
  const text = file.metadata[ENTRY];
  if (!tensor || text === undefined)
    throw new InputError(
      `${path} is not a class map: it has no ${tensor ? `metadata entry "${ENTRY}"` : `tensor "${TENSOR}"`}. Give a file that fcd explain or fcd train wrote (cams/<participant>.safetensors).`,
    );
  if (tensor.shape.length !== 3)
    throw new InputError(
      `${path}: the class map has ${tensor.shape.length} axes, but a map has three: D, H, W.`,
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InputError(`${path}: its record is not JSON (${messageOf(error)}). Write the map again.`);
  }
  const record = parseCamRecord(value, path);
  const [D, H, W] = tensor.shape;
  const map: LayerMap = {
    data: toFloat32(tensor),
    shape: [D, H, W],
    axes: record.axes,
    receptive: record.receptive,
  };
  return { map, record };
}

/** Run-time check of a record. `where` names the file for the sentence. */
export function parseCamRecord(value: unknown, where: string): CamRecord {
  const result = v.safeParse(recordSchema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = v.getDotPath(issue) ?? 'the record';
  if (field === 'schemaVersion')
    throw new InputError(
      `${where}: the class map has schema version ${issue.received}, and this program reads version ${CAM_SCHEMA_VERSION}. Write the map again, or use the version that wrote it.`,
    );
  throw new InputError(
    `${where}: field ${field} of the class map is ${issue.received}, expected ${issue.expected ?? issue.message}. Write the map again.`,
  );
}
