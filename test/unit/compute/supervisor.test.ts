import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ComputeError, type Activity } from '../../../src/extension/compute/compute';
import { ComputeSupervisor, type SupervisorOptions } from '../../../src/extension/compute/supervisor';
import type { Runtime } from '../../../src/extension/runtime/runtime';
import { USUAL_SETTINGS, type EngineReportMessage } from '../../../src/protocol/compute';
import { ROOT } from '../../peers';
import { COMPUTE_MAIN, flairOf, tinyStudy } from './tiny-study';

const STUBBORN = join(ROOT, 'test', 'unit', 'compute', 'fixtures', 'stubborn.mjs');
const runtime: Runtime = {
  path: process.execPath,
  args: [],
  env: {},
  version: process.version,
  reason: 'the test',
};

const open: ComputeSupervisor[] = [];
afterEach(() => {
  for (const supervisor of open.splice(0)) supervisor.dispose();
});

interface Watched {
  readonly supervisor: ComputeSupervisor;
  readonly lines: string[];
  readonly activities: Activity[];
  readonly engines: EngineReportMessage[];
}

function supervise(main: string, options: Partial<SupervisorOptions> = {}): Watched {
  const lines: string[] = [];
  const line =
    (level: string) =>
    (text: string): void =>
      void lines.push(`${level} ${text}`);
  const supervisor = new ComputeSupervisor({
    main,
    runtime: () => Promise.resolve(runtime),
    log: {
      info: line('info'),
      warn: line('warn'),
      error: line('error'),
      process: (pid, command, ended, ms) => void lines.push(`process #${pid} ${command} ${ended} ${ms > 0}`),
    },
    ...options,
  });
  open.push(supervisor);
  const activities: Activity[] = [];
  const engines: EngineReportMessage[] = [];
  supervisor.onActivity((activity) => activities.push(activity));
  supervisor.onEngine((engine) => engines.push(engine));
  return { supervisor, lines, activities, engines };
}

const study = tinyStudy();

function kill(supervisor: ComputeSupervisor): void {
  if (supervisor.pid === undefined) throw new Error('There is no process to kill.');
  process.kill(supervisor.pid, 'SIGKILL');
}

