import { stat } from 'node:fs/promises';
import { basename, isAbsolute } from 'node:path';
import { InputError } from '../errors';
import { sha256Of } from '../files/sha256';
import { checkpointMeta, checkpointMetadata, checkpointPath, type CheckpointMeta } from '../model/checkpoint';
import { loadedTensors, reportOn } from '../model/load-weights';
import { CLASSIFIER } from '../model/recognise';
import { float32ToHalf } from '../weights/half';
import type { OpenWeights, TensorInfo } from '../weights/open-weights';
import { withWeights } from '../weights/read-weights';
import { streamSafetensors } from '../weights/safetensors';
import { toFloat32, type NamedTensor } from '../weights/tensors';
import type { TaskDice } from './pretraining-record';

/** A checkpoint that was written for the models folder. */
export interface ShippedEncoder {
  readonly meta: CheckpointMeta;
  readonly bytes: number;
  readonly sha256: string;
  /** Tensors written. */
  readonly tensors: number;
}

/**
 * Writes a checkpoint's encoder small enough to come with the program: filters in float16, the few values of batch
 * normalisation in float32 (a variance may be too small for half precision), no classifier, no heads, no optimiser. What
 * the checkpoint says of itself stays, but for the folders of the machine that trained it.
 * @throws InputError where the file is no checkpoint of ours, lacks a tensor, or a value does not fit into half precision
 */
export async function shipEncoder(path: string, out: string): Promise<ShippedEncoder> {
  const file = await checkpointPath(path);
  return withWeights(file, async (weights) => {
    const meta = withoutPlaces(ownMeta(weights, file));
    const report = reportOn(meta.spec, weights.tensors);
    const missing = report.missing.filter((name) => !CLASSIFIER.test(name));
    if (missing.length > 0)
      throw new InputError(
        `${file} lacks ${missing.length} tensors of the encoder, the first being ${missing[0]}.`,
      );
    const loaded = report.loaded.filter((name) => !CLASSIFIER.test(name));
    const infos = loaded.map((name): TensorInfo => {
      const shape = weights.tensors.get(report.sources[name])?.shape ?? [];
      return { name, shape, dtype: shape.length === 5 ? 'F16' : 'F32' };
    });
    return write(out, meta, infos, values());

    async function* values(): AsyncGenerator<NamedTensor, void> {
      for await (const { name, shape, data } of loadedTensors(weights, report, true))
        if (!CLASSIFIER.test(name)) yield smaller(name, shape, data, file);
    }
  });
}

/**
 * As {@link shipEncoder}, of a whole segmentation network: encoder, decoder and heads, without the optimiser.
 * @param path the checkpoint that a pre-training leaves under checkpoints/segmentation
 * @param dice of its tasks, in the place of what the checkpoint says, where they were measured as the network is used
 */
export async function shipSegmentation(
  path: string,
  out: string,
  dice?: readonly TaskDice[],
): Promise<ShippedEncoder> {
  return withWeights(path, async (weights) => {
    const stored = ownMeta(weights, path);
    const { pretraining } = stored;
    if (!pretraining || !weights.tensors.has('head.weight'))
      throw new InputError(`${path} holds no segmentation heads, or does not say of which tasks.`);
    const meta = withoutPlaces({
      ...stored,
      pretraining: { ...pretraining, dice: [...(dice ?? pretraining.dice)] },
    });
    const kept = [...weights.tensors.values()].filter(({ name }) => !OPTIMISER.test(name));
    const infos = kept.map(({ name, shape }): TensorInfo => ({
      ...{ name, shape },
      dtype: shape.length === 5 ? 'F16' : 'F32',
    }));
    return write(out, meta, infos, values());

    async function* values(): AsyncGenerator<NamedTensor, void> {
      const only = new Set(kept.map(({ name }) => name));
      for await (const tensor of weights.values({ only, lent: true }))
        yield smaller(tensor.name, tensor.shape, toFloat32(tensor), path);
    }
  });
}

const OPTIMISER = /^optimizer\./;

function ownMeta(weights: OpenWeights, file: string): CheckpointMeta {
  const stored = checkpointMeta(weights, file);
  if (stored) return stored;
  throw new InputError(`${file} does not say what it is; only a checkpoint of this program can be shipped.`);
}

async function write(
  out: string,
  meta: CheckpointMeta,
  infos: readonly TensorInfo[],
  values: AsyncGenerator<NamedTensor, void>,
): Promise<ShippedEncoder> {
  await streamSafetensors(out, infos, checkpointMetadata(meta), values);
  const { size: bytes } = await stat(out);
  return { meta, bytes, sha256: await sha256Of(out), tensors: infos.length };
}

/** Filters in half precision, all else as it is. @throws InputError where a value does not fit */
function smaller(name: string, shape: readonly number[], data: Float32Array, file: string): NamedTensor {
  if (shape.length !== 5) return { name, shape, dtype: 'F32', data };
  const half = float32ToHalf(data);
  // All bits of the exponent set: infinite, or no number.
  if (half.some((bits) => (bits & 0x7c00) === 0x7c00))
    throw new InputError(`${file}: a value of ${name} does not fit into half precision.`);
  return { name, shape, dtype: 'F16', data: half };
}

/** The command that trained, with names of files instead of places on a disk that nobody else has. */
function withoutPlaces(meta: CheckpointMeta): CheckpointMeta {
  if (!meta.pretraining) return meta;
  const command = meta.pretraining.command.map((part) => (isAbsolute(part) ? basename(part) : part));
  return { ...meta, pretraining: { ...meta.pretraining, command } };
}
