import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CatalogueEntry } from '../../../src/protocol/catalogue';
import type { RunRecord } from '../../../src/protocol/run';
import { tensorflowEnvironment } from '../../../src/protocol/tensorflow';
import {
  commandLine,
  engineFlags,
  smallGrid,
  type Preferences,
} from '../../../src/extension/tasks/command-line';
import { offeredTasks } from '../../../src/extension/tasks/offered-tasks';
import { ShippedWeights, weightsRow } from '../../../src/extension/tasks/shipped-weights';
import {
  definitionSchema,
  parseDefinition,
  type FcdTaskDefinition,
} from '../../../src/extension/tasks/task-definition';
import { WorkProcess } from '../../../src/extension/tasks/work-process';
import { installStandIn } from '../engine/tensorflow-stand-in';
import { FIRST_ANSWERS, remembered, taskOf, titleOf } from '../../../src/extension/train/answers';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const CLI = join(ROOT, 'dist', 'cli', 'main.js');
const PREFERENCES: Preferences = {
  engine: 'auto',
  threads: 0,
  precision: 'f32',
  gpuMemory: 0,
  grid: 'small',
  out: 'fcd-runs',
};

interface Manifest {
  readonly contributes: {
    readonly problemMatchers: readonly {
      readonly name: string;
      readonly pattern: { readonly regexp: string };
    }[];
    readonly taskDefinitions: readonly {
      readonly type: string;
      readonly required: readonly string[];
      readonly properties: Readonly<Record<string, { readonly enum?: readonly string[] }>>;
    }[];
  };
}
const { contributes } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fcd-tasks-'));
  fcd(['phantom', '--out', join(folder, 'heads'), '--subjects', '10', '--size', '32']);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fcd(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): { readonly code: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return { code: status, said: stdout + stderr };
}

function argsOf(task: Omit<FcdTaskDefinition, 'type'>, preferences = PREFERENCES): readonly string[] {
  return commandLine({ type: 'fcd', ...task }, folder, preferences, (path) => path).args;
}

