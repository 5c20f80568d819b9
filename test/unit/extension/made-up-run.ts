import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunEvent, RunRecord } from '../../../src/protocol/run';

type EventBody = RunEvent extends infer E ? (E extends RunEvent ? Omit<E, 'time'> : never) : never;

/** Half past noon; every event of a made-up run comes a second after the one before. */
export const BEGAN = Date.parse('2026-03-01T12:30:00.000Z');

export function madeUpRecord(changes: Partial<RunRecord> = {}): RunRecord {
  return {
    schema: 1,
    name: 'resnet18 FLAIR fold 1 of 5',
    created: new Date(BEGAN).toISOString(),
    command: ['train', '--cohort', 'heads'],
    version: '0.1.0',
    commit: null,
    cohort: { path: '/data/heads', fingerprint: 'f00d', cases: 10 },
    modality: 'FLAIR',
    fold: { index: 0, count: 5, train: ['sub-3'], validation: ['sub-4'], test: ['sub-1', 'sub-2'] },
    seed: 42,
    network: {
      arch: 'resnet18',
      geometry: 'paper',
      shortcut: 'A',
      width: 1,
      axes: 'ijk',
      inChannels: 1,
      classes: 2,
    },
    recipe: {},
    init: { kind: 'none' },
    training: {},
    engine: { name: 'wasm', module: 'simd256', threads: 2, node: 'v24.0.0' },
    ...changes,
  };
}

export function eventLines(events: readonly EventBody[]): string {
  return events.map((event, at) => `${JSON.stringify(timed(event, at))}\n`).join('');
}

export function timed(event: EventBody, seconds: number): RunEvent {
  return { time: new Date(BEGAN + seconds * 1000).toISOString(), ...event } as RunEvent;
}

export const started: EventBody = { type: 'started', epochs: 3, stepsPerEpoch: 2 };

export function step(epoch: number, number: number, secondsLeft: number | null = 10): EventBody {
  return { type: 'step', epoch, step: number, loss: 0.5, learningRate: 1e-3, secondsLeft };
}

/** A run directory as the command line leaves it. */
export async function writeRun(
  path: string,
  events: readonly EventBody[],
  record: RunRecord = madeUpRecord(),
): Promise<void> {
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'run.json'), JSON.stringify(record));
  await writeFile(join(path, 'events.jsonl'), eventLines(events));
}
