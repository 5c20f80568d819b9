import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { pretrainingResultsSchema } from '../../../src/protocol/pretraining';
import { writePhantomCohort } from '../../../src/core/cohort/phantom/write-phantom-cohort';
import { readCheckpoint } from '../../../src/core/model/checkpoint';
import { fcd, scratchFolder } from './run-fcd';

const folder = scratchFolder();
const cohort = join(folder, 'cohort');
const run = join(folder, 'pretrained');
const NETWORK = ['--arch', 'resnet10', '--geometry', 'compact', '--width', '1/8', '--threads', '1'];
const GRID = ['--spacing', '7', '--shape', '28x32x28'];
const FOLD = ['--fold', '1/3', '--seed', '5'];

beforeAll(async () => {
  await writePhantomCohort({ out: cohort, subjects: 12, size: 32, seed: 3, difficulty: 0 });
  const { code, stdout, stderr } = await fcd([
    ...['pretrain', '--tasks', cohort, '--out', run, '--epochs', '2', '--decoder-channels', '4'],
    ...[...NETWORK, ...GRID, ...FOLD],
  ]);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^task +Dice +low +high +heads$/m);
  expect(stdout).toMatch(/^cerebellar white matter /m);
  expect(stdout).toMatch(/^mean over tasks /m);
  expect(stderr).toMatch(/Next: fcd train --arch resnet10 /);
}, 120_000);

describe('fcd pretrain', () => {
  it('leaves a table per task, and an encoder that says whom it has seen', async () => {
    const results = v.parse(
      pretrainingResultsSchema,
      JSON.parse(readFileSync(join(run, 'results.json'), 'utf8')),
    );
    expect(results.tasks).toHaveLength(23);
    expect(results.cases).toHaveLength(4);
    const { meta, report } = await readCheckpoint(run, {});
    expect(meta.pretraining?.participants.trained).toHaveLength(8);
    expect(meta.pretraining?.participants.heldOut).toHaveLength(4);
    expect(report).toMatchObject({ missing: ['fc.weight', 'fc.bias'], unexpected: [] });
  });

  it('is what fcd train starts from on the same fold, and refuses on another one by the name of the head', async () => {
    const train = (...fold: string[]) => [
      ...[
        'train',
        '--cohort',
        cohort,
        '--modality',
        'T1w',
        '--init',
        run,
        '--epochs',
        '1',
        '--patience',
        '0',
      ],
      ...['--out', join(folder, `trained-${fold[1][0]}`), ...fold, ...NETWORK, ...GRID],
    ];
    const same = await fcd(train(...FOLD));
    expect(same.code, same.stderr).toBe(0);
    expect(same.stderr).toMatch(/tensors loaded, 2 stay fresh \(fc\.bias, fc\.weight\)/);
    const other = await fcd(train('--fold', '2/3', '--seed', '5'));
    expect(other.code).toBe(1);
    expect(other.stderr).toMatch(/trained on 4 of the heads .*phantom-3-head-\d+.*fcd pretrain/);
  }, 120_000);

  it('hands its encoder on: fcd import and fcd export keep what it has learned', async () => {
    const imported = join(folder, 'imported.safetensors');
    const { code, stderr } = await fcd(['import', run, '--arch', 'resnet10', '--out', imported]);
    expect(code, stderr).toBe(0);
    const { meta } = await readCheckpoint(imported, {});
    const { meta: before } = await readCheckpoint(run, {});
    expect(meta.pretraining).toEqual(before.pretraining);
    const exported = await fcd(['export', run, '--out', join(folder, 'encoder.pth')]);
    expect(exported.code, exported.stderr).toBe(0);
  });

  it('learns one task where one is named, and lists them where there is none of that name', async () => {
    const { code, stderr } = await fcd([
      ...['pretrain', '--tasks', cohort, '--single', 'caudat', '--out', join(folder, 'x'), ...NETWORK],
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/no task "caudat"\. Choose one of: scalp and face, .*caudate/);
  });

  it('points at the line of a fault in the tasks file', async () => {
    const tasks = join(folder, 'tasks.json');
    writeFileSync(tasks, '[\n  { "name": "a", "labels": [1] },\n  { "name": "b", "labels": ["two"] }\n]\n');
    const { code, stderr } = await fcd([
      'pretrain',
      '--tasks',
      tasks,
      '--out',
      join(folder, 'y'),
      ...NETWORK,
    ]);
    expect(code).toBe(1);
    expect(stderr).toContain(`${tasks}:3: error: "1.labels.0" is not valid`);
  });

  it('says which command goes on where a run of the other kind is given', async () => {
    const { code, stderr } = await fcd(['pretrain', '--resume', join(folder, 'trained-1')]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/not of pre-training: fcd train --resume/);
    const back = await fcd(['train', '--resume', run]);
    expect(back.code).toBe(1);
    expect(back.stderr).toMatch(/of pre-training.*fcd pretrain --resume/);
  });
});
