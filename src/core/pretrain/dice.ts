import { clusterInterval } from '../stats/cluster';
import { mean } from '../stats/describe';
import type { TaskDice } from '../transfer/pretraining-record';

/** Dice of one head, task by task; null where the head does not have the structure. */
export interface HeadDice {
  readonly participantId: string;
  readonly source: string;
  readonly dice: readonly (number | null)[];
}

/**
 * Dice 2 |A and B| / (|A| + |B|) of what scores say (above 0: more likely than not) and of what a head has.
 * @param logits row-major [voxels, tasks] @param members row-major [codes, tasks]
 */
export function diceOfHead(
  logits: Float32Array,
  codes: Uint16Array,
  members: Uint8Array,
  tasks: number,
): (number | null)[] {
  const both = new Float64Array(tasks);
  const said = new Float64Array(tasks);
  const present = new Float64Array(tasks);
  for (let v = 0, at = 0; v < codes.length; v++)
    for (let t = 0, row = codes[v] * tasks; t < tasks; t++, row++, at++) {
      const positive = logits[at] > 0 ? 1 : 0;
      const member = members[row];
      said[t] += positive;
      present[t] += member;
      both[t] += positive & member;
    }
  return Array.from(both, (n, t) => (present[t] === 0 ? null : (2 * n) / (said[t] + present[t])));
}

/** Mean Dice of every task over heads, with a 95 % interval of a bootstrap over sources. */
export function diceTable(
  heads: readonly HeadDice[],
  tasks: readonly string[],
  options: { readonly seed: number; readonly resamples?: number },
): TaskDice[] {
  return tasks.map((task, t) => ({ task, ...summary(heads, (head) => head.dice[t], options) }));
}

/** Mean over heads of the mean over the tasks that each has, with the same interval. */
export function meanDice(
  heads: readonly HeadDice[],
  options: { readonly seed: number; readonly resamples?: number },
): Omit<TaskDice, 'task'> {
  return summary(heads, overTasks, options);
}

/** Mean over the tasks that a head has. */
export function overTasks({ dice }: HeadDice): number | null {
  const present = dice.filter((value) => value !== null);
  return present.length === 0 ? null : mean(present);
}

function summary(
  heads: readonly HeadDice[],
  of: (head: HeadDice) => number | null,
  options: { readonly seed: number; readonly resamples?: number },
): Omit<TaskDice, 'task'> {
  const values = heads.flatMap((head) => {
    const value = of(head);
    return value === null ? [] : [{ source: head.source, value }];
  });
  if (values.length === 0) return { mean: null, low: null, high: null, n: 0 };
  const average = (some: readonly { value: number }[]): number => mean(some.map(({ value }) => value));
  const interval = clusterInterval(values, ({ source }) => source, average, options);
  return {
    mean: average(values),
    low: interval?.low ?? null,
    high: interval?.high ?? null,
    n: values.length,
  };
}