describe('the command line of a task', () => {
  it('of an experiment is what README shows, and the real command line takes it', () => {
    const args = argsOf({ task: 'experiment', cohort: 'heads', arch: 'resnet10', folds: 3, epochs: 20 });
    expect(args).toEqual(
      [
        `experiment --cohort ${join(folder, 'heads')} --modality FLAIR --arch resnet10 --folds 3 --epochs 20`,
        '--geometry compact --width 1/4 --spacing 3.5 --shape 56x64x56',
        `--out ${join(folder, 'fcd-runs', 'heads-resnet10-FLAIR')}`,
      ]
        .join(' ')
        .split(' '),
    );
    const { code, said } = fcd([...args, '--dry-run']);
    expect(said).toContain('3 runs');
    expect(code).toBe(0);
  });

  it('of every offered task names options that the real command line knows', () => {
    for (const { definition } of offeredTasks(['heads'], ['fcd-runs/x'])) {
      const args = argsOf(definition);
      if (definition.task === 'experiment') expect(fcd([...args, '--dry-run'])).toMatchObject({ code: 0 });
    }
    // A single fit has no dry run: a cohort that is not there is an error of the files (1), not of the options (2).
    const train = argsOf({
      task: 'train',
      cohort: 'nobody',
      fold: '2/5',
      epochs: 1,
      seed: 3,
      arch: 'resnet50',
    });
    expect(fcd(train)).toMatchObject({
      code: 1,
      said: expect.stringContaining('There is no cohort at') as string,
    });
  });

  it('takes engine, threads and grid from the settings', () => {
    const args = argsOf(
      { task: 'train', cohort: 'heads' },
      { ...PREFERENCES, engine: 'simd128-strict', threads: 1, grid: 'standard', out: 'r' },
    );
    expect(args.join(' ')).toContain('--fold 1/5 --engine wasm --module simd128-strict --threads 1 --out');
    expect(args).not.toContain('--geometry');
    expect(args).not.toContain('--precision');
    expect(engineFlags('auto')).toEqual([]);
    expect(engineFlags('cpu')).toEqual(['--engine', 'cpu']);
  });

  it('takes precision and memory of a GPU from the settings; a run that goes on has its precision', () => {
    const gpu: Preferences = { ...PREFERENCES, engine: 'webgpu', precision: 'f16', gpuMemory: 7.5 };
    const flags = '--engine webgpu --precision f16 --gpu-memory 7.5 --out';
    for (const task of [
      { task: 'train', cohort: 'heads' },
      { task: 'experiment', cohort: 'heads' },
      { task: 'pretrain', tasks: 'heads/tasks.json' },
    ] as const)
      expect(argsOf(task, gpu).join(' ')).toContain(flags);
    expect(argsOf({ task: 'train', resume: 'r' }, gpu).slice(3)).toEqual(['--gpu-memory', '7.5']);
    expect(argsOf({ task: 'pretrain', resume: 'r' }, gpu).slice(3)).toEqual(['--gpu-memory', '7.5']);
  });

  it('is taken by the real command line, which refuses half precision where there is none', () => {
    const wasm: Preferences = { ...PREFERENCES, engine: 'wasm', precision: 'f16', gpuMemory: 7.5 };
    const refused = fcd(argsOf({ task: 'train', cohort: 'heads', out: 'half' }, wasm));
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.said).toContain(
      'The engine "wasm" computes in single precision alone. Leave out half precision (--precision f16; fcd.precision in the editor\'s settings)',
    );
    expect(existsSync(join(folder, 'half'))).toBe(false);
  });

  it('trains on the engine tensorflow where the settings name it, and goes on with it', () => {
    const standIn = installStandIn();
    try {
      const env = tensorflowEnvironment({ named: standIn.folder });
      const tensorflow: Preferences = { ...PREFERENCES, engine: 'tensorflow', threads: 1, gpuMemory: 2 };
      const run = join(folder, 'on-tensorflow');
      // The stand-in is JavaScript: as little as there is to compute.
      const tiny = ['--width', '1/8', '--spacing', '12', '--shape', '14x16x14', '--batch', '4'];
      const task = { task: 'train', cohort: 'heads', arch: 'resnet10', fold: '1/2', epochs: 1 } as const;
      const args = argsOf({ ...task, out: run, args: tiny }, tensorflow);
      expect(args.join(' ')).toContain('--engine tensorflow --threads 1 --gpu-memory 2 --out');
      expect(fcd(args, env)).toMatchObject({
        code: 0,
        said: expect.stringMatching(
          /Engine tensorflow, 1 thread: asked for: @tensorflow\/tfjs-node 4\.22\.0/,
        ) as string,
      });
      const { engine } = JSON.parse(readFileSync(join(run, 'run.json'), 'utf8')) as RunRecord;
      expect(engine).toMatchObject({ name: 'tensorflow', precision: 'f32' });
      expect(fcd(argsOf({ task: 'train', resume: run }, tensorflow), env)).toMatchObject({ code: 0 });
      const half: Preferences = { ...tensorflow, precision: 'f16' };
      expect(fcd(argsOf({ ...task, out: `${run}-half` }, half), env)).toMatchObject({
        code: 1,
        said: expect.stringContaining(
          'The engine "tensorflow" computes in single precision alone.',
        ) as string,
      });
    } finally {
      standIn.remove();
    }
  });

  it('starts from weights where the strategy names them', () => {
    const args = argsOf({ task: 'experiment', cohort: 'heads', strategy: 'weights/med3d.pth' });
    expect(args.join(' ')).toContain(`--init ${join(folder, 'weights', 'med3d.pth')}`);
    expect(args.at(-1)).toBe(join(folder, 'fcd-runs', 'heads-resnet18-FLAIR-from-med3d'));
  });

  it('starts from shipped weights where the strategy names them, and then on their network', () => {
    for (const [arch, width] of [
      ['resnet18', '1/4'],
      ['resnet50', '1/8'],
    ] as const) {
      const args = argsOf({ task: 'experiment', cohort: 'heads', arch, strategy: 'multi:23' }).join(' ');
      expect(args).toContain('--init multi:23');
      expect(args).toContain(`--geometry compact --width ${width}`);
      expect(args).toContain(`heads-${arch}-FLAIR-from-multi-23`);
    }
  });

  it('of a pre-training holds one fold out, or each in turn where folds are asked for', () => {
    const one = argsOf({ task: 'pretrain', tasks: 'heads', single: 'corpus callosum', epochs: 3 });
    expect(one.join(' ')).toBe(
      [
        `pretrain --tasks ${join(folder, 'heads')} --single corpus callosum --arch resnet18 --fold 1/5 --epochs 3`,
        '--geometry compact --width 1/4 --spacing 3.5 --shape 56x64x56',
        `--out ${join(folder, 'fcd-runs', 'pretrained-resnet18-corpus-callosum-fold-1of5')}`,
      ].join(' '),
    );
    const all = argsOf({ task: 'pretrain', tasks: 'heads', folds: 4, modality: 'FLAIR', grid: 'standard' });
    expect(all.join(' ')).toContain('--modality FLAIR --arch resnet18 --folds 4 --out');
    expect(() => argsOf({ task: 'pretrain' })).toThrow(/lacks the property "tasks"/);
    const on = argsOf({ task: 'pretrain', resume: 'fcd-runs/p' });
    expect(on).toEqual(['pretrain', '--resume', join(folder, 'fcd-runs', 'p')]);
    // The options are those of the real command line: what it refuses is the name of the structure.
    const { code, said } = fcd([...one, '--single', 'nothing']);
    expect(said).toContain('no task "nothing". Choose one of: scalp and face');
    expect(code).toBe(1);
  });

  it('of a run that goes on names the run alone', () => {
    const { args, target } = commandLine(
      { type: 'fcd', task: 'train', resume: 'fcd-runs/one', arch: 'resnet50' },
      folder,
      PREFERENCES,
      (path) => path,
    );
    expect(args).toEqual(['train', '--resume', join(folder, 'fcd-runs', 'one')]);
    expect(target).toBe(join(folder, 'fcd-runs', 'one'));
  });

  it('gives a fit a new directory, and an experiment the one that it goes on in', () => {
    const taken = (path: string): string => `${path}-2`;
    const of = (task: 'train' | 'experiment'): string | undefined =>
      commandLine({ type: 'fcd', task, cohort: 'heads' }, folder, PREFERENCES, taken).target;
    expect(of('train')).toMatch(/heads-resnet18-FLAIR-fold-1of5-2$/);
    expect(of('experiment')).toMatch(/heads-resnet18-FLAIR$/);
  });

  it('says which property is missing', () => {
    expect(() => argsOf({ task: 'train' })).toThrow(/lacks the property "cohort"/);
    expect(() => argsOf({ task: 'report' })).toThrow(/lacks the property "run"/);
    expect(() => argsOf({ task: 'phantom' })).toThrow(/lacks the property "out"/);
  });

  it('says which property is wrong', () => {
    const definition = { type: 'fcd', task: 'train', cohort: 'heads', fold: 'first' };
    expect(() => parseDefinition(definition)).toThrow(
      /property "fold" that is not valid: it is written k\/K/,
    );
  });
});

