import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunRecord } from '../../../src/protocol/run';
import { writePhantomCohort } from '../../../src/core/cohort/phantom/write-phantom-cohort';
import { readCohort } from '../../../src/core/cohort/read-cohort';
import { stratifiedFolds } from '../../../src/core/cohort/folds';
import { closeEngine, openEngine } from '../../../src/core/engine/choose';
import { StoppedError } from '../../../src/core/errors';
import { examineInit, requireUnseen } from '../../../src/core/experiment/init-weights';
import { RunDirectory } from '../../../src/core/experiment/run-directory';
import { checkpointMeta } from '../../../src/core/model/checkpoint';
import { networkSpec } from '../../../src/core/model/spec';
import {
  pretrainFolds,
  pretrainingRecordOf,
  type Holding,
  type PretrainingAsked,
} from '../../../src/core/pretrain/begin-pretraining';
import { DEFAULT_PRETRAINING, type PretrainingConfig } from '../../../src/core/pretrain/config';
import { HeadStore } from '../../../src/core/pretrain/head-store';
import { findHeads, hashOfHeads } from '../../../src/core/pretrain/heads';
import { LabelCodes } from '../../../src/core/pretrain/label-codes';
import { executePretraining, segmentationPath } from '../../../src/core/pretrain/pretraining-run';
import { loadSegmentation } from '../../../src/core/pretrain/segmentation-checkpoint';
import { readTasksFile } from '../../../src/core/pretrain/tasks-file';
import { STANDARD } from '../../../src/core/volume/recipe';
import { readWeights } from '../../../src/core/weights/read-weights';
import { toFloat32 } from '../../../src/core/weights/tensors';
import { havePython, python } from '../../peers';

const folder = mkdtempSync(join(tmpdir(), 'fcd-pretrain-'));
const cohort = join(folder, 'cohort');
const spec = networkSpec({ arch: 'resnet10', geometry: 'compact', width: 0.125 });
const recipe = { ...STANDARD, spacing: null, shape: null };
const config: PretrainingConfig = {
  ...DEFAULT_PRETRAINING,
  tasksPerStep: 7,
  decoderChannels: 6,
  training: { ...DEFAULT_PRETRAINING.training, epochs: 2, batchSize: 2, microBatch: 1 },
};
let asked: PretrainingAsked;
let number = 0;

beforeAll(async () => {
  const engine = await openEngine({ threads: 1 });
  await writePhantomCohort({ out: cohort, subjects: 6, size: 32, seed: 3 });
  const file = await readTasksFile(cohort);
  const { heads } = await findHeads(file, 'T1w');
  asked = {
    name: 'tiny',
    ...{ file, heads, spec, recipe, config, engine },
    tasks: file.tasks,
    data: await hashOfHeads(heads, 'T1w'),
    modality: 'T1w',
    seed: 5,
    command: ['pretrain', '--tasks', cohort],
  };
});
afterAll(async () => {
  await closeEngine();
  rmSync(folder, { recursive: true, force: true });
});

const storeOf = ({ heads, tasks, modality }: PretrainingAsked): HeadStore =>
  new HeadStore(heads, new LabelCodes(tasks), modality, recipe, spec);

async function begun(holding: Holding = { index: 0, count: 3 }): Promise<RunDirectory> {
  const directory = new RunDirectory(join(folder, `run-${++number}`));
  await directory.begin(pretrainingRecordOf(asked, holding));
  return directory;
}

/** Every tensor of a checkpoint, as bytes. */
async function tensorsOf(path: string): Promise<Record<string, string>> {
  const { tensors } = await readWeights(path);
  return Object.fromEntries(
    [...tensors].map(([name, tensor]) => [
      name,
      Buffer.from(toFloat32(tensor).slice().buffer).toString('hex'),
    ]),
  );
}

async function stoppedBehind(directory: RunDirectory, step: number): Promise<void> {
  const controller = new AbortController();
  await expect(
    executePretraining(directory, storeOf(asked), {
      signal: controller.signal,
      onProgress: ({ phase, done }) => {
        if (phase === 'training' && done === step) controller.abort();
      },
    }),
  ).rejects.toThrow(StoppedError);
}

