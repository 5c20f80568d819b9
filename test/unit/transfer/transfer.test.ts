import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { examineInit } from '../../../src/core/experiment/init-weights';
import { loadNetwork, readCheckpoint, saveNetwork } from '../../../src/core/model/checkpoint';
import { Network } from '../../../src/core/model/network';
import { networkSpec, type NetworkSpec } from '../../../src/core/model/spec';
import { DEFAULT_TRAINING, type TrainingConfig } from '../../../src/core/train/config';
import { fit } from '../../../src/core/train/fit';
import { exportTorch } from '../../../src/core/transfer/export-torch';
import { importWeights, type ImportResult } from '../../../src/core/transfer/import-weights';
import { readWeights } from '../../../src/core/weights/read-weights';
import { toFloat32 } from '../../../src/core/weights/tensors';
import { bytesIn } from '../weights/described';
import { ROOT, havePython, python, realData } from '../../peers';

const torch = havePython('torch');
const data = realData();
const script = join(ROOT, 'test/unit/transfer/medicalnet_files.py');

/** As the file on disk, so that it finds the scripts beside it. */
function peer(...args: string[]): string {
  return python(
    `import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name="__main__")`,
    [script, ...args],
  );
}

let folder: string;
let out: string;
let made: Record<string, { tensors: number; trainable: number }>;
beforeAll(async () => {
  await tf.setBackend('cpu');
  folder = mkdtempSync(join(tmpdir(), 'fcd-transfer-'));
  out = join(folder, 'out', 'model.safetensors');
  if (torch) made = JSON.parse(peer('make', folder)) as typeof made;
});
afterAll(() => rmSync(folder, { recursive: true }));

const MEDICALNET = { geometry: 'medicalnet', axes: 'kji' } as const;

function imported(
  name: string,
  given: Partial<NetworkSpec> = MEDICALNET,
  more: { inChannels?: number; acceptDefaults?: boolean } = {},
): Promise<ImportResult> {
  return importWeights({ path: join(folder, name), out, given, acceptDefaults: false, ...more });
}

async function refusal(
  name: string,
  ...rest: [Partial<NetworkSpec>?, { inChannels?: number }?]
): Promise<string> {
  rmSync(join(folder, 'out'), { recursive: true, force: true });
  const error: unknown = await imported(name, ...rest).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(InputError);
  expect(existsSync(join(folder, 'out')) ? readdirSync(join(folder, 'out')) : []).toEqual([]);
  return (error as InputError).message;
}

