import type { ProcessRecord } from '../../protocol/run';
import type { RunProgress } from './run-progress';

export type RunState =
  /** run.json is there, no event yet. */
  'starting' | 'running' | 'stopped' | 'failed' | 'finished' | 'lost';

/** What is known of the process that computes a run. */
export type Life =
  /** It is on this machine, and it lives or does not. */
  | 'alive'
  | 'dead'
  /** It is on another machine, or never said who it is. */
  | 'unknown';

const MINUTE = 60_000;
/** Silence that says nothing: large networks take minutes a step, and disks of clusters show late what was written. */
const LEAST_PATIENCE = 10 * MINUTE;
/** A run is given up when it is silent this many times longer than ever before. */
const PATIENCE = 10;

/**
 * The state of a run. What it said last counts; where it said nothing of an end, its process does; and where the process
 * cannot be seen (a cluster, another machine), a silence that is out of proportion.
 * @param created when run.json says the run began, and @param now, in milliseconds since 1970
 */
export function stateOf(progress: RunProgress, life: Life, created: number, now: number): RunState {
  // A run that ended and is computed again speaks only when it has read its heads.
  if (progress.ending && life !== 'alive') return progress.ending.kind;
  if (progress.ending?.kind === 'finished') return 'finished';
  if (life === 'dead') return 'lost';
  if (life === 'unknown') {
    const silent = now - (progress.lastEvent ?? created);
    if (silent > Math.max(LEAST_PATIENCE, PATIENCE * progress.longestSilence)) return 'lost';
  }
  return progress.lastEvent === null || progress.ending ? 'starting' : 'running';
}

/** Whether the process of a record lives, as far as that can be seen from here. */
export function lifeOf(
  record: ProcessRecord | undefined,
  host: string,
  lives: (pid: number) => boolean,
): Life {
  if (!record || record.host !== host) return 'unknown';
  return lives(record.pid) ? 'alive' : 'dead';
}

/** Signal 0 asks only; a process that may not be signalled belongs to somebody else, and lives. */
export function processLives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
