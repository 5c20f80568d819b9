import { InputError } from '../errors';

/**
 * A pickle machine that executes nothing. Python's own machine calls whatever a pickle names; this one builds plain
 * data, and asks its {@link PickleWorld} about every global and persistent id, which answers from a fixed list or
 * refuses. Lists and tuples become arrays, dicts and OrderedDicts Maps (attributes set on them are dropped), sets Sets,
 * bytes Uint8Arrays, integers numbers where exact, else bigints.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleObject
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>;

/** Something that a {@link PickleWorld} made. */
export abstract class PickleObject {
  /** Keeps other objects from passing for one. */
  declare protected readonly brand: 'pickle object';
}

/** A global that a pickle may name: a class or function, and what calling it gives; without `call` it is only a name. */
export class PickleGlobal extends PickleObject {
  constructor(
    readonly name: string,
    readonly call?: (args: readonly PickleValue[]) => PickleValue,
  ) {
    super();
  }
}

/** What lies outside of a pickle. Both refuse by throwing an {@link InputError}. */
export interface PickleWorld {
  /** What messages call the pickle: the file, and the entry in it. */
  readonly label: string;
  find(module: string, name: string): PickleGlobal;
  persistent(id: PickleValue): PickleValue;
}

/** The bytes end before the pickle does; with more bytes it may be whole. */
export class PickleCutOff extends InputError {}

/** A state dict of 10,000 tensors with its optimiser's state takes about one million opcodes. */
const MOST_OPCODES = 4_000_000;
/** Values waiting on the stack, of one level of nesting. */
const MOST_PENDING = 1_000_000;
/** Containers and objects in all: what makes a small pickle large in memory. */
const MOST_CONTAINERS = 1_000_000;
/** Nesting of unfinished containers; Python's own writer gives up at about 1000. */
const DEEPEST = 1_000;
/** Bytes or digits of one integer. */
const LONGEST_INTEGER = 300;
/** Bytes of a line of the textual opcodes. */
const LONGEST_LINE = 65_536;
const NEWEST_PROTOCOL = 5;

/**
 * Runs the pickle that begins at byte `start`; gives its value and the byte after it. Everything wrong with it, also a
 * global or opcode that is not allowed, ends in an {@link InputError} ({@link PickleCutOff} where bytes are missing).
 */
