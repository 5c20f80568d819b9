import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { matchTensors } from '../../../src/core/weights/load-report';

const network = [
  { name: 'conv1.weight', shape: [64, 1, 7, 7, 7] },
  { name: 'bn1.weight', shape: [64] },
  { name: 'bn1.running_mean', shape: [64] },
  { name: 'fc.weight', shape: [2, 512] },
];

function file(
  entries: Readonly<Record<string, readonly number[]>>,
): Map<string, { shape: readonly number[] }> {
  return new Map(Object.entries(entries).map(([name, shape]) => [name, { shape }]));
}

describe('load report', () => {
  it('a MedicalNet file meets a classifier: module. is taken off and said, the head is missing', () => {
    const report = matchTensors(
      network,
      file({
        'module.conv1.weight': [64, 1, 7, 7, 7],
        'module.bn1.weight': [64],
        'module.bn1.running_mean': [64],
        'module.bn1.num_batches_tracked': [],
        'module.conv_seg.0.weight': [512, 32, 2, 2, 2],
      }),
    );
    expect(report).toEqual({
      loaded: ['conv1.weight', 'bn1.weight', 'bn1.running_mean'],
      missing: ['fc.weight'],
      mismatched: [],
      unexpected: ['module.conv_seg.0.weight'],
      sources: {
        'conv1.weight': 'module.conv1.weight',
        'bn1.weight': 'module.bn1.weight',
        'bn1.running_mean': 'module.bn1.running_mean',
      },
      prefixStripped: ['module.'],
      batchCounters: 1,
    });
  });

  it('names that fit as they are need no prefix', () => {
    const report = matchTensors(network, file({ 'bn1.weight': [64], 'fc.weight': [2, 512] }));
    expect(report).toMatchObject({
      prefixStripped: [],
      loaded: ['bn1.weight', 'fc.weight'],
      batchCounters: 0,
    });
  });

  it('prefixes come off one behind the other, and only some names may have them', () => {
    const report = matchTensors(network, file({ 'module.encoder.bn1.weight': [64], 'fc.weight': [2, 512] }));
    expect(report).toMatchObject({
      loaded: ['bn1.weight', 'fc.weight'],
      prefixStripped: ['module.encoder.'],
    });
  });

  it('a network whose own names begin with a prefix keeps them', () => {
    const report = matchTensors([{ name: 'encoder.w', shape: [1] }], file({ 'encoder.w': [1] }));
    expect(report).toMatchObject({ loaded: ['encoder.w'], prefixStripped: [] });
  });

  it('the name that fits as it is wins over one that would have to be cut', () => {
    const found = file({ 'module.bn1.weight': [64], 'bn1.weight': [64] });
    expect(matchTensors(network, found)).toMatchObject({
      sources: { 'bn1.weight': 'bn1.weight' },
      unexpected: ['module.bn1.weight'],
    });
  });

  it('two names that would become one are not guessed between', () => {
    const found = file({ 'encoder.bn1.weight': [64], 'backbone.bn1.weight': [64] });
    expect(() => matchTensors(network, found)).toThrow(
      /Both "encoder\.bn1\.weight" and "backbone\.bn1\.weight" of the file would become "bn1\.weight"/,
    );
  });

  it('another shape under the right name is a mismatch with both shapes, and not loaded', () => {
    const report = matchTensors(
      network,
      file({ 'bn1.weight': [64], 'fc.weight': [400, 512], 'conv1.weight': [64, 1, 343] }),
    );
    expect(report.mismatched).toEqual([
      { name: 'conv1.weight', expected: [64, 1, 7, 7, 7], found: [64, 1, 343] },
      { name: 'fc.weight', expected: [2, 512], found: [400, 512] },
    ]);
    expect(report.loaded).toEqual(['bn1.weight']);
    expect(Object.keys(report.sources)).toEqual(['bn1.weight']);
    expect(report.unexpected).toEqual([]);
  });

  it('zero loaded is an error, never a silence', () => {
    expect(() => matchTensors(network, file({ 'layers.0.weight': [3] }))).toThrow(InputError);
    expect(() => matchTensors(network, file({ 'layers.0.weight': [3] }))).toThrow(
      /None of the 4 tensors.*the file has layers\.0\.weight, the network conv1\.weight, bn1\.weight, bn1\.running_mean/,
    );
    expect(() => matchTensors(network, file({ 'bn1.weight': [16] }))).toThrow(
      /1 have another shape in the file \(bn1\.weight: \[16\] instead of \[64\]\)/,
    );
    expect(() => matchTensors(network, file({ 'module.bn1.weight': [64] }), { stripPrefixes: [] })).toThrow(
      /None of the 4/,
    );
    expect(() => matchTensors(network, new Map())).toThrow(/the file has nothing/);
  });

  it('other prefixes can be named', () => {
    const report = matchTensors(network, file({ 'net.bn1.weight': [64] }), { stripPrefixes: ['net.', ''] });
    expect(report.prefixStripped).toEqual(['net.']);
  });

  it('each expected name is in exactly one list', () => {
    const report = matchTensors(
      network,
      file({ 'bn1.weight': [64], 'fc.weight': [1], 'x.num_batches_tracked': [] }),
    );
    const names = [...report.loaded, ...report.missing, ...report.mismatched.map(({ name }) => name)];
    expect(names.sort()).toEqual(network.map(({ name }) => name).sort());
  });
});
