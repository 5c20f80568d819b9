import { spawnSync } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../../peers';

// How the engine behaves as part of a process: in children, for priorities and ends are a process's own.

function child(body: string): { out: unknown; status: number | null; said: string } {
  const program = `
    import os from 'node:os';
    import { setTimeout as sleep } from 'node:timers/promises';
    const fcd = await import(${JSON.stringify(join(ROOT, 'dist/bench/machine.js'))});
    ${body}`;
  const run = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    timeout: 50_000,
  });
  return { out: run.stdout && JSON.parse(run.stdout), status: run.status, said: run.stderr };
}

describe('a process with an engine', () => {
  it('ends when its program has ended, although the engine is still open', () => {
    const { out, status } = child(`
      const { threads } = await fcd.openEngine({ module: 'simd128-strict', threads: 4 });
      console.log(JSON.stringify(threads));`);
    expect([out, status]).toEqual([4, 0]);
  });

  it('takes no processor time while nothing is computed', () => {
    const { out } = child(`
      await fcd.openEngine({ module: 'simd128-strict', threads: 4 });
      await sleep(300);
      const before = process.cpuUsage();
      await sleep(1000);
      const { user, system } = process.cpuUsage(before);
      await fcd.closeEngine();
      console.log(JSON.stringify(user + system));`);
    // Three spinning threads would take up to three seconds; sleeping ones take next to nothing.
    expect(out as number).toBeLessThan(300_000);
  });

  it('in the background has one thread at low priority', () => {
    const { out, status } = child(`
      const { threads } = await fcd.openEngine({ module: 'simd128-strict', background: true });
      await fcd.closeEngine();
      console.log(JSON.stringify({ threads, priority: os.getPriority() }));`);
    expect([out, status]).toEqual([{ threads: 1, priority: constants.priority.PRIORITY_LOW }, 0]);
  });

  it('keeps its priority otherwise', () => {
    const { out } = child(`
      const before = os.getPriority();
      const { threads } = await fcd.openEngine({ module: 'simd128-strict', threads: 2 });
      await fcd.closeEngine();
      console.log(JSON.stringify({ threads, changed: os.getPriority() !== before }));`);
    expect(out).toEqual({ threads: 2, changed: false });
  });
});
