import { InputError, messageOf } from '../errors';
import { writeAt, writeWholeBy } from '../files/whole';
import type { ByteSource } from './byte-source';
import { readAll } from './open-weights';
import { readPieces } from './pieces';
import type { OpenWeights, TensorInfo } from './open-weights';
import { DTYPE_BYTES, elementCount, isDtype, tensorOver } from './tensors';
import type { Dtype, NamedTensor, TensorFile } from './tensors';

/** The format's own limit. */
const LARGEST_HEADER = 100_000_000;

const METADATA = '__metadata__';

interface Entry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Reads a safetensors file: 8 bytes header length (little-endian), a JSON header, then the tensors' bytes. Every byte
 * of the data part must belong to exactly one tensor, and names must be unique, else an {@link InputError}.
 */
export async function readSafetensors(source: ByteSource): Promise<TensorFile> {
  return readAll(await openSafetensors(source));
}

/** As {@link readSafetensors}; values are read one tensor at a time. */
export async function openSafetensors(source: ByteSource): Promise<OpenWeights> {
  const { name: file } = source;
  const length = new DataView((await source.read(0, 8)).buffer).getBigUint64(0, true);
  if (length > BigInt(LARGEST_HEADER))
    throw new InputError(
      `${file} claims a header of ${length} bytes; safetensors allows ${LARGEST_HEADER}. It is damaged or no safetensors file.`,
    );
  const dataStart = 8 + Number(length);
  const header = parseHeader(file, await source.read(8, Number(length)));
  const entries: Entry[] = [];
  let metadata: Record<string, string> = {};
  for (const [name, value] of Object.entries(header)) {
    if (name === METADATA) metadata = parseMetadata(file, value);
    else entries.push(parseEntry(file, name, value));
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCover(file, entries, source.size - dataStart);

  return {
    format: 'safetensors',
    tensors: new Map(entries.map(({ name, shape, dtype }) => [name, { name, shape, dtype }])),
    metadata,
    warnings: [],
    async *values(options = {}) {
      const { only } = options;
      const wanted = entries.filter(({ name }) => only === undefined || only.has(name));
      yield* readPieces(
        source,
        wanted.map(({ name, shape, dtype, begin, end }) => ({
          offset: dataStart + begin,
          length: end - begin,
          take: (bytes: Uint8Array) => tensorOver(name, shape, dtype, bytes),
        })),
        options,
      );
    },
  };
}

/** Where everything lies in a safetensors file that is to be written. */
interface Layout {
  /** The length, the JSON header and its padding: what comes before the data. */
  readonly head: Uint8Array;
  /** In the order of their bytes; `at` counts from the file's start. */
  readonly places: readonly { readonly tensor: TensorInfo; readonly at: number; readonly bytes: number }[];
  /** Bytes in all. */
  readonly size: number;
}

/**
 * Deterministic: the same tensors give the same layout in whatever order they come (wider dtypes first, then by name),
 * and every tensor lies at a multiple of its value's size.
 */
function layOut(tensors: Iterable<TensorInfo>, metadata: Readonly<Record<string, string>>): Layout {
  const ordered = [...tensors].sort(
    (a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype] || compareText(a.name, b.name),
  );
  const header: [string, unknown][] = [];
  const pairs = Object.entries(metadata).sort(([a], [b]) => compareText(a, b));
  if (pairs.length > 0) header.push([METADATA, Object.fromEntries(pairs)]);
  const begins: number[] = [];
  let end = 0;
  for (const { name, dtype, shape } of ordered) {
    const begin = end;
    begins.push(begin);
    end += bytesOf(shape, dtype);
    header.push([name, { dtype, shape, data_offsets: [begin, end] }]);
  }
  if (new Set(header.map(([name]) => name)).size < header.length || ordered.some((t) => t.name === METADATA))
    throw new Error(`Tensors of a safetensors file need names of their own, none of them ${METADATA}.`);

  // Written pair by pair: in an object, names such as "10" would jump to the front.
  const json = `{${header.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
  const text = new TextEncoder().encode(json);
  const headerLength = Math.ceil(text.length / 8) * 8;
  if (headerLength > LARGEST_HEADER)
    throw new Error(`A safetensors header is limited to ${LARGEST_HEADER} bytes.`);
  const head = new Uint8Array(8 + headerLength).fill(0x20, 8);
  new DataView(head.buffer).setBigUint64(0, BigInt(headerLength), true);
  head.set(text, 8);
  const places = ordered.map((tensor, i) => ({
    tensor,
    at: head.length + begins[i],
    bytes: bytesOf(tensor.shape, tensor.dtype),
  }));
  return { head, places, size: head.length + end };
}

/** A safetensors file's bytes; deterministic, see {@link layOut}. */
export function encodeSafetensors(
  tensors: Iterable<NamedTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const all = [...tensors];
  const { head, places, size } = layOut(all, metadata);
  const bytes = new Uint8Array(size);
  bytes.set(head);
  const byName = new Map(all.map((tensor) => [tensor.name, tensor]));
  for (const { tensor, at } of places) {
    const given = byName.get(tensor.name);
    if (given) bytes.set(dataBytes(given, tensor), at);
  }
  return bytes;
}

/** Writes a safetensors file, whole or not at all. */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<NamedTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const all = [...tensors];
  await streamSafetensors(path, all, metadata, all);
}

/**
 * Writes a safetensors file, whole or not at all, from tensors that come one by one in any order: only one of them needs
 * to be in memory. `infos` announces them all.
 */
export async function streamSafetensors(
  path: string,
  infos: Iterable<TensorInfo>,
  metadata: Readonly<Record<string, string>>,
  tensors: Iterable<NamedTensor> | AsyncIterable<NamedTensor>,
): Promise<void> {
  const { head, places } = layOut(infos, metadata);
  const left = new Map(places.map((place) => [place.tensor.name, place]));
  await writeWholeBy(path, async (file) => {
    await writeAt(file, head, 0);
    for await (const tensor of tensors) {
      const place = left.get(tensor.name);
      if (place === undefined) throw new Error(`Tensor ${tensor.name} was not announced, or came twice.`);
      left.delete(tensor.name);
      await writeAt(file, dataBytes(tensor, place.tensor), place.at);
    }
    if (left.size > 0) throw new Error(`Tensor ${[...left.keys()][0]} was announced and did not come.`);
  });
}

/** Checked: a tensor that is not what was announced would be written over its neighbours. */
function dataBytes({ name, data, dtype, shape }: NamedTensor, announced: TensorInfo): Uint8Array {
  const bytes = bytesOf(announced.shape, announced.dtype);
  if (dtype !== announced.dtype || data.byteLength !== bytes)
    throw new Error(
      `Tensor ${name}: shape [${shape.join(', ')}] of ${announced.dtype} needs ${bytes} bytes, its data has ${data.byteLength} of ${dtype}.`,
    );
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function bytesOf(shape: readonly number[], dtype: Dtype): number {
  return elementCount(shape) * DTYPE_BYTES[dtype];
}

/** By UTF-16 code units: the same on every machine, unlike a locale's order. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function parseHeader(file: string, bytes: Uint8Array): object {
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (error) {
    throw new InputError(
      `${file}: its safetensors header is not JSON (${messageOf(error).slice(0, 200)}). The file is damaged; copy or download it again.`,
    );
  }
  if (!isRecord(header))
    throw new InputError(`${file}: its safetensors header is not a JSON object. The file is damaged.`);
  const twice = duplicateKey(text);
  if (twice !== undefined)
    throw new InputError(
      `${file}: its safetensors header names ${quote(twice)} twice, so it is not clear which one counts. Write the file again.`,
    );
  return header;
}

function parseMetadata(file: string, value: unknown): Record<string, string> {
  const pairs = isRecord(value) ? Object.entries(value) : undefined;
  if (!pairs?.every((pair): pair is [string, string] => typeof pair[1] === 'string'))
    throw new InputError(`${file}: ${METADATA} of its safetensors header must map names to strings.`);
  return Object.fromEntries(pairs);
}

function parseEntry(file: string, name: string, value: unknown): Entry {
  const where = `${file}, tensor ${quote(name)}`;
  if (!isRecord(value)) throw new InputError(`${where}: its header entry is not a JSON object.`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!isDtype(dtype))
    throw new InputError(
      `${where}: dtype ${quote(String(dtype))} is not read here. Convert it to one of ${Object.keys(DTYPE_BYTES).join(', ')}.`,
    );
  if (!isNaturals(shape))
    throw new InputError(`${where}: its shape must be a list of whole numbers from 0 on.`);
  if (!isNaturals(offsets) || offsets.length !== 2 || offsets[0] > offsets[1])
    throw new InputError(`${where}: its data_offsets must be [begin, end] with 0 <= begin <= end.`);
  const [begin, end] = offsets;
  const needed = elementCount(shape) * DTYPE_BYTES[dtype];
  if (needed !== end - begin)
    throw new InputError(
      `${where}: shape [${shape.join(', ')}] of ${dtype} needs ${needed} bytes, its data_offsets hold ${end - begin}.`,
    );
  return { name, dtype, shape, begin, end };
}

/** Entries sorted by begin: each must start where the last one ended, and the last must end with the file. */
function checkCover(file: string, entries: readonly Entry[], available: number): void {
  let at = 0;
  for (const { name, begin, end } of entries) {
    if (end > available)
      throw new InputError(
        `${file}, tensor ${quote(name)}: its data end at byte ${end} of the data, but the file holds only ${available}. ` +
          `It is cut off; copy or download it again.`,
      );
    if (begin !== at)
      throw new InputError(
        `${file}, tensor ${quote(name)}: its data begin at byte ${begin} of the data where ${at} was due: ` +
          (begin < at ? 'it overlaps another tensor.' : 'bytes before it belong to no tensor.') +
          ' The file is damaged.',
      );
    at = end;
  }
  if (at !== available)
    throw new InputError(
      `${file}: ${available - at} bytes after the last tensor belong to no tensor. The file is damaged.`,
    );
}

/** A key that one object of a (valid) JSON text holds twice; JSON.parse would silently keep the last. */
function duplicateKey(json: string): string | undefined {
  const objects: Set<string>[] = [];
  for (let at = 0; at < json.length; at++) {
    if (json[at] === '{') objects.push(new Set());
    else if (json[at] === '}') objects.pop();
    else if (json[at] === '"') {
      const start = at;
      do at += json[at] === '\\' ? 2 : 1;
      while (json[at] !== '"');
      const end = at + 1;
      while (/\s/.test(json[at + 1])) at++;
      if (json[at + 1] !== ':') continue;
      const key = String(JSON.parse(json.slice(start, end)));
      const keys = objects[objects.length - 1];
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isNaturals(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
