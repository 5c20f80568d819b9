import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { parseEvents } from '../../../src/protocol/run';
import { fcd, scratchFolder, start, type Ended, type HowToRun } from './run-fcd';

vi.setConfig({ testTimeout: 240_000 });

const folder = scratchFolder();
const cohort = join(folder, 'heads');

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
});

/** The kernels are named since bits are compared: which are fastest can change from one start to the next. */
const NETWORK = [
  '--module',
  'simd128-strict',
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
];
const train = (out: string): string[] => [
  ...['train', '--cohort', cohort, '--out', join(folder, out), '--threads', '1'],
  ...[...NETWORK, '--epochs', '10', '--batch', '1', '--patience', '0'],
];
const experiment = (out: string): string[] => [
  ...['experiment', '--cohort', cohort, '--out', join(folder, out), '--threads', '1', '--folds', '2'],
  ...[...NETWORK, '--epochs', '10', '--batch', '1', '--patience', '0'],
];

/** Interrupts the command as soon as the run has taken `steps` steps. */
async function interrupted(
  args: readonly string[],
  run: string,
  steps: number,
  interrupt: (pid: number) => void,
  how: HowToRun = {},
): Promise<Ended> {
  const { child, ended } = start(args, how);
  let over = false;
  void ended.finally(() => (over = true));
  const events = join(folder, run, 'events.jsonl');
  const taken = (): number =>
    existsSync(events) ? readFileSync(events, 'utf8').split('"type":"step"').length - 1 : 0;
  while (!over && taken() < steps) await wait(5);
  interrupt(child.pid as number);
  return ended;
}

/** What a run came to; class maps as NIfTIs, since raw ones name the directory. */
function outcome(run: string): Record<string, string> {
  const path = join(folder, run);
  const files = [
    'checkpoints/best/model.safetensors',
    'checkpoints/last/model.safetensors',
    'predictions.csv',
    'heatscores.csv',
    ...readdirSync(join(path, 'cams'))
      .filter((name) => name.endsWith('.nii.gz'))
      .map((name) => `cams/${name}`),
  ];
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(path, name)).toString('base64')]));
}

const eventsOf = (run: string): string[] =>
  parseEvents(readFileSync(join(folder, run, 'events.jsonl'), 'utf8')).map(({ type }) => type);

describe('Ctrl-C during fcd train', () => {
  it('ends with 130 and how to go on; going on comes to the bits of a run that nobody stopped', async () => {
    const whole = await fcd(train('whole'));
    expect(whole.code, whole.stderr).toBe(0);
    const stopped = await interrupted(train('stopped'), 'stopped', 4, (pid) => process.kill(pid, 'SIGINT'));
    expect(stopped.code, stopped.stderr).toBe(130);
    expect(stopped.stdout).toBe('');
    expect(stopped.stderr).toMatch(/Stopping at the next safe point/);
    expect(stopped.stderr).toMatch(/Stopped.* Go on with: fcd train --resume \S*stopped$/m);
    expect(stopped.stderr).not.toMatch(/^\s+at /m);
    expect(eventsOf('stopped').at(-1)).toBe('stopped');
    expect(existsSync(join(folder, 'stopped', 'predictions.csv'))).toBe(false);

    // Another number of threads changes no bit.
    const resumed = await fcd(['train', '--resume', join(folder, 'stopped'), '--threads', '2']);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(eventsOf('stopped')).toContain('resumed');
    expect(outcome('stopped')).toEqual(outcome('whole'));
    expect(existsSync(join(folder, 'stopped', 'results.json'))).toBe(true);
  });
});

describe('Ctrl-C during fcd experiment', () => {
  it('ends with 130; the same command goes on at the run where it stopped, and report makes the page again', async () => {
    const whole = await fcd(experiment('cv'));
    expect(whole.code, whole.stderr).toBe(0);
    const second = join('cv-stopped', 'runs', 'fold-2');
    const stopped = await interrupted(experiment('cv-stopped'), second, 3, (pid) =>
      process.kill(pid, 'SIGINT'),
    );
    expect(stopped.code, stopped.stderr).toBe(130);
    expect(stopped.stderr).toMatch(/Stopped.* The same command goes on\./);
    expect(existsSync(join(folder, 'cv-stopped', 'results.json'))).toBe(false);
    const firstFold = eventsOf(join('cv-stopped', 'runs', 'fold-1'));

    const resumed = await fcd([...experiment('cv-stopped'), '--resume']);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(resumed.stdout).toMatch(/accuracy/);
    expect(eventsOf(join('cv-stopped', 'runs', 'fold-1'))).toEqual(firstFold);
    expect(eventsOf(second)).toContain('resumed');
    for (const fold of ['fold-1', 'fold-2'])
      expect(outcome(join('cv-stopped', 'runs', fold)), fold).toEqual(outcome(join('cv', 'runs', fold)));

    const page = join(folder, 'page.html');
    const report = await fcd(['report', join(folder, 'cv-stopped'), '--out', page]);
    expect(report).toMatchObject({ code: 0, stdout: `${page}\n` });
    expect(readFileSync(page, 'utf8')).toContain('For research, not for diagnosis.');
  });

  it('--dry-run says what would be computed and writes nothing', async () => {
    const { code, stdout } = await fcd([...experiment('dry'), '--dry-run']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/2 runs/);
    expect(stdout).toContain(join(folder, 'dry', 'runs', 'fold-2'));
    expect(existsSync(join(folder, 'dry'))).toBe(false);
  });
});

describe('where fcd starts another Node than the one that runs it', () => {
  /** Another path to the same Node, so that bin/fcd hands over to a process of its own. */
  const other = join(folder, 'other-node');
  beforeAll(() => {
    mkdirSync(other);
    symlinkSync(process.execPath, join(other, 'node'));
  });
  const how = { env: { FCD_NODE: join(other, 'node') } };

  it('an interrupt that only the first process gets stops the work', async () => {
    const stopped = await interrupted(
      train('passed-on'),
      'passed-on',
      3,
      (pid) => process.kill(pid, 'SIGINT'),
      how,
    );
    expect(stopped.code, stopped.stderr).toBe(130);
    expect(eventsOf('passed-on').at(-1)).toBe('stopped');
  });

  it('one that both get, as from a terminal, is one: the state is resumable', async () => {
    const both = (pid: number): boolean => process.kill(-pid, 'SIGINT');
    const stopped = await interrupted(train('group'), 'group', 3, both, { ...how, group: true });
    expect(stopped.code, stopped.stderr).toBe(130);
    expect(stopped.stderr).toMatch(/Go on with: fcd train --resume/);
    expect(eventsOf('group').at(-1)).toBe('stopped');
  });
});
