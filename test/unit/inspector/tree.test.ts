import { describe, expect, it } from 'vitest';
import { batches } from '../../../src/extension/checkpoint/batches';
import { importReview } from '../../../src/extension/checkpoint/import-review';
import { divergingColour } from '../../../src/webview/inspector/diverging';
import { FRESH_STATE, restoredState } from '../../../src/webview/inspector/state';
import { amountText, bytesText, kindText, numberText, shareText } from '../../../src/webview/inspector/text';
import { pathTo, rowsOf, treeOf, type Tree, type View } from '../../../src/webview/inspector/tree';

interface Named {
  readonly name: string;
}

const named = (...names: string[]): Named[] => names.map((name) => ({ name }));

/** The lines of a tree, indented. */
function lines(tree: Tree<Named>, view: Partial<View<Named>> = {}): string[] {
  return rowsOf(tree, { opened: new Map(), startsOpen: () => true, ...view }).map(
    ({ node, level, expanded }) =>
      `${'  '.repeat(level - 1)}${node.kind === 'group' ? (expanded ? '- ' : '+ ') : ''}${node.label}`,
  );
}

const NAMES = named(
  ...['module.conv1.weight', 'module.bn1.weight', 'module.bn1.bias'],
  ...['module.layer1.0.conv1.weight', 'module.layer1.0.bn1.weight', 'module.layer1.0.bn1.bias'],
  'module.layer1.1.conv1.weight',
);

describe('the tree of tensors', () => {
  it('groups by module in the order of the file, leaves out what all names begin with, and joins what stands alone', () => {
    const tree = treeOf(NAMES);
    expect(tree.prefix).toBe('module.');
    expect(lines(tree)).toEqual([
      'conv1.weight',
      '- bn1',
      '  weight',
      '  bias',
      '- layer1',
      '  - 0',
      '    conv1.weight',
      '    - bn1',
      '      weight',
      '      bias',
      '  1.conv1.weight',
    ]);
  });

  it('orders numbered modules by their numbers', () => {
    const tree = treeOf(named('a.10.w', 'a.2.w', 'b'));
    expect(lines(tree)).toEqual(['- a', '  2.w', '  10.w', 'b']);
  });

  it('takes names as they are: no dot, a tensor beside a module of its name, an empty part', () => {
    expect(lines(treeOf(named('w')))).toEqual(['w']);
    expect(lines(treeOf(named('a', 'a.b', 'a.c', '.d')))).toEqual(['a', '- a', '  b', '  c', '.d']);
  });

  it('closed groups hide what is in them; a filter opens all that it finds and hides the rest', () => {
    const tree = treeOf(NAMES);
    expect(lines(tree, { startsOpen: (_, level) => level < 2 })).toEqual([
      ...['conv1.weight', '- bn1', '  weight', '  bias', '- layer1', '  + 0', '  1.conv1.weight'],
    ]);
    const opened = new Map([['module.layer1', false]]);
    expect(lines(tree, { opened }).at(-1)).toBe('+ layer1');
    const shows = ({ name }: Named) => name.endsWith('bias');
    expect(lines(tree, { opened, shows })).toEqual([
      ...['- bn1', '  bias', '- layer1', '  - 0', '    - bn1', '      bias'],
    ]);
  });

  it('knows the way to a tensor', () => {
    expect(pathTo(treeOf(NAMES), 'module.layer1.0.bn1.bias')).toEqual([
      ...['module.layer1', 'module.layer1.0', 'module.layer1.0.bn1'],
    ]);
    expect(pathTo(treeOf(NAMES), 'module.layer1.1.conv1.weight')).toEqual(['module.layer1']);
  });
});

describe('numbers for people', () => {
  it('are short, with a true minus', () => {
    expect([0, -0.0378, 1.2345, -4.8e-5, 1e9, null].map(numberText)).toEqual([
      ...['0', '−0.0378', '1.23', '−4.8e−5', '1.0e9', '–'],
    ]);
    expect([864, 88_064, 132_006_725, 2 ** 31].map(bytesText)).toEqual([
      '864 B',
      '86 KB',
      '126 MB',
      '2.0 GB',
    ]);
    expect([864, 32_986_176, 117_359_936, 52.9e9].map(amountText)).toEqual([
      '864',
      '33.0 M',
      '117 M',
      '52.9 G',
    ]);
    expect([0, 1e-6, 0.0123, 0.548, 20].map(shareText)).toEqual([
      '0 %',
      '< 0.01 %',
      '1.23 %',
      '54.8 %',
      '2.0e+3 %',
    ]);
    expect([[], [5], [2, 512], [64, 1, 7, 7, 7]].map(kindText)).toEqual([
      ...['one value', 'vector of 5', 'matrix of 2 × 512', '64 filters of 1×7×7×7'],
    ]);
  });
});