describe('the description of tasks in package.json', () => {
  it('has the properties that are read, and no others', () => {
    const [{ type, required, properties }] = contributes.taskDefinitions;
    const read = definitionSchema.entries;
    expect(type).toBe('fcd');
    expect(required).toEqual(['task']);
    expect(['type', ...Object.keys(properties)].sort()).toEqual(Object.keys(read).sort());
    expect(properties.task.enum).toEqual(read.task.options);
    expect(properties.modality.enum).toEqual(read.modality.wrapped.options);
    expect(properties.arch.enum).toEqual(read.arch.wrapped.options);
    expect(properties.grid.enum).toEqual(read.grid.wrapped.options);
  });
});

describe('offered tasks', () => {
  it('are the cells of the grid for each cohort, a fit, and a report for each result', () => {
    const offered = offeredTasks(['heads', 'more'], ['fcd-runs/x']);
    const cells = offered.filter(({ definition }) => definition.task === 'experiment');
    expect(cells).toHaveLength(2 * 3 * 2);
    expect(new Set(cells.map(({ definition: { arch, modality } }) => `${arch} ${modality}`)).size).toBe(6);
    expect(offered.filter(({ definition }) => definition.task === 'train')).toHaveLength(2);
    expect(offered.at(-1)?.definition).toEqual({ type: 'fcd', task: 'report', run: 'fcd-runs/x' });
    expect(new Set(offered.map(({ name }) => name)).size).toBe(offered.length);
  });
});

