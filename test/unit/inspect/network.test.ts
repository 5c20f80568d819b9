import { describe, expect, it } from 'vitest';
import { layerTable, parseGrid } from '../../../src/core/inspect/layer-table';
import {
  describeNetworkOfFile,
  describeParts,
  learnableValues,
  networkOfFile,
  networkOrReason,
} from '../../../src/core/inspect/network-of-file';
import { forwardFlops } from '../../../src/core/model/flops';
import { buildProgram } from '../../../src/core/model/program';
import { buildSegmentationProgram } from '../../../src/core/model/segmentation-program';
import { networkSpec, type NetworkSpec } from '../../../src/core/model/spec';
import { expectedTensors } from '../../../src/core/model/weights-of-network';
import type { OpenWeights } from '../../../src/core/weights/open-weights';

/** An open file with the tensors of a network, of which no value is asked for. */
function fileOf(spec: NetworkSpec, metadata: Record<string, string> = {}, without = /^$/): OpenWeights {
  const tensors = expectedTensors(buildProgram(spec, { fused: true })).filter(
    ({ name }) => !without.test(name),
  );
  return {
    format: 'torch-zip',
    tensors: new Map(
      tensors.map(({ name, shape }) => [`module.${name}`, { name: `module.${name}`, shape, dtype: 'F32' }]),
    ),
    metadata,
    warnings: [],
    values: () => {
      throw new Error('No values are asked for.');
    },
  };
}

/** A network that is whole in its file. */
const classifier = (spec: NetworkSpec) => ({ spec, end: { kind: 'classifier' as const } });

const resnet18 = networkSpec({ arch: 'resnet18', geometry: 'medicalnet' });

describe('the network of a file', () => {
  it('MedicalNet’s ResNet-18 has 32,986,176 learnable values, as the registry says', () => {
    const file = fileOf(resnet18, {}, /^fc\./);
    expect(learnableValues(file)).toBe(32_986_176);
    const network = networkOfFile(file, '/weights/resnet_18_23dataset.pth');
    expect(network.spec).toMatchObject({
      arch: 'resnet18',
      shortcut: 'A',
      geometry: 'medicalnet',
      axes: 'kji',
    });
    expect(network.geometryFrom).toBe('name');
  });

  it('says which geometries fit where nothing tells which it was', () => {
    const network = networkOfFile(fileOf(resnet18), '/weights/mine.pth');
    expect(network.geometryFrom).toBe('assumed');
    expect(describeNetworkOfFile(network)).toBe(
      'ResNet-18 (paper, shortcut A, full width, axes ijk); geometry paper is assumed: strides and dilations leave no ' +
        'trace in tensors, medicalnet and monai would fit too',
    );
  });

  it('is certain where only one geometry has such tensors, or the file says so', () => {
    const compact = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.25 });
    expect(networkOfFile(fileOf(compact), 'x.pth').geometryFrom).toBe('tensors');
    const said = fileOf(resnet18, {
      'fcd-lens': JSON.stringify({ schema: 1, spec: resnet18, modality: 'T1w' }),
    });
    expect(networkOfFile(said, 'x.pth')).toMatchObject({ geometryFrom: 'file', meta: { modality: 'T1w' } });
  });

  it('that is none of ours is a sentence', () => {
    const file = {
      ...fileOf(resnet18),
      tensors: new Map([['w', { name: 'w', shape: [3], dtype: 'F32' as const }]]),
    };
    expect(networkOrReason(file, 'x.pth')).toMatchObject({
      reason: expect.stringMatching(/^This is not a 3D-ResNet/),
    });
  });
});