describe('the real compute process, supervised', () => {
  it('is started by the first request, says what it does, and is idle then', async () => {
    const { supervisor, activities, engines, lines } = supervise(COMPUTE_MAIN);
    expect(supervisor.activity).toEqual({ kind: 'stopped' });
    expect(supervisor.pid).toBeUndefined();
    const { model, patient } = study();
    const { images, brain } = flairOf(patient);
    const { logits } = await supervisor.request('predict', { model, images, brain });
    expect(logits).toHaveLength(2);
    expect(activities[0]).toMatchObject({
      kind: 'busy',
      what: `predicting ${patient.participantId}`,
      requests: 1,
    });
    expect(activities.some((one) => one.kind === 'busy' && one.progress?.detail === 'Reading the scan')).toBe(
      true,
    );
    expect(supervisor.activity).toEqual({ kind: 'idle' });
    expect(activities.at(-1)).toEqual({ kind: 'idle' });
    expect(engines).toHaveLength(1);
    expect(supervisor.engine).toEqual(engines[0]);
    expect(lines).toEqual([
      `info #${supervisor.pid} compute process on Node.js ${process.version}`,
      expect.stringMatching(
        new RegExp(`^info #${supervisor.pid} computes with wasm simd\\S+, \\d+ threads?: \\S`),
      ),
      expect.stringMatching(/^info predict: predicting sub-\d+ done after \d+ ms$/),
    ]);
  });

  it('killed while it explains: the caller gets a sentence, and the next request is answered', async () => {
    const { supervisor, activities, lines } = supervise(COMPUTE_MAIN);
    const { folder, slowModel, patient } = study();
    const { images, brain } = flairOf(patient);
    const out = join(folder, 'killed.nii');
    const at = { layer: 'layer4', method: 'gradcam', align: 'half-pixel' } as const;
    let killed: number | undefined;
    const lost = supervisor.request(
      'explain',
      { model: slowModel, images, brain, ...at, out },
      {
        onProgress: ({ detail }) => {
          if (detail !== 'Running layer1' || killed !== undefined) return;
          killed = supervisor.pid;
          kill(supervisor);
        },
      },
    );
    await expect(lost).rejects.toThrow(
      `The compute process ended (signal SIGKILL) while it explained ${patient.participantId}; it has been started again, try once more.`,
    );
    await expect(lost).rejects.toMatchObject({ kind: 'ended' });
    expect(existsSync(out)).toBe(false);
    expect(activities).toContainEqual({
      kind: 'crashed',
      sentence: 'The compute process ended (signal SIGKILL).',
    });
    expect((await supervisor.request('header', { path: images[0] })).path).toBe(images[0]);
    expect(supervisor.pid).not.toBe(killed);
    expect(supervisor.engine).toBeUndefined();
    expect(lines).toContain(`process #${killed} compute process ended (signal SIGKILL) true`);
  });

  it('killed while it rests: the next request does not notice', async () => {
    const { supervisor } = supervise(COMPUTE_MAIN);
    const path = flairOf(study().patient).images[0];
    await supervisor.request('header', { path });
    kill(supervisor);
    await expect.poll(() => supervisor.activity).toMatchObject({ kind: 'crashed' });
    expect((await supervisor.request('header', { path })).path).toBe(path);
    expect(supervisor.activity).toEqual({ kind: 'idle' });
  });

  it('cancelled: the caller is free at once, the process stays, and computes the next', async () => {
    const { supervisor, lines } = supervise(COMPUTE_MAIN);
    const { folder, model, slowModel, patient } = study();
    const { images, brain } = flairOf(patient);
    const at = { images, brain, layer: 'layer4', method: 'gradcam', align: 'half-pixel' } as const;
    const stop = new AbortController();
    const cancelled = supervisor.request(
      'explain',
      { ...at, model: slowModel, out: join(folder, 'cancelled.nii') },
      {
        signal: stop.signal,
        onProgress: ({ detail }) => {
          if (detail === 'Running layer1') stop.abort();
        },
      },
    );
    await expect(cancelled).rejects.toMatchObject({
      kind: 'cancelled',
      message: `Cancelled while explaining ${patient.participantId}.`,
    });
    const { pid } = supervisor;
    await supervisor.request('explain', { ...at, model, out: join(folder, 'next.nii') });
    expect(supervisor.pid).toBe(pid);
    expect(existsSync(join(folder, 'cancelled.nii'))).toBe(false);
    expect(lines.filter((line) => line.startsWith('warn'))).toEqual([]);
  });

  it('passes sentences about wrong files on as they are', async () => {
    const { supervisor } = supervise(COMPUTE_MAIN);
    const path = join(study().folder, 'text.nii');
    writeFileSync(path, 'x'.repeat(400));
    const wrong = supervisor.request('header', { path });
    await expect(wrong).rejects.toBeInstanceOf(ComputeError);
    await expect(wrong).rejects.toMatchObject({
      kind: 'input',
      message: expect.stringMatching(/text\.nii is no NIfTI image: sizeof_hdr/),
    });
  });

  it('rests and returns at low priority while a training run has the machine', async () => {
    const { supervisor, lines } = supervise(COMPUTE_MAIN);
    const before = await supervisor.request('engine', {});
    const { pid } = supervisor;
    supervisor.change({ background: true });
    expect(supervisor.activity).toEqual({ kind: 'stopped' });
    const after = await supervisor.request('engine', {});
    expect([before.background, after.background, after.threads]).toEqual([false, true, 1]);
    await expect
      .poll(() => lines)
      .toContain(`process #${pid} compute process ended to go on in the background true`);
  });
});