export function unpickle(
  bytes: Uint8Array,
  world: PickleWorld,
  start = 0,
): { readonly value: PickleValue; readonly end: number } {
  const machine = new Machine(bytes, world, start);
  const value = machine.run();
  return { value, end: machine.at };
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

class Machine {
  private stack: PickleValue[] = [];
  /** Stacks below each mark, outermost first. */
  private readonly below: PickleValue[][] = [];
  private readonly memo = new Map<number, PickleValue>();
  private readonly view: DataView;
  private containers = 0;
  private opcodeAt = 0;
  private done = false;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly world: PickleWorld,
    public at: number,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): PickleValue {
    for (let steps = 0; !this.done; steps++) {
      if (steps === MOST_OPCODES) this.refuse(`it has more than ${MOST_OPCODES} instructions`);
      this.opcodeAt = this.at;
      const code = this.uint8();
      const act = OPCODES[code];
      if (act === undefined)
        this.refuse(`its instruction ${nameOf(code)} is not one that a weights file needs`);
      act(this);
    }
    return this.pop();
  }

  stop(): void {
    this.done = true;
  }

  refuse(what: string): never {
    throw new InputError(
      `${this.world.label} is refused at byte ${this.opcodeAt} of its pickle: ${what}. Nothing of it was executed. ` +
        `If you trust the file, load it in Python and save its state_dict() alone, with torch.save or as safetensors.`,
    );
  }

  // Reading.

  private need(length: number): number {
    const from = this.at;
    if (length > this.bytes.length - from)
      throw new PickleCutOff(
        `${this.world.label} is cut off: its pickle wants ${length} more bytes at byte ${from}, ` +
          `${this.bytes.length - from} are left. Copy or download the file again.`,
      );
    this.at += length;
    return from;
  }

  uint8(): number {
    return this.bytes[this.need(1)];
  }

  uint16(): number {
    return this.view.getUint16(this.need(2), true);
  }

  uint32(): number {
    return this.view.getUint32(this.need(4), true);
  }

  int32(): number {
    return this.view.getInt32(this.need(4), true);
  }

  /** A length: rounded above 2^53, where no file reaches. */
  uint64(): number {
    return Number(this.view.getBigUint64(this.need(8), true));
  }

  float64(): number {
    return this.view.getFloat64(this.need(8), false);
  }

  take(length: number): Uint8Array {
    const from = this.need(length);
    return this.bytes.slice(from, from + length);
  }

  text(length: number): string {
    const from = this.need(length);
    try {
      return utf8.decode(this.bytes.subarray(from, from + length));
    } catch {
      return this.refuse('it has a text that is not UTF-8');
    }
  }

  /** A line of the textual opcodes, in Latin-1 (all but UNICODE is ASCII). */
  line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    const length = (end === -1 ? this.bytes.length : end) - this.at;
    if (length > LONGEST_LINE) this.refuse(`it has a line of more than ${LONGEST_LINE} bytes`);
    const from = this.need(length + 1);
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + from, length).toString('latin1');
  }

  /** Two's complement, little-endian. */
  long(length: number): number | bigint {
    if (length > LONGEST_INTEGER) this.refuse(`it has an integer of ${length} bytes`);
    const from = this.need(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[from + i]);
    return exact(BigInt.asIntN(8 * length, value));
  }

  decimal(text: string): number | bigint {
    if (text.length > LONGEST_INTEGER || !/^[+-]?\d+$/.test(text))
      this.refuse(`${quote(text)} is no integer`);
    return exact(BigInt(text));
  }

  // Stack and memo.

  push(value: PickleValue): void {
    if (this.stack.length === MOST_PENDING) this.refuse(`more than ${MOST_PENDING} values wait on its stack`);
    this.stack.push(value);
  }

  /** Pushes what takes memory of its own. */
  pushNew(value: PickleValue): void {
    if (++this.containers > MOST_CONTAINERS) this.refuse(`it makes more than ${MOST_CONTAINERS} containers`);
    this.push(value);
  }

  pop(): PickleValue {
    const value = this.stack.pop();
    if (value === undefined) this.refuse('it takes a value from an empty stack');
    return value;
  }

  top(): PickleValue {
    if (this.stack.length === 0) this.refuse('it needs a value on an empty stack');
    return this.stack[this.stack.length - 1];
  }

  popMany(count: number): PickleValue[] {
    if (this.stack.length < count)
      this.refuse(`it takes ${count} values from a stack of ${this.stack.length}`);
    return this.stack.splice(this.stack.length - count);
  }

  mark(): void {
    if (this.below.length === DEEPEST) this.refuse(`it is nested deeper than ${DEEPEST}`);
    this.below.push(this.stack);
    this.stack = [];
  }

  /** The values since the last mark, which is taken away. */
  popToMark(): PickleValue[] {
    const stack = this.below.pop();
    if (stack === undefined) this.refuse('it looks for a mark that was never set');
    const values = this.stack;
    this.stack = stack;
    return values;
  }

  remember(index: number): void {
    this.memo.set(index, this.top());
  }

  memorise(): void {
    this.remember(this.memo.size);
  }

  recall(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) this.refuse(`it recalls value ${index}, which it never stored`);
    this.push(value);
  }

  // Building.

  append(items: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) this.refuse('it appends to something that is no list');
    for (const item of items) list.push(item);
  }

  setItems(pairs: readonly PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof Map)) this.refuse('it sets an item of something that is no dict');
    this.fill(dict, pairs);
  }

  addItems(items: readonly PickleValue[]): void {
    const set = this.top();
    if (!(set instanceof Set)) this.refuse('it adds to something that is no set');
    for (const item of items) set.add(item);
  }

  dictOf(pairs: readonly PickleValue[]): Map<PickleValue, PickleValue> {
    return this.fill(new Map(), pairs);
  }

  private fill(
    dict: Map<PickleValue, PickleValue>,
    pairs: readonly PickleValue[],
  ): Map<PickleValue, PickleValue> {
    if (pairs.length % 2 !== 0) this.refuse('it gives a dict a key without a value');
    for (let i = 0; i < pairs.length; i += 2) dict.set(pairs[i], pairs[i + 1]);
    return dict;
  }

  global(module: PickleValue, name: PickleValue): void {
    if (typeof module !== 'string' || typeof name !== 'string')
      this.refuse('it names a global by something that is no text');
    this.pushNew(this.world.find(module, name));
  }

  persistent(): void {
    this.pushNew(this.world.persistent(this.pop()));
  }

  /** "Call": only what the world's globals make of it. */
  reduce(): void {
    const [callee, args] = this.popMany(2);
    if (!(callee instanceof PickleGlobal)) this.refuse('it calls something that is no global');
    if (callee.call === undefined) this.refuse(`it calls ${callee.name}`);
    if (!Array.isArray(args)) this.refuse(`it calls ${callee.name} without a tuple of arguments`);
    this.pushNew(callee.call(args));
  }

  /** Attributes: torch sets `_metadata` on an OrderedDict, which says nothing about the weights. */
  build(): void {
    const state = this.pop();
    if (!(this.top() instanceof Map) || !(state instanceof Map))
      this.refuse('it sets the state of something that is no OrderedDict');
  }
}

