import { appendFile, mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EventTail } from '../../../src/extension/runs/event-tail';
import { FollowedRun, type Observer, type RunSnapshot } from '../../../src/extension/runs/follow-run';
import { RunsModel } from '../../../src/extension/runs/runs-model';
import { BEGAN, eventLines, madeUpRecord, started, step, writeRun } from './made-up-run';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fcd-runs-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const HERE = 'this-machine';

function observer(changes: Partial<Observer> = {}): Observer {
  return { host: HERE, lives: () => true, now: () => BEGAN + 5000, ...changes };
}

async function look(run: FollowedRun): Promise<RunSnapshot> {
  const snapshot = await run.look();
  if (!snapshot) throw new Error('The run is not there.');
  return snapshot;
}

describe('reading a log of events', () => {
  it('gives nothing, and no error, before the file is there', async () => {
    const tail = new EventTail(join(folder, 'events.jsonl'));
    expect(await tail.read()).toEqual({ events: [], restarted: false });
  });

  it('gives each event once, however often it is read', async () => {
    const path = join(folder, 'events.jsonl');
    const tail = new EventTail(path);
    await writeFile(path, eventLines([started]));
    expect((await tail.read()).events).toHaveLength(1);
    expect((await tail.read()).events).toHaveLength(0);
    await appendFile(path, eventLines([step(0, 1), step(0, 2)]));
    expect((await tail.read()).events.map(({ type }) => type)).toEqual(['step', 'step']);
  });

  it('leaves a torn last line until it is whole', async () => {
    const path = join(folder, 'events.jsonl');
    const whole = eventLines([step(0, 1)]);
    await writeFile(path, eventLines([started]) + whole.slice(0, 40));
    const tail = new EventTail(path);
    expect((await tail.read()).events.map(({ type }) => type)).toEqual(['started']);
    await appendFile(path, whole.slice(40));
    expect((await tail.read()).events.map(({ type }) => type)).toEqual(['step']);
    expect(tail.unreadable).toBe(0);
  });

  it('goes on where a resumed run cut off the line that a crash tore', async () => {
    const path = join(folder, 'events.jsonl');
    const good = eventLines([started, step(0, 1)]);
    await writeFile(path, `${good}{"time":"2026-03`);
    const tail = new EventTail(path);
    expect((await tail.read()).events).toHaveLength(2);
    await truncate(path, good.length);
    await appendFile(path, eventLines([{ type: 'resumed', epoch: 0, step: 1 }]));
    const { events, restarted } = await tail.read();
    expect(events.map(({ type }) => type)).toEqual(['resumed']);
    expect(restarted).toBe(false);
  });

  it('begins anew where the file was replaced by a shorter one', async () => {
    const path = join(folder, 'events.jsonl');
    await writeFile(path, eventLines([started, step(0, 1), step(0, 2)]));
    const tail = new EventTail(path);
    await tail.read();
    await writeFile(path, eventLines([started]));
    expect(await tail.read()).toMatchObject({ restarted: true, events: [{ type: 'started' }] });
  });

  it('counts whole lines that are no events and goes on behind them', async () => {
    const path = join(folder, 'events.jsonl');
    await writeFile(
      path,
      `${eventLines([started])}{"type":"of a later version"}\nnonsense\n${eventLines([step(0, 1)])}`,
    );
    const tail = new EventTail(path);
    expect((await tail.read()).events.map(({ type }) => type)).toEqual(['started', 'step']);
    expect(tail.unreadable).toBe(2);
  });

  it('reads a log of many pieces, umlauts at their borders included', async () => {
    const path = join(folder, 'events.jsonl');
    const warning = { type: 'warning' as const, message: 'ä'.repeat(997) };
    await writeFile(path, eventLines(Array.from({ length: 700 }, () => warning)));
    const { events } = await new EventTail(path).read();
    expect(events).toHaveLength(700);
    expect(events.every((event) => event.type === 'warning' && event.message === warning.message)).toBe(true);
  });

  it('reads a line that is longer than a piece', async () => {
    const path = join(folder, 'events.jsonl');
    await writeFile(path, eventLines([{ type: 'warning', message: 'x'.repeat(700_000) }, started]));
    expect((await new EventTail(path).read()).events.map(({ type }) => type)).toEqual(['warning', 'started']);
  });
});