describe.skipIf(!torch)('files as MedicalNet publishes them [needs python3-torch]', () => {
  it.each([
    { name: 'medicalnet_10.pth', arch: 'resnet10', shortcut: 'B', tensors: 72, counters: 12 },
    { name: 'medicalnet_18.pth', arch: 'resnet18', shortcut: 'A', tensors: 102, counters: 17 },
    { name: 'medicalnet_34.pth', arch: 'resnet34', shortcut: 'A', tensors: 198, counters: 33 },
    { name: 'medicalnet_50.pth', arch: 'resnet50', shortcut: 'B', tensors: 318, counters: 53 },
  ])('$name: depth, shortcut and width are recognised, all but the classifier is loaded', async (file) => {
    expect(made[file.name].tensors).toBe(file.tensors);
    const { spec, record, report, warnings } = await imported(file.name);
    expect(spec).toEqual({
      ...{ arch: file.arch, shortcut: file.shortcut, width: 1 / 8, inChannels: 1, classes: 2 },
      ...MEDICALNET,
    });
    expect(report.loaded.length).toBe(file.tensors - file.counters);
    expect(report).toMatchObject({
      missing: ['fc.weight', 'fc.bias'],
      mismatched: [],
      unexpected: [],
      prefixStripped: ['module.'],
      batchCounters: file.counters,
    });
    expect(record).toMatchObject({
      loaded: report.loaded.length,
      fresh: ['fc.bias', 'fc.weight'],
      changes: [],
    });
    expect(warnings).toEqual([]);
    const written = await readWeights(out);
    const source = await readWeights(join(folder, file.name));
    expect(written.tensors.size).toBe(report.loaded.length);
    for (const [name, tensor] of written.tensors)
      expect(bytesIn(tensor).equals(bytesIn(source.tensors.get(`module.${name}`)!)), name).toBe(true);
  });

  it('the checkpoint says what it is, and a network made of it starts a run', async () => {
    await imported('medicalnet_18.pth');
    const checkpoint = await readCheckpoint(out, {});
    expect(checkpoint.meta.spec).toMatchObject({ arch: 'resnet18', ...MEDICALNET });
    expect(checkpoint.meta.imported).toMatchObject({
      file: 'medicalnet_18.pth',
      registry: null,
      trained: { ...MEDICALNET, by: 'flags' },
      loaded: 85,
    });
    expect(checkpoint.report.missing).toEqual(['fc.weight', 'fc.bias']);
    const paper = networkSpec({ arch: 'resnet18', width: 1 / 8 });
    const { record, sentences } = await examineInit(out, paper, false);
    expect(record).toMatchObject({ kind: 'file', loaded: 85, fresh: ['fc.bias', 'fc.weight'] });
    expect(sentences).toContain(
      'The weights were trained with geometry medicalnet, this network has geometry paper: the same numbers compute another function.',
    );
    expect(sentences).toContain(
      'The weights were trained with axes kji, this network has axes ijk: the same numbers compute another function.',
    );
  });

  it('a segmentation head is named as not used', async () => {
    const { report } = await imported('with_head.pth');
    expect(report.unexpected).toEqual(['module.conv_seg.0.weight', 'module.conv_seg.6.bias']);
    expect(report.loaded.length).toBe(85);
  });

  it('two wrappings and two prefixes come off; a classifier of 400 classes is left out and said', async () => {
    const { report, warnings, spec } = await imported('wrapped.pth');
    expect(report.prefixStripped).toEqual(['module.backbone.']);
    expect(spec.classes).toBe(2);
    expect(report.mismatched.map(({ name }) => name)).toEqual(['fc.weight', 'fc.bias']);
    expect(warnings[0]).toBe(
      'fc.weight is left out: it is [400, 64], for other classes than control and fcd.',
    );
    expect((await readWeights(out)).tensors.has('fc.weight')).toBe(false);
  });

  it('half precision becomes single, and is said', async () => {
    const { record, report } = await imported('half.pth');
    expect(report.prefixStripped).toEqual(['encoder.']);
    expect(record.changes).toEqual(['Values of F16 were converted to F32.']);
    const half = (await readWeights(join(folder, 'half.pth'))).tensors.get('encoder.conv1.weight')!;
    expect((await readWeights(out)).tensors.get('conv1.weight')!.data).toEqual(toFloat32(half));
  });

  it('values that are no numbers are warned of by name', async () => {
    const { warnings } = await imported('nan.pth');
    expect(warnings).toEqual([expect.stringMatching(/^1 tensors hold NaN .*\(conv1\.weight\)/)]);
  });
});

describe.skipIf(!torch)('what tensors cannot tell [needs python3-torch]', () => {
  it('geometry and axes are asked for, with the possible ones', async () => {
    const message = await refusal('medicalnet_18.pth', {});
    expect(message).toContain('it is a ResNet-18 (shortcut A, width 1/8)');
    expect(message).toContain('--geometry paper, medicalnet, monai: all of them fit');
    expect(message).toContain('--axes ijk');
    expect(message).toContain('--yes (geometry paper, axes ijk)');
    expect(await refusal('medicalnet_18.pth', { geometry: 'medicalnet' })).toMatch(
      /which voxel axis.*--yes \(axes kji\)/,
    );
    expect(await refusal('medicalnet_18.pth', { axes: 'kji' })).toMatch(/strides and dilations/);
  });

  it('the defaults are taken when asked for, and nobody is named as the one who knows', async () => {
    const { spec, record, warnings } = await imported('medicalnet_18.pth', {}, { acceptDefaults: true });
    expect(spec).toMatchObject({ geometry: 'paper', axes: 'ijk' });
    expect(record.trained.by).toBe('nobody');
    expect(warnings).toEqual([
      'Nobody says how these weights were trained; geometry paper and axes ijk are assumed.',
    ]);
  });

  it('a geometry that shapes rule out is refused', async () => {
    expect(await refusal('medicalnet_10.pth', { geometry: 'compact', axes: 'ijk' })).toMatch(
      /not those of geometry compact; they can be of paper, medicalnet, monai/,
    );
  });

  it('a model opened bare says what it assumes', async () => {
    const { meta, remarks } = await readCheckpoint(join(folder, 'monai.pth'), {});
    expect(meta.spec).toMatchObject({ arch: 'resnet18', shortcut: 'B', geometry: 'paper', inChannels: 2 });
    expect(remarks).toEqual([
      expect.stringMatching(/could be of geometry paper, medicalnet, monai; paper is assumed/),
    ]);
  });
});