describe('the weights that come with the extension', () => {
  const entry = (strategy: string, arch: string): CatalogueEntry => ({
    strategy,
    tasks: strategy === 'multi:23' ? Array.from({ length: 23 }, (_, n) => `task ${n}`) : ['gm'],
    arch,
    ...{ geometry: 'compact', shortcut: 'A', width: 0.25, axes: 'ijk', inChannels: 1, modality: 'T1w' },
    ...{
      file: `${strategy.replace(':', '-')}-${arch}.safetensors`,
      card: 'cards/x.md',
      sha256: '0'.repeat(64),
    },
    ...{ bytes: 1_920_000, data: 'structures of phantoms', licence: 'MIT', dice: { mean: 0.834, heads: 8 } },
  });
  const catalogue = [
    entry('multi:23', 'resnet18'),
    entry('single:gm', 'resnet18'),
    entry('multi:23', 'resnet50'),
  ];

  it('are offered as cells of the grid, one task before many, on the small grid that they fit', () => {
    const cells = offeredTasks(['heads'], [], catalogue).filter(
      ({ definition }) => definition.task === 'experiment' && definition.modality === 'T1w',
    );
    expect(cells.map(({ definition: { arch, strategy } }) => `${arch} ${strategy}`)).toEqual([
      'resnet18 none',
      'resnet18 single:gm',
      'resnet18 multi:23',
      'resnet34 none',
      'resnet50 none',
      'resnet50 multi:23',
    ]);
    expect(cells[1].name).toBe('experiment on heads: resnet18, T1w, TL from one segmentation task (gm)');
    expect(cells[1].definition).toMatchObject({ grid: 'small' });
    expect(parseDefinition(cells[1].definition)).toEqual(cells[1].definition);
  });

  it('say what they are worth and weigh', () => {
    expect(weightsRow(catalogue[0])).toEqual({
      label: 'TL from 23 segmentation tasks',
      description: 'mean Dice 0.83 on 8 held-out heads',
      detail: 'multi:23, comes with FCD Lens: structures of phantoms, T1w, 1.9 MB',
    });
    expect(weightsRow({ ...catalogue[0], dice: null }).description).toContain('Dice not measured');
  });

  it('are read from its own folder; a damaged catalogue is told once, and nothing is offered of it', async () => {
    const told: string[] = [];
    const models = join(folder, 'installed', 'models');
    mkdirSync(models, { recursive: true });
    writeFileSync(join(models, 'catalogue.json'), JSON.stringify({ schema: 1, weights: catalogue }));
    const read = () => new ShippedWeights(join(folder, 'installed'), (message) => told.push(message));
    expect(await read().catalogue()).toEqual(catalogue);
    expect(told).toEqual([]);
    writeFileSync(join(models, 'catalogue.json'), '{"schema": 1}');
    const damaged = read();
    expect([await damaged.catalogue(), await damaged.catalogue()]).toEqual([[], []]);
    expect(told).toEqual([expect.stringMatching(/catalogue.json is not valid at weights/)]);
  });

  it('are those of the networks of the small grid, as the catalogue of this checkout has them', async () => {
    for (const one of await new ShippedWeights(ROOT, (message) => expect.fail(message)).catalogue())
      expect(smallGrid(one.arch).join(' ')).toContain(
        `--geometry ${one.geometry} --width 1/${1 / one.width}`,
      );
  });
});