describe('a pre-training', () => {
  it('holds heads out, and keeps an encoder that says what it has learned and from whom', async () => {
    const directory = await begun();
    const dice = await executePretraining(directory, storeOf(asked), {});
    const { fold } = await directory.record();
    expect(dice.map(({ participantId }) => participantId)).toEqual(fold.test);
    expect(directory.events().at(-1)?.type).toBe('finished');

    const file = await readWeights(directory.checkpoint('best'));
    const meta = checkpointMeta(file, 'best');
    expect(meta?.pretraining).toMatchObject({
      kind: 'segmentation',
      participants: { trained: fold.train, heldOut: fold.test },
      data: asked.data,
      modality: 'T1w',
      grid: { shape: [28, 32, 28], spacing: [7, 7, 7] },
      seed: 5,
      command: ['pretrain', '--tasks', cohort],
      steps: 4,
      samplesSeen: 8,
    });
    expect(meta?.pretraining?.tasks).toHaveLength(23);
    expect(meta?.pretraining?.dice).toHaveLength(23);
    expect(meta?.seen).toEqual(fold.train.map((id) => `phantom-3-head-${Number(id.slice(-5))}`));
    expect([...file.tensors.keys()].some((name) => /^(decoder|head|optimizer|fc)\./.test(name))).toBe(false);
    expect(file.tensors.has('layer4.0.bn2.running_var')).toBe(true);

    const { network } = await loadSegmentation(segmentationPath(directory));
    const encoder = await network.encoderTensors();
    for (const [name, tensor] of file.tensors)
      expect(encoder.get(name)?.data, name).toEqual(toFloat32(tensor));
    network.dispose();
    await expect(loadSegmentation(directory.checkpoint('best'))).rejects.toThrow(
      /holds no segmentation heads/,
    );
  });

  it.each([[[1]], [[2]], [[3]], [[1, 3]], [[4]]])(
    'stopped behind steps %j goes on to the same bits',
    async (steps) => {
      const whole = await begun();
      await executePretraining(whole, storeOf(asked), {});
      const directory = await begun();
      for (const step of steps) await stoppedBehind(directory, step);
      await executePretraining(directory, storeOf(asked), {});
      for (const path of [
        (run: RunDirectory) => run.checkpoint('last'),
        (run: RunDirectory) => run.checkpoint('best'),
        segmentationPath,
      ])
        expect(await tensorsOf(path(directory))).toEqual(await tensorsOf(path(whole)));
      const done = directory
        .events()
        .flatMap((event) => (event.type === 'step' ? [`${event.epoch}/${event.step}`] : []));
      expect(done).toEqual(['0/1', '0/2', '1/1', '1/2']);
    },
  );

  it('hears a file `stop` in its directory', async () => {
    const directory = await begun();
    await expect(
      executePretraining(directory, storeOf(asked), {
        onProgress: ({ phase }) => {
          if (phase === 'reading') writeFileSync(join(directory.path, 'stop'), '');
        },
      }),
    ).rejects.toThrow(StoppedError);
    expect(directory.events().at(-1)?.type).toBe('stopped');
  });

  it('says where no head has a structure', async () => {
    const tasks = [asked.tasks[0], { name: 'nothing', labels: [200] }];
    const without = { ...asked, tasks };
    const directory = new RunDirectory(join(folder, `run-${++number}`));
    await directory.begin(pretrainingRecordOf(without, 'nobody'));
    const said: string[] = [];
    const dice = await executePretraining(directory, storeOf(without), { onAdvice: (one) => said.push(one) });
    expect(dice).toEqual([]);
    expect(said.join(' ')).toMatch(/No head to learn from has a voxel of nothing: check the label numbers/);
  });

  it('of every fold counts each head once', async () => {
    const out = join(folder, 'folds');
    const results = await pretrainFolds(asked, 3, out, storeOf(asked), {});
    expect(results.cases.map(({ participantId }) => participantId).sort()).toEqual(
      asked.heads.map(({ participantId }) => participantId),
    );
    expect(results).toMatchObject({ kind: 'segmentation', folds: 3, heads: 6, mean: { n: 6 } });
    expect(results.tasks.map(({ task }) => task)).toEqual(asked.tasks.map(({ name }) => name));
    const text = readFileSync(join(out, 'results.json'), 'utf8');
    expect(JSON.parse(text)).toEqual(results);
    // Once more: nothing is computed again, and the same comes out.
    const again = await pretrainFolds(asked, 3, out, storeOf(asked), {});
    expect(again.cases).toEqual(results.cases);
    const other = { ...asked, seed: 6 };
    await expect(pretrainFolds(other, 3, out, storeOf(other), {})).rejects.toThrow(/another (fold|seed)/);
  });

  it("makes the folds that fcd train makes of the same cohort, so that a fold's encoder has not seen its test heads", async () => {
    const { cases } = await readCohort(cohort);
    const folds = stratifiedFolds(cases, 3, asked.seed);
    for (const fold of folds) {
      const record = pretrainingRecordOf(asked, { index: fold.index, count: 3 });
      expect(record.fold).toMatchObject({ train: fold.train, test: fold.test });
    }
  });
});

