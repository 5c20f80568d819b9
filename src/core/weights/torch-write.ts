import { writeAt, writeWholeBy } from '../files/whole';
import type { TensorInfo } from './open-weights';
import { METADATA_ENTRY } from './pth';
import { DTYPE_BYTES, elementCount } from './tensors';
import type { Dtype, NamedTensor } from './tensors';
import { STORAGES } from './torch-objects';
import { crc32 } from './zip-archive';

/** torch puts contents there, so that they can be mapped into memory. */
const ALIGNMENT = 64;
/** Without zip64. */
const LARGEST_FILE = 0xffffffff;
const MOST_ENTRIES = 0xfffe;
/** BININT. */
const LARGEST_INTEGER = 0x7fffffff;

/**
 * Writes a state dict as torch.save does (zip format, readable with `weights_only=True` too): an OrderedDict of names and
 * contiguous tensors on the CPU, in the order of `infos`. The tensors may come in any order, one at a time; the file is
 * written whole or not at all. Metadata lie in an entry of their own, which torch passes over.
 */
export async function writeTorch(
  path: string,
  infos: readonly TensorInfo[],
  metadata: Readonly<Record<string, string>>,
  tensors: AsyncIterable<NamedTensor> | Iterable<NamedTensor>,
): Promise<void> {
  const keys = new Map(infos.map((info, key) => [info.name, { info, key: String(key) }]));
  if (keys.size < infos.length) throw new Error('Tensors of a state dict need names of their own.');
  const text = new TextEncoder();
  await writeWholeBy(path, async (file) => {
    const zip = new ZipWriter((bytes, at) => writeAt(file, bytes, at));
    await zip.add('archive/data.pkl', pickled(infos));
    await zip.add('archive/byteorder', text.encode('little'));
    if (Object.keys(metadata).length > 0)
      await zip.add(`archive/${METADATA_ENTRY}`, text.encode(JSON.stringify(metadata)));
    for await (const tensor of tensors) {
      const place = keys.get(tensor.name);
      if (place === undefined) throw new Error(`Tensor ${tensor.name} was not announced, or came twice.`);
      keys.delete(tensor.name);
      const { data, dtype } = tensor;
      const bytes = elementCount(place.info.shape) * DTYPE_BYTES[place.info.dtype];
      if (dtype !== place.info.dtype || data.byteLength !== bytes)
        throw new Error(`Tensor ${tensor.name} is not what was announced.`);
      await zip.add(
        `archive/data/${place.key}`,
        new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      );
    }
    if (keys.size > 0) throw new Error(`Tensor ${[...keys.keys()][0]} was announced and did not come.`);
    await zip.add('archive/version', text.encode('3\n'));
    await zip.end();
  });
}

/** Stored entries, one behind the other. */
class ZipWriter {
  private at = 0;
  private readonly directory: Uint8Array[] = [];

  constructor(private readonly write: (bytes: Uint8Array, at: number) => Promise<void>) {}

  async add(name: string, content: Uint8Array): Promise<void> {
    if (this.directory.length === MOST_ENTRIES)
      throw new Error(`A zip file of ${MOST_ENTRIES} entries is full.`);
    const label = Buffer.from(name);
    // An extra field that says nothing brings the content to its place.
    const bare = this.at + 30 + label.length + 4;
    const padding = (ALIGNMENT - (bare % ALIGNMENT)) % ALIGNMENT;
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc32(content), 10);
    common.writeUInt32LE(content.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(label.length, 22);
    const extra = Buffer.alloc(4 + padding);
    extra.write('FB', 'latin1');
    extra.writeUInt16LE(padding, 2);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, label, extra]);
    local.writeUInt16LE(extra.length, 28);
    const central = Buffer.concat([
      Buffer.from('PK\x01\x02\x14\0', 'latin1'),
      common,
      Buffer.alloc(14),
      label,
    ]);
    central.writeUInt32LE(this.at, 42);
    this.directory.push(central);
    await this.put(local);
    await this.put(content);
  }

  async end(): Promise<void> {
    const directory = Buffer.concat(this.directory);
    const end = Buffer.alloc(22);
    end.write('PK\x05\x06', 'latin1');
    end.writeUInt16LE(this.directory.length, 8);
    end.writeUInt16LE(this.directory.length, 10);
    end.writeUInt32LE(directory.length, 12);
    end.writeUInt32LE(this.at, 16);
    await this.put(directory);
    await this.put(end);
  }

  private async put(bytes: Uint8Array): Promise<void> {
    if (this.at + bytes.length > LARGEST_FILE)
      throw new Error('A .pth file of more than 4 GB is not written here.');
    await this.write(bytes, this.at);
    this.at += bytes.length;
  }
}

const CLASS_OF = new Map<Dtype, string>(Object.entries(STORAGES).map(([name, dtype]) => [dtype, name]));

/** The pickle (protocol 2) of an OrderedDict of tensors; storage i belongs to tensor i. */
function pickled(infos: readonly TensorInfo[]): Uint8Array {
  const parts: Buffer[] = [];
  const code = (text: string): void => void parts.push(Buffer.from(text, 'latin1'));
  const unicode = (text: string): void => {
    const utf8 = Buffer.from(text);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(utf8.length);
    parts.push(Buffer.from('X'), length, utf8);
  };
  const integer = (value: number): void => {
    if (value > LARGEST_INTEGER)
      throw new Error(`${value} values are too many for one tensor of a .pth file.`);
    const bytes = Buffer.alloc(5);
    bytes.write('J');
    bytes.writeInt32LE(value, 1);
    parts.push(bytes);
  };
  const tuple = (values: readonly number[]): void => {
    code('(');
    values.forEach(integer);
    code('t');
  };
  code('\x80\x02ccollections\nOrderedDict\n)R(');
  infos.forEach(({ name, shape, dtype }, key) => {
    unicode(name);
    code('ctorch._utils\n_rebuild_tensor_v2\n((');
    unicode('storage');
    code(`ctorch\n${CLASS_OF.get(dtype)}\n`);
    unicode(String(key));
    unicode('cpu');
    integer(elementCount(shape));
    code('tQ');
    integer(0);
    tuple(shape);
    tuple(stridesOf(shape));
    code('\x89ccollections\nOrderedDict\n)RtR');
  });
  code('u.');
  return Buffer.concat(parts);
}

function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= Math.max(1, shape[axis]);
  }
  return strides;
}
