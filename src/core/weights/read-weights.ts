import { InputError } from '../errors';
import { withFile } from './byte-source';
import type { ByteSource } from './byte-source';
import { readAll } from './open-weights';
import type { OpenWeights } from './open-weights';
import { isTorchLegacy, openTorchLegacy, openTorchZip } from './pth';
import { openSafetensors } from './safetensors';
import type { TensorFile } from './tensors';

/** What people take for weights by mistake, by the first bytes. */
const MISTAKEN: readonly (readonly [start: string, what: string])[] = [
  ['version https://git-lfs', 'a Git LFS pointer, not the file itself; fetch it with "git lfs pull"'],
  ['<', 'a web page or XML, not weights; the download went wrong'],
  ['\x89HDF', 'an HDF5 file (Keras); convert it to safetensors'],
  ['\x1f\x8b', 'gzip-compressed; unpack it first'],
];

/**
 * Opens a `.pth`/`.pt` (torch.save, zip or legacy) or `.safetensors` file and closes it after `use`. The content decides
 * which it is, not the name. No code in the file is executed, and whatever is wrong ends in an {@link InputError}.
 */
export async function withWeights<T>(path: string, use: (weights: OpenWeights) => Promise<T>): Promise<T> {
  return withFile(path, async (source) => use(await openWeights(source)));
}

/** As {@link withWeights}: all of the file's tensors in memory, or an {@link InputError}. */
export async function readWeights(path: string): Promise<TensorFile> {
  return withFile(path, readWeightsFrom);
}

/** As {@link readWeights}, from any source of bytes. */
export async function readWeightsFrom(source: ByteSource): Promise<TensorFile> {
  return readAll(await openWeights(source));
}

/** As {@link withWeights}, from any source of bytes, which must stay readable as long as the result is used. */
export async function openWeights(source: ByteSource): Promise<OpenWeights> {
  if (source.size === 0) throw new InputError(`${source.name} is empty. Copy or download it again.`);
  const head = await source.read(0, Math.min(source.size, 64));
  const start = Buffer.from(head).toString('latin1');
  // Byte 8 of a zip archive is a packing method, of a legacy file part of the magic number: never a brace.
  if (start[8] === '{') return openSafetensors(source);
  if (start.startsWith('PK\x03\x04')) return openTorchZip(source);
  if (await isTorchLegacy(source)) return openTorchLegacy(source);
  const mistaken = MISTAKEN.find(([beginning]) => start.startsWith(beginning));
  throw new InputError(
    mistaken !== undefined
      ? `${source.name} is ${mistaken[1]}.`
      : `${source.name} is neither a file written by torch.save (zip or legacy format) nor a safetensors file. ` +
          `Save model.state_dict() with torch.save, or as safetensors.`,
  );
}
