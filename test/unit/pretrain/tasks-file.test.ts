import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../../src/core/errors';
import { lineOfJson } from '../../../src/core/files/json-place';
import { findHeads, foldsOfHeads } from '../../../src/core/pretrain/heads';
import { LabelCodes } from '../../../src/core/pretrain/label-codes';
import { chosenTasks, parseTasksFile, readTasksFile } from '../../../src/core/pretrain/tasks-file';
import { realData } from '../../peers';

const FILE = '/data/tasks.json';

/** Where and what a text is refused for. */
function refusal(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 1);
  try {
    parseTasksFile(text, FILE);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    expect(error.places).toHaveLength(1);
    return `${error.places[0].line}: ${error.places[0].message}`;
  }
  throw new Error('It was not refused.');
}

describe('a tasks file', () => {
  it('is a bare list whose heads lie beside it; what is no task is left out, other fields are for people', () => {
    const file = parseTasksFile(
      JSON.stringify([
        { kind: 'task', index: 1, name: 'caudate', labels: [37, 36, 36], mean_voxels: 725 },
        { kind: 'spare', index: 1, name: 'insula', labels: [1] },
        { name: 'putamen', labels: [57, 58] },
      ]),
      FILE,
    );
    expect(file).toEqual({
      path: FILE,
      tasks: [
        { name: 'caudate', labels: [36, 37] },
        { name: 'putamen', labels: [57, 58] },
      ],
      heads: { kind: 'folders', images: '/data', labels: '/data' },
      modality: undefined,
    });
  });

  it('says where its heads are, relative to itself', () => {
    const tasks = [{ name: 'a', labels: [1] }];
    const of = (rest: object) => parseTasksFile(JSON.stringify({ schema: 1, tasks, ...rest }), FILE);
    expect(of({ cohort: '../cohort', modality: 'FLAIR' })).toMatchObject({
      modality: 'FLAIR',
      heads: { kind: 'cohort', path: '/cohort' },
    });
    expect(of({ images: 'i', labels: 'l' }).heads).toEqual({
      kind: 'folders',
      images: '/data/i',
      labels: '/data/l',
    });
    const heads = [{ id: 'one', images: { T1w: 't.nii' }, labels: 'l.nii', source: 'x' }];
    expect(of({ heads }).heads).toMatchObject({
      kind: 'list',
      heads: [{ id: 'one', source: 'x', images: { T1w: '/data/t.nii' }, labels: '/data/l.nii' }],
    });
  });

  it('is refused with the line of the fault and what to do', () => {
    expect(refusal('[\n {"name": "a", "labels": [1]},\n {"name" "b"}\n]')).toMatch(/^[23]: this is not JSON/);
    const list = [
      { name: 'a', labels: [1] },
      { name: 'b', labels: [0] },
    ];
    expect(refusal(list)).toMatch(/^\d+: "1\.labels\.0" is not valid: 0 is the background/);
    expect(refusal([{ name: 'a', labels: [] }])).toMatch(
      /^4: "0\.labels" is not valid: .*at least one label/,
    );
    expect(refusal([{ name: ' ', labels: [1] }])).toMatch(/^3: .*needs a name/);
    expect(refusal([list[0], list[0]])).toMatch(/^8: the task "a" is there twice, first as number 1/);
    expect(refusal([])).toMatch(/there is no task/);
    expect(refusal({ schema: 2, tasks: list })).toMatch(/^2: "schema"/);
    expect(refusal({ schema: 1, tasks: [list[0]], cohort: '.', images: 'i' })).toMatch(/in one way/);
    const head = { id: 'h', images: { T1w: 'a' }, labels: 'b' };
    expect(refusal({ schema: 1, tasks: [list[0]], heads: [head, head] })).toMatch(
      /^\d+: the head "h" is there twice/,
    );
    expect(refusal({ schema: 1, tasks: [list[0]], heads: [{ ...head, images: {} }] })).toMatch(
      /has no image/,
    );
  });

  it('gives one task by its name, and lists the names where there is none', () => {
    const file = parseTasksFile('[{"name": "a", "labels": [1]}, {"name": "b", "labels": [2]}]', FILE);
    expect(chosenTasks(file, 'b')).toEqual([{ name: 'b', labels: [2] }]);
    expect(() => chosenTasks(file, 'c')).toThrow('no task "c". Choose one of: a, b.');
  });

  it.skipIf(!realData())('is tasks23.json of the real heads, as it is', async () => {
    const file = await readTasksFile(join(realData()!, 'ixi2mm', 'tasks23.json'));
    expect(file.tasks).toHaveLength(23);
    expect(file.tasks[6]).toEqual({ name: 'hippocampus', labels: [47, 48] });
    const { heads } = await findHeads(file, 'T1w');
    expect(heads).toHaveLength(32);
    expect(heads[0].source).toBe(heads[0].participantId);
    const folds = foldsOfHeads(heads, 5, 42);
    expect(folds.flatMap(({ test }) => test).sort()).toEqual(heads.map(({ participantId }) => participantId));
    for (const { train, test } of folds) {
      expect(train.length + test.length).toBe(32);
      expect(test.length).toBeGreaterThanOrEqual(6);
      expect(train.filter((id) => test.includes(id))).toEqual([]);
    }
  });
});

describe('the line of a value in JSON', () => {
  const text = '{\n "a": [1, {"b\\"}": 2,\n  "c": [\n3, 4]}],\n "d": {}\n}';
  it.each([
    [[], 1],
    [['a'], 2],
    [['a', 1, 'b"}'], 2],
    [['a', 1, 'c'], 3],
    [['a', 1, 'c', 1], 4],
    [['d'], 5],
    [['d', 'e'], 5],
    [['x'], 1],
  ])('of %j is %i', (path, line) => {
    expect(lineOfJson(text, path)).toBe(line);
  });
});

describe('label numbers as codes', () => {
  const codes = new LabelCodes([
    { name: 'brain', labels: [4, 5, 9] },
    { name: 'grey', labels: [4, 5] },
  ]);
  const shape = [6, 1, 1] as const;
  const affine = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];

  it('are one where the tasks are the same, 0 where there is none', () => {
    const encoded = codes.encode({ shape, affine, data: Float32Array.of(0, 4, 5, 9, 77, -3) });
    expect(codes.members).toHaveLength(3 * 2);
    const of = (at: number): number[] => [...codes.members.subarray(encoded[at] * 2, encoded[at] * 2 + 2)];
    expect([0, 1, 2, 3, 4, 5].map(of)).toEqual([
      [0, 0],
      [1, 1],
      [1, 1],
      [1, 0],
      [0, 0],
      [0, 0],
    ]);
    expect([encoded[0], encoded[4], encoded[5]]).toEqual([0, 0, 0]);
    expect(codes.count(encoded)).toEqual([3, 2]);
  });
});
