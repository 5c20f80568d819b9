import { stat } from 'node:fs/promises';
import { basename, isAbsolute } from 'node:path';
import { InputError } from '../errors';
import { sha256Of } from '../files/sha256';
import { checkpointMeta, checkpointMetadata, checkpointPath, type CheckpointMeta } from '../model/checkpoint';
import { loadedTensors, reportOn } from '../model/load-weights';
import { CLASSIFIER } from '../model/recognise';
import { float32ToHalf } from '../weights/half';
import type { TensorInfo } from '../weights/open-weights';
import { withWeights } from '../weights/read-weights';
import { streamSafetensors } from '../weights/safetensors';
import type { NamedTensor } from '../weights/tensors';

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
    const stored = checkpointMeta(weights, file);
    if (!stored)
      throw new InputError(
        `${file} does not say what it is; only a checkpoint of this program can be shipped.`,
      );
    const meta = withoutPlaces(stored);
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
    await streamSafetensors(out, infos, checkpointMetadata(meta), values());
    const { size: bytes } = await stat(out);
    return { meta, bytes, sha256: await sha256Of(out), tensors: infos.length };

    async function* values(): AsyncGenerator<NamedTensor, void> {
      for await (const { name, shape, data } of loadedTensors(weights, report, true)) {
        if (CLASSIFIER.test(name)) continue;
        if (shape.length !== 5) yield { name, shape, dtype: 'F32', data };
        else {
          const half = float32ToHalf(data);
          // All bits of the exponent set: infinite, or no number.
          if (half.some((bits) => (bits & 0x7c00) === 0x7c00))
            throw new InputError(`${file}: a value of ${name} does not fit into half precision.`);
          yield { name, shape, dtype: 'F16', data: half };
        }
      }
    }
  });
}

/** The command that trained, with names of files instead of places on a disk that nobody else has. */
function withoutPlaces(meta: CheckpointMeta): CheckpointMeta {
  if (!meta.pretraining) return meta;
  const command = meta.pretraining.command.map((part) => (isAbsolute(part) ? basename(part) : part));
  return { ...meta, pretraining: { ...meta.pretraining, command } };
}
