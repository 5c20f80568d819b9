import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import * as v from 'valibot';
import type { Listing } from '../../protocol/inspection';

/**
 * What a safetensors file's header says, for an untrusted workspace, in which no process may start: names, types and
 * shapes. Nothing is made of the values.
 */

/** A header of 100,000 tensors stays below. */
const LARGEST_HEADER = 25_000_000;

const headerSchema = v.record(
  v.string(),
  v.union([
    v.object({
      dtype: v.string(),
      shape: v.array(v.pipe(v.number(), v.integer(), v.minValue(0))),
      data_offsets: v.tuple([v.number(), v.number()]),
    }),
    v.record(v.string(), v.string()),
  ]),
);

/** Metadata of ours is long and for programs. */
const LONGEST_FACT = 300;

/** @throws Error with a sentence for people */
export async function safetensorsListing(path: string): Promise<Listing> {
  const name = basename(path);
  const file = await open(path, 'r').catch((error: unknown) => {
    throw new Error(`${name} cannot be opened: ${error instanceof Error ? error.message : String(error)}.`);
  });
  try {
    const { size } = await file.stat();
    const head = Buffer.alloc(8);
    const { bytesRead } = await file.read(head, 0, 8, 0);
    const length = bytesRead === 8 ? head.readBigUInt64LE() : 0n;
    if (length < 2n || length > BigInt(Math.min(LARGEST_HEADER, size - 8)))
      throw new Error(`${name} is no safetensors file, or is cut off.`);
    const bytes = Buffer.alloc(Number(length));
    await file.read(bytes, 0, bytes.length, 8);
    return listing(path, size, parsed(name, bytes));
  } finally {
    await file.close();
  }
}

function parsed(name: string, bytes: Buffer): v.InferOutput<typeof headerSchema> {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new Error(
      `${name}: its safetensors header is not JSON. The file is damaged; copy or download it again.`,
    );
  }
  const result = v.safeParse(headerSchema, value);
  if (result.success) return result.output;
  throw new Error(`${name}: its safetensors header is not as the format wants it. The file is damaged.`);
}

function listing(path: string, fileBytes: number, header: v.InferOutput<typeof headerSchema>): Listing {
  const entries = Object.entries(header).flatMap(([name, entry]) =>
    name !== '__metadata__' && Array.isArray(entry.shape) && Array.isArray(entry.data_offsets)
      ? [{ name, dtype: String(entry.dtype), shape: entry.shape, offsets: entry.data_offsets }]
      : [],
  );
  entries.sort((a, b) => a.offsets[0] - b.offsets[0]);
  const metadata = Object.entries(header.__metadata__ ?? {}).filter(
    // What ours say of themselves is for programs; it is told once a process may read it.
    (pair): pair is [string, string] => typeof pair[1] === 'string' && pair[0] !== 'fcd-lens',
  );
  return {
    path,
    format: 'safetensors',
    fileBytes,
    tensors: entries.map(({ name, dtype, shape, offsets: [begin, end] }) => ({
      ...{ name, dtype, shape },
      bytes: Math.max(0, Math.trunc(end - begin)),
    })),
    learnable: 0,
    facts: metadata.map(([name, value]) => ({ name, value: value.slice(0, LONGEST_FACT) })),
    grid: null,
    network: null,
    reason: null,
    warnings: [],
  };
}
