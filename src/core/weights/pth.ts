import { InputError } from '../errors';
import type { ByteSource } from './byte-source';
import type { OpenWeights, TensorInfo } from './open-weights';
import { PickleCutOff, unpickle } from './pickle';
import type { PickleValue, PickleWorld } from './pickle';
import { readPieces, type Piece } from './pieces';
import { findState } from './state-dict';
import type { State } from './state-dict';
import { DTYPE_BYTES, elementCount, tensorOver } from './tensors';
import type { NamedTensor } from './tensors';
import { TorchWorld } from './torch-objects';
import type { TorchStorage, TorchTensor } from './torch-objects';
import { ZipArchive } from './zip-archive';

/** First of the five pickles of a legacy file. */
const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_PROTOCOL = 1001;
/** A state dict of 100,000 tensors stays below. */
const LARGEST_PICKLE = 64 * 2 ** 20;
const FIRST_WINDOW = 2 ** 18;
/** The number of values before each storage of a legacy file; as long as the widest value, so that what follows is aligned. */
const COUNT_BYTES = 8;
/** Entry of a zip file, beside those of torch (which passes over it), where torch-write.ts puts metadata: strings by name, as JSON. */
export const METADATA_ENTRY = 'fcd-lens.json';
const LARGEST_TEXT = 4 * 2 ** 20;

/**
 * Opens what torch.save has written since version 1.6: a zip archive with `<root>/data.pkl` and one entry
 * `<root>/data/<key>` per storage. Storages are read one at a time. Nothing of the pickle is executed; what it may name
 * is listed at {@link TorchWorld}. Any fault ends in an {@link InputError}.
 */
export async function openTorchZip(source: ByteSource): Promise<OpenWeights> {
  const archive = await ZipArchive.open(source);
  const { entries } = archive;
  const pickles = [...entries.keys()].filter((name) => /^([^/]+\/)?data\.pkl$/.test(name));
  if (pickles.length !== 1)
    throw new InputError(
      `${source.name} is a zip archive with ${pickles.length} data.pkl, where torch.save writes exactly one. ` +
        `Give a file written by torch.save, or a safetensors file.`,
    );
  const root = pickles[0].slice(0, -'data.pkl'.length);
  if ([...entries.keys()].some((name) => name === `${root}constants.pkl` || name.startsWith(`${root}code/`)))
    throw new InputError(
      `${source.name} is a TorchScript archive: a program with its weights, and no code of it is run here. Load it in ` +
        `Python with torch.jit.load and save its state_dict() with torch.save or as safetensors.`,
    );
  const main = entryOf(pickles[0]);
  if (main.size > LARGEST_PICKLE)
    throw new InputError(
      `${source.name}: its data.pkl claims ${main.size} bytes; ${LARGEST_PICKLE} are allowed.`,
    );
  const world = new TorchWorld(source.name);
  const state = findState(source.name, unpickle(await archive.read(main), world).value);
  checkSize(source, state);
  const bigEndian = (await smallText('byteorder'))?.trim() === 'big';
  const said = await smallText(METADATA_ENTRY);
  for (const storage of byStorage(state).keys()) checkEntry(storage);
  const { warnings } = state;
  return {
    format: 'torch-zip',
    tensors: infosOf(state),
    metadata: said === undefined ? state.metadata : { ...state.metadata, ...stringsOf(said) },
    warnings,
    async *values(options = {}) {
      const pieces = Array.from(byStorage(state, options.only), ([storage, users]): Piece<StorageContent> => {
        const entry = entryOf(`${root}data/${storage.key}`);
        return {
          ...archive.place(entry),
          async take(region) {
            const content = await archive.content(entry, region);
            if (bigEndian) swapBytes(content, DTYPE_BYTES[storage.dtype]);
            return { users, content };
          },
        };
      });
      for await (const { users, content } of readPieces(source, pieces, options))
        yield* tensorsOn(users, content);
      const unchecked = archive.checkChecksums();
      if (unchecked !== undefined && !warnings.includes(unchecked)) warnings.push(unchecked);
    },
  };

  function checkEntry(storage: TorchStorage): void {
    const entry = entryOf(`${root}data/${storage.key}`);
    const bytes = bytesOf(storage);
    if (entry.size !== bytes)
      throw new InputError(
        `${source.name} is damaged: storage ${JSON.stringify(storage.key)} should hold ${storage.count} values of ` +
          `${storage.dtype} (${bytes} bytes), its entry holds ${entry.size} bytes. Copy or download it again.`,
      );
  }

  function entryOf(name: string): NonNullable<ReturnType<typeof entries.get>> {
    const entry = entries.get(name);
    if (entry === undefined)
      throw new InputError(
        `${source.name} is damaged: its archive has no entry ${JSON.stringify(name)}. Copy or download it again.`,
      );
    return entry;
  }

  /** An entry beside the pickle that holds a text; undefined where there is none, or it is too large to be meant. */
  async function smallText(name: string): Promise<string | undefined> {
    const entry = entries.get(root + name);
    if (entry === undefined || entry.size > LARGEST_TEXT) return undefined;
    return new TextDecoder().decode(await archive.read(entry));
  }
}

