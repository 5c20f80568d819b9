import type { Machine } from './machine';

/** As in assembly/task-loss.ts. */
const BLOCK = 2048;
const ALONE_FLOATS = 16_384;

export interface TaskShape {
  readonly rows: number;
  readonly tasks: number;
  /** Tasks rounded up to a multiple of 4: columns of `members`, sums and factors. */
  readonly padded: number;
}

/** Blocks of rows that have sums of their own. */
export function taskBlocks(rows: number): number {
  return Math.ceil(rows / BLOCK);
}

export function taskProbabilities(
  { pool }: Machine,
  { rows, tasks, padded }: TaskShape,
  at: {
    readonly z: number;
    readonly p: number;
    readonly codes: number;
    readonly members: number;
    readonly sums: number;
  },
): void {
  const job = [at.z, at.p, at.codes, at.members, at.sums, rows, tasks, padded];
  pool.run('taskProbabilities', job, rows * tasks < ALONE_FLOATS);
}

export function taskGradient(
  { pool }: Machine,
  { rows, tasks, padded }: TaskShape,
  at: { readonly p: number; readonly codes: number; readonly members: number; readonly factors: number },
): void {
  const job = [0, at.p, at.codes, at.members, at.factors, rows, tasks, padded];
  pool.run('taskGradient', job, rows * tasks < ALONE_FLOATS);
}
