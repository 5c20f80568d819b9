import { existsSync, readFileSync, readdirSync, symlinkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-backend-cpu';
import { beforeAll, describe, expect, it } from 'vitest';
import { prepareScan } from '../../../src/core/cohort/prepared-case';
import { readCohort } from '../../../src/core/cohort/read-cohort';
import { readCam } from '../../../src/core/explain/cam-file';
import { loadNetwork } from '../../../src/core/model/checkpoint';
import { networkInput } from '../../../src/core/model/input';
import { networkSpec } from '../../../src/core/model/spec';
import { sameGrid } from '../../../src/core/volume/affine';
import { readNifti } from '../../../src/core/volume/nifti-read';
import { STANDARD, type Recipe } from '../../../src/core/volume/recipe';
import { realData } from '../../peers';
import { fcd, fcdJson, scratchFolder } from './run-fcd';
import { writeModel, writeScans, type Scans } from './scans';

const folder = scratchFolder();
const SPEC = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 });
const RECIPE: Recipe = { ...STANDARD, spacing: [9, 9, 9], shape: [20, 24, 20] };
/** tfjs's own kernels need no self-test: commands start at once. */
const REFERENCE = ['--engine', 'cpu'];
let scans: Scans;
let model: string;

beforeAll(async () => {
  await tf.setBackend('cpu');
  scans = await writeScans(folder);
  model = await writeModel(join(folder, 'model.safetensors'), SPEC, RECIPE);
});

interface Predicted {
  readonly input: string;
  readonly logits: readonly [number, number];
  readonly probability: number;
  readonly predicted: string;
}
const predict = async (...args: string[]): Promise<Predicted[]> =>
  (await fcdJson(['predict', '--model', model, ...REFERENCE, ...args])) as Predicted[];

