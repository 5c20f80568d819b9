import { InputError } from '../errors';
import { PickleGlobal, PickleObject } from './pickle';
import type { PickleValue, PickleWorld } from './pickle';
import { elementCount } from './tensors';
import type { Dtype } from './tensors';

/** torch's typed storages. */
export const STORAGES: Readonly<Record<string, Dtype>> = {
  DoubleStorage: 'F64',
  FloatStorage: 'F32',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};

/** torch itself stops at 64 axes in most operations. */
const MOST_AXES = 64;
/** Pairs copied into OrderedDicts in all: one long list, named again and again, must not fill the memory. */
const MOST_PAIRS = 1_000_000;

/** A run of values in the file, which one tensor or several look at. */
export class TorchStorage {
  constructor(
    readonly key: string,
    readonly dtype: Dtype,
    /** Values, not bytes. */
    readonly count: number,
  ) {}
}

/** A tensor before its values are read: value (i, j, ...) is storage value `offset + i * stride[0] + j * stride[1] + ...` */
export class TorchTensor extends PickleObject {
  constructor(
    readonly storage: TorchStorage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly stride: readonly number[],
  ) {
    super();
  }
}

/** What a persistent id names: a whole storage, or (files before torch 0.4) a part of one. */
class StoragePart extends PickleObject {
  constructor(
    readonly storage: TorchStorage,
    readonly begin: number,
    readonly count: number,
  ) {
    super();
  }
}

class StorageClass extends PickleGlobal {
  constructor(
    name: string,
    readonly dtype: Dtype,
  ) {
    super(name);
  }
}

/**
 * What the pickle of a torch file may name: `collections.OrderedDict`, `torch.Size`, `torch._utils._rebuild_tensor_v2`,
 * `torch._utils._rebuild_parameter` and the typed storages. Everything else is refused by its name. Tensors are
 * described, and checked against their storage; no values are read.
 */
export class TorchWorld implements PickleWorld {
  /** By key. */
  readonly storages = new Map<string, TorchStorage>();
  private readonly globals: ReadonlyMap<string, PickleGlobal>;
  private pairs = 0;

  constructor(readonly label: string) {
    const globals: PickleGlobal[] = [
      new PickleGlobal('collections.OrderedDict', (args) => this.orderedDict(args)),
      new PickleGlobal('torch.Size', (args) => this.size(args)),
      new PickleGlobal('torch._utils._rebuild_tensor_v2', (args) => this.tensor(args)),
      new PickleGlobal('torch._utils._rebuild_parameter', (args) => this.parameter(args)),
      ...Object.entries(STORAGES).map(([name, dtype]) => new StorageClass(`torch.${name}`, dtype)),
    ];
    this.globals = new Map(globals.map((known) => [known.name, known]));
  }

  find(module: string, name: string): PickleGlobal {
    const known = this.globals.get(`${module}.${name}`);
    // A dot in the name would reach into a class or module: "torch" + "_utils._rebuild_parameter".
    if (known === undefined || name.includes('.')) {
      const asked = `${module}.${name}`;
      throw new InputError(
        `${this.label} is refused: its pickle asks for ${JSON.stringify(asked.length > 100 ? `${asked.slice(0, 100)}…` : asked)}, ` +
          `which weights do not need and which could run code. Nothing of it was executed. If you trust the file, load it ` +
          `in Python and save its state_dict() alone, with torch.save or as safetensors.`,
      );
    }
    return known;
  }

  /** ('storage', class, key, device, count) in zip files; legacy files add None or (part's key, begin, count). The device is ignored. */
  persistent(id: PickleValue): PickleValue {
    if (!Array.isArray(id) || id[0] !== 'storage' || (id.length !== 5 && id.length !== 6))
      return this.wrong('a persistent id that is no storage');
    const [, kind, key, , count, part = null] = id;
    if (!(kind instanceof StorageClass)) return this.wrong('a storage without a type');
    if (typeof key !== 'string') return this.wrong('a storage whose key is no text');
    if (!isNatural(count)) return this.wrong(`storage ${quoted(key)} without a count of values`);
    let storage = this.storages.get(key);
    if (storage === undefined) {
      storage = new TorchStorage(key, kind.dtype, count);
      this.storages.set(key, storage);
    } else if (storage.dtype !== kind.dtype || storage.count !== count)
      return this.wrong(
        `storage ${quoted(key)} as ${storage.count} x ${storage.dtype} and as ${count} x ${kind.dtype}`,
      );
    if (part === null) return new StoragePart(storage, 0, count);
    const [, begin, length] = Array.isArray(part) && part.length === 3 ? part : [];
    if (!isNatural(begin) || !isNatural(length) || begin + length > count)
      return this.wrong(`a part of storage ${quoted(key)} that does not lie in it`);
    return new StoragePart(storage, begin, length);
  }

  /** Python 3 fills it afterwards; Python 2 calls it with a list of pairs. */
  private orderedDict(args: readonly PickleValue[]): PickleValue {
    if (args.length === 0) return new Map();
    const [pairs] = args;
    if (Array.isArray(pairs) && (this.pairs += pairs.length) > MOST_PAIRS)
      return this.wrong(`OrderedDicts of more than ${MOST_PAIRS} entries`);
    const isPair = (item: PickleValue): item is [PickleValue, PickleValue] =>
      Array.isArray(item) && item.length === 2;
    if (args.length !== 1 || !Array.isArray(pairs) || !pairs.every(isPair))
      return this.wrong('an OrderedDict made of something that is no list of pairs');
    return new Map(pairs);
  }

  private size(args: readonly PickleValue[]): PickleValue {
    const [shape] = args;
    if (args.length !== 1 || !isAxes(shape)) return this.wrong('a torch.Size that is no tuple of lengths');
    return [...shape];
  }

  /** (storage, offset, size, stride, requires_grad, backward_hooks[, metadata]) */
  private tensor(args: readonly PickleValue[]): PickleValue {
    const [part, offset, shape, stride] = args;
    if ((args.length !== 6 && args.length !== 7) || !(part instanceof StoragePart))
      return this.wrong('a tensor without a storage');
    const { storage } = part;
    if (!isNatural(offset) || !isAxes(shape) || !isAxes(stride) || shape.length !== stride.length)
      return this.wrong(
        `a tensor on storage ${quoted(storage.key)} whose offset, shape and stride do not go together`,
      );
    const last = shape.reduce((sum, length, axis) => sum + (length - 1) * stride[axis], offset);
    if (elementCount(shape) > 0 && !(last < part.count))
      return this.wrong(
        `a tensor of shape [${shape.join(', ')}], stride [${stride.join(', ')}], offset ${offset} that reaches past ` +
          `the ${part.count} values of storage ${quoted(storage.key)}`,
      );
    return new TorchTensor(storage, part.begin + offset, [...shape], [...stride]);
  }

  /** (data, requires_grad, backward_hooks) */
  private parameter(args: readonly PickleValue[]): PickleValue {
    const [data] = args;
    if (args.length !== 3 || !(data instanceof TorchTensor))
      return this.wrong('a parameter without a tensor');
    return data;
  }

  private wrong(what: string): never {
    throw new InputError(
      `${this.label} is damaged or was not written by torch.save: its pickle describes ${what}. Nothing was loaded.`,
    );
  }
}

function quoted(key: string): string {
  return JSON.stringify(key.slice(0, 60));
}

function isNatural(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isAxes(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.length <= MOST_AXES && value.every(isNatural);
}