/** Strings by name in a JSON text; what is not of that form is passed over, for others may use the entry's name too. */
function stringsOf(json: string): Record<string, string> {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return {};
    return Object.fromEntries(
      Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
    );
  } catch {
    return {};
  }
}

/** Whether the file begins like torch.save's format before version 1.6. */
export async function isTorchLegacy(source: ByteSource): Promise<boolean> {
  const head = await source.read(0, Math.min(source.size, 64));
  try {
    return unpickle(head, namesNothing(source.name)).value === LEGACY_MAGIC;
  } catch (error) {
    if (error instanceof InputError) return false;
    throw error;
  }
}

/**
 * Opens what torch.save wrote before version 1.6 (or is asked to write by `_use_new_zipfile_serialization=False`): five
 * pickles - magic number, protocol 1001, the machine's type sizes, the object, the storages' keys - and then for each
 * storage its number of values (8 bytes) and its values, little-endian. Otherwise as {@link openTorchZip}.
 */
export async function openTorchLegacy(source: ByteSource): Promise<OpenWeights> {
  const pickles = new Pickles(source);
  const closed = namesNothing(source.name);
  const magic = await pickles.at(0, () => closed);
  const protocol = await pickles.at(magic.end, () => closed);
  if (magic.value !== LEGACY_MAGIC || protocol.value !== LEGACY_PROTOCOL)
    throw new InputError(
      `${source.name} is of protocol ${String(protocol.value).slice(0, 40)} of torch's legacy format; ${LEGACY_PROTOCOL} is known. ` +
        `Save it again with a newer torch.`,
    );
  const system = await pickles.at(protocol.end, () => closed);
  let world = new TorchWorld(source.name);
  const main = await pickles.at(system.end, () => (world = new TorchWorld(source.name)));
  const state = findState(source.name, main.value);
  checkSize(source, state);
  const keys = await pickles.at(main.end, () => closed);
  if (!Array.isArray(keys.value)) throw damaged(source, 'the list of its storages is no list');

  const places = new Map<string, number>();
  let at = keys.end;
  for (const key of keys.value) {
    const storage = typeof key === 'string' ? world.storages.get(key) : undefined;
    if (storage === undefined || places.has(storage.key))
      throw damaged(source, 'the list of its storages does not fit its tensors');
    places.set(storage.key, at);
    at += COUNT_BYTES + bytesOf(storage);
  }
  if (at > source.size) throw damaged(source, `it should have ${at} bytes and has ${source.size}`);
  for (const { key } of byStorage(state).keys())
    if (!places.has(key)) throw damaged(source, `storage ${JSON.stringify(key)} is not in it`);
  const rest = source.size - at;
  if (rest > 0) state.warnings.push(`${rest} bytes after the last storage were not read.`);
  return {
    format: 'torch-legacy',
    tensors: infosOf(state),
    metadata: state.metadata,
    warnings: state.warnings,
    async *values(options = {}) {
      const pieces = Array.from(byStorage(state, options.only), ([storage, users]): Piece<StorageContent> => {
        const place = places.get(storage.key) ?? 0;
        return {
          offset: place,
          length: COUNT_BYTES + bytesOf(storage),
          take(bytes) {
            const count = new DataView(bytes.buffer, bytes.byteOffset).getBigInt64(0, true);
            if (count !== BigInt(storage.count))
              throw damaged(
                source,
                `storage ${JSON.stringify(storage.key)} should hold ${storage.count} values, but says ${count} at byte ${place}`,
              );
            return { users, content: bytes.subarray(COUNT_BYTES) };
          },
        };
      });
      for await (const { users, content } of readPieces(source, pieces, options))
        yield* tensorsOn(users, content);
    },
  };
}

/** The pickles around a legacy file's object hold numbers and texts only. */
function namesNothing(label: string): PickleWorld {
  const refuse = (): never => {
    throw new InputError(
      `${label} is damaged or hostile: a header of torch's legacy format names a class. Nothing of it was executed.`,
    );
  };
  return { label, find: refuse, persistent: refuse };
}

/** Pickles of a file whose lengths are known only when they have been run. */
class Pickles {
  private window: Uint8Array = new Uint8Array(0);
  private from = 0;

  constructor(private readonly source: ByteSource) {}

  /** Tries what was read already, then a window, and a larger one where that was too small. */
  async at(start: number, newWorld: () => PickleWorld): Promise<{ value: PickleValue; end: number }> {
    const { source } = this;
    for (let wanted = 0; ; wanted = wanted === 0 ? FIRST_WINDOW : wanted * 8) {
      const length = Math.min(wanted, LARGEST_PICKLE, source.size - start);
      if (wanted > 0) {
        this.window = await source.read(start, length);
        this.from = start;
      }
      try {
        const { value, end } = unpickle(this.window, newWorld(), start - this.from);
        return { value, end: this.from + end };
      } catch (error) {
        if (!(error instanceof PickleCutOff) || (wanted > 0 && length < wanted)) throw error;
      }
    }
  }
}