type Act = (machine: Machine) => void;

/** The instructions that torch.save's pickles hold, in protocols 0 to 5, by opcode; all others are refused. */
const OPCODES: readonly (Act | undefined)[] = (() => {
  const table = new Array<Act | undefined>(256).fill(undefined);
  const on = (opcode: string | number, act: Act): void => {
    table[typeof opcode === 'string' ? opcode.charCodeAt(0) : opcode] = act;
  };
  // Frame of the pickle.
  on(0x80, (m) => {
    const protocol = m.uint8();
    if (protocol > NEWEST_PROTOCOL)
      m.refuse(`it is of protocol ${protocol}; 0 to ${NEWEST_PROTOCOL} are known`);
  });
  on(0x95, (m) => void m.uint64());
  on('.', (m) => m.stop());
  // Constants.
  on('N', (m) => m.push(null));
  on(0x88, (m) => m.push(true));
  on(0x89, (m) => m.push(false));
  on('K', (m) => m.push(m.uint8()));
  on('M', (m) => m.push(m.uint16()));
  on('J', (m) => m.push(m.int32()));
  on(0x8a, (m) => m.push(m.long(m.uint8())));
  on(0x8b, (m) => m.push(m.long(m.uint32())));
  on('I', (m) => {
    const text = m.line();
    m.push(text === '00' ? false : text === '01' ? true : m.decimal(text));
  });
  on('L', (m) => m.push(m.decimal(m.line().replace(/L$/, ''))));
  on('G', (m) => m.push(m.float64()));
  on('F', (m) => m.push(floatOf(m, m.line())));
  on('X', (m) => m.push(m.text(m.uint32())));
  on(0x8c, (m) => m.push(m.text(m.uint8())));
  on(0x8d, (m) => m.push(m.text(m.uint64())));
  on('V', (m) => m.push(unescaped(m, m.line())));
  // Strings of Python 2: bytes, but names in state dicts are text all the same.
  on('T', (m) => m.push(m.text(m.uint32())));
  on('U', (m) => m.push(m.text(m.uint8())));
  on('B', (m) => m.pushNew(m.take(m.uint32())));
  on('C', (m) => m.pushNew(m.take(m.uint8())));
  on(0x8e, (m) => m.pushNew(m.take(m.uint64())));
  on(0x96, (m) => m.pushNew(m.take(m.uint64())));
  // Containers.
  on('(', (m) => m.mark());
  on(')', (m) => m.pushNew([]));
  on('t', (m) => m.pushNew(m.popToMark()));
  on(0x85, (m) => m.pushNew(m.popMany(1)));
  on(0x86, (m) => m.pushNew(m.popMany(2)));
  on(0x87, (m) => m.pushNew(m.popMany(3)));
  on(']', (m) => m.pushNew([]));
  on('l', (m) => m.pushNew(m.popToMark()));
  on('a', (m) => m.append([m.pop()]));
  on('e', (m) => m.append(m.popToMark()));
  on('}', (m) => m.pushNew(new Map()));
  on('d', (m) => m.pushNew(m.dictOf(m.popToMark())));
  on('s', (m) => m.setItems(m.popMany(2)));
  on('u', (m) => m.setItems(m.popToMark()));
  on(0x8f, (m) => m.pushNew(new Set()));
  on(0x90, (m) => m.addItems(m.popToMark()));
  on(0x91, (m) => m.pushNew(new Set(m.popToMark())));
  // Stack and memo.
  on('0', (m) => void m.pop());
  on('1', (m) => void m.popToMark());
  on('q', (m) => m.remember(m.uint8()));
  on('r', (m) => m.remember(m.uint32()));
  on('p', (m) => m.remember(Number(m.decimal(m.line()))));
  on(0x94, (m) => m.memorise());
  on('h', (m) => m.recall(m.uint8()));
  on('j', (m) => m.recall(m.uint32()));
  on('g', (m) => m.recall(Number(m.decimal(m.line()))));
  // What reaches out of the pickle: the world decides.
  on('c', (m) => m.global(m.line(), m.line()));
  on(0x93, (m) => {
    const [module, name] = m.popMany(2);
    m.global(module, name);
  });
  on('Q', (m) => m.persistent());
  on('R', (m) => m.reduce());
  on('b', (m) => m.build());
  return table;
})();

