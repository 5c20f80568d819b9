import { Random } from '../random';

/**
 * The tasks that count in one step, in ascending order: `perStep` of all, without replacement and each as likely as the
 * other, decided by seed, epoch and step alone; all of them where `perStep` is none or not fewer.
 */
export function tasksOfStep(
  tasks: number,
  perStep: number | null,
  seed: number,
  epoch: number,
  step: number,
): number[] {
  const all = Array.from({ length: tasks }, (_, t) => t);
  if (perStep === null || perStep >= tasks) return all;
  return Random.seeded(seed, 'tasks', epoch, step)
    .shuffled(all)
    .slice(0, perStep)
    .sort((a, b) => a - b);
}
