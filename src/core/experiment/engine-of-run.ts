import type { RunRecord } from '../../protocol/run';
import type { EngineReport } from '../engine/engine';
import type { RunDirectory } from './run-directory';

/** What computes a run, as run.json has it. */
export function engineRecord({
  name,
  module,
  threads,
  precision,
  node,
  adapter,
}: EngineReport): RunRecord['engine'] {
  return { name, module, threads, precision, node, adapter: adapter?.description };
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
  if (before.name === now.name && before.adapter === now.adapter && precisionOf(before) === precisionOf(now))
    return undefined;
  await directory.keepEngine(now);
  return `The run began with ${nameOf(before)} and goes on with ${nameOf(now)}: the same numbers to ${precisionOf(before) === precisionOf(now) ? 'rounding' : 'the rounding of half precision'}, not to the bit.`;
}

/** What computed a run, for people: `wasm simd256, 2 threads, Node v24.1.0`. */
export function describeEngine(engine: RunRecord['engine']): string {
  const half = precisionOf(engine) === 'f16' ? ' in half precision (f16)' : '';
  return `${engine.name} ${engine.module ?? ''}${half}, ${engine.threads} threads, Node ${engine.node}`;
}

/** Runs of earlier versions do not say it. */
export const precisionOf = ({ precision = 'f32' }: RunRecord['engine']): 'f32' | 'f16' => precision;

function nameOf(engine: RunRecord['engine']): string {
  const { name, module, adapter } = engine;
  const half = precisionOf(engine) === 'f16' && 'in half precision';
  return `the engine ${[name, module, adapter && `(${adapter})`, half].filter(Boolean).join(' ')}`;
}