describe('the problem matcher', () => {
  const matcher = new RegExp(contributes.problemMatchers[0].pattern.regexp);
  const problems = (said: string): { line: string; severity: string; message: string; file: string }[] =>
    said.split('\n').flatMap((text) => {
      const match = matcher.exec(text);
      return match ? [{ file: match[1], line: match[2], severity: match[3], message: match[4] }] : [];
    });

  it('finds every faulty line of a manifest', () => {
    const manifest = join(folder, 'manifest.csv');
    writeFileSync(manifest, 'participant_id,group,t1w\na,fcd,a.nii\nb,ill,b.nii\na,control,c.nii\n');
    const { code, said } = fcd([
      'experiment',
      '--cohort',
      manifest,
      '--out',
      join(folder, 'x'),
      '--modality',
      'T1w',
    ]);
    expect(code).toBe(1);
    expect(problems(said)).toMatchObject([
      { file: manifest, line: '3', severity: 'error', message: expect.stringContaining('"ill"') as string },
      {
        file: manifest,
        line: '4',
        severity: 'error',
        message: expect.stringContaining('already on line 2') as string,
      },
    ]);
  });

  it('finds a header that lacks a column', () => {
    const manifest = join(folder, 'columns.csv');
    writeFileSync(manifest, 'participant_id,t1w\na,a.nii\n');
    const { said } = fcd(['train', '--cohort', manifest, '--arch', 'resnet10', '--out', join(folder, 'x')]);
    expect(problems(said)).toMatchObject([
      {
        file: manifest,
        line: '1',
        severity: 'error',
        message: expect.stringContaining('no column group') as string,
      },
    ]);
  });

  it('finds a line of participants.tsv whose images are wrong, with its severity', () => {
    const bids = join(folder, 'faulty');
    fcd(['phantom', '--out', bids, '--subjects', '4', '--size', '32']);
    const table = join(bids, 'participants.tsv');
    writeFileSync(table, readFileSync(table, 'utf8').replace(/control(?=[^\n]*\n)/, 'unclear'));
    const { code, said } = fcd(['experiment', '--cohort', bids, '--out', join(folder, 'x')]);
    expect(code).toBe(1);
    const [problem] = problems(said);
    expect(problem).toMatchObject({ file: table, severity: 'error' });
    expect(readFileSync(table, 'utf8').split('\n')[Number(problem.line) - 1]).toContain('unclear');
  });

  it('finds nothing in what a run says that goes well', () => {
    const { said } = fcd(argsOf({ task: 'experiment', cohort: 'heads', args: ['--dry-run'] }));
    expect(problems(said)).toEqual([]);
  });
});

