import { InputError } from '../../../src/core/errors';
import { recogniseNetwork } from '../../../src/core/model/recognise';
import type { Random } from '../../../src/core/random';
import { bufferSource } from '../../../src/core/weights/byte-source';
import { readWeightsFrom } from '../../../src/core/weights/read-weights';
import { DTYPE_BYTES, elementCount } from '../../../src/core/weights/tensors';
import { ZipArchive } from '../../../src/core/weights/zip-archive';
import { bytesOf, zip } from './made-files';

/** Reads a file and asks which network it is: whole, or refused by a sentence; anything else throws. */
export async function outcome(bytes: Uint8Array): Promise<'read' | 'refused'> {
  try {
    const { tensors } = await readWeightsFrom(bufferSource('damaged', bytes));
    for (const [name, { name: own, shape, dtype, data }] of tensors)
      if (own !== name || data.byteLength !== elementCount(shape) * DTYPE_BYTES[dtype])
        throw new Error(`${name} [${shape.join(', ')}] of ${dtype} came with ${data.byteLength} bytes.`);
    try {
      recogniseNetwork(tensors);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
    }
    return 'read';
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    if (!/^damaged\b.*\.$/s.test(error.message))
      throw new Error(`No sentence: ${error.message}`, { cause: error });
    return 'refused';
  }
}

/**
 * One to four changes: a bit, a byte, a number of 32 bits, a run copied elsewhere, bytes taken out or put in. With
 * `edges` they lie within so many bytes of the file's begin or end, where its structure is.
 */
export function mutated(original: Uint8Array, random: Random, edges = Infinity): Uint8Array {
  let bytes: Uint8Array = original.slice();
  for (let changes = 1 + random.integer(4); changes > 0; changes--) {
    const near = random.integer(Math.min(edges, bytes.length));
    const at = edges < bytes.length && random.integer(2) === 0 ? bytes.length - 1 - near : near;
    switch (random.integer(6)) {
      case 0:
        bytes[at] ^= 1 << random.integer(8);
        break;
      case 1:
        bytes[at] = random.integer(256);
        break;
      case 2:
        bytes.set(
          [
            [0xff, 0xff, 0xff, 0xff],
            [0, 0, 0, 0x80],
            [0, 0, 0, 0],
          ][random.integer(3)].slice(0, bytes.length - at),
          at,
        );
        break;
      case 3: {
        const from = random.integer(bytes.length);
        bytes.copyWithin(at, from, from + random.integer(40));
        break;
      }
      case 4:
        bytes = bytesOf(bytes.subarray(0, at), bytes.subarray(at + 1 + random.integer(8)));
        break;
      default:
        bytes = bytesOf(
          bytes.subarray(0, at),
          bytes.subarray(at, at + random.integer(16)),
          bytes.subarray(at),
        );
    }
  }
  return bytes;
}

/** A zip file's entries packed again around a changed pickle, with the right checksums. */
export async function repacked(
  original: Uint8Array,
): Promise<(change: (pickle: Uint8Array) => Uint8Array) => Uint8Array> {
  const archive = await ZipArchive.open(bufferSource('fixture', original));
  const entries: { name: string; bytes: Uint8Array }[] = [];
  for (const entry of archive.entries.values())
    entries.push({ name: entry.name, bytes: await archive.read(entry) });
  return (change) =>
    zip(
      entries.map(({ name, bytes }) => ({ name, bytes: name.endsWith('data.pkl') ? change(bytes) : bytes })),
    );
}