/** A storage's bytes, and the tensors that look at it. */
interface StorageContent {
  readonly users: readonly [string, TorchTensor][];
  readonly content: Uint8Array;
}

/** Tensors by the storage they look at, so that each storage is read once. */
function byStorage(state: State, wanted?: ReadonlySet<string>): Map<TorchStorage, [string, TorchTensor][]> {
  const groups = new Map<TorchStorage, [string, TorchTensor][]>();
  for (const [name, tensor] of state.tensors) {
    if (wanted !== undefined && !wanted.has(name)) continue;
    const users = groups.get(tensor.storage);
    if (users === undefined) groups.set(tensor.storage, [[name, tensor]]);
    else users.push([name, tensor]);
  }
  return groups;
}

/**
 * Views can be much larger than what they look at (expand), deflated storages much larger than the file, and a hostile
 * file can make them so: checked before any memory is taken.
 */
function checkSize(source: ByteSource, state: State): void {
  const most = 64 * 2 ** 20 + 32 * source.size;
  let bytes = 0;
  for (const { shape, storage } of state.tensors.values()) {
    bytes += elementCount(shape) * DTYPE_BYTES[storage.dtype];
    if (!(bytes <= most && bytesOf(storage) <= most))
      throw new InputError(
        `${source.name} has ${source.size} bytes, but its tensors would take more than ${most}, the most that is read ` +
          `from a file of this size. Save contiguous tensors (tensor.contiguous()).`,
      );
  }
}

function* tensorsOn(
  users: readonly [string, TorchTensor][],
  storage: Uint8Array,
): Generator<NamedTensor, void> {
  for (const [name, tensor] of users) {
    const { dtype } = tensor.storage;
    const ownsAll =
      users.length === 1 && isRowMajor(tensor) && tensor.storage.count === elementCount(tensor.shape);
    yield tensorOver(name, tensor.shape, dtype, ownsAll ? storage : copyOf(tensor, storage));
  }
}

function bytesOf({ count, dtype }: TorchStorage): number {
  return count * DTYPE_BYTES[dtype];
}

function infosOf(state: State): Map<string, TensorInfo> {
  return new Map(
    Array.from(state.tensors, ([name, { shape, storage }]) => [name, { name, shape, dtype: storage.dtype }]),
  );
}

function isRowMajor({ shape, stride }: TorchTensor): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && stride[axis] !== expected) return false;
    expected *= shape[axis];
  }
  return true;
}

/** The tensor's values, row-major, in a buffer of their own. */
function copyOf(tensor: TorchTensor, storage: Uint8Array): Uint8Array {
  const width = DTYPE_BYTES[tensor.storage.dtype];
  const count = elementCount(tensor.shape);
  if (count === 0) return new Uint8Array(0);
  if (isRowMajor(tensor)) return storage.slice(tensor.offset * width, (tensor.offset + count) * width);
  const bytes = new Uint8Array(count * width);
  const { buffer, byteOffset } = storage;
  if (width === 1) gather(storage, bytes, tensor);
  else if (width === 2)
    gather(new Uint16Array(buffer, byteOffset, storage.length / 2), new Uint16Array(bytes.buffer), tensor);
  else if (width === 4)
    gather(new Uint32Array(buffer, byteOffset, storage.length / 4), new Uint32Array(bytes.buffer), tensor);
  // Eight bytes as two words along one more axis.
  else
    gather(new Uint32Array(buffer, byteOffset, storage.length / 4), new Uint32Array(bytes.buffer), {
      offset: tensor.offset * 2,
      shape: [...tensor.shape, 2],
      stride: [...tensor.stride.map((step) => step * 2), 1],
    });
  return bytes;
}

function gather<T extends Uint8Array | Uint16Array | Uint32Array>(
  from: T,
  to: T,
  { offset, shape, stride }: { offset: number; shape: readonly number[]; stride: readonly number[] },
): void {
  const last = shape.length - 1;
  const length = shape[last];
  const step = stride[last];
  const index = new Array<number>(last).fill(0);
  let row = offset;
  for (let at = 0; at < to.length; at += length) {
    for (let i = 0; i < length; i++) to[at + i] = from[row + i * step];
    for (let axis = last - 1; axis >= 0; axis--) {
      row += stride[axis];
      if (++index[axis] < shape[axis]) break;
      row -= shape[axis] * stride[axis];
      index[axis] = 0;
    }
  }
}

function swapBytes(bytes: Uint8Array, width: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (width === 2) buffer.swap16();
  else if (width === 4) buffer.swap32();
  else if (width === 8) buffer.swap64();
}

function damaged(source: ByteSource, what: string): InputError {
  return new InputError(`${source.name} is cut off or damaged: ${what}. Copy or download it again.`);
}