describe('a pre-training on mixed images', () => {
  let mixed: PretrainingAsked;
  beforeAll(async () => {
    const { heads, leftOut } = await findHeads(asked.file, 'mixed');
    expect(leftOut).toEqual([]);
    mixed = { ...asked, heads, modality: 'mixed', data: await hashOfHeads(heads, 'mixed') };
  });

  it('learns from every image of either contrast; both of a head are in the same fold', async () => {
    expect(mixed.heads.map(({ participantId }) => participantId)).toEqual(
      asked.heads.flatMap(({ participantId: id }) => [`${id}_FLAIR`, `${id}_T1w`]),
    );
    expect(mixed.data).not.toBe(asked.data);
    const ofImages = (ids: readonly string[]): string[] => ids.flatMap((id) => [`${id}_FLAIR`, `${id}_T1w`]);
    for (const index of [0, 1, 2]) {
      const { fold } = pretrainingRecordOf(mixed, { index, count: 3 });
      // The very folds of one contrast, each head with both of its images.
      const alone = pretrainingRecordOf(asked, { index, count: 3 }).fold;
      expect(fold).toMatchObject({ train: ofImages(alone.train), test: ofImages(alone.test) });
    }
    const [flair, t1w] = await Promise.all(
      mixed.heads.slice(0, 2).map(({ participantId }) => storeOf(mixed).get(participantId)),
    );
    expect(flair.codes).toEqual(t1w.codes);
    expect(flair.data).not.toEqual(t1w.data);
    expect(flair.shape[3]).toBe(1);
  });

  it('says so in its run, in its weights, and to a training that starts from them', async () => {
    const directory = new RunDirectory(join(folder, `run-${++number}`));
    await directory.begin(pretrainingRecordOf(mixed, { index: 0, count: 3 }));
    const dice = await executePretraining(directory, storeOf(mixed), {});
    const { fold, modality } = await directory.record();
    expect(modality).toBe('mixed');
    expect(dice.map(({ participantId }) => participantId)).toEqual(fold.test);
    const meta = checkpointMeta(await readWeights(directory.checkpoint('best')), 'best');
    expect(meta).toMatchObject({ modality: 'mixed', pretraining: { modality: 'mixed', samplesSeen: 16 } });
    // Heads, not images: that is what a training compares its own held-out heads with.
    const heads = pretrainingRecordOf(asked, { index: 0, count: 3 }).fold.train;
    expect(meta?.seen).toEqual(heads.map((id) => `phantom-3-head-${Number(id.slice(-5))}`));
    for (const target of ['T1w', 'FLAIR'] as const) {
      const { record, sentences } = await examineInit(directory.path, spec, false, { modality: target });
      expect(record).toMatchObject({ sourceModality: 'mixed' });
      expect(sentences.join(' ')).not.toMatch(/across modalities/);
    }
  });

  it('goes by the images that a list names, also where a head has one only', async () => {
    const [one, two] = asked.heads;
    const list = {
      path: join(folder, 'list.json'),
      tasks: asked.tasks,
      heads: {
        kind: 'list' as const,
        heads: [one, { ...two, images: { FLAIR: two.images.T1w ?? '' } }].map(
          ({ participantId, images, labels }) => ({ id: participantId, images, labels }),
        ),
      },
    };
    const { heads } = await findHeads(list, 'mixed');
    expect(heads.map(({ participantId, source }) => [participantId, source])).toEqual([
      ['sub-00001_FLAIR', 'sub-00001'],
      ['sub-00001_T1w', 'sub-00001'],
      ['sub-00002_FLAIR', 'sub-00002'],
    ]);
  });
});

describe('weights that were pre-trained', () => {
  let run: { directory: RunDirectory; record: RunRecord };
  beforeAll(async () => {
    const directory = await begun();
    await executePretraining(directory, storeOf(asked), {});
    run = { directory, record: await directory.record() };
  });

  it('are refused where a test or validation head was learned from, by its name and with what to do', async () => {
    const { record } = await examineInit(run.directory.path, spec, false);
    expect(record.kind === 'file' && record.fresh).toEqual(['fc.bias', 'fc.weight']);
    const sourceOf = (id: string): string => `phantom-3-head-${Number(id.slice(-5))}`;
    const { train, test } = run.record.fold;
    expect(() => requireUnseen(record, test.map(sourceOf))).not.toThrow();
    const seen = sourceOf(train[1]);
    expect(() => requireUnseen(record, [sourceOf(test[0]), seen])).toThrow(
      new RegExp(`trained on 1 of the heads .*\\(${seen}\\).*fcd pretrain .*--fold`),
    );
    // The same numbers of another phantom are other heads.
    expect(() => requireUnseen(record, [train[0], 'phantom-4-head-1'])).not.toThrow();
  });

  it.skipIf(!havePython('torch'))('load in PyTorch with the names of MedicalNet', () => {
    const names = JSON.parse(
      python(
        `
import json, struct, sys, torch
raw = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
header = json.loads(raw[8:8 + n])
shapes = {}
for name, info in header.items():
    if name == "__metadata__": continue
    a, b = info["data_offsets"]
    t = torch.frombuffer(bytearray(raw[8 + n + a:8 + n + b]), dtype=torch.float32).reshape(info["shape"])
    assert torch.isfinite(t).all()
    shapes[name] = list(t.shape)
conv = torch.nn.Conv3d(1, 8, 5, stride=2, padding=2, bias=False)
a, b = header["conv1.weight"]["data_offsets"]
conv.load_state_dict({"weight": torch.frombuffer(bytearray(raw[8 + n + a:8 + n + b]), dtype=torch.float32).reshape(header["conv1.weight"]["shape"])})
print(json.dumps(shapes))
`,
        [run.directory.checkpoint('best')],
      ),
    ) as Record<string, number[]>;
    expect(names['conv1.weight']).toEqual([8, 1, 5, 5, 5]);
    expect(names['layer2.0.downsample.0.weight']).toEqual([16, 8, 1, 1, 1]);
    expect(names['layer4.0.bn2.running_mean']).toEqual([32]);
  });
});
