import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseEvents } from '../../src/protocol/run';
import { Random } from '../../src/core/random';
import { fcd, scratchFolder, start } from '../unit/cli/run-fcd';

const folder = scratchFolder();
const cohort = join(folder, 'heads');

const train = (out: string): string[] => [
  ...[
    'train',
    '--cohort',
    cohort,
    '--out',
    join(folder, out),
    '--threads',
    '2',
    '--optimiser',
    'adamw',
    '--module',
    'simd128-strict',
  ],
  ...[
    '--arch',
    'resnet10',
    '--geometry',
    'compact',
    '--width',
    '1/8',
    '--spacing',
    '7',
    '--shape',
    '28x32x28',
  ],
  ...['--epochs', '8', '--batch', '3', '--micro-batch', '2', '--patience', '3'],
];

/** All that a run came to; class maps as NIfTIs, since raw ones name the directory. */
function outcome(run: string): Record<string, string> {
  const path = join(folder, run);
  const kept = /^(checkpoints\/.*\.safetensors|predictions\.csv|heatscores\.csv|cams\/.*\.nii\.gz)$/;
  const files = readdirSync(path, { recursive: true }).map(String).sort();
  expect(files.filter((name) => name.endsWith('.tmp'))).toEqual([]);
  return Object.fromEntries(
    files
      .filter((name) => kept.test(name))
      .map((name) => [name, readFileSync(join(path, name)).toString('base64')]),
  );
}

let expected: Record<string, string>;
let events: number;

beforeAll(async () => {
  const made = await fcd([
    'phantom',
    '--out',
    cohort,
    '--subjects',
    '10',
    '--size',
    '32',
    '--difficulty',
    '0',
  ]);
  expect(made.code, made.stderr).toBe(0);
  const whole = await fcd(train('whole'));
  expect(whole.code, whole.stderr).toBe(0);
  expected = outcome('whole');
  expect(Object.keys(expected)).toHaveLength(5);
  events = readFileSync(join(folder, 'whole', 'events.jsonl'), 'utf8').split('\n').length - 1;
});

describe('a run that is killed without a warning', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'goes on to the same bits, whenever it was killed (%i)',
    async (round) => {
      const random = Random.seeded(round, 'kill');
      const run = `killed-${round}`;
      const log = join(folder, run, 'events.jsonl');
      let args = train(run);
      let killed = 0;
      // Killed up to three times, each time a moment after so many lines of its log; then let alone.
      for (let time = 0; time < 3; time++) {
        const lines = random.integer(events);
        const moment = random.uniform(0, 60);
        const { child, ended } = start(args);
        let over = false;
        void ended.finally(() => (over = true));
        const written = (): number =>
          existsSync(log) ? readFileSync(log, 'utf8').split('\n').length - 1 : 0;
        while (!over && written() < lines) await wait(2);
        await wait(moment);
        if (!over) {
          child.kill('SIGKILL');
          killed++;
        }
        await ended;
        if (existsSync(join(folder, run, 'run.json'))) args = ['train', '--resume', join(folder, run)];
      }
      const last = await fcd(args);
      expect(last.code, last.stderr).toBe(0);
      expect(outcome(run)).toEqual(expected);
      expect(parseEvents(readFileSync(log, 'utf8')).filter(({ type }) => type === 'finished')).toHaveLength(
        1,
      );
      expect(killed).toBeGreaterThan(0);
    },
  );
});