describe('the work of a task', () => {
  const PATIENT = `process.on('SIGINT', () => setTimeout(() => process.exit(130), 20)); setInterval(() => {}, 1000); console.log('ready')`;
  const STUBBORN = `process.on('SIGINT', () => console.log('no')); setInterval(() => {}, 1000); console.log('ready')`;

  function work(
    program: string,
    grace: number | undefined,
    onText: (work: WorkProcess, text: string) => void,
  ): Promise<number | null> {
    return new Promise((resolve) => {
      const process_ = new WorkProcess(
        {
          program: process.execPath,
          args: ['-e', program],
          cwd: folder,
          env: process.env,
          target: undefined,
          onText: (text) => onText(process_, text),
          onEnd: resolve,
        },
        grace,
      );
    });
  }

  it('ends with its own exit code', async () => {
    expect(await work('process.exit(7)', undefined, () => undefined)).toBe(7);
  });

  it('stops when asked, in its own time', async () => {
    expect(await work(PATIENT, undefined, (one) => one.stop())).toBe(130);
  });

  it('is ended by force when it does not stop within the time of grace', async () => {
    const code = await work(STUBBORN, 50, (one, text) => {
      if (text.includes('ready')) one.stop();
    });
    expect(code).toBeNull();
  });

  it('is ended by force when asked twice', async () => {
    expect(await work(STUBBORN, undefined, (one) => one.stop())).toBeNull();
  });

  it('that cannot start says so', async () => {
    const failure = await new Promise<Error | undefined>((resolve) => {
      new WorkProcess({
        program: join(folder, 'no-such-node'),
        args: [],
        cwd: folder,
        env: {},
        target: undefined,
        onText: () => undefined,
        onEnd: (_, error) => resolve(error),
      });
    });
    expect(failure?.message).toContain('ENOENT');
  });

  it('of the real command line stops at a step with exit code 130 and can be resumed', async () => {
    const run = join(folder, 'stopped');
    const { args } = commandLine(
      {
        type: 'fcd',
        task: 'train',
        cohort: 'heads',
        arch: 'resnet10',
        fold: '1/2',
        epochs: 200,
        out: run,
        args: ['--threads', '1'],
      },
      folder,
      PREFERENCES,
      (path) => path,
    );
    const start = (
      given: readonly string[],
      onText: (one: WorkProcess, text: string) => void,
    ): Promise<number | null> =>
      new Promise((resolve) => {
        const one = new WorkProcess({
          program: process.execPath,
          args: [CLI, ...given],
          cwd: folder,
          env: { ...process.env, FCD_PROGRESS: 'live' },
          target: run,
          onText: (text) => onText(one, text),
          onEnd: resolve,
        });
      });
    let asked = false;
    let said = '';
    const code = await start(args, (one, text) => {
      said += text;
      if (asked || !/Training.*epoch \d/.test(said)) return;
      asked = true;
      one.stop();
    });
    expect(code).toBe(130);
    expect(said).toMatch(/Stopped in epoch \d+ after step \d+/);
    expect(readFileSync(join(run, 'events.jsonl'), 'utf8').trim().split('\n').at(-1)).toContain('"stopped"');
    expect(existsSync(join(run, 'process.json'))).toBe(false);
    expect(existsSync(join(run, 'checkpoints', 'last', 'model.safetensors'))).toBe(true);
  });
});

describe('the answers of the training guide', () => {
  const answers = { ...FIRST_ANSWERS, cohort: '/ws/heads' };
  const relative = (path: string): string => path.replace('/ws/', '');

  it('become an experiment where every fold is held out once', () => {
    expect(taskOf(answers, relative)).toEqual({
      type: 'fcd',
      task: 'experiment',
      cohort: 'heads',
      modality: 'FLAIR',
      arch: 'resnet18',
      strategy: 'none',
      grid: 'small',
      folds: 5,
      epochs: 20,
    });
    expect(titleOf(answers)).toBe('resnet18 on FLAIR of heads, 5 folds');
  });

  it('become a fit where one fold is', () => {
    const task = taskOf({ ...answers, fold: 2, folds: 4, strategy: '/ws/w.pth', out: '/ws/here' }, relative);
    expect(task).toMatchObject({ task: 'train', fold: '2/4', strategy: 'w.pth', out: 'here' });
    expect(task.folds).toBeUndefined();
    // Shipped weights are no path.
    expect(taskOf({ ...answers, strategy: 'multi:23' }, () => 'elsewhere').strategy).toBe('multi:23');
  });

  it('are a definition that tasks.json may hold', () => {
    expect(parseDefinition(taskOf(answers, relative))).toEqual(taskOf(answers, relative));
  });

  it('that were remembered by another version are forgotten', () => {
    expect(remembered({ ...answers, arch: 'resnet1000' })).toEqual({});
    expect(remembered(undefined)).toEqual({});
    expect(remembered({ epochs: 3 })).toEqual({ epochs: 3 });
  });
});