describe('a process that misbehaves, supervised', () => {
  it('does not stop: it is ended, said so, and those behind it are answered by another', async () => {
    const { supervisor, lines } = supervise(STUBBORN, { graceMs: 50 });
    const { description: first } = await supervisor.request('header', { path: '/pid' });
    const stop = new AbortController();
    const stuck = supervisor.request(
      'header',
      { path: '/never' },
      { signal: stop.signal, onProgress: () => stop.abort() },
    );
    const behind = supervisor.request('header', { path: '/pid' });
    await expect(stuck).rejects.toMatchObject({ kind: 'cancelled' });
    const { description: second } = await behind;
    expect(second).not.toBe(first);
    expect(lines).toContain(
      'warn The compute process went on reading the header of never for 50 ms after it was told to stop, so it was ended; another one takes over.',
    );
  });

  it('does not answer in time: the caller gets a sentence', async () => {
    const { supervisor } = supervise(STUBBORN);
    await expect(supervisor.request('header', { path: '/silent' }, { timeoutMs: 100 })).rejects.toMatchObject(
      {
        kind: 'timeout',
        message: expect.stringMatching(
          /^The compute process has not read the header of silent within 0\.1 s and was told to stop\./,
        ),
      },
    );
    expect((await supervisor.request('header', { path: '/other' })).path).toBe('/other');
  });

  it('ends by itself: everybody who waits gets a sentence, and its last words are in the log', async () => {
    const { supervisor, lines } = supervise(STUBBORN);
    const silent = supervisor.request('header', { path: '/silent' });
    const dying = supervisor.request('header', { path: '/die' });
    await expect(dying).rejects.toThrow(
      'The compute process ended (exit code 3) while it read the header of die; it has been started again, try once more.',
    );
    await expect(silent).rejects.toThrow('while it read the header of silent; it has been started again');
    await expect.poll(() => lines.filter((line) => line.includes('out of patience'))).toHaveLength(1);
    expect((await supervisor.request('header', { path: '/other' })).path).toBe('/other');
  });

  it('answers in another form: the answer is refused', async () => {
    const { supervisor } = supervise(STUBBORN);
    await expect(supervisor.request('header', { path: '/nonsense' })).rejects.toMatchObject({
      kind: 'unexpected',
      message: expect.stringMatching(/^The compute process answered "header" in a form that/),
    });
  });

  it('waits with a change of settings until nothing is computed', async () => {
    const { supervisor, lines } = supervise(STUBBORN);
    const settings = async (): Promise<unknown> =>
      JSON.parse((await supervisor.request('header', { path: '/other' })).description);
    const stop = new AbortController();
    const busy = supervisor.request('header', { path: '/silent' }, { signal: stop.signal });
    expect(await settings()).toEqual(USUAL_SETTINGS);
    const { pid } = supervisor;
    supervisor.change({ background: true });
    expect(await settings()).toMatchObject({ background: false });
    stop.abort();
    await expect(busy).rejects.toMatchObject({ kind: 'cancelled' });
    expect(await settings()).toEqual({ ...USUAL_SETTINGS, background: true });
    await expect
      .poll(() => lines)
      .toContain(`process #${pid} compute process ended to go on in the background true`);
    const other = { background: false, engine: 'cpu', threads: 3, precision: 'f16', gpuMemory: 2.5 } as const;
    supervisor.change(other);
    expect(await settings()).toEqual(other);
    const same = supervisor.pid;
    supervisor.change({ engine: 'cpu' });
    await settings();
    expect(supervisor.pid).toBe(same);
    supervisor.renew('on another Node.js');
    await settings();
    expect(supervisor.pid).not.toBe(same);
  });
});

describe('a process without work', () => {
  it('ends after a while, and another one starts with the next request', async () => {
    const { supervisor, lines } = supervise(STUBBORN, { idleMs: 20 });
    await supervisor.request('header', { path: '/other' });
    const { pid } = supervisor;
    await expect.poll(() => supervisor.activity).toEqual({ kind: 'stopped' });
    await expect
      .poll(() => lines)
      .toContain(`process #${pid} compute process ended after a while without work true`);
    expect((await supervisor.request('header', { path: '/other' })).path).toBe('/other');
  });

  it('does not end while it works, however long that takes', async () => {
    const { supervisor } = supervise(STUBBORN, { idleMs: 20 });
    const stop = new AbortController();
    const busy = supervisor.request('header', { path: '/silent' }, { signal: stop.signal });
    await supervisor.request('header', { path: '/other' });
    const { pid } = supervisor;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(supervisor.pid).toBe(pid);
    stop.abort();
    await expect(busy).rejects.toMatchObject({ kind: 'cancelled' });
  });
});

describe('a process that cannot be', () => {
  it('has no program: the sentence says why', async () => {
    const { supervisor } = supervise(join(study().folder, 'nothing.js'));
    await expect(supervisor.request('engine', {})).rejects.toMatchObject({
      kind: 'ended',
      message: expect.stringMatching(
        /^The compute process could not be started \(exit code 1.*fcd\.node\.path/,
      ),
    });
  });

  it('has no Node.js that can be executed: the sentence says why', async () => {
    const path = join(study().folder, 'no-node');
    const { supervisor } = supervise(COMPUTE_MAIN, { runtime: () => Promise.resolve({ ...runtime, path }) });
    await expect(supervisor.request('engine', {})).rejects.toThrow(
      /could not be started \(spawn .*no-node ENOENT/,
    );
  });

  it('may not be chosen: the sentence of the choice is passed on', async () => {
    const { supervisor } = supervise(COMPUTE_MAIN, {
      runtime: () => Promise.reject(new Error('The setting fcd.node.path is wrong.')),
    });
    await expect(supervisor.request('engine', {})).rejects.toMatchObject({
      kind: 'refused',
      message: 'The setting fcd.node.path is wrong.',
    });
  });

  it('is closed with the editor: those who wait and those who come get a sentence', async () => {
    const { supervisor, activities } = supervise(STUBBORN);
    const waiting = supervisor.request('header', { path: '/silent' });
    await supervisor.request('header', { path: '/other' });
    const told = activities.length;
    supervisor.dispose();
    await expect(waiting).rejects.toMatchObject({ kind: 'refused', message: 'FCD Lens has been closed.' });
    await expect(supervisor.request('engine', {})).rejects.toThrow('FCD Lens has been closed.');
    expect(activities).toHaveLength(told);
    expect(supervisor.pid).toBeUndefined();
  });
});
