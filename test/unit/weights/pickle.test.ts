import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { bufferSource } from '../../../src/core/weights/byte-source';
import { PickleCutOff, unpickle } from '../../../src/core/weights/pickle';
import type { PickleValue } from '../../../src/core/weights/pickle';
import { readWeights, readWeightsFrom } from '../../../src/core/weights/read-weights';
import { TorchWorld } from '../../../src/core/weights/torch-objects';
import { havePython, python } from '../../peers';
import { bytesOf, dict, int, pickle, tensor, text, torchZip, uint32, uint64 } from './made-files';

function run(bytes: Uint8Array): PickleValue {
  return unpickle(bytes, new TorchWorld('made.pth')).value;
}

/** The message, of an InputError and nothing else. */
function refusal(bytes: Uint8Array): string {
  try {
    run(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return (error as InputError).message;
  }
  throw new Error('The pickle was accepted.');
}

describe('values', () => {
  it.each<[string, Uint8Array, PickleValue]>([
    ['None', pickle('N'), null],
    ['True', pickle('\x88'), true],
    ['True of protocol 0', bytesOf('I01\n.'), true],
    ['False of protocol 0', bytesOf('I00\n.'), false],
    ['BININT1', pickle('K\xff'), 255],
    ['BININT2', pickle('M\xff\xff'), 65535],
    ['BININT below zero', pickle(int(-2)), -2],
    ['INT', bytesOf('I-17\n.'), -17],
    ['LONG', bytesOf('L12345678901234567890L\n.'), 12345678901234567890n],
    ['LONG1 of no bytes', pickle('\x8a\x00'), 0],
    ['LONG1 below zero', pickle('\x8a\x01\xff'), -1],
    ['LONG1 that a number holds', pickle('\x8a\x05\x00\x00\x00\x00\x01'), 4294967296],
    ['LONG1 that only a bigint holds', pickle('\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01'), 2n ** 64n],
    ['LONG4', pickle('\x8b\x02\x00\x00\x00\x00\x80'), -32768],
    ['BINFLOAT', pickle('G\x3f\xf8\x00\x00\x00\x00\x00\x00'), 1.5],
    ['FLOAT', bytesOf('F-1e-05\n.'), -1e-5],
    ['FLOAT nan', bytesOf('Fnan\n.'), NaN],
    ['UNICODE', bytesOf('Va\\u000ab\n.'), 'a\nb'],
    ['SHORT_BINUNICODE', pickle('\x8c\x02\xc3\xa9'), 'é'],
    ['BINUNICODE8', pickle('\x8d', uint64(1), 'x'), 'x'],
    ['bytes', pickle('C\x02ab'), bytesOf('ab')],
    ['bytearray', pickle('\x96', uint64(2), 'ab'), bytesOf('ab')],
    ['a list', pickle('](K\x01K\x02e'), [1, 2]],
    ['a tuple', pickle('K\x01K\x02\x86'), [1, 2]],
    ['a dict', pickle('}X\x01\x00\x00\x00aK\x01s'), new Map([['a', 1]])],
    ['a dict of protocol 0', bytesOf('(dVa\nI1\ns.'), new Map([['a', 1]])],
    ['a set', pickle('\x8f(K\x01K\x01\x90'), new Set([1])],
    ['a frozenset', pickle('(K\x01\x91'), new Set([1])],
    ['torch.Size', pickle('ctorch\nSize\nK\x02K\x03\x86\x85R'), [2, 3]],
    ['a memoised value', pickle('K\x07q\x05h\x05\x86'), [7, 7]],
    [
      'memo by LONG_BINPUT, far out',
      bytesOf('\x80\x02K\x07r', uint32(0xffffffff), 'j', uint32(0xffffffff), '\x86.'),
      [7, 7],
    ],
    ['MEMOIZE counts from 0', pickle('K\x07\x94K\x08\x94h\x01\x86\x86'), [7, [8, 8]]],
    ['POP and POP_MARK', pickle('K\x01K\x020(K\x031'), 1],
  ])('%s', (_, bytes, value) => {
    expect(run(bytes)).toEqual(value);
  });

  it('an OrderedDict keeps its order and drops _metadata', () => {
    const made = pickle(
      'ccollections\nOrderedDict\n)R(',
      text('b'),
      'K\x01',
      text('a'),
      'K\x02u',
      dict({ _metadata: dict({}) }),
      'b',
    );
    expect([...(run(made) as Map<PickleValue, PickleValue>)]).toEqual([
      ['b', 1],
      ['a', 2],
    ]);
  });

  const python3 = havePython('json');
  it.skipIf(!python3)('plain data of protocols 0 to 5, as Python writes them [needs python3]', () => {
    const hex = JSON.parse(
      python(`import json, pickle
value = {'a': [1, -1, 255, 256, 65536, 2**31, -2**63, 2**70, 1.5, -0.0, float('inf'), True, None],
         'ü\\u20ac\\U0001f9e0\\n': ('x' * 300, (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ()), 'loop': []}
value['loop'].append(value['loop'])
value['again'] = value['a']
print(json.dumps([pickle.dumps(value, p).hex() for p in range(6)]))`),
    ) as string[];
    for (const pickled of hex) {
      const value = run(Buffer.from(pickled, 'hex')) as Map<string, PickleValue[]>;
      const a = [1, -1, 255, 256, 65536, 2 ** 31, -(2n ** 63n), 2n ** 70n, 1.5, -0, Infinity, true, null];
      expect(value.get('a')).toEqual(a);
      expect([...value.keys()][1]).toBe('ü€🧠\n');
      expect(value.get('again')).toBe(value.get('a'));
      expect([...value.values()][1]).toEqual(['x'.repeat(300), [1], [1, 2], [1, 2, 3], [1, 2, 3, 4], []]);
      const loop = value.get('loop')!;
      expect(loop[0]).toBe(loop);
    }
  });
});

describe('hostile pickles', () => {
  it.each([
    ['posix.system', 'cposix\nsystem\n', text('echo')],
    ['os.system', 'cos\nsystem\n', text('echo')],
    ['builtins.eval', 'cbuiltins\neval\n', text('1')],
    ['builtins.exec', 'cbuiltins\nexec\n', text('1')],
    ['__builtin__.eval', 'c__builtin__\neval\n', text('1')],
    ['builtins.getattr', 'cbuiltins\ngetattr\n', text('x')],
    ['subprocess.Popen', 'csubprocess\nPopen\n', text('x')],
    ['runpy._run_code', 'crunpy\n_run_code\n', text('x')],
    ['torch.load', 'ctorch\nload\n', text('x')],
    ['torch._utils._rebuild_tensor_v3', 'ctorch._utils\n_rebuild_tensor_v3\n', text('x')],
    ['torch._utils._rebuild_parameter', 'ctorch\n_utils._rebuild_parameter\n', text('x')],
    ['collections.OrderedDict.__init__', 'ccollections\nOrderedDict.__init__\n', text('x')],
    ['constructor.constructor', 'cconstructor\nconstructor\n', text('x')],
    ['__proto__.toString', 'c__proto__\ntoString\n', text('x')],
  ])('%s is refused by its name', (name, global, argument) => {
    const message = refusal(pickle(global, argument, '\x85R'));
    expect(message).toContain(`asks for "${name}"`);
    expect(message).toContain('Nothing of it was executed');
  });

  it('also by STACK_GLOBAL, with the parts built at run time', () => {
    expect(refusal(pickle(text('posix'), text('system'), '\x93'))).toContain('"posix.system"');
    expect(refusal(pickle('K\x01', text('system'), '\x93'))).toContain(
      'names a global by something that is no text',
    );
  });

  it('a name cannot steer the terminal or fill the screen', () => {
    const message = refusal(bytesOf('c\x1b[2J\n', 'x'.repeat(5000), '\n.'));
    expect(message).not.toContain('\x1b');
    expect(message.length).toBeLessThan(500);
  });

  it.each([
    ['INST (0x69)', bytesOf('(ios\nsystem\n.')],
    ['OBJ (0x6f)', pickle('(o')],
    ['NEWOBJ (0x81)', pickle('ccollections\nOrderedDict\n)\x81')],
    ['NEWOBJ_EX (0x92)', pickle('ccollections\nOrderedDict\n)}\x92')],
    ['EXT1 (0x82)', pickle('\x82\x01')],
    ['EXT2 (0x83)', pickle('\x83\x01\x00')],
    ['EXT4 (0x84)', pickle('\x84\x01\x00\x00\x00')],
    ['PERSID (0x50)', pickle('Px\n')],
    ['STRING (0x53)', pickle("S'x'\n")],
    ['DUP (0x32)', pickle('N2')],
    ['NEXT_BUFFER (0x97)', pickle('\x97')],
    ['0xff (of no known pickle protocol)', pickle('\xff')],
  ])('instruction %s is refused by its name', (name, bytes) => {
    expect(refusal(bytes)).toContain(`instruction ${name}`);
  });

  it.each([
    ['calling a storage class', pickle('ctorch\nFloatStorage\n)R'), 'calls torch.FloatStorage'],
    ['calling a text', pickle(text('eval'), ')R'), 'calls something that is no global'],
    ['calling without a tuple', pickle('ctorch\nSize\nK\x01R'), 'without a tuple of arguments'],
    [
      'a persistent id that is no storage',
      pickle(text('module'), '\x85Q'),
      'a persistent id that is no storage',
    ],
    [
      'a storage whose type is a function',
      pickle('(', text('storage'), 'ctorch\nSize\n', text('0'), text('cpu'), 'K\x01tQ'),
      'a storage without a type',
    ],
    ['state on a tensor', pickle(tensor(), '}b'), 'sets the state of something that is no OrderedDict'],
    ['state on a global', pickle('ctorch\nSize\n}b'), 'sets the state of something that is no OrderedDict'],
    [
      'a parameter of no tensor',
      pickle('ctorch._utils\n_rebuild_parameter\n}\x88}\x87R'),
      'a parameter without a tensor',
    ],
    [
      'a tensor of no storage',
      pickle('ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00))\x89}tR'),
      'a tensor without a storage',
    ],
    [
      'an OrderedDict of numbers',
      pickle('ccollections\nOrderedDict\n](K\x01K\x02e\x85R'),
      'no list of pairs',
    ],
    ['an item of no dict', pickle('K\x01K\x02K\x03s'), 'sets an item of something that is no dict'],
    ['appending to a dict', pickle('}K\x01a'), 'appends to something that is no list'],
    ['adding to no set', pickle('](K\x01\x90'), 'adds to something that is no set'],
    ['a key without a value', pickle('}(K\x01u'), 'a key without a value'],
    ['an empty stack', pickle(''), 'empty stack'],
    ['no mark', pickle('t'), 'a mark that was never set'],
    ['an unknown memo', pickle('h\x09'), 'recalls value 9'],
    ['protocol 6', bytesOf('\x80\x06N.'), 'protocol 6'],
    ['a text that is not UTF-8', pickle('X\x01\x00\x00\x00\xff'), 'not UTF-8'],
    ['an integer that is none', bytesOf('I1e9\n.'), '"1e9" is no integer'],
    ['a float that is none', bytesOf('F0x10\n.'), '"0x10" is no number'],
    [
      'an integer of 16 MB',
      pickle('\x8b\x00\x00\x00\x01', new Uint8Array(1 << 24)),
      'an integer of 16777216 bytes',
    ],
    ['an integer of a million digits', bytesOf('L', '9'.repeat(60_000), 'L\n.'), 'is no integer'],
    ['an endless line', bytesOf('I', '1'.repeat(1 << 20), '\n.'), 'a line of more than'],
  ])('%s is refused', (_, bytes, sentence) => {
    expect(refusal(bytes)).toContain(sentence);
  });

  it.each([
    ['a text that claims 4 GB', pickle('X\xff\xff\xff\xffab')],
    ['a text that claims 2^63 bytes', pickle('\x8d', uint64(2n ** 63n), 'ab')],
    ['an integer that claims 255 bytes', pickle('\x8a\xff')],
    ['a line without an end', bytesOf('cposix')],
    ['no STOP', bytesOf('\x80\x02N')],
    ['nothing', bytesOf()],
  ])('%s is cut off', (_, bytes) => {
    expect(() => run(bytes)).toThrow(PickleCutOff);
  });

  it('deep nesting ends in a sentence, and nesting without marks in a value', () => {
    expect(refusal(pickle('('.repeat(100_000)))).toContain('nested deeper than 1000');
    expect(Array.isArray(run(pickle(']'.repeat(100_000), 'a'.repeat(99_999))))).toBe(true);
  });

  it('memo bombs stay small: a value is stored once, however often it is named', () => {
    // Thirty tuples, each holding the one before twice: 2^30 leaves if anything unfolded them.
    const levels = Array.from({ length: 30 }, (_, i) =>
      bytesOf(`q${String.fromCharCode(i)}h${String.fromCharCode(i)}\x86`),
    );
    const made = torchZip(pickle(dict({ 'fc.bias': tensor(), bomb: bytesOf(text('lol'), ...levels) })));
    return expect(readWeightsFrom(bufferSource('made.pth', made))).resolves.toMatchObject({
      warnings: ['Left aside: "bomb" (a list of 2).'],
    });
  });

  it('small pickles cannot fill the memory or the time', () => {
    expect(refusal(pickle('}'.repeat(1_200_000)))).toMatch(/more than 1000000/);
    expect(refusal(pickle('}0'.repeat(1_200_000)))).toContain('more than 1000000 containers');
    expect(refusal(pickle('N0'.repeat(2_500_000)))).toContain('more than 4000000 instructions');
    const pairs = bytesOf('](', 'NN\x86'.repeat(20_000), 'eq\x00');
    const again = 'ccollections\nOrderedDict\nh\x00\x85R0'.repeat(1_000);
    expect(refusal(pickle(pairs, again))).toContain('OrderedDicts of more than 1000000 entries');
    const shape = bytesOf('(', 'K\x01'.repeat(200_000), 'tq\x00');
    expect(refusal(pickle(shape, 'ctorch\nSize\nh\x00\x85R'))).toContain('no tuple of lengths');
  });

  it('a bare hostile pickle under a weights name is not run either', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fcd-hostile-'));
    try {
      const marker = join(folder, 'executed');
      const path = join(folder, 'model.pth');
      writeFileSync(path, pickle('cposix\nsystem\n', text(`touch ${marker}`), '\x85R'));
      await expect(readWeights(path)).rejects.toThrow(/neither a file written by torch.save/);
      expect(existsSync(marker)).toBe(false);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
