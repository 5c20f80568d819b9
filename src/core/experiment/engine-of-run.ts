import type { RunRecord } from '../../protocol/run';
import type { EngineReport } from '../engine/engine';
import type { RunDirectory } from './run-directory';

/** What computes a run, as run.json has it. */
export function engineRecord({ name, module, threads, node, adapter }: EngineReport): RunRecord['engine'] {
  return { name, module, threads, node, adapter: adapter?.description };
}

/**
 * Notes in run.json where a run goes on with another engine than it began with: another GPU, or the processor after a
 * GPU was lost. Its results are then equal to rounding, not to the bit.
 * @returns the sentence that says so; undefined where the engine is the same
 */
export async function noteEngine(
  directory: RunDirectory,
  engine: EngineReport | undefined,
): Promise<string | undefined> {
  if (!engine) return undefined;
  const { engine: before } = await directory.record();
  const now = engineRecord(engine);
  if (before.name === now.name && before.adapter === now.adapter) return undefined;
  await directory.keepEngine(now);
  return `The run began with ${nameOf(before)} and goes on with ${nameOf(now)}: the same numbers to rounding, not to the bit.`;
}

function nameOf({ name, module, adapter }: RunRecord['engine']): string {
  return `the engine ${[name, module, adapter && `(${adapter})`].filter(Boolean).join(' ')}`;
}