describe.skipIf(!torch)('what does not fit [needs python3-torch]', () => {
  it('type A into type B, and the reverse, with what to do; everywhere a file is loaded', async () => {
    const a = await refusal('medicalnet_18.pth', { ...MEDICALNET, shortcut: 'B' });
    expect(a).toMatch(/shortcut type A .*would stay random\. Use --shortcut A/);
    const b = await refusal('medicalnet_50.pth', { ...MEDICALNET, shortcut: 'A' });
    expect(b).toMatch(/shortcut type B .*would be dropped.*Use --shortcut B/);
    await expect(
      examineInit(
        join(folder, 'medicalnet_18.pth'),
        networkSpec({ arch: 'resnet18', shortcut: 'B', width: 1 / 8 }),
        false,
      ),
    ).rejects.toThrow(/shortcut type A .*Use --shortcut A/);
    await expect(readCheckpoint(join(folder, 'medicalnet_10.pth'), { shortcut: 'A' })).rejects.toThrow(
      /shortcut type B .*Use --shortcut B/,
    );
  });

  it('A-detached takes the same tensors as A', async () => {
    const { spec } = await imported('medicalnet_18.pth', { ...MEDICALNET, shortcut: 'A-detached' });
    expect(spec.shortcut).toBe('A-detached');
  });

  it('another depth or width than the file has', async () => {
    expect(await refusal('medicalnet_18.pth', { ...MEDICALNET, arch: 'resnet34' })).toMatch(
      /is a network with arch resnet18, but arch resnet34 was asked for/,
    );
    expect(await refusal('medicalnet_18.pth', { ...MEDICALNET, width: 1 })).toMatch(/width 0\.125/);
  });

  it('a missing convolution, 2D networks, depths that are not here', async () => {
    expect(await refusal('lacks_one.pth')).toMatch(/layer3\.1\.conv2\.weight is missing/);
    expect(await refusal('flat.pth')).toMatch(/ResNet for 2D images/);
    expect(await refusal('too_deep_200.pth')).toMatch(/has 1 channels|ResNet-200, which is not among/);
    expect(await refusal('too_deep_152.pth')).toMatch(/ResNet-152, which is not among the networks here/);
  });

  it('the file itself as --out', async () => {
    const path = join(folder, 'medicalnet_10.pth');
    const before = readFileSync(path);
    await expect(
      importWeights({ path, out: path, given: MEDICALNET, acceptDefaults: false }),
    ).rejects.toThrow(/is the file that is imported/);
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it('cut off at any length, or flipped anywhere: nothing is written, or all of it', async () => {
    const whole = readFileSync(join(folder, 'medicalnet_18.pth'));
    for (const share of [0.001, 0.02, 0.3, 0.7, 0.999]) {
      writeFileSync(join(folder, 'cut.pth'), whole.subarray(0, Math.floor(whole.length * share)));
      expect(await refusal('cut.pth')).toMatch(/\.$/);
    }
    // Cut while values are read: the last of the storages, whose length the pickle tells.
    const zip = Buffer.from(readFileSync(join(folder, 'medicalnet_34.pth')));
    zip[zip.length >> 1] ^= 1;
    writeFileSync(join(folder, 'flipped.pth'), zip);
    expect(await refusal('flipped.pth')).toMatch(/checksum/);
  });
});

describe.skipIf(!data)('published files that are no ResNets [needs the real data]', () => {
  it.each([
    [
      'brainchop_conversion_example_zip_bn.pth',
      /135 tensors \(20 of 3D convolutions\), such as model\.0\.0\.weight/,
    ],
    ['hippodeep_affine_legacy.pt', /18 tensors \(6 of 3D convolutions\), such as convaff1\.weight/],
    ['meshnet_model21_104class.safetensors', /18 tensors \(9 of 3D convolutions\), such as model\.0\.weight/],
  ])('%s: a sentence says what it is not', async (name, sentence) => {
    const path = join(data!, 'weights', name);
    const importing = importWeights({ path, out, given: MEDICALNET, acceptDefaults: true });
    await expect(importing).rejects.toThrow(sentence);
    await expect(importing).rejects.toThrow(/not a 3D-ResNet as MedicalNet, MONAI or torchvision name it/);
  });
});

describe('input channels', () => {
  const spec = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 1 / 8 });

  it('one channel is spread over two only when asked: equal images then give what one gave', async () => {
    const one = join(folder, 'one.safetensors');
    const network = new Network(spec, 3);
    await saveNetwork(one, network, { seen: ['sub-1'] });
    const { spec: two, record } = await importWeights({
      ...{ path: one, out, given: {}, acceptDefaults: false },
      inChannels: 2,
    });
    expect(two).toEqual({ ...spec, inChannels: 2 });
    expect(record).toMatchObject({ trained: { geometry: 'compact', axes: 'ijk', by: 'file' } });
    expect(record.changes).toEqual([
      expect.stringMatching(/^The first convolution was spread over 2 channels/),
    ]);
    const spread = await loadNetwork(out, {});
    expect(spread.meta.seen).toEqual(['sub-1']);
    const x = tf.randomNormal([1, 17, 16, 15, 1], 0, 1, 'float32', 5) as tf.Tensor5D;
    const [expected, found] = [
      network.predict(x),
      spread.network.predict(tf.concat([x, x], 4) as tf.Tensor5D),
    ];
    for (const [i, logit] of expected.entries()) expect(found[i]).toBeCloseTo(logit, 5);

    // Not asked for: a network of two channels refuses one, and says how.
    await expect(examineInit(one, { ...spec, inChannels: 2 }, false)).rejects.toThrow(
      /takes 1 channel, the network 2\..*fcd import .* --in-channels 2/,
    );
    await expect(
      importWeights({ path: out, out: one, given: {}, acceptDefaults: false, inChannels: 1 }),
    ).rejects.toThrow(/takes 2 channels, and 1 were asked for/);
    network.dispose();
    spread.network.dispose();
  });
});

