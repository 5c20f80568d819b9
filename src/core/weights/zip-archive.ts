import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { InputError, messageOf } from '../errors';
import { unfilled } from './byte-source';
import type { ByteSource } from './byte-source';

export interface ZipEntry {
  readonly name: string;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  readonly crc32: number;
  /** Bytes in the file. */
  readonly packed: number;
  /** Bytes when unpacked. */
  readonly size: number;
  /** Where its local header begins. */
  readonly header: number;
}

const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END = 0x06054b50;
const END_64 = 0x06064b50;
const END_64_LOCATOR = 0x07064b50;

/** A local header before its name. */
const LOCAL_BYTES = 30;
const END_BYTES = 22;
const LONGEST_COMMENT = 0xffff;
const LONGEST_EXTRA = 0xffff;
const LONGEST_NAME = 0xffff;
/** Bytes of the widest value. */
const WIDEST = 8;
/** One million entries with names of 18 characters. */
const LARGEST_DIRECTORY = 64 * 2 ** 20;

const inflateRaw = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.inflateRaw);

/**
 * A zip archive that is read entry by entry: stored and deflated entries, with zip64 sizes; no encryption, no parts.
 * The central directory says where an entry is, and its local header must agree.
 */
export class ZipArchive {
  private matched = 0;
  private readonly mismatched: string[] = [];

  private constructor(
    private readonly source: ByteSource,
    readonly entries: ReadonlyMap<string, ZipEntry>,
    /** Where what follows an entry begins (another entry, or the directory), by the entry's own begin. */
    private readonly ends: ReadonlyMap<number, number>,
  ) {}

  static async open(source: ByteSource): Promise<ZipArchive> {
    const { offset, size, count } = await findDirectory(source);
    if (size > LARGEST_DIRECTORY) damaged(source, `its zip directory claims ${size} bytes`);
    const entries = new Map<string, ZipEntry>();
    const directory = viewOf(await source.read(offset, size));
    for (let at = 0; at < size;) {
      const { entry, next } = parseEntry(source, directory, at);
      if (entries.has(entry.name))
        damaged(source, `its zip directory names ${JSON.stringify(entry.name)} twice`);
      entries.set(entry.name, entry);
      at = next;
    }
    if (entries.size !== count)
      damaged(source, `its zip directory holds ${entries.size} entries where ${count} are announced`);
    const begins = Array.from(entries.values(), ({ header }) => header).sort((a, b) => a - b);
    const ends = new Map(begins.map((begin, i) => [begin, begins[i + 1] ?? offset]));
    return new ZipArchive(source, entries, ends);
  }

  /** An entry's unpacked bytes, `entry.size` of them, at an address that fits any type of value. */
  async read(entry: ZipEntry): Promise<Uint8Array> {
    const { offset, length, lead } = this.place(entry);
    const region = unfilled(lead + length).subarray(lead);
    await this.source.readInto([region], offset);
    return this.content(entry, region);
  }

  /** What of the file has to be read for an entry, and how many bytes before it in memory align its content. */
  place(entry: ZipEntry): { readonly offset: number; readonly length: number; readonly lead: number } {
    const { source } = this;
    const { header, packed, name } = entry;
    const least = LOCAL_BYTES + packed;
    if (header + least > source.size)
      damaged(
        source,
        `${packed} bytes are wanted at byte ${header + LOCAL_BYTES}, but the file has ${source.size} bytes`,
      );
    // One reading for header and content: from one header to what follows it, as far as both can reach.
    const room = (this.ends.get(header) ?? source.size) - header;
    const length = Math.min(room, least + LONGEST_NAME + LONGEST_EXTRA);
    if (length < least) damaged(source, `zip entry ${JSON.stringify(name)} reaches into the one behind it`);
    // torch puts contents at multiples of 64 in the file; with this lead they are at multiples of 8 in memory.
    return { offset: header, length, lead: header % WIDEST };
  }

  /** {@link read} from the bytes of an entry's {@link place}; what is returned lies in them where it was stored. */
  async content(entry: ZipEntry, region: Uint8Array): Promise<Uint8Array> {
    const { source } = this;
    const header = viewOf(region);
    const nameLength = header.getUint16(26, true);
    const named = textOf(region.subarray(LOCAL_BYTES, LOCAL_BYTES + nameLength));
    if (header.getUint32(0, true) !== LOCAL_HEADER || named !== entry.name)
      damaged(source, `zip entry ${JSON.stringify(entry.name)} is not where the zip directory says`);
    const start = LOCAL_BYTES + nameLength + header.getUint16(28, true);
    const packed = region.subarray(start, start + entry.packed);
    if (packed.length < entry.packed)
      damaged(source, `zip entry ${JSON.stringify(entry.name)} reaches into the one behind it`);
    const bytes = entry.method === 0 ? packed : await this.inflate(entry, packed);
    if (crc32(bytes) === entry.crc32) this.matched++;
    else this.mismatched.push(entry.name);
    return bytes.byteOffset % WIDEST === 0 ? bytes : bytes.slice();
  }

  /**
   * Compares the checksums of what was read. Some wrong: the file is damaged, an {@link InputError}. All wrong: it was
   * written without checksums (torch.save can), and the sentence returned says so.
   */
  checkChecksums(): string | undefined {
    if (this.mismatched.length === 0) return undefined;
    if (this.matched > 0)
      damaged(
        this.source,
        `the checksum of zip entry ${JSON.stringify(this.mismatched[0])} does not match its bytes`,
      );
    return 'The archive holds no valid checksums, so damage in transfer would not show.';
  }

