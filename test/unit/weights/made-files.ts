import { crc32, deflateRawSync } from 'node:zlib';

/** Bytes of a text in Latin-1, parts joined: pickles are written so in these tests. */
export function bytesOf(...parts: readonly (string | Uint8Array | readonly number[])[]): Uint8Array {
  return new Uint8Array(
    Buffer.concat(
      parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))),
    ),
  );
}

export function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}

export function uint64(value: number | bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
  return bytes;
}

/** BINUNICODE. */
export function text(value: string): Uint8Array {
  const utf8 = new TextEncoder().encode(value);
  return bytesOf('X', uint32(utf8.length), utf8);
}

/** BININT. */
export function int(value: number): Uint8Array {
  return bytesOf('J', uint32(value >>> 0));
}

export interface Described {
  readonly key?: string;
  readonly kind?: string;
  readonly count?: number;
  readonly offset?: number;
  readonly shape?: readonly number[];
  readonly stride?: readonly number[];
  /** Legacy files have a sixth member of the persistent id: None, or a part of the storage. */
  readonly part?: Uint8Array;
}

/** A tensor as torch.save pickles it; by default two floats. */
export function tensor(described: Described = {}): Uint8Array {
  const {
    key = '0',
    kind = 'FloatStorage',
    count = 2,
    offset = 0,
    shape = [2],
    stride = [1],
    part = bytesOf(),
  } = described;
  return bytesOf(
    'ctorch._utils\n_rebuild_tensor_v2\n((',
    ...[text('storage'), `ctorch\n${kind}\n`, text(key), text('cpu'), int(count), part],
    ...['tQ', int(offset), '(', ...shape.map(int), 't(', ...stride.map(int), 't'],
    '\x89ccollections\nOrderedDict\n)RtR',
  );
}

/** A pickle of protocol 2. */
export function pickle(...body: readonly (string | Uint8Array)[]): Uint8Array {
  return bytesOf('\x80\x02', ...body, '.');
}

/** A pickled dict; values are pickle fragments. */
export function dict(entries: Readonly<Record<string, Uint8Array>>): Uint8Array {
  return bytesOf('}(', ...Object.entries(entries).flatMap(([name, value]) => [text(name), value]), 'u');
}

export interface MadeEntry {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly deflate?: boolean;
  readonly crc?: number;
}

/** A zip archive. */
export function zip(entries: readonly MadeEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const { name, bytes, deflate = false, crc = crc32(bytes) } of entries) {
    const packed = deflate ? deflateRawSync(bytes) : bytes;
    const common = bytesOf(
      [0, 0, deflate ? 8 : 0, 0, 0, 0, 0, 0],
      ...[uint32(crc), uint32(packed.length), uint32(bytes.length), [name.length, 0, 0, 0]],
    );
    const local = bytesOf('PK\x03\x04\x14\0', common, name, packed);
    directory.push(bytesOf('PK\x01\x02\x14\0\x14\0', common, new Uint8Array(10), uint32(at), name));
    parts.push(local);
    at += local.length;
  }
  const central = bytesOf(...directory);
  const count = [entries.length & 0xff, entries.length >> 8];
  return bytesOf(
    ...parts,
    central,
    'PK\x05\x06\0\0\0\0',
    count,
    count,
    uint32(central.length),
    uint32(at),
    [0, 0],
  );
}

/** A torch zip file around a pickle; storage 0 holds the floats 1.5 and -2 unless others are given. */
export function torchZip(
  data: Uint8Array,
  storages: Readonly<Record<string, Uint8Array>> = { '0': new Uint8Array(Float32Array.of(1.5, -2).buffer) },
  others: readonly MadeEntry[] = [],
): Uint8Array {
  return zip([
    { name: 'archive/data.pkl', bytes: data },
    ...others,
    ...Object.entries(storages).map(([key, bytes]) => ({ name: `archive/data/${key}`, bytes })),
  ]);
}

/** A legacy torch file around a pickle. */
export function torchLegacy(
  data: Uint8Array,
  storages: readonly { key: string; count: number; bytes: Uint8Array }[] = [
    { key: '0', count: 2, bytes: new Uint8Array(Float32Array.of(1.5, -2).buffer) },
  ],
): Uint8Array {
  return bytesOf(
    pickle([...'\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19'].join('')),
    pickle('M\xe9\x03'),
    pickle('}'),
    data,
    pickle('](', ...storages.map(({ key }) => text(key)), 'e'),
    ...storages.flatMap(({ count, bytes }) => [uint64(count), bytes]),
  );
}