describe('the diverging colours', () => {
  it.each(['light', 'dark'] as const)('%s: nothing at 0, and as far from it on both sides', (map) => {
    const lightness = ([r, g, b]: readonly number[]) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
    const nothing = lightness(divergingColour(0, map));
    const below = lightness(divergingColour(-1, map)) - nothing;
    const above = lightness(divergingColour(1, map)) - nothing;
    expect(Math.abs(below - above)).toBeLessThan(0.2 * Math.abs(below));
    expect(divergingColour(-9, map)).toEqual(divergingColour(-1, map));
    // Blue against orange: told apart by blue and red, which no common colour blindness confuses.
    const [red, , blue] = divergingColour(-1, map);
    const [otherRed, , otherBlue] = divergingColour(1, map);
    expect(blue - otherBlue).toBeGreaterThan(100);
    expect(otherRed - red).toBeGreaterThan(100);
  });
});

describe('batches', () => {
  it('begin small, stay below their limit, and lose nothing', () => {
    const items = Array.from({ length: 300 }, (_, i) => ({
      id: i,
      bytes: i % 7 === 0 ? 30_000_000 : 1_000_000,
    }));
    const cut = batches(items);
    expect(cut.flat()).toEqual(items);
    for (const batch of cut)
      expect(batch.length === 1 || batch.reduce((sum, { bytes }) => sum + bytes, 0) <= 24_000_000).toBe(true);
    expect(batches(Array.from({ length: 250 }, () => ({ bytes: 0 }))).map(({ length }) => length)).toEqual([
      ...[100, 100, 50],
    ]);
    expect(batches([])).toEqual([]);
  });
});

describe('what VS Code kept', () => {
  it('is taken where it is a state, else a fresh one', () => {
    const kept = { ...FRESH_STATE, tab: 'network', grid: '160x256x256' };
    expect(restoredState(kept)).toEqual(kept);
    expect(restoredState({ tab: 'elsewhere' })).toEqual(FRESH_STATE);
    expect(restoredState(undefined)).toEqual(FRESH_STATE);
  });
});

describe('the review of an import', () => {
  it('says what was recognised, whose it is, and what becomes of every tensor', () => {
    const lines = importReview({
      ...{
        title: 'ResNet-18 (medicalnet, …)',
        geometry: 'medicalnet',
        axes: 'kji',
        geometries: ['medicalnet'],
      },
      ...{ trainedBy: 'registry', sha256: 'ab'.repeat(32), registry: 'medicalnet-resnet18-23dataset' },
      ...{ loaded: ['a', 'b', 'c', 'd'], missing: ['fc.bias'], unexpected: [], prefixes: ['module.'] },
      mismatched: [{ name: 'fc.weight', expected: [2, 512], found: [5, 512] }],
      ...{ changes: ['Values of F16 were converted to F32.'], warnings: ['fc.weight is left out.'] },
    }).map(({ label, description, detail }) => [label, description, detail].filter(Boolean).join(' | '));
    expect(lines).toEqual([
      '$(symbol-class) ResNet-18 (medicalnet, …)',
      '$(info) Trained with geometry medicalnet, axes kji | by the registry of published weights',
      '$(verified) medicalnet-resnet18-23dataset | by its sha256, abababababab…',
      '$(pass) 4 tensors loaded | prefix module. taken off | a, b, c, …',
      '$(circle-slash) 1 tensor missing, would start fresh | fc.bias',
      '$(warning) 1 tensor of another shape, left out | fc.weight: [5, 512] in the file, [2, 512] due',
      '$(edit) Changed on the way | Values of F16 were converted to F32.',
      '$(warning) Note | fc.weight is left out.',
    ]);
  });
});
