import { describe, expect, it } from 'vitest';
import { FIRST_ANSWERS, placeOf, remembered, taskOf, titleOf } from '../../../src/extension/pretrain/answers';
import { taskNames } from '../../../src/extension/pretrain/task-names';
import { offeredTasks } from '../../../src/extension/tasks/offered-tasks';

describe('the guide of pre-training', () => {
  const answers = { ...FIRST_ANSWERS, tasks: '/w/heads/derivatives/labels/tasks.json' };

  it('becomes a task, of all structures or of one, of a fold or of each in turn', () => {
    const relative = (path: string): string => path.replace('/w/', '');
    expect(taskOf(answers, relative)).toEqual({
      type: 'fcd',
      task: 'pretrain',
      tasks: 'heads/derivatives/labels/tasks.json',
      arch: 'resnet18',
      grid: 'small',
      fold: '1/5',
      epochs: 25,
    });
    const one = taskOf({ ...answers, single: 'caudate', fold: 0, folds: 3, out: '/w/o' }, relative);
    expect(one).toMatchObject({ single: 'caudate', folds: 3, out: 'o' });
    expect(one).not.toHaveProperty('fold');
    expect(titleOf(answers)).toBe('resnet18 learns all structures of heads, fold 1/5');
  });

  it('calls a tasks file by the cohort it is of', () => {
    expect(placeOf('/w/heads/derivatives/labels/tasks.json')).toBe('heads');
    expect(placeOf('/data/ixi2mm/tasks23.json')).toBe('ixi2mm');
    expect(placeOf('/w/heads')).toBe('heads');
  });

  it('forgets answers that make no sense any more', () => {
    expect(remembered({ arch: 'resnet18', fold: 2 })).toEqual({ arch: 'resnet18', fold: 2 });
    expect(remembered({ arch: 'vgg' })).toEqual({});
  });
});

describe('the names in a tasks file', () => {
  it('are those of its tasks, in either form; other JSON has none', () => {
    expect(
      taskNames(
        '[{"kind": "task", "name": "a", "labels": [1]}, {"kind": "spare", "name": "b", "labels": [2]}]',
      ),
    ).toEqual(['a']);
    expect(taskNames('{"schema": 1, "cohort": ".", "tasks": [{"name": "a", "labels": [1]}]}')).toEqual(['a']);
    for (const other of ['{"version": "2.0.0", "tasks": [{"label": "x"}]}', '[]', '[1]', 'no JSON'])
      expect(taskNames(other), other).toBeUndefined();
  });

  it('are offered as a task of the editor', () => {
    const [offered] = offeredTasks([], [], [], ['heads/tasks.json']);
    expect(offered).toMatchObject({
      name: 'pre-train on heads/tasks.json',
      definition: { task: 'pretrain', tasks: 'heads/tasks.json', fold: '1/5' },
    });
  });
});