describe('the layers of a network on a grid', () => {
  it('compute on i x j x k, whichever axis is the depth', () => {
    const { layers } = layerTable(classifier(resnet18), [160, 256, 128]);
    // Stem and pooling halve twice, layer2 once; the last two stages are dilated.
    const at = (name: string) => layers.find((layer) => layer.name === name);
    expect(at('conv1')).toMatchObject({ channels: 64, grid: [80, 128, 64], parameters: 64 * 343 });
    expect(at('layer4.1.conv2')).toMatchObject({
      channels: 512,
      grid: [20, 32, 16],
      what: '3x3x3 convolution, dilation 4',
      flops: 2 * 512 * 512 * 27 * 20 * 32 * 16,
    });
    expect(at('fc')).toMatchObject({ channels: 2, grid: null, parameters: 1026, flops: 0 });
    const paper = layerTable(
      classifier(networkSpec({ arch: 'resnet18', geometry: 'paper' })),
      [160, 256, 256],
    );
    expect(paper.layers[0]).toMatchObject({ grid: [160, 128, 128], what: '7x7x7 convolution, stride 1,2,2' });
  });

  it.each(['resnet10', 'resnet34', 'resnet50'] as const)('%s: parts add up to the whole', (arch) => {
    const spec = networkSpec({ arch });
    const program = buildProgram(spec, { fused: true });
    const { parameters, flops } = layerTable(classifier(spec), [96, 96, 96]);
    expect(flops).toBe(forwardFlops(program, [1, 96, 96, 96, 1]).forward);
    expect(parameters).toBe(
      program.parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    );
  });
});

describe('layers that a file does not hold', () => {
  it('are not invented: an encoder ends with layer4, and what it has counts', () => {
    const file = fileOf(resnet18, {}, /^fc\./);
    const network = networkOfFile(file, '/weights/resnet_18_23dataset.pth');
    expect(network.end).toEqual({ kind: 'none' });
    const { layers, parameters } = layerTable(network, [64, 64, 64]);
    expect(layers.at(-1)?.name).toBe('layer4.1.bn2');
    expect(layers.some(({ name }) => /^(fc|avgpool)/.test(name))).toBe(false);
    expect(parameters).toBe(32_986_176);
    expect(describeParts(network)).toBe(
      'ResNet-18 (medicalnet, shortcut A, full width, axes kji) without a classifier',
    );
  });

  it('and what it does hold is shown: a pre-training’s decoder and its heads', () => {
    const spec = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 1 / 8 });
    const program = buildSegmentationProgram(spec, {
      tasks: ['caudate', 'putamen', 'thalamus'],
      channels: 4,
    });
    const tensors = new Map(
      expectedTensors(program).map(({ name, shape }) => [name, { name, shape, dtype: 'F32' as const }]),
    );
    const network = networkOfFile({ ...fileOf(spec), tensors }, 'model.safetensors');
    expect(describeParts(network)).toBe(
      'ResNet-10 (compact, shortcut B, width 1/8, axes ijk) with a decoder and the heads of 3 tasks',
    );
    const { layers, parameters } = layerTable(network, [48, 56, 48]);
    expect(layers.find(({ name }) => name === 'head')).toMatchObject({ channels: 3, grid: [48, 56, 48] });
    expect(layers.some(({ name }) => /^(fc|avgpool)/.test(name))).toBe(false);
    expect(parameters).toBe(
      program.parameters.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    );
    // Tensors of these names that are not ours are no decoder.
    tensors.set('decoder.0.smooth.weight', { name: 'x', shape: [1], dtype: 'F32' });
    expect(networkOfFile({ ...fileOf(spec), tensors }, 'model.safetensors').end).toEqual({ kind: 'none' });
  });
});

describe('a grid', () => {
  it('is written as one side or three', () => {
    expect(parseGrid('96')).toEqual([96, 96, 96]);
    expect(parseGrid(' 160 x 256×256 ')).toEqual([160, 256, 256]);
  });

  it.each(['', '0', '96x96', '1.5', 'large', '96x96x96x2', '2000', '-3x4x5'])('%j is none', (text) => {
    expect(() => parseGrid(text)).toThrow(/is no grid: give one side \(96\) or three, i x j x k/);
  });
});