  private async inflate(entry: ZipEntry, packed: Uint8Array): Promise<Uint8Array> {
    const bytes = await inflateRaw(packed, { maxOutputLength: Math.max(1, entry.size) }).catch(
      (error: unknown) =>
        damaged(
          this.source,
          `zip entry ${JSON.stringify(entry.name)} cannot be unpacked (${messageOf(error)})`,
        ),
    );
    if (bytes.length !== entry.size)
      damaged(
        this.source,
        `zip entry ${JSON.stringify(entry.name)} unpacks to ${bytes.length} bytes, not ${entry.size}`,
      );
    // zlib's buffer may lie at any address; typed arrays want theirs aligned.
    return new Uint8Array(bytes);
  }
}

/** Where the central directory is; the zip64 record counts where there is one. */
async function findDirectory(source: ByteSource): Promise<{ offset: number; size: number; count: number }> {
  const tailLength = Math.min(source.size, END_BYTES + LONGEST_COMMENT);
  const tailStart = source.size - tailLength;
  const tail = viewOf(await source.read(tailStart, tailLength));
  let end = tailLength - END_BYTES;
  while (
    end >= 0 &&
    !(tail.getUint32(end, true) === END && tail.getUint16(end + 20, true) === tailLength - end - END_BYTES)
  )
    end--;
  if (end < 0) damaged(source, 'it has no zip directory at its end, as if it were cut off');
  const locator = end - 20;
  if (locator >= 0 && tail.getUint32(locator, true) === END_64_LOCATOR) {
    const record = viewOf(await source.read(uint64(tail, locator + 8), 56));
    if (record.getUint32(0, true) !== END_64)
      damaged(source, 'its zip64 directory is not where it should be');
    return { count: uint64(record, 32), size: uint64(record, 40), offset: uint64(record, 48) };
  }
  return {
    count: tail.getUint16(end + 10, true),
    size: tail.getUint32(end + 12, true),
    offset: tail.getUint32(end + 16, true),
  };
}

function parseEntry(source: ByteSource, directory: DataView, at: number): { entry: ZipEntry; next: number } {
  const left = directory.byteLength - at;
  if (left < 46 || directory.getUint32(at, true) !== CENTRAL_HEADER)
    damaged(source, `its zip directory is broken at byte ${at}`);
  const nameLength = directory.getUint16(at + 28, true);
  const extraLength = directory.getUint16(at + 30, true);
  const next = at + 46 + nameLength + extraLength + directory.getUint16(at + 32, true);
  if (next > directory.byteLength) damaged(source, `its zip directory is broken at byte ${at}`);
  const nameAt = directory.byteOffset + at + 46;
  const name = textOf(new Uint8Array(directory.buffer, nameAt, nameLength));
  const extra = new DataView(directory.buffer, nameAt + nameLength, extraLength);
  const [size, packed, header] = zip64Values(source, name, extra, [
    directory.getUint32(at + 24, true),
    directory.getUint32(at + 20, true),
    directory.getUint32(at + 42, true),
  ]);
  const method = directory.getUint16(at + 10, true);
  if ((directory.getUint16(at + 8, true) & 1) !== 0 || (method !== 0 && method !== 8))
    throw new InputError(
      `${source.name}: zip entry ${JSON.stringify(name)} is encrypted or packed by a method that is not read here ` +
        `(${method}). Save the weights again with torch.save.`,
    );
  if (method === 0 && size !== packed)
    damaged(source, `zip entry ${JSON.stringify(name)} is stored, yet its two sizes differ`);
  return { entry: { name, method, crc32: directory.getUint32(at + 16, true), packed, size, header }, next };
}

/** Values of 2^32 - 1 stand in the zip64 field (id 1) instead, in the same order. */
function zip64Values(source: ByteSource, name: string, extra: DataView, values: readonly number[]): number[] {
  if (!values.includes(0xffffffff)) return [...values];
  for (let at = 0; at + 4 <= extra.byteLength;) {
    const id = extra.getUint16(at, true);
    const end = at + 4 + extra.getUint16(at + 2, true);
    let from = at + 4;
    at = end;
    if (id !== 1 || end > extra.byteLength) continue;
    return values.map((value) => {
      if (value !== 0xffffffff) return value;
      from += 8;
      if (from > end) damaged(source, `zip entry ${JSON.stringify(name)} lacks its 64-bit sizes`);
      return uint64(extra, from - 8);
    });
  }
  return damaged(source, `zip entry ${JSON.stringify(name)} lacks its 64-bit sizes`);
}

function damaged(source: ByteSource, what: string): never {
  throw new InputError(`${source.name} is cut off or damaged: ${what}. Copy or download it again.`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Rounded above 2^53, where no file reaches. */
function uint64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}

const utf8 = new TextDecoder();

function textOf(bytes: Uint8Array): string {
  return utf8.decode(bytes);
}

/** CRC-32 as in zip: the one of zlib where Node has it (from 20.15 on), else by table. */
export const crc32: (bytes: Uint8Array) => number =
  typeof zlib.crc32 === 'function' ? zlib.crc32 : crc32ByTable;

/** Exported for its test. */
export function crc32ByTable(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = CRC_TABLE[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, value) => {
  let crc = value;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});