describe('the names that people script', () => {
  const shared = [
    '--arch',
    '--geometry',
    '--shortcut',
    '--width',
    '--axes',
    '--preprocess',
    '--threads',
    '--engine',
    '--seed',
  ];
  const commands: Readonly<Record<string, readonly string[]>> = {
    doctor: ['--json'],
    phantom: ['--out', '--subjects', '--size', '--seed', '--difficulty'],
    plant: ['--images', '--labels', '--out', '--seed'],
    cohort: ['<dir>', '--json'],
    weights: ['<file>', '--json'],
    train: [
      ...['--cohort', '--modality', '--init', '--fold', '--split-seed', '--out', '--resume', ...shared],
      ...['--lr-encoder-factor', '--lr-decay-per-stage', '--freeze', '--unfreeze-every'],
    ],
    pretrain: ['--tasks', '--single', '--modality', '--fold', '--folds', '--out', '--resume', ...shared],
    predict: ['--model', '--input', '--json', ...shared],
    explain: [
      '--model',
      '--input',
      '--class',
      '--layer',
      '--method',
      '--out',
      '--raw-out',
      '--json',
      ...shared,
    ],
    heatscore: ['--cam', '--roi', '--brain', '--variant', '--json'],
    experiment: ['--cohort', '--out', '--executor', '--dry-run', '--resume'],
    report: ['<dir>', '--out'],
  };

  it.each(Object.entries(commands))('fcd %s', async (name, options) => {
    const { code, stdout, stderr } = await fcd([name, '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const option of options) expect(stdout).toMatch(new RegExp(`(^|\\s)${option}(\\s|$)`, 'm'));
  });

  it('fcd itself lists them, and says what it is for', async () => {
    const { code, stdout } = await fcd(['--help']);
    expect(code).toBe(0);
    for (const name of Object.keys(commands)) expect(stdout).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
    expect(stdout.replace(/\s+/g, ' ')).toContain('For research, not for diagnosis.');
  });
});

describe('the help', () => {
  const help = async (...args: string[]): Promise<string> => (await fcd([...args, '--help'])).stdout;
  /** Names under a heading, up to the empty line. */
  const under = (text: string, heading: string): string[] => {
    const [, rest = ''] = text.split(`\n${heading}:\n`);
    return [...rest.split('\n\n')[0].matchAll(/^ {2}(\S+)/gm)].map(([, name]) => name);
  };

  it('puts commands together that belong together', async () => {
    const text = await help();
    expect(under(text, 'To begin with')).toEqual(['demo', 'doctor', 'help']);
    expect(under(text, 'Training')).toEqual(['pretrain', 'train', 'experiment', 'report']);
    expect(under(text, 'One case')).toEqual(['predict', 'explain', 'heatscore']);
  });

  it('puts options together, those of the command itself first, and says what it cannot do without', async () => {
    const text = await help('experiment');
    expect(text).toMatch(/^Usage: fcd experiment --cohort <dir> --out <dir> \[options\]$/m);
    expect(text.match(/^[A-Z][^\n]*:$/gm)).toEqual([
      'Options:',
      'How it is trained:',
      'Network:',
      'How scans are prepared:',
      'What computes:',
    ]);
    expect(under(text, 'Network')).toEqual(['--arch', '--geometry', '--shortcut', '--width', '--axes']);
    expect(await help('train')).toMatch(
      /^Usage: .*--arch <name> --out <run> \[options\] \| --resume <run>$/m,
    );
  });

  it('tells what counts where nothing is said: of a new network its defaults, of a file its own', async () => {
    expect((await help('experiment')).replace(/\s+/g, ' ')).toContain(
      'depth of the 3D ResNet (default: resnet18)',
    );
    const text = await help('predict');
    expect(under(text, 'Network, where the file does not tell it')).toContain('--arch');
    expect(text.replace(/\s+/g, ' ')).not.toContain('(default: paper)');
  });
});

describe('wrong use ends with 2 and a hint', () => {
  it.each([
    ['an unknown command', ['trian']],
    ['an unknown option', ['predict', '--bogus']],
    ['an option without its value', ['weights', 'x', '--json', '--out']],
    ['a missing option', ['predict', '--input', 'x.nii']],
    ['a value outside of its list', ['train', '--arch', 'resnet17']],
    ['a fold that cannot be', ['train', '--fold', '6/5']],
    ['a size that cannot be', ['phantom', '--out', 'x', '--size', '20']],
    ['an output of another kind', ['explain', '--model', 'm', '--input', 'i', '--out', 'map.png']],
    ['no way to say what to do', ['train', '--out', 'x']],
    ['options beside --resume that the run has decided', ['train', '--resume', 'x', '--epochs', '3']],
  ])('%s', async (_, args) => {
    const { code, stdout, stderr } = await fcd(args, { cwd: folder });
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).not.toBe('');
    expect(stderr).not.toMatch(/^\s+at /m);
  });
});

describe('--json leaves JSON alone on standard output', () => {
  it('doctor: runtime, machine, engine and its self-test', async () => {
    const report = await fcdJson(['doctor', '--threads', '1']);
    expect(report).toMatchObject({
      version: expect.any(String) as string,
      runtime: { node: process.version, path: process.execPath },
      engine: { name: 'wasm', threads: 1 },
    });
    const { engine } = report as { engine: { module: string; selfTest: { module: string; ok: boolean }[] } };
    expect(engine.selfTest.find(({ module }) => module === engine.module)?.ok).toBe(true);
  });

  it('weights: names, shapes and types', async () => {
    const said = (await fcdJson(['weights', model])) as { tensors: { name: string; shape: number[] }[] };
    expect(said.tensors.find(({ name }) => name === 'conv1.weight')?.shape).toEqual([8, 1, 5, 5, 5]);
  });

  it('predict: input, logits, probability of fcd, predicted class; what the library computes', async () => {
    const [one, other] = (await fcdJson([
      'predict',
      '--model',
      model,
      '--brain',
      scans.brain,
      '--input',
      scans.flair,
      scans.t1w,
    ])) as Predicted[];
    expect([one.input, other.input]).toEqual([scans.flair, scans.t1w]);
    expect(Object.keys(one)).toEqual(['input', 'logits', 'probability', 'predicted']);
    const { network } = await loadNetwork(model, {});
    const { channels } = await prepareScan([scans.flair], scans.brain, RECIPE);
    const x = networkInput(channels, network.spec);
    const logits = network.predict(x);
    x.dispose();
    network.dispose();
    one.logits.forEach((logit, at) => expect(logit).toBeCloseTo(logits[at], 4));
    const [control, patient] = one.logits;
    expect(one.probability).toBeCloseTo(1 / (1 + Math.exp(control - patient)), 12);
    expect(one.predicted).toBe(patient > control ? 'fcd' : 'control');
  });

  it('explain: what was written, and the raw map that --raw-out keeps', async () => {
    const out = join(folder, 'map.nii.gz');
    const rawOut = join(folder, 'map.safetensors');
    const said = (await fcdJson([
      'explain',
      ...REFERENCE,
      '--model',
      model,
      '--input',
      scans.flair,
      '--class',
      'fcd',
      '--layer',
      'layer2',
      '--out',
      out,
      '--raw-out',
      rawOut,
    ])) as {
      raw: { shape: number[]; min: number; max: number };
    };
    expect(said).toMatchObject({
      out,
      layer: 'layer2',
      class: 'fcd',
      method: 'gradcam',
      logit: expect.any(Number) as number,
    });
    expect(Object.keys(said)).toEqual(['out', 'layer', 'class', 'method', 'logit', 'raw', 'flags']);
    const { map, record } = await readCam(rawOut);
    expect(said.raw.shape).toEqual([...map.shape]);
    expect(said.raw.max).toBe(Math.max(...map.data));
    expect(said.raw.min).toBe(Math.min(...map.data));
    expect(record).toMatchObject({ layer: 'layer2', axes: 'ijk', recipe: RECIPE });
    expect(sameGrid((await readNifti(out)).volume, (await readNifti(scans.flair)).volume)).toBe(true);
    expect(JSON.parse(readFileSync(join(folder, 'map.json'), 'utf8'))).toMatchObject({
      layer: 'layer2',
      method: 'gradcam',
    });
  });
});

describe('explain', () => {
  const explain = (...args: string[]) =>
    fcd(['explain', '--model', model, '--input', scans.flair, ...REFERENCE, ...args]);

  it('takes the predicted class unless another is named', async () => {
    const [{ predicted }] = await predict('--input', scans.flair);
    const args = [
      'explain',
      '--model',
      model,
      '--input',
      scans.flair,
      '--out',
      join(folder, 'c.nii'),
      ...REFERENCE,
    ];
    expect(await fcdJson(args)).toMatchObject({ class: predicted, layer: 'layer4', method: 'gradcam' });
    const other = predicted === 'fcd' ? 'control' : 'fcd';
    expect(await fcdJson([...args, '--class', other])).toMatchObject({ class: other });
  });

  it('lists the layers that there are when one does not exist, and writes nothing', async () => {
    const out = join(folder, 'wrong.nii.gz');
    const { code, stderr } = await explain('--layer', 'layer5', '--out', out);
    expect(code).toBe(1);
    expect(stderr).toMatch(/There is no layer "layer5".*layer1\.0\.conv1.*layer4/);
    expect(existsSync(out)).toBe(false);
  });
});

describe('how an image is prepared', () => {
  it('--preprocess takes a name or a file, whose fields options override', async () => {
    const file = join(folder, 'recipe.json');
    writeFileSync(file, JSON.stringify({ version: 1, spacing: [9, 9, 9], shape: [20, 24, 20] }));
    const [own] = await predict('--input', scans.flair);
    const [fromFile] = await predict('--input', scans.flair, '--preprocess', file);
    const [byOptions] = await predict(
      '--input',
      scans.flair,
      '--preprocess',
      'standard',
      '--spacing',
      '9',
      '--shape',
      '20x24x20',
    );
    const [none] = await predict('--input', scans.flair, '--preprocess', 'none');
    expect(fromFile.logits).toEqual(own.logits);
    expect(byOptions.logits).toEqual(own.logits);
    expect(none.logits).not.toEqual(own.logits);
  });

  it('--axes other than in training compute another function, and that is said', async () => {
    const [own] = await predict('--input', scans.flair);
    const { code, stdout, stderr } = await fcd([
      'predict',
      ...REFERENCE,
      '--model',
      model,
      '--input',
      scans.flair,
      '--axes',
      'kji',
      '--json',
    ]);
    expect(code).toBe(0);
    expect(stderr).toContain(
      'was trained with axes ijk; with axes kji the same weights compute another function',
    );
    expect((JSON.parse(stdout) as Predicted[])[0].logits).not.toEqual(own.logits);
  });

  it('gives the same bits on one thread and on two', async () => {
    const logits = async (threads: string): Promise<unknown> => {
      const args = ['predict', '--module', 'simd128-strict', '--threads', threads, '--model', model];
      return ((await fcdJson([...args, '--input', scans.flair])) as Predicted[])[0].logits;
    };
    expect(await logits('2')).toEqual(await logits('1'));
  });
});

describe('a network of two contrasts', () => {
  it('takes T1w and FLAIR of one case as two channels, in this order', async () => {
    const both = await writeModel(join(folder, 'both.safetensors'), { ...SPEC, inChannels: 2 }, RECIPE);
    const args = (input: string): string[] => [
      'predict',
      ...REFERENCE,
      '--model',
      both,
      '--brain',
      scans.brain,
      '--input',
      input,
    ];
    const [right] = (await fcdJson(args(`${scans.t1w},${scans.flair}`))) as Predicted[];
    const [swapped] = (await fcdJson(args(`${scans.flair},${scans.t1w}`))) as Predicted[];
    expect(right.logits).not.toEqual(swapped.logits);
    const { code, stderr } = await fcd(args(scans.flair));
    expect(code).toBe(1);
    expect(stderr).toContain('This network takes 2 input channels, but 1 image was given.');
    const map = join(folder, 'both.nii.gz');
    const explained = await fcdJson([
      'explain',
      ...REFERENCE,
      '--model',
      both,
      '--input',
      `${scans.t1w},${scans.flair}`,
      '--out',
      map,
    ]);
    expect(explained).toMatchObject({ out: map });
  });
});

describe('cohorts', () => {
  it('phantom writes the same bytes for the same seed, and cohort reads them', async () => {
    const make = async (name: string, seed: string): Promise<string> => {
      const out = join(folder, name);
      const { code, stderr } = await fcd([
        'phantom',
        '--out',
        out,
        '--subjects',
        '2',
        '--size',
        '32',
        '--seed',
        seed,
      ]);
      expect(code, stderr).toBe(0);
      return out;
    };
    const bytes = (of: string): Record<string, string> =>
      Object.fromEntries(
        readdirSync(of, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name))
          .map((path) => [path.slice(of.length), readFileSync(path).toString('base64')]),
      );
    const [first, same, other] = await Promise.all([make('a', '5'), make('b', '5'), make('c', '6')]);
    expect(bytes(same)).toEqual(bytes(first));
    expect(bytes(other)).not.toEqual(bytes(first));
    const summary = await fcdJson(['cohort', first]);
    expect(summary).toMatchObject({
      root: first,
      kind: 'bids',
      cases: 2,
      groups: { fcd: { cases: 1, masks: 1 } },
      findings: [],
    });
  });

  const heads = realData() && join(realData() as string, 'ixi2mm');
  it.skipIf(!heads || !existsSync(heads))(
    'plant puts lesions into real heads, each beside its healthy twin (skipped without the folder of real scans)',
    async () => {
      const images = join(folder, 'two-heads');
      mkdirSync(images);
      for (const name of readdirSync(heads as string)
        .sort()
        .slice(0, 4))
        symlinkSync(join(heads as string, name), join(images, name));
      const out = join(folder, 'planted');
      const { code, stderr } = await fcd([
        'plant',
        '--images',
        images,
        '--labels',
        images,
        '--out',
        out,
        '--copies',
        '1',
        '--seed',
        '3',
      ]);
      expect(code, stderr).toBe(0);
      const description: unknown = JSON.parse(readFileSync(join(out, 'dataset_description.json'), 'utf8'));
      expect(description, 'as published').toMatchObject({ FcdSettings: { difficulty: 0.5, strength: 1 } });
      const { cases, findings } = await readCohort(out);
      expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
      expect(cases).toHaveLength(4);
      expect(new Set(cases.map(({ source }) => source)).size).toBe(2);
      for (const patient of cases.filter(({ group }) => group === 'fcd')) {
        const twin = cases.find((one) => one.group === 'control' && one.twin === patient.twin);
        if (!twin || !patient.roi) throw new Error(`${patient.participantId} lacks its twin or its lesion.`);
        const [withLesion, without, roi] = await Promise.all(
          [patient.images.FLAIR, twin.images.FLAIR, patient.roi.path].map(
            async (path) => (await readNifti(path as string)).volume.data,
          ),
        );
        expect(roi.some((value, at) => value === 1 && withLesion[at] !== without[at])).toBe(true);
      }
    },
  );
});