describe('a run directory', () => {
  it('is a row from the moment that run.json is there', async () => {
    const path = join(folder, 'run');
    await writeRun(path, []);
    expect(await look(new FollowedRun(path, observer()))).toMatchObject({
      state: 'starting',
      record: { seed: 42 },
    });
  });

  it('tells epoch, loss and time left while it runs', async () => {
    const path = join(folder, 'run');
    await writeRun(path, [started, step(0, 1), step(0, 2, 7)]);
    expect(await look(new FollowedRun(path, observer()))).toMatchObject({
      state: 'running',
      progress: { epochs: 3, epoch: 0, step: 2, loss: 0.5, secondsLeft: 7 },
    });
  });

  it('is lost when its process on this machine is gone without a word', async () => {
    const path = join(folder, 'run');
    await writeRun(path, [started, step(0, 1)]);
    await writeProcess(path, HERE);
    const alive = await look(new FollowedRun(path, observer({ lives: (pid) => pid === 4711 })));
    expect(alive.state).toBe('running');
    const gone = await look(new FollowedRun(path, observer({ lives: () => false })));
    expect(gone.state).toBe('lost');
  });

  it('on another machine is lost only after a silence out of proportion', async () => {
    const path = join(folder, 'run');
    await writeRun(path, [started, step(0, 1)]);
    await writeProcess(path, 'a-node-of-the-cluster');
    const after = async (minutes: number): Promise<string> =>
      (
        await look(
          new FollowedRun(path, observer({ lives: () => false, now: () => BEGAN + minutes * 60_000 })),
        )
      ).state;
    expect(await after(9)).toBe('running');
    expect(await after(11)).toBe('lost');
  });

  it('whose steps take long is given as much more time', async () => {
    const path = join(folder, 'run');
    await writeRun(path, [started]);
    const hour = { time: new Date(BEGAN + 3_600_000).toISOString() };
    await appendFile(join(path, 'events.jsonl'), `${JSON.stringify({ ...hour, ...step(0, 1) })}\n`);
    const after = async (hours: number): Promise<string> =>
      (await look(new FollowedRun(path, observer({ now: () => BEGAN + hours * 3_600_000 })))).state;
    expect(await after(10)).toBe('running');
    expect(await after(12)).toBe('lost');
  });

  it('that ended says how, whatever became of its process', async () => {
    for (const [event, state] of [
      [{ type: 'stopped', epoch: 1, step: 0 }, 'stopped'],
      [{ type: 'failed', message: 'The loss is NaN.' }, 'failed'],
      [{ type: 'finished', epochs: 3, seconds: 61 }, 'finished'],
    ] as const) {
      const path = join(folder, state);
      await writeRun(path, [started, step(0, 1), event]);
      expect((await look(new FollowedRun(path, observer({ lives: () => false })))).state).toBe(state);
    }
  });

  it('that was stopped and goes on runs again', async () => {
    const path = join(folder, 'run');
    await writeRun(path, [started, step(0, 1), { type: 'stopped', epoch: 0, step: 1 }]);
    const run = new FollowedRun(path, observer());
    expect((await look(run)).state).toBe('stopped');
    await writeProcess(path, HERE);
    expect((await look(run)).state).toBe('starting');
    await appendFile(
      join(path, 'events.jsonl'),
      eventLines([{ type: 'phase', phase: 'reading', done: 1, total: 4 }]),
    );
    expect(await look(run)).toMatchObject({
      state: 'running',
      progress: { phase: { phase: 'reading', done: 1 } },
    });
    await appendFile(
      join(path, 'events.jsonl'),
      eventLines([{ type: 'resumed', epoch: 0, step: 1 }, step(0, 2)]),
    );
    expect(await look(run)).toMatchObject({
      state: 'running',
      progress: { phase: null, epochs: 3, step: 2 },
    });
  });

  it('tells how many held-out cases it predicted rightly when it is finished', async () => {
    const path = join(folder, 'run');
    await writeRun(path, [started, { type: 'finished', epochs: 3, seconds: 61 }]);
    await writeFile(
      join(path, 'predictions.csv'),
      'participant_id,source,fold,seed,y_true,logit_control,logit_fcd,p_fcd,y_pred\nsub-1,sub-1,0,42,1,-1,1,0.88,1\nsub-2,sub-2,0,42,1,1,-1,0.12,0\n',
    );
    expect((await look(new FollowedRun(path, observer()))).heldOut).toEqual({ right: 1, n: 2 });
  });

  it('of another version is a row that says what is wrong', async () => {
    const path = join(folder, 'run');
    await writeRun(path, [started], { ...madeUpRecord(), schema: 2 as 1 });
    expect((await look(new FollowedRun(path, observer()))).fault).toMatch(
      /run\.json: field "schema" is not valid/,
    );
  });

  it('whose log cannot be read is a row that says why', async () => {
    const path = join(folder, 'run');
    await writeRun(path, []);
    await rm(join(path, 'events.jsonl'));
    await mkdir(join(path, 'events.jsonl'));
    expect((await look(new FollowedRun(path, observer()))).fault).toMatch(
      /^events\.jsonl cannot be read: EISDIR/,
    );
  });

  it('is none where another program wrote a run.json', async () => {
    await writeFile(join(folder, 'run.json'), '{"scripts":[]}');
    expect(await new FollowedRun(folder, observer()).look()).toBeUndefined();
  });
});