/** sin(0.7 n) over [C, D, H, W], as medicalnet_files.py has it, in our order. */
function waves([channels, ...grid]: readonly number[]): tf.Tensor5D {
  const size = channels * grid.reduce((a, b) => a * b);
  const values = Float32Array.from({ length: size }, (_, n) => Math.sin(n * 0.7));
  const [d, h, w] = grid;
  return tf.tidy(() => tf.transpose(tf.tensor5d(values, [1, channels, d, h, w]), [0, 2, 3, 4, 1]));
}

interface Logits {
  single: number[];
  double: number[];
  names: string[];
  own: string[];
}

describe.skipIf(!torch)('PyTorch computes the same [needs python3-torch]', () => {
  function agree(ours: Float32Array, { single, double }: Logits): void {
    const largest = Math.max(...double.map(Math.abs));
    const error = (values: ArrayLike<number>): number =>
      Math.max(...double.map((value, i) => Math.abs(values[i] - value))) / largest;
    expect(error(ours)).toBeLessThanOrEqual(Math.max(1e-4, 3 * error(single)));
  }

  it.each([
    { arch: 'resnet10', geometry: 'compact', shortcut: 'B', inChannels: 1 },
    { arch: 'resnet18', geometry: 'medicalnet', shortcut: 'A', inChannels: 1 },
    { arch: 'resnet50', geometry: 'paper', shortcut: 'B', inChannels: 2 },
  ] as const)('a $arch ($geometry, $inChannels channels) exported for torch', async (given) => {
    const spec = networkSpec({ ...given, width: 1 / 8 });
    const network = new Network(spec, 11);
    for (const [name, channels] of network.program.norms) {
      const by = (value: (i: number) => number) =>
        Float32Array.from({ length: channels }, (_, i) => value(i));
      network.weights.setFromBorder(
        `${name}.running_mean`,
        by((i) => 0.1 * Math.sin(i)),
      );
      network.weights.setFromBorder(
        `${name}.running_var`,
        by((i) => 1 + 0.5 * Math.cos(i)),
      );
    }
    const [path, exported] = [join(folder, 'trained.safetensors'), join(folder, 'exported.pth')];
    await saveNetwork(path, network, { seen: ['a'] });
    const { tensors, missing } = await exportTorch(path, exported, {});
    expect(missing).toEqual([]);
    const shape = [spec.inChannels, 17, 18, 19];
    const said = JSON.parse(peer('logits', exported, JSON.stringify({ ...spec, shape }))) as Logits;
    expect(said.names.length).toBe(tensors);
    expect([...said.names].sort()).toEqual([...said.own].sort());
    const x = waves(shape);
    agree(network.predict(x), said);

    // And back: the file says what it is, and holds the same bits.
    const back = await loadNetwork(exported, {});
    expect(back.meta).toMatchObject({ spec, seen: ['a'] });
    expect(back.network.predict(x)).toEqual(network.predict(x));
    x.dispose();
    back.network.dispose();
    network.dispose();
  });

  it('a network of two channels, fine-tuned from weights of one with a frozen stem, exported for torch', async () => {
    const one = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 1 / 8 });
    const source = new Network(one, 11);
    const [start, path, exported] = ['one', 'tuned', 'tuned'].map((name, at) =>
      join(folder, `${name}.${at === 2 ? 'pth' : 'safetensors'}`),
    );
    await saveNetwork(start, source, {});
    await importWeights({ path: start, out: path, given: {}, acceptDefaults: false, inChannels: 2 });
    const { network } = await loadNetwork(path, {});
    const before = network.weights.toBorder();
    const shape = [2, 11, 12, 10];
    const x = waves(shape);
    const data = x.dataSync<'float32'>();
    const heads = [0, 1].map((label) => ({
      ...{ participantId: `h${label}`, source: `h${label}`, label: label as 0 | 1 },
      data: data.map((value, at) => value + label * Math.sin(at)),
      shape: [11, 12, 10, 2] as const,
    }));
    const config: TrainingConfig = {
      ...DEFAULT_TRAINING,
      ...{ epochs: 3, batchSize: 2, microBatch: 2, patience: 0 },
      fineTuning: { encoderFactor: 0.1, decayPerStage: 1, freeze: ['stem'], unfreezeEvery: 0 },
    };
    await fit(network, { train: heads, validation: [], leftRight: 0 }, config, 1, {
      onEvent: () => {},
      onCheckpoint: () => Promise.resolve(),
    });
    const after = network.weights.toBorder();
    const moved = (name: string): boolean =>
      !isDeepStrictEqual(after.get(name)?.data, before.get(name)?.data);
    expect([moved('conv1.weight'), moved('bn1.running_mean'), moved('fc.weight')]).toEqual([
      false,
      false,
      true,
    ]);
    expect([moved('layer1.0.conv1.weight'), moved('layer1.0.bn1.running_var')]).toEqual([true, true]);
    await saveNetwork(path, network, { modality: 'T1w+FLAIR' });
    await exportTorch(path, exported, {});
    const said = JSON.parse(peer('logits', exported, JSON.stringify({ ...network.spec, shape }))) as Logits;
    agree(network.predict(x), said);
    x.dispose();
    source.dispose();
    network.dispose();
  });

  it("MONAI's layout, its shortcut biases folded into the running means", async () => {
    const given = { geometry: 'monai', axes: 'ijk' } as const;
    const { spec, record, report } = await imported('monai.pth', given);
    expect(spec).toMatchObject({ arch: 'resnet18', shortcut: 'B', inChannels: 2, classes: 2 });
    expect(report).toMatchObject({ missing: [], unexpected: [], mismatched: [] });
    expect(record.changes).toEqual([expect.stringMatching(/^The biases of 3 shortcut convolutions/)]);
    const shape = [2, 14, 13, 12];
    const said = JSON.parse(
      peer('logits', join(folder, 'monai.pth'), JSON.stringify({ ...spec, shape })),
    ) as Logits;
    const x = waves(shape);
    for (const path of [out, join(folder, 'monai.pth')]) {
      const { network } = await loadNetwork(path, given);
      agree(network.predict(x), said);
      network.dispose();
    }
    x.dispose();
  });
});