/** Opcodes of the pickle protocols that are refused, for messages. */
const REFUSED: Readonly<Record<number, string>> = {
  0x32: 'DUP',
  0x50: 'PERSID',
  0x53: 'STRING',
  0x69: 'INST',
  0x6f: 'OBJ',
  0x81: 'NEWOBJ',
  0x82: 'EXT1',
  0x83: 'EXT2',
  0x84: 'EXT4',
  0x92: 'NEWOBJ_EX',
  0x97: 'NEXT_BUFFER',
  0x98: 'READONLY_BUFFER',
};

function nameOf(code: number): string {
  const hex = `0x${code.toString(16).padStart(2, '0')}`;
  return code in REFUSED ? `${REFUSED[code]} (${hex})` : `${hex} (of no known pickle protocol)`;
}

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function floatOf(machine: Machine, text: string): number {
  const special: Readonly<Record<string, number>> = { inf: Infinity, '-inf': -Infinity, nan: NaN };
  if (Object.hasOwn(special, text)) return special[text];
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) machine.refuse(`${quote(text)} is no number`);
  return Number(text);
}

/** Protocol 0 writes a text as one line of Latin-1, with \uXXXX and \UXXXXXXXX for all that does not fit in. */
function unescaped(machine: Machine, text: string): string {
  return text.replace(/\\u([0-9a-f]{4})|\\U([0-9a-f]{8})/g, (_, short?: string, long?: string) => {
    const code = parseInt(short ?? long ?? '', 16);
    if (code > 0x10ffff) machine.refuse(`\\U${long ?? ''} is no character`);
    return String.fromCodePoint(code);
  });
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