describe('all runs of a workspace', () => {
  it('group into experiments by where they lie, and tell when something changed', async () => {
    const experiment = join(folder, 'experiment');
    const fold = (n: number): string => join(experiment, 'runs', `fold-${n}`);
    const record = (index: number): ReturnType<typeof madeUpRecord> =>
      madeUpRecord({
        name: `resnet18 on FLAIR, fold ${index + 1} of 2`,
        fold: { index, count: 2, train: [], validation: [], test: [] },
      });
    await writeRun(fold(2), [started, step(0, 1)], record(1));
    await writeRun(fold(1), [started, { type: 'finished', epochs: 3, seconds: 20 }], record(0));
    await writeRun(join(folder, 'alone'), [started, { type: 'stopped', epoch: 0, step: 0 }]);
    const model = new RunsModel(observer());
    model.setDirectories([fold(2), join(folder, 'alone'), fold(1)]);
    expect(await model.look()).toBe(true);
    expect(await model.look()).toBe(false);
    const [first, second] = model.rows;
    expect(first).toMatchObject({
      kind: 'experiment',
      title: 'resnet18 on FLAIR',
      state: 'running',
      folds: 2,
    });
    expect(first.kind === 'experiment' && first.runs.map(({ path }) => path)).toEqual([fold(1), fold(2)]);
    expect(second).toMatchObject({ kind: 'run', run: { state: 'stopped' } });
    await appendFile(join(fold(2), 'events.jsonl'), eventLines([step(0, 2)]));
    expect(await model.look()).toBe(true);
  });

  it('forget a directory that was removed', async () => {
    const path = join(folder, 'run');
    await writeRun(path, [started]);
    const model = new RunsModel(observer());
    model.setDirectories([path]);
    await model.look();
    expect(model.rows).toHaveLength(1);
    await rm(path, { recursive: true });
    expect(await model.look()).toBe(true);
    expect(model.rows).toHaveLength(0);
  });
});

async function writeProcess(path: string, host: string): Promise<void> {
  const record = { schema: 1, host, pid: 4711, started: new Date(BEGAN).toISOString() };
  await writeFile(join(path, 'process.json'), JSON.stringify(record));
}
